package forms

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/probity-dev/probity/evidence"
)

// Explain says what bytes are that a verifier of the kind could not read, and what
// to do. It returns empty strings for bytes that look like evidence of the kind: its
// verifier knows better what is wrong with them.
func Explain(kind evidence.Kind, b []byte) (found, remedy string) {
	f := Recognize(b)
	switch {
	case len(b) == 0:
		return "nothing: the evidence is empty", "send the evidence"
	case f.Cut != "":
		return fmt.Sprintf("%d bytes that begin like %s: it %s", len(b), f.Name, f.Cut),
			"the evidence was cut off: copy the whole file, as bytes and not as text"
	case Fits(kind, f.Kind) && f.Hint != "" && kind != evidence.OpenEnclave:
		return f.Name, f.Hint
	case Fits(kind, f.Kind):
		return "", ""
	case f.Kind != "":
		remedy = "verify it as " + string(f.Kind)
		if f.Hint != "" {
			remedy += ", or " + f.Hint
		}
		return f.Name, remedy
	case f.Name != "":
		return f.Name, f.Hint
	}
	d, ok, err := Decode(kind, b)
	switch {
	case err != nil:
		return "text with more than one piece of evidence", err.Error()
	case ok:
		return fmt.Sprintf("%s in %s", d.Form.Name, d.How()), remedyInside(kind, d)
	case len(bytes.Trim(b, "\x00")) == 0:
		return fmt.Sprintf("%d zero bytes", len(b)),
			"the file was never written, or a read failed: collect the evidence again"
	case plausible(kind, b):
		return "", ""
	}
	return explainUnknown(b)
}

const remedyUnknown = "send the evidence unchanged, as its tool or library wrote it; " +
	"probity inspect FILE says what a file is"

// remedyInside says what to do with evidence in a text encoding.
func remedyInside(kind evidence.Kind, d Decoded) string {
	decode := fmt.Sprintf(
		"decode it, and send the %d bytes inside; a service's clients encode those as base64url once",
		len(d.Bytes),
	)
	switch f := d.Form; {
	case f.Cut != "":
		return "the evidence inside was cut off (it " + f.Cut + "): copy the whole file"
	case f.Kind == "" && f.Hint != "":
		return f.Hint
	case f.Kind == "":
		return remedyUnknown
	case !Fits(kind, f.Kind):
		return decode + "; they are evidence of kind " + string(f.Kind)
	}
	return decode
}

// explainUnknown describes bytes in which there is no evidence.
func explainUnknown(b []byte) (found, remedy string) {
	if isDump(b) {
		return "a hex dump with offsets, and no evidence in it",
			"make it again with xxd -p, and check that it is complete"
	}
	if text := trim(b); utf8.Valid(text) && isText(text) {
		return fmt.Sprintf("text of %d bytes that begins with %q, and no evidence in it", len(b),
			text[:min(len(text), 24)]), remedyUnknown
	}
	return fmt.Sprintf("%d bytes of no known form, beginning with % x", len(b), b[:min(len(b), 16)]),
		remedyUnknown
}

// plausible reports whether bytes begin like evidence of the kind, although some
// part of it is not as it should be.
func plausible(kind evidence.Kind, b []byte) bool {
	switch kind {
	case evidence.SGXEnclave, evidence.TDXVM:
		return len(b) >= 28 && (bytes.Equal(b[12:28], intelVendor) || binary.LittleEndian.Uint16(b) <= 16 &&
			binary.LittleEndian.Uint16(b) > 0 && binary.LittleEndian.Uint16(b[2:]) <= 16)
	case evidence.OpenEnclave:
		return len(b) >= 8 && binary.LittleEndian.Uint32(b) <= 16
	case evidence.SEVSNPVM:
		text := trim(b)
		return len(b) >= 12 && (binary.LittleEndian.Uint32(b) < 256 || len(text) > 0 && text[0] == '{')
	case evidence.NitroEnclave, evidence.ArmCCA:
		return b[0]>>5 == 4 || b[0]>>5 == 6
	default:
		text := trim(b)
		return len(text) > 0 && text[0] == '{'
	}
}
