package eventlog

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Measurement is an entry of a list of Linux's Integrity Measurement
// Architecture (kernel documentation, security/IMA-templates).
type Measurement struct {
	// Register is mostly PCR 10.
	Register uint32
	// Template is the name that the list gives: ima, ima-ng, ima-sig, ima-buf, or one of a
	// site's own. No digest covers it.
	Template string
	// Digest is the SHA-1 of the template's data; zeros mark a violation.
	Digest []byte
	// Data is what banks other than SHA-1 hash (kernel 5.8 and later).
	Data []byte
	// Reading is the kernel's template that Data can be, which they show themselves. It is
	// empty where the third field may be a signature or a buffer.
	Reading string
	// FileDigest is "algorithm:hex" and Name the path, or the name of the
	// measured buffer.
	FileDigest, Name string
	// Extra is the signature (ima-sig) or the buffer (ima-buf).
	Extra []byte
	// Unread says why Data cannot be read; it is empty where they can.
	Unread string
}

// Violation reports whether the kernel could not measure the file reliably.
func (m *Measurement) Violation() bool {
	return len(bytes.Trim(m.Digest, "\x00")) == 0
}

// Bounds of IMA lists.
const (
	maxIMA          = 8 << 20
	maxMeasurements = 1 << 16
	maxTemplateName = 64
	maxTemplateData = 1 << 19
	maxPath         = 4096
	// legacyName is how many bytes of a name the template ima hashes.
	legacyName = 256
)

// ParseIMA reads a list in the binary form of binary_runtime_measurements.
func ParseIMA(b []byte) ([]Measurement, error) {
	if len(b) > maxIMA {
		return nil, fmt.Errorf("an IMA list of %d bytes, at most %d are read", len(b), maxIMA)
	}
	r := &reader{b: b}
	var list []Measurement
	for len(r.b) > 0 {
		m, err := r.measurement()
		if err != nil {
			return nil, fmt.Errorf("measurement %d: %w", len(list)+1, err)
		}
		if list = append(list, *m); len(list) > maxMeasurements {
			return nil, fmt.Errorf("more than %d measurements", maxMeasurements)
		}
	}
	return list, nil
}

func (r *reader) measurement() (*Measurement, error) {
	m := &Measurement{Register: r.u32(), Digest: r.take(sha1.Size)}
	size := r.u32()
	if r.err == nil && (size == 0 || size > maxTemplateName) {
		return nil, fmt.Errorf("the name of its template has %d bytes", size)
	}
	m.Template = string(r.take(size))
	if m.Template == "ima" {
		digest, size := r.take(sha1.Size), r.u32()
		if r.err == nil && size > maxPath {
			return nil, fmt.Errorf("a path of %d bytes", size)
		}
		name := r.take(size)
		if r.err != nil {
			return nil, r.err
		}
		m.legacy(digest, strings.TrimSuffix(string(name), "\x00"))
		return m, nil
	}
	if size = r.u32(); r.err == nil && size > maxTemplateData {
		return nil, fmt.Errorf("template data of %d bytes", size)
	}
	if m.Data = r.take(size); r.err != nil {
		return nil, r.err
	}
	m.read()
	return m, nil
}

// ParseIMAText reads a list in the form of ascii_runtime_measurements, of the
// templates ima, ima-ng, ima-sig and ima-buf. Lists whose template digests are
// not SHA-1 are read too; those cannot be replayed into a bank.
func ParseIMAText(text []byte) ([]Measurement, error) {
	if len(text) > maxIMA {
		return nil, fmt.Errorf("an IMA list of %d bytes, at most %d are read", len(text), maxIMA)
	}
	var list []Measurement
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		m, err := measurementLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(list)+1, err)
		}
		if list = append(list, *m); len(list) > maxMeasurements {
			return nil, fmt.Errorf("more than %d measurements", maxMeasurements)
		}
	}
	return list, nil
}

func measurementLine(line string) (*Measurement, error) {
	parts := strings.SplitN(line, " ", 5)
	if len(parts) != 5 {
		return nil, errors.New("fewer than five columns")
	}
	if len(parts[0]) == 0 { // the kernel pads the register to two columns
		if parts = strings.SplitN(strings.TrimLeft(line, " "), " ", 5); len(parts) != 5 {
			return nil, errors.New("fewer than five columns")
		}
	}
	m := &Measurement{Template: parts[2]}
	var err error
	if m.Register, err = register(parts[0]); err != nil {
		return nil, err
	}
	if m.Digest, err = hex.DecodeString(parts[1]); err != nil || len(m.Digest) < sha1.Size {
		return nil, errors.New("the template digest is not hex of a hash")
	}
	algorithm, value, ok := strings.Cut(parts[3], ":")
	if !ok {
		algorithm, value = "sha1", parts[3]
	}
	digest, err := hex.DecodeString(value)
	if err != nil {
		return nil, errors.New("the file digest is not hex")
	}
	name := parts[4]
	switch m.Template {
	case "ima":
		m.legacy(digest, name)
		return m, nil
	case "ima-ng":
	case "ima-sig", "ima-buf":
		if at := strings.LastIndexByte(name, ' '); at >= 0 {
			if m.Extra, err = hex.DecodeString(name[at+1:]); err == nil {
				name = name[:at]
			}
		}
	default:
		return nil, fmt.Errorf("template %q is not known", m.Template)
	}
	field := func(b []byte, parts ...string) []byte {
		text := strings.Join(parts, "")
		return append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
	}
	m.Data = field(field(nil, algorithm, ":\x00", string(digest)), name, "\x00")
	if m.Template != "ima-ng" {
		m.Data = field(m.Data, string(m.Extra))
	}
	m.read()
	return m, nil
}

// ReplayIMA extends measurements into a register that begins with start and
// returns after how many of them it has the quoted value, or -1. The list may be
// longer than what was quoted, as it grows all the time. padded says that the
// bank extends the SHA-1 digest with zeros after it (kernels before 5.8).
func ReplayIMA(list []Measurement, bank Algorithm, start, quoted []byte, padded bool) int {
	value := bytes.Clone(start)
	if bytes.Equal(value, quoted) {
		return 0
	}
	digest := make([]byte, bank.Size())
	for i := range list {
		m := &list[i]
		switch sum := sha1.Sum(m.Data); {
		case m.Violation():
			for j := range digest {
				digest[j] = 0xff
			}
		case padded || bank == SHA1:
			// A digest that is not that of the data would let the data lie.
			if !bytes.Equal(sum[:], m.Digest) {
				return -1
			}
			clear(digest)
			copy(digest, m.Digest)
		default:
			bank.Sum(digest[:0], m.Data)
		}
		if extend(bank, value, digest); bytes.Equal(value, quoted) {
			return i + 1
		}
	}
	return -1
}
