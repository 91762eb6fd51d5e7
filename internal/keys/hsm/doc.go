// Package hsm keeps keys in a PKCS#11 token (OASIS PKCS#11 2.40). Signing keys are made there and never leave it; keys
// that are released to attested machines leave it only wrapped to a key of such a machine, and the token wraps them. It
// needs cgo, and is empty unless the program is built with the tag pkcs11; [Built] tells.
package hsm

import "errors"

// ErrCannot is wrapped where a token does not offer what is needed, and will not tomorrow. Other errors of a token
// may pass.
var ErrCannot = errors.New("the token cannot do it")

// ErrAbsent is wrapped where a key is not in the token, and ErrExists where one has its id already.
var (
	ErrAbsent = errors.New("the token has no such key")
	ErrExists = errors.New("the token has a key of this id")
)

// Spec is what an exported key is: RSA of a size in bits, EC on a curve, or oct of any size in bits.
type Spec struct {
	Family string
	Bits   int
	Curve  string
}

// ErrNotBuilt is returned by programs without PKCS#11.
var ErrNotBuilt = errors.New("this program was built without PKCS#11: build it with cgo and -tags pkcs11")
