//go:build !pkcs11

package hsm

import "crypto"

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
