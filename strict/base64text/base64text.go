// Package base64text reads base64 of requests and evidence: in either alphabet, with padding or without,
// and nothing else. Bits after the last byte must be zero.
package base64text

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// Bytes are base64 in JSON: read in either alphabet, with padding or without, and
// written as base64url without.
type Bytes []byte

// MarshalJSONTo implements json.MarshalerTo.
func (b Bytes) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteToken(jsontext.String(base64.RawURLEncoding.EncodeToString(b)))
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom. It decodes straight from the
// text: evidence is most of what a request contains.
func (b *Bytes) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if raw.Kind() == 'n' {
		return nil
	}
	if raw.Kind() != '"' {
		return errors.New("want base64 text")
	}
	text := raw[1 : len(raw)-1]
	// Most clients write base64url without padding. Line breaks, which the library
	// would skip, cannot be in a JSON string as they are.
	decoded := make([]byte, base64.RawURLEncoding.DecodedLen(len(text)))
	n, err := strictBase64URL.Decode(decoded, text)
	if err != nil {
		*b, err = Decode(text)
		return err
	}
	*b = decoded[:n:n]
	return nil
}

var strictBase64URL = base64.RawURLEncoding.Strict()

// ErrEncoding is wrapped by the error of JSON whose bytes are not base64.
var ErrEncoding = errors.New("not base64url")

// Decode decodes the inside of a JSON string: either alphabet, padded or not,
// and nothing else; bits after the last byte must be zero.
func Decode(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, '\\') >= 0 {
		// Some encoders escape the characters + / and =.
		unquoted, err := jsontext.AppendUnquote(nil, append(append([]byte{'"'}, text...), '"'))
		if err != nil {
			return nil, ErrEncoding
		}
		text = unquoted
	}
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return nil, ErrEncoding // the library would skip them
	}
	for range 2 {
		text = bytes.TrimSuffix(text, []byte{'='})
	}
	encoding := base64.RawURLEncoding
	if bytes.IndexByte(text, '+') >= 0 || bytes.IndexByte(text, '/') >= 0 {
		encoding = base64.RawStdEncoding
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte{'-'}, []byte{'+'}), []byte{'_'}, []byte{'/'})
	}
	decoded := make([]byte, encoding.DecodedLen(len(text)))
	n, err := encoding.Strict().Decode(decoded, text)
	if err != nil {
		return nil, ErrEncoding
	}
	return decoded[:n:n], nil
}
