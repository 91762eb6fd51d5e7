// Package vaulttest is the contract of what protects the keys of vaults: every implementation runs through the same cases.
package vaulttest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/keywrap"
)

// Subject is a protection to test.
type Subject struct {
	// New makes the protection of a service with a master key; each test passes another subkey of it.
	New func(t *testing.T, subkey []byte) vault.Protection
	// Algorithms are those by which it wraps; nil stands for all.
	Algorithms []keywrap.Algorithm
	// Opens says that it gives keys out in the clear, for backups.
	Opens bool
	// Pads says that it takes only oct keys whose size is a multiple of 8 bytes.
	Pads bool
	// Largest bounds imported oct keys, in bytes. Zero means [vault.MaxOct].
	Largest int
}

var machine = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		panic(err)
	}
	return key
})

// ids makes ids that no test had before.
func newID() vault.ID { return vault.ID{Provider: "provider", Name: "key", Version: rand.Text()} }

// Run runs the contract.
func Run(t *testing.T, s Subject) {
	if s.Algorithms == nil {
		s.Algorithms = keywrap.Algorithms()
	}
	if s.Largest == 0 {
		s.Largest = vault.MaxOct
	}
	c := &contract{s, s.New(t, bytes.Repeat([]byte{1}, 32))}
	t.Run("keys of each kind are made and wrapped", c.generates)
	t.Run("imported keys are wrapped", c.imports)
	t.Run("keys are given out in the clear, or never", c.opens)
	t.Run("a key is good for its own id alone", c.ids)
	t.Run("what is stored of a key cannot be changed", c.altered)
	t.Run("another master key opens nothing", c.master)
	t.Run("a recipient's key that does not wrap is refused", c.recipients)
	t.Run("an algorithm that is not offered is refused", c.algorithms)
	t.Run("a destroyed key is gone", c.destroys)
	t.Run("keys are wrapped at the same time", c.concurrent)
}

type contract struct {
	Subject
	p vault.Protection
}

// secret wraps a key, opens that as the machine does, and reads what comes out.
func (c *contract) secret(t *testing.T, id vault.ID, sealed []byte, a keywrap.Algorithm) []byte {
	t.Helper()
	wrapped, err := c.p.Wrap(t.Context(), id, sealed, &machine().PublicKey, a)
	if err != nil {
		t.Fatalf("wrap by %s: %v", a, err)
	}
	secret, err := keywrap.Unwrap(nil, a, machine(), wrapped)
	if err != nil {
		t.Fatalf("unwrap by %s: %v", a, err)
	}
	return secret
}

// public is the SubjectPublicKeyInfo of a PKCS#8 key.
func public(t *testing.T, secret []byte) []byte {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		t.Fatalf("a key of type %T", key)
	}
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func kinds() []vault.Kind {
	return []vault.Kind{
		{Type: "RSA-HSM", Size: 2048}, {Type: "RSA-HSM", Size: 3072}, {Type: "RSA-HSM", Size: 4096},
		{Type: "EC-HSM", Curve: "P-256"}, {Type: "EC-HSM", Curve: "P-384"}, {Type: "EC-HSM", Curve: "P-521"},
		{Type: "oct-HSM", Size: 128}, {Type: "oct-HSM", Size: 192}, {Type: "oct-HSM", Size: 256},
	}
}

func (c *contract) generates(t *testing.T) {
	for _, k := range kinds() {
		t.Run(fmt.Sprint(k.Type, k.Size, k.Curve), func(t *testing.T) {
			if testing.Short() && k.Size == 4096 {
				t.Skip("slow")
			}
			id := newID()
			sealed, info, err := c.p.Generate(t.Context(), id, k)
			if err != nil || len(sealed) == 0 {
				t.Fatal(err, len(sealed))
			}
			defer c.p.Destroy(t.Context(), id, sealed)
			for _, a := range c.Algorithms {
				secret := c.secret(t, id, sealed, a)
				if bytes.Contains(sealed, secret) {
					t.Error("the key is stored in the clear")
				}
				if k.Family() == vault.Oct {
					if len(secret) != k.Size/8 || info != nil {
						t.Errorf("%d bytes, public %x", len(secret), info)
					}
					continue
				}
				if !bytes.Equal(public(t, secret), info) {
					t.Error("the public key is that of another key")
				}
			}
		})
	}
}

