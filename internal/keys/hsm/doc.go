// Package hsm keeps signing keys in a PKCS#11 token (OASIS PKCS#11 2.40): they are
// made there and never leave it. It needs cgo, and is empty unless the program is
// built with the tag pkcs11; [Built] tells.
package hsm

import "errors"

// ErrNotBuilt is returned by programs without PKCS#11.
var ErrNotBuilt = errors.New("this program was built without PKCS#11: build it with cgo and -tags pkcs11")
