//go:build !pkcs11

package hsm

import (
	"crypto"
	"errors"
)

// Built reports whether the program knows PKCS#11.
const Built = false

// ErrNotBuilt is returned by programs without PKCS#11.
var ErrNotBuilt = errors.New("this program was built without PKCS#11: build it with cgo and -tags pkcs11")

// Token stands for a token that cannot be opened.
type Token struct{}

// Open returns ErrNotBuilt.
func Open(_, _, _ string) (*Token, error) { return nil, ErrNotBuilt }

// Generate returns ErrNotBuilt.
func (*Token) Generate(_, _ string) (crypto.Signer, error) { return nil, ErrNotBuilt }

// Find returns ErrNotBuilt.
func (*Token) Find(string) (crypto.Signer, error) { return nil, ErrNotBuilt }

// MasterSecret returns ErrNotBuilt.
func (*Token) MasterSecret(string, bool) ([]byte, error) { return nil, ErrNotBuilt }
