// Package pkcs11 protects the keys of vaults in a PKCS#11 token (OASIS PKCS#11 2.40): they are made in it, or brought into
// it, and leave it only wrapped to the key of an attested machine, by the token itself (RSAES-OAEP and AES key wrap with
// padding, as package release/keywrap has them). [New] returns the protection; package internal/keys/hsm speaks to the token.
//
// Such keys are extractable, because wrapping is an export: who has the token's PIN can export them to any key. The PIN and
// the service's process decide who gets them, as they do for the master key.
package pkcs11

import (
	"context"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/probity-dev/probity/internal/keys/hsm"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/keywrap"
)

// Name is the name of this protection.
const Name = "pkcs11"

// Token is what the protection needs of a token, as *[hsm.Token] has it.
type Token interface {
	Algorithms(random io.Reader) ([]keywrap.Algorithm, error)
	GenerateExported(id []byte, label string, s hsm.Spec) (public []byte, err error)
	ImportExported(id []byte, label string, s hsm.Spec, private []byte, random io.Reader) error
	Export(id []byte, to *rsa.PublicKey, a keywrap.Algorithm) ([]byte, error)
	RemoveExported(id []byte) error
}

type protection struct {
	token      Token
	key        []byte
	random     io.Reader
	algorithms []keywrap.Algorithm
}

// New returns the protection by a token, which is asked once how it wraps keys. The ids of the objects are made with key, a
// subkey of the master key, so that services that share a token do not meet each other's keys.
func New(token Token, key []byte, random io.Reader) (vault.Protection, error) {
	algorithms, err := token.Algorithms(random)
	if err != nil {
		return nil, err
	}
	return &protection{token, key, random, algorithms}, nil
}

// object is the CKA_ID of a key: HMAC-SHA-256 of the key's id.
func (p *protection) object(id vault.ID) []byte {
	mac := hmac.New(sha256.New, p.key)
	mac.Write(id.Bytes())
	return mac.Sum(nil)
}

// mark begins what is stored of a key: it says where the key is, and the rest is its object's id.
const mark = "pkcs11/1:"

func (p *protection) stored(id vault.ID) []byte { return append([]byte(mark), p.object(id)...) }

// check checks what was stored of a key, and returns its object's id.
func (p *protection) check(id vault.ID, sealed []byte) ([]byte, error) {
	if !hmac.Equal(sealed, p.stored(id)) {
		return nil, fmt.Errorf("key %s/%s of %s: %w", id.Name, id.Version, id.Provider, vault.ErrSealed)
	}
	return sealed[len(mark):], nil
}

// wraps refuses keys where the token could never release them.
func (p *protection) wraps() error {
	if len(p.algorithms) > 0 {
		return nil
	}
	return vault.CannotProtect("a token that wraps keys by CKM_RSA_AES_KEY_WRAP, or by CKM_AES_KEY_WRAP_KWP and "+
		"CKM_RSA_PKCS_OAEP", "a token that does neither",
		"let the operator choose a token that does, set vault.pkcs11.softwareWrapped, or create a key of a type "+
			"without -HSM")
}

func spec(k vault.Kind) hsm.Spec { return hsm.Spec{Family: k.Family(), Bits: k.Size, Curve: k.Curve} }

func describe(k vault.Kind) string {
	if k.Curve != "" {
		return k.Type + " on " + k.Curve
	}
	return fmt.Sprintf("%s of %d bits", k.Type, k.Size)
}

// label names a key for people who list the objects of a token.
func label(id vault.ID) string { return "probity key " + id.Name + "/" + id.Version }

// refused turns the error of a token into the vault's.
func refused(err error, expected, remedy string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hsm.ErrCannot):
		return vault.CannotProtect(expected, err.Error(), remedy)
	case errors.Is(err, hsm.ErrAbsent), errors.Is(err, hsm.ErrExists), errors.Is(err, keywrap.ErrKey):
		return err
	}
	return fmt.Errorf("%w: %w", vault.ErrUnavailable, err)
}

const remedyKind = "create a key of another type or size, or of a type without -HSM, which is kept in software; the " +
	"operator can set vault.pkcs11.softwareWrapped for keys that the token does not take"

func (p *protection) Generate(
	_ context.Context, id vault.ID, k vault.Kind,
) (sealed, public []byte, err error) {
	if err := p.wraps(); err != nil {
		return nil, nil, err
	}
	public, err = p.token.GenerateExported(p.object(id), label(id), spec(k))
	if err != nil {
		return nil, nil, refused(err, "a token that makes keys of "+describe(k), remedyKind)
	}
	return p.stored(id), public, nil
}

func (p *protection) Seal(_ context.Context, id vault.ID, m *vault.Material) ([]byte, error) {
	if err := p.wraps(); err != nil {
		return nil, err
	}
	err := p.token.ImportExported(p.object(id), label(id), spec(m.Kind), m.Private, p.random)
	if err != nil {
		return nil, refused(err, "a token that takes keys of "+describe(m.Kind), remedyKind)
	}
	return p.stored(id), nil
}

// Open gives no key out.
func (p *protection) Open(_ context.Context, id vault.ID, sealed []byte) ([]byte, error) {
	if _, err := p.check(id, sealed); err != nil {
		return nil, err
	}
	return nil, vault.ErrNotOpened
}

func (p *protection) Wrap(
	_ context.Context, id vault.ID, sealed []byte, to *rsa.PublicKey, a keywrap.Algorithm,
) ([]byte, error) {
	object, err := p.check(id, sealed)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(p.algorithms, a) {
		var names []string
		for _, one := range p.algorithms {
			names = append(names, string(one))
		}
		able := strings.Join(names, " or ")
		if able == "" {
			able = "an algorithm of the token, which has none now"
		}
		return nil, vault.CannotProtect("enc "+able, fmt.Sprintf("enc %.60s", a), "send enc as "+able+
			": the PKCS#11 token wraps the key, and offers no other")
	}
	out, err := p.token.Export(object, to, a)
	return out, refused(err, "a token that wraps this key to an RSA key of "+bits(to),
		"attest with an RSA key of 2048 or 3072 bits in the runtime data, and see what the token's manual says about "+
			"wrapping keys")
}

func bits(to *rsa.PublicKey) string {
	if to == nil || to.N == nil {
		return "no bits"
	}
	return fmt.Sprintf("%d bits", to.N.BitLen())
}

func (p *protection) Destroy(_ context.Context, id vault.ID, sealed []byte) error {
	object, err := p.check(id, sealed)
	if err != nil {
		return err
	}
	return refused(p.token.RemoveExported(object), "a token that removes keys", "remove the key with the token's tools")
}
