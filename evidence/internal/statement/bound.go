package statement

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/probity-dev/probity/evidence"
)

// Bound records whether a field of evidence, of the given name, binds the data, which what describes.
// A failure is an *[evidence.Rejection] of the given check.
func Bound(result *evidence.Result, check *evidence.Definition, data *evidence.Data,
	what, name string, field []byte) error {
	if !data.BoundBy(field) {
		expected := fmt.Sprintf("SHA-256 %x of the %d bytes of %s", sha256.Sum256(data.Bytes),
			len(data.Bytes), what)
		return result.Fail(check, expected, fmt.Sprintf("%x in %s", field[:min(len(field), sha256.Size)], name))
	}
	result.Pass(check, "SHA-256 of "+what+" in "+name, fmt.Sprintf("SHA-256 of %d bytes", len(data.Bytes)))
	return nil
}

// BoundAlone is [Bound] for a field that has the hash and nothing else: what follows it must be zero.
func BoundAlone(result *evidence.Result, check *evidence.Definition, data *evidence.Data,
	what, name string, field []byte) error {
	if err := Bound(result, check, data, what, name, field); err != nil {
		return err
	}
	if rest := field[sha256.Size:]; len(bytes.TrimLeft(rest, "\x00")) > 0 {
		return result.Fail(check, "zeros after the hash in "+name, fmt.Sprintf("%x", rest))
	}
	return nil
}

// Challenged checks that a field is a challenge of 1 byte up to its own length, followed by zeros.
func Challenged(result *evidence.Result, check *evidence.Definition, challenge []byte,
	name string, field []byte) error {
	want := make([]byte, len(field))
	if n := copy(want, challenge); n == 0 || n < len(challenge) ||
		subtle.ConstantTimeCompare(want, field) != 1 {
		return result.Fail(check, fmt.Sprintf("the challenge %x and zeros in %s", challenge, name),
			fmt.Sprintf("%x", field))
	}
	result.Pass(check, "the challenge in "+name, fmt.Sprintf("%x", challenge))
	return nil
}
