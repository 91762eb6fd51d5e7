package nitro

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/probity-dev/probity/evidence/internal/cose"
)

// Document is an attestation document of the Nitro Secure Module.
type Document struct {
	ModuleID string
	// Timestamp is in milliseconds since 1970.
	Timestamp uint64
	// PCRs are the registers that the document contains, by index 0 to 31, of 32,
	// 48 or 64 bytes each. Registers 0, 1 and 2 are always there.
	PCRs map[int][]byte
	// Certificate is that of the enclave, Bundle its CAs, the root first; DER.
	Certificate []byte
	Bundle      [][]byte
	// PublicKey, UserData and Nonce are what the enclave put in; nil if absent.
	PublicKey, UserData, Nonce []byte
	message                    *cose.Sign1
}

// Bounds of a document's fields, in bytes and counts.
const (
	maxDocument    = 64 << 10
	maxCertificate = 1024
	maxBundle      = 8
	maxField       = 1024
)

// Parse reads a document: COSE_Sign1 (RFC 9052) with ES384 and no other header,
// tagged or not, around a CBOR map with exactly the members that AWS documents.
func Parse(b []byte) (*Document, error) {
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(b), maxDocument)
	}
	m, err := cose.Parse(b)
	if err != nil {
		return nil, err
	}
	if m.Algorithm != cose.ES384 || len(m.Protected) != 1 || len(m.Unprotected) != 0 {
		return nil, errors.New("the header is not ES384 alone")
	}
	var raw map[string]cbor.RawMessage
	if err := cose.Decode(m.Payload, &raw); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	d := &Document{message: m}
	var digest string
	fields := []struct {
		name     string
		into     any
		optional bool
	}{
		{"module_id", &d.ModuleID, false}, {"digest", &digest, false}, {"timestamp", &d.Timestamp, false},
		{"pcrs", &d.PCRs, false},
		{"certificate", &d.Certificate, false}, {"cabundle", &d.Bundle, false},
		{"public_key", &d.PublicKey, true}, {"user_data", &d.UserData, true}, {"nonce", &d.Nonce, true},
	}
	for name := range raw {
		if !slices.ContainsFunc(fields, func(f struct {
			name     string
			into     any
			optional bool
		}) bool {
			return f.name == name
		}) {
			return nil, fmt.Errorf("payload: unknown member %q", name)
		}
	}
	for _, f := range fields {
		value, ok := raw[f.name]
		if !ok && !f.optional {
			return nil, fmt.Errorf("payload: no member %s", f.name)
		}
		if !ok {
			continue
		}
		if err := cose.Decode(value, f.into); err != nil {
			return nil, fmt.Errorf("payload: %s: %w", f.name, err)
		}
	}
	if digest != "SHA384" {
		return nil, fmt.Errorf("payload: digest %q, want SHA384", digest)
	}
	return d, d.check()
}

// check compares the document with the bounds of AWS's specification.
func (d *Document) check() error {
	if d.ModuleID == "" || d.Timestamp == 0 {
		return errors.New("payload: an empty module_id or timestamp")
	}
	if len(d.Certificate) == 0 || len(d.Certificate) > maxCertificate || len(d.Bundle) == 0 ||
		len(d.Bundle) > maxBundle {
		return errors.New("payload: certificate or cabundle is empty or too large")
	}
	for _, der := range d.Bundle {
		if len(der) == 0 || len(der) > maxCertificate {
			return errors.New("payload: a certificate of cabundle is empty or too large")
		}
	}
	for _, field := range [][]byte{d.PublicKey, d.UserData, d.Nonce} {
		if len(field) > maxField {
			return fmt.Errorf("payload: a field of %d bytes, at most %d are allowed", len(field), maxField)
		}
	}
	for i := range 3 {
		if _, ok := d.PCRs[i]; !ok {
			return fmt.Errorf("payload: no PCR %d", i)
		}
	}
	for i, value := range d.PCRs {
		if i < 0 || i > 31 || !slices.Contains([]int{32, 48, 64}, len(value)) {
			return fmt.Errorf("payload: PCR %d of %d bytes", i, len(value))
		}
	}
	return nil
}

// Debug reports whether the enclave runs in debug mode: PCR 0, 1 and 2 are all
// zero then.
func (d *Document) Debug() bool {
	for i := range 3 {
		if slices.ContainsFunc(d.PCRs[i], func(b byte) bool { return b != 0 }) {
			return false
		}
	}
	return true
}
