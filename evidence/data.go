package evidence

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/ascii"
	"github.com/probity-dev/probity/strict/bounds"
)

// DataType says how bound data are returned in the token.
type DataType string

// The data types of the wire protocol.
const (
	Binary DataType = "Binary"
	JSON   DataType = "JSON"
)

// ParseDataType returns the data type of the given name, compared without
// case. An absent type means Binary.
func ParseDataType(name string) (DataType, error) {
	switch {
	case name == "", ascii.EqualFold(name, string(Binary)):
		return Binary, nil
	case ascii.EqualFold(name, string(JSON)):
		return JSON, nil
	default:
		return "", fmt.Errorf("unknown data type %q; want Binary or JSON", name)
	}
}

// Data are bytes of the attester that evidence binds by their SHA-256.
type Data struct {
	Bytes []byte
	// Type is Binary if it is empty.
	Type DataType
}

// Object returns the data as a canonical JSON object: members sorted, no white
// space. Trailing NUL bytes are part of what the evidence binds but not of the
// JSON: C clients send their terminator along. Duplicate members, trailing
// text, other values than objects and nesting deeper than 64 are refused.
func (d *Data) Object() ([]byte, error) {
	text := bytes.TrimRight(d.Bytes, "\x00")
	if err := bounds.Nesting(text); err != nil {
		return nil, err
	}
	v := jsontext.Value(bytes.Clone(text))
	if v.Kind() != '{' {
		return nil, fmt.Errorf("data of type JSON must be an object")
	}
	// Numbers keep their spelling: a token must not say another number than
	// the enclave bound.
	if err := v.Format(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false),
		jsontext.ReorderRawObjects(true)); err != nil {
		return nil, err
	}
	return v, nil
}

// BoundBy reports whether the first 32 bytes of field are the SHA-256 of the
// data. It compares all 32 bytes and never a prefix of a length that the
// attester chose.
func (d *Data) BoundBy(field []byte) bool {
	sum := sha256.Sum256(d.Bytes)
	return len(field) >= len(sum) && subtle.ConstantTimeCompare(field[:len(sum)], sum[:]) == 1
}
