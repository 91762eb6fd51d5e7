// Package jws takes compact JSON Web Signatures apart (RFC 7515, section 7.1), and is the one
// place that does so. Each part must be base64url in its canonical form (RFC 4648, sections 3.5
// and 5): no padding, no line breaks or other characters, and zeros in the bits that encode
// nothing. So one signature has one text: no one can write a token that was revoked, used or
// recorded in a second way that verifies too. It is a leaf: it imports no other package of this module.
package jws

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// errCharacters and errBits say what is wrong with a part.
var (
	errCharacters = errors.New("not base64url without padding")
	errBits       = errors.New("base64url whose unused bits are not zero")
)

// digits are the values of the characters of base64url, plus one; 0 is not such a character.
var digits = func() (table [256]byte) {
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		table[c] = byte(i + 1)
	}
	return table
}()

// check refuses a part that is not canonical base64url.
func check(part string) error {
	var last byte
	for i := range len(part) {
		if last = digits[part[i]]; last == 0 {
			return errCharacters
		}
	}
	var unused byte
	switch len(part) % 4 {
	case 1:
		return errCharacters
	case 2:
		unused = 0x0f
	case 3:
		unused = 0x03
	}
	if (last-1)&unused != 0 {
		return errBits
	}
	return nil
}

// Split returns the three parts of a compact JWS, each of them canonical base64url. Payload and
// signature may be empty.
func Split(compact string) (header, payload, signature string, err error) {
	switch dots := strings.Count(compact, "."); dots {
	case 0:
		return "", "", "", errors.New("1 part, want header.payload.signature")
	case 2:
	default:
		return "", "", "", fmt.Errorf("%d parts, want header.payload.signature", dots+1)
	}
	header, rest, _ := strings.Cut(compact, ".")
	payload, signature, _ = strings.Cut(rest, ".")
	for i, part := range []string{header, payload, signature} {
		if err := check(part); err != nil {
			return "", "", "", fmt.Errorf("part %d is %w", i+1, err)
		}
	}
	if header == "" {
		return "", "", "", errors.New("the header is empty")
	}
	return header, payload, signature, nil
}

// Decode decodes one part.
func Decode(part string) ([]byte, error) {
	if err := check(part); err != nil {
		return nil, err
	}
	return base64.RawURLEncoding.Strict().DecodeString(part)
}

// Parse reads a compact JWS that is signed by one of the given algorithms. It verifies nothing.
func Parse(compact string, algorithms []jose.SignatureAlgorithm) (*jose.JSONWebSignature, error) {
	if _, _, _, err := Split(compact); err != nil {
		return nil, err
	}
	return jose.ParseSignedCompact(compact, algorithms)
}
