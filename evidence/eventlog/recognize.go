package eventlog

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
)

// signatureOffset is where the data of the first record begin.
const signatureOffset = 4 + 4 + sha1.Size + 4

// hasHeader reports whether b begins with the first record of a crypto-agile log.
func hasHeader(b []byte) bool {
	return len(b) >= signatureOffset+len(signatureSpecID) &&
		binary.LittleEndian.Uint32(b[4:]) == uint32(NoAction) &&
		string(b[signatureOffset:signatureOffset+len(signatureSpecID)]) == signatureSpecID
}

// Recognize reads b if its structure shows that it is a log of measured boot. It is
// stricter than [Parse], which is for bytes that someone calls a log: the old form has no
// mark of its own, so that zeros or a table of digests parse as events. A log in the old
// form is recognised if all types are those of the standard and at least one digest is that
// of its event's data.
func Recognize(b []byte) (*Log, bool) {
	l, err := Parse(b)
	if err != nil || len(l.Events) == 0 {
		return nil, false
	}
	if hasHeader(b) {
		return l, true
	}
	covered := false
	for i := range l.Events {
		e := &l.Events[i]
		if _, known := typeNames[e.Type]; !known || e.Register >= Registers {
			return nil, false
		}
		if sum := sha1.Sum(e.Data); e.Type.coversData() && len(e.Data) > 0 && bytes.Equal(sum[:], e.Digest(SHA1)) {
			covered = true
		}
	}
	return l, covered
}

// Damage says why bytes that begin like a crypto-agile log cannot be read, or "".
func Damage(b []byte) string {
	if !hasHeader(b) {
		return ""
	}
	if _, err := Parse(b); err != nil {
		return err.Error()
	}
	return ""
}

// RecognizeIMA reads b if its structure shows that it is an IMA list: the binary form,
// whose first digest must be that of its entry, or the text form. It returns nil for other
// bytes.
func RecognizeIMA(b []byte) (list []Measurement, isBinary bool) {
	list, err := ParseIMA(b)
	if err == nil && len(list) > 0 && plausibleIMA(list) {
		return list, true
	}
	if list, err = ParseIMAText(b); err != nil || len(list) == 0 {
		return nil, false
	}
	return list, false
}

func plausibleIMA(list []Measurement) bool {
	checked := false
	for i := range list {
		m := &list[i]
		for _, c := range []byte(m.Template) {
			if c <= ' ' || c > '~' {
				return false
			}
		}
		if m.Register >= Registers {
			return false
		}
		if !checked && !m.Violation() {
			if sum := sha1.Sum(m.Data); !bytes.Equal(sum[:], m.Digest) {
				return false
			}
			checked = true
		}
		if m.Violation() && m.FileDigest == "" {
			return false // nothing of such an entry tells it from zeros
		}
	}
	return true
}

// MarshalIMA writes a list in the binary form. It returns nil for a list with template
// digests that are not SHA-1, which that form does not have.
func MarshalIMA(list []Measurement) []byte {
	var b []byte
	le := binary.LittleEndian
	for i := range list {
		m := &list[i]
		if len(m.Digest) != sha1.Size {
			return nil
		}
		b = append(le.AppendUint32(b, m.Register), m.Digest...)
		b = append(le.AppendUint32(b, uint32(len(m.Template))), m.Template...)
		if m.Template == "ima" {
			b = append(le.AppendUint32(append(b, m.Data[:sha1.Size]...), uint32(len(m.Name))), m.Name...)
			continue
		}
		b = append(le.AppendUint32(b, uint32(len(m.Data))), m.Data...)
	}
	return b
}

// register reads the first column of a text list.
func register(text string) (uint32, error) {
	var n uint32
	for _, c := range []byte(text) {
		if n = n*10 + uint32(c-'0'); c < '0' || c > '9' || n >= Registers {
			return 0, fmt.Errorf("register %q", text)
		}
	}
	if text == "" {
		return 0, fmt.Errorf("register %q", text)
	}
	return n, nil
}
