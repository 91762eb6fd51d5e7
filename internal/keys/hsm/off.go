//go:build !pkcs11

package hsm

import (
	"crypto"
	"crypto/rsa"
	"io"

	"github.com/probity-dev/probity/release/keywrap"
)

// Built reports whether the program knows PKCS#11.
const Built = false

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

// Remove returns ErrNotBuilt.
func (*Token) Remove(string) error { return ErrNotBuilt }

// Algorithms returns ErrNotBuilt.
func (*Token) Algorithms(io.Reader) ([]keywrap.Algorithm, error) { return nil, ErrNotBuilt }

// GenerateExported returns ErrNotBuilt.
func (*Token) GenerateExported(_ []byte, _ string, _ Spec) ([]byte, error) { return nil, ErrNotBuilt }

// ImportExported returns ErrNotBuilt.
func (*Token) ImportExported(_ []byte, _ string, _ Spec, _ []byte, _ io.Reader) error {
	return ErrNotBuilt
}

// Export returns ErrNotBuilt.
func (*Token) Export(_ []byte, _ *rsa.PublicKey, _ keywrap.Algorithm) ([]byte, error) {
	return nil, ErrNotBuilt
}

// RemoveExported returns ErrNotBuilt.
func (*Token) RemoveExported([]byte) error { return ErrNotBuilt }

// Pads returns false.
func (*Token) Pads() bool { return false }