// materials are keys to import.
func (c *contract) materials(t *testing.T) (list []*vault.Material) {
	t.Helper()
	e, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		kind vault.Kind
		key  any
	}{{vault.Kind{Type: "RSA-HSM", Size: 3072}, machine()}, {vault.Kind{Type: "EC-HSM", Curve: "P-521"}, e}} {
		der, err := x509.MarshalPKCS8PrivateKey(m.key)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, &vault.Material{Kind: m.kind, Private: der, Public: public(t, der)})
	}
	for _, size := range []int{1, 7, 16, 17, 32, 1000, c.Largest} {
		secret := make([]byte, size)
		rand.Read(secret)
		list = append(list, &vault.Material{Kind: vault.Kind{Type: "oct-HSM", Size: 8 * size}, Private: secret})
	}
	return list
}

func (c *contract) imports(t *testing.T) {
	for _, m := range c.materials(t) {
		t.Run(fmt.Sprint(m.Type, m.Size, m.Curve), func(t *testing.T) {
			id, before := newID(), bytes.Clone(m.Private)
			sealed, err := c.p.Seal(t.Context(), id, m)
			if c.Pads && m.Family() == vault.Oct && len(m.Private)%8 != 0 {
				if !errors.Is(err, vault.CheckProtection) || sealed != nil {
					t.Errorf("%d bytes, %v", len(sealed), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.p.Destroy(t.Context(), id, sealed)
			if !bytes.Equal(before, m.Private) || len(before) > 15 && bytes.Contains(sealed, before) {
				t.Error("the material was changed, or is stored in the clear")
			}
			for _, a := range c.Algorithms {
				secret := c.secret(t, id, sealed, a)
				if m.Family() == vault.Oct && !bytes.Equal(secret, m.Private) ||
					m.Family() != vault.Oct && !bytes.Equal(public(t, secret), m.Public) {
					t.Errorf("%s: another key came back", a)
				}
			}
		})
	}
}

// made makes a key, and destroys it when the test ends.
func (c *contract) made(t *testing.T) (vault.ID, []byte) {
	t.Helper()
	id := newID()
	sealed, _, err := c.p.Generate(t.Context(), id, vault.Kind{Type: "oct-HSM", Size: 256})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.p.Destroy(t.Context(), id, sealed) })
	return id, sealed
}

func (c *contract) opens(t *testing.T) {
	id, sealed := c.made(t)
	secret, err := c.p.Open(t.Context(), id, sealed)
	if !c.Opens {
		if !errors.Is(err, vault.ErrNotOpened) || secret != nil {
			t.Errorf("%x, %v", secret, err)
		}
		return
	}
	if err != nil || !bytes.Equal(secret, c.secret(t, id, sealed, c.Algorithms[0])) {
		t.Errorf("another key, %v", err)
	}
}

// sealedFor checks that nothing is done with what is stored of a key.
func sealedFor(t *testing.T, what string, p vault.Protection, id vault.ID, sealed []byte, a keywrap.Algorithm) {
	t.Helper()
	if b, err := p.Wrap(t.Context(), id, sealed, &machine().PublicKey, a); !errors.Is(err, vault.ErrSealed) || b != nil {
		t.Errorf("%s: wrap: %d bytes, %v", what, len(b), err)
	}
	if b, err := p.Open(t.Context(), id, sealed); !errors.Is(err, vault.ErrSealed) || b != nil {
		t.Errorf("%s: open: %d bytes, %v", what, len(b), err)
	}
}

func (c *contract) ids(t *testing.T) {
	id, sealed := c.made(t)
	for what, other := range map[string]vault.ID{
		"another version":  {Provider: id.Provider, Name: id.Name, Version: id.Version + "0"},
		"no version":       {Provider: id.Provider, Name: id.Name, Version: ""},
		"another provider": {Provider: "other", Name: id.Name, Version: id.Version},
		"another name":     {Provider: id.Provider, Name: "other", Version: id.Version},
		"parts that moved": {Provider: id.Provider + id.Name[:1], Name: id.Name[1:], Version: id.Version},
		"nothing":          {},
	} {
		sealedFor(t, what, c.p, other, sealed, c.Algorithms[0])
	}
}

func (c *contract) altered(t *testing.T) {
	id, sealed := c.made(t)
	for i := range sealed {
		b := bytes.Clone(sealed)
		b[i] ^= 1
		sealedFor(t, fmt.Sprint("byte ", i), c.p, id, b, c.Algorithms[0])
	}
	for what, b := range map[string][]byte{
		"nothing": nil, "one byte": {1}, "a byte more": append(bytes.Clone(sealed), 0), "half": sealed[:len(sealed)/2],
		"a byte less": sealed[:len(sealed)-1], "twice": slices.Repeat(sealed, 2), "zeros": make([]byte, len(sealed)),
	} {
		sealedFor(t, what, c.p, id, b, c.Algorithms[0])
	}
}

func (c *contract) master(t *testing.T) {
	id, sealed := c.made(t)
	other := c.New(t, bytes.Repeat([]byte{2}, 32))
	sealedFor(t, "another master key", other, id, sealed, c.Algorithms[0])
	_ = other.Destroy(t.Context(), id, sealed)
	c.secret(t, id, sealed, c.Algorithms[0]) // it is still there for its own service
}

func (c *contract) recipients(t *testing.T) {
	id, sealed := c.made(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	even := *machine()
	even.E = 4
	for what, to := range map[string]*rsa.PublicKey{
		"no key": nil, "an empty key": {}, "1024 bits": &small.PublicKey, "an even exponent": &even.PublicKey,
	} {
		if b, err := c.p.Wrap(t.Context(), id, sealed, to, c.Algorithms[0]); !errors.Is(err, keywrap.ErrKey) || b != nil {
			t.Errorf("%s: %d bytes, %v", what, len(b), err)
		}
	}
}

func (c *contract) algorithms(t *testing.T) {
	id, sealed := c.made(t)
	for _, a := range append(keywrap.Algorithms(), "", "RSA_AES_KEY_WRAP_512") {
		if slices.Contains(c.Algorithms, a) {
			continue
		}
		b, err := c.p.Wrap(t.Context(), id, sealed, &machine().PublicKey, a)
		if err == nil || b != nil || !errors.Is(err, vault.CheckProtection) && !errors.Is(err, keywrap.ErrAlgorithm) {
			t.Errorf("%s: %d bytes, %v", a, len(b), err)
		}
	}
}

func (c *contract) destroys(t *testing.T) {
	id, sealed := c.made(t)
	kept, keptSealed := c.made(t)
	for range 2 { // what is gone is done with
		if err := c.p.Destroy(t.Context(), id, sealed); err != nil {
			t.Error(err)
		}
	}
	if !c.Opens {
		if b, err := c.p.Wrap(t.Context(), id, sealed, &machine().PublicKey, c.Algorithms[0]); err == nil || b != nil {
			t.Error("a destroyed key was wrapped")
		}
	}
	c.secret(t, kept, keptSealed, c.Algorithms[0])
}

func (c *contract) concurrent(t *testing.T) {
	id, sealed := c.made(t)
	want := c.secret(t, id, sealed, c.Algorithms[0])
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			wrapped, err := c.p.Wrap(t.Context(), id, sealed, &machine().PublicKey, c.Algorithms[0])
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := keywrap.Unwrap(nil, c.Algorithms[0], machine(), wrapped); err != nil || !bytes.Equal(got, want) {
				t.Errorf("another key, %v", err)
			}
		})
	}
	all.Wait()
}
