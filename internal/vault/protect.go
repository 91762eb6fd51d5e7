package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/release/keywrap"
)

// Software is the name of the protection by the master key.
const Software = "software"

// ErrSealed is returned where sealed key material does not open: it was altered, belongs to another key, or the
// master key is another one.
var ErrSealed = errors.New("the key material does not open under the service's master key")

// ID says which key material is: it cannot be moved to another key, version or provider.
type ID struct {
	// Provider is the provider's identity.
	Provider, Name, Version string
}

// Bytes are what a seal covers besides the material, each part with its length.
func (id ID) Bytes() (b []byte) {
	for _, part := range []string{id.Provider, id.Name, id.Version} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// Protection makes keys and seals them. What it cannot do it refuses by [CheckProtection]; while it cannot be reached,
// its errors wrap [ErrUnavailable]. An id has one key: where one is kept already, no other one is.
type Protection interface {
	// Generate makes a key of a kind.
	Generate(ctx context.Context, id ID, k Kind) (sealed, public []byte, err error)
	// Seal seals a key that was imported.
	Seal(ctx context.Context, id ID, m *Material) (sealed []byte, err error)
	// Open returns the private key in the clear, as [Material] has it. The caller wipes it. A protection
	// that never gives keys out in the clear returns [ErrNotOpened].
	Open(ctx context.Context, id ID, sealed []byte) ([]byte, error)
	// Wrap wraps the private key to the key of an attested machine.
	Wrap(ctx context.Context, id ID, sealed []byte, to *rsa.PublicKey, a keywrap.Algorithm) ([]byte, error)
	// Destroy removes what the protection keeps itself of a key. It is no error if nothing is there.
	Destroy(ctx context.Context, id ID, sealed []byte) error
}

// ErrNotOpened is returned by protections that never give a key out in the clear.
var ErrNotOpened = errors.New("the key never leaves its protection in the clear")

// ErrUnavailable is wrapped by the errors of a protection that does not answer now.
var ErrUnavailable = errors.New("what protects the key does not answer now")

// CannotProtect is the refusal of a protection that cannot do what is asked. The remedy says how to
// get it done.
func CannotProtect(expected, found, remedy string) *Refusal {
	return &Refusal{Code: CodeBadParameter, Message: "The key's protection cannot do that: " + found + "; expected " +
		expected + ".", Check: CheckProtection.FailedWith(expected, found, remedy)}
}

// software seals with AES-256-GCM.
type software struct {
	aead   cipher.AEAD
	random io.Reader
}

// NewSoftware returns the protection under a key of 32 bytes, a subkey of the master key.
func NewSoftware(key []byte, random io.Reader) (Protection, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &software{aead, random}, nil
}

func (s *software) Generate(ctx context.Context, id ID, k Kind) (sealed, public []byte, err error) {
	m, err := NewMaterial(s.random, k)
	if err != nil {
		return nil, nil, err
	}
	defer m.Wipe()
	sealed, err = s.Seal(ctx, id, m)
	return sealed, m.Public, err
}

func (s *software) Seal(_ context.Context, id ID, m *Material) ([]byte, error) {
	return s.aead.Seal(nil, nil, m.Private, id.Bytes()), nil
}

func (s *software) Open(_ context.Context, id ID, sealed []byte) ([]byte, error) {
	b, err := s.aead.Open(nil, nil, sealed, id.Bytes())
	if err != nil {
		return nil, fmt.Errorf("key %s/%s of %s: %w", id.Name, id.Version, id.Provider, ErrSealed)
	}
	return b, nil
}

func (s *software) Wrap(
	ctx context.Context, id ID, sealed []byte, to *rsa.PublicKey, a keywrap.Algorithm,
) ([]byte, error) {
	secret, err := s.Open(ctx, id, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return keywrap.Wrap(s.random, a, to, secret)
}

func (s *software) Destroy(context.Context, ID, []byte) error { return nil }

// protect seals a key in the protection of its kind: material, or a new key if that is nil. It fills in where and how
// the key is kept.
func (v *Vault) protect(ctx context.Context, id ID, k Kind, m *Material, out *store.VaultVersion) error {
	out.Protection = v.cfg.New
	if k.Type != k.Family() {
		out.Protection = v.cfg.HSM
	}
	err := v.protectBy(ctx, id, k, m, out)
	if out.Protection != v.cfg.New && v.cfg.SoftwareWrapped && errors.Is(err, CheckProtection) {
		out.Protection = v.cfg.New
		err = v.protectBy(ctx, id, k, m, out)
	}
	return err
}

func (v *Vault) protectBy(ctx context.Context, id ID, k Kind, m *Material, out *store.VaultVersion) error {
	p, err := v.protection(out.Protection)
	if err != nil {
		return err
	}
	if m == nil {
		out.Sealed, out.Public, err = p.Generate(ctx, id, k)
		return err
	}
	out.Public = m.Public
	out.Sealed, err = p.Seal(ctx, id, m)
	return err
}

// protection returns a protection by the name that is stored with a key.
func (v *Vault) protection(name string) (Protection, error) {
	p := v.cfg.Protections[name]
	if p == nil {
		return nil, refuse(CodeConflict, "The key's protection is not available.", CheckProtection,
			"a protection that is configured", name)
	}
	return p, nil
}
