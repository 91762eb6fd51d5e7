package document

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"

	"github.com/probity-dev/probity/strict/pubkey"
)

// Material is the secret of a key: exactly one of the three is set.
type Material struct {
	RSA *rsa.PrivateKey
	EC  *ecdsa.PrivateKey // on P-256, P-384 or P-521
	// Octets is a symmetric key of 1 byte to 64 KiB.
	Octets []byte
}

// Erase overwrites the octets of a symmetric key. The numbers of other keys are not in reach.
func (m *Material) Erase() { clear(m.Octets) }

// kind is the family of a key type.
type kind string

const (
	rsaKey  kind = "an RSA key"
	ecKey   kind = "an EC key"
	octets  kind = "a symmetric key"
	unknown kind = "nothing"
)

// Types lists the key types (kty) of documents: those of RFC 7518, and those of keys that were made
// in an HSM.
func Types() []string { return []string{"RSA", "RSA-HSM", "EC", "EC-HSM", "oct", "oct-HSM"} }

func kindOf(kty string) kind {
	switch strings.TrimSuffix(kty, "-HSM") {
	case "RSA":
		return rsaKey
	case "EC":
		return ecKey
	case "oct":
		return octets
	default:
		return unknown
	}
}

func (m *Material) kind() kind {
	switch {
	case m == nil:
		return unknown
	case m.RSA != nil && m.EC == nil && m.Octets == nil:
		return rsaKey
	case m.RSA == nil && m.EC != nil && m.Octets == nil:
		return ecKey
	case m.RSA == nil && m.EC == nil && len(m.Octets) > 0:
		return octets
	default:
		return unknown
	}
}

// maxPKCS8 bounds the DER of a private key, in bytes: one of RSA with 8192 bits has about 4700.
const maxPKCS8 = 8 << 10

// marshal returns the bytes that are wrapped: PKCS #8 (RFC 5958) in DER, or the octets. The caller
// erases them.
func (m *Material) marshal() ([]byte, error) {
	if m.kind() == octets {
		return bytes.Clone(m.Octets), nil
	}
	var key any = m.RSA
	if m.kind() == ecKey {
		key = m.EC
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("document: %w: PKCS #8: %w", ErrMaterial, err)
	}
	return der, nil
}

// parseMaterial reads what was unwrapped.
func parseMaterial(kty string, secret []byte) (*Material, error) {
	want := kindOf(kty)
	switch want {
	case octets:
		return &Material{Octets: secret}, nil
	case rsaKey, ecKey:
	case unknown:
		fallthrough
	default:
		return nil, fmt.Errorf(
			"document: %w: expected kty %s, found %.60q",
			ErrMaterial,
			strings.Join(Types(), ", "),
			kty,
		)
	}
	if len(secret) > maxPKCS8 {
		return nil, fmt.Errorf(
			"document: %w: expected at most %d bytes of PKCS #8, found %d",
			ErrMaterial,
			maxPKCS8,
			len(secret),
		)
	}
	var whole asn1.RawValue
	// Tokens that pad keys to blocks of 8 bytes before they wrap leave zeros after them.
	if rest, err := asn1.Unmarshal(secret, &whole); err != nil || len(rest) > 7 || bytes.Trim(rest, "\x00") != nil {
		return nil, fmt.Errorf(
			"document: %w: expected one value in DER (PKCS #8), found other bytes",
			ErrMaterial,
		)
	}
	key, err := x509.ParsePKCS8PrivateKey(whole.FullBytes)
	if err != nil {
		return nil, fmt.Errorf(
			"document: %w: expected a private key in PKCS #8, which does not decode",
			ErrMaterial,
		)
	}
	m := &Material{}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		m.RSA = key
	case *ecdsa.PrivateKey:
		m.EC = key
	}
	if m.kind() != want {
		return nil, fmt.Errorf("document: %w: expected %s, as kty %q says, found %T", ErrMaterial, want, kty, key)
	}
	return m, nil
}

// SetPublic fills the public numbers of an RSA or EC key; nil stands for a symmetric key, which has none. The error
// wraps [ErrMaterial].
func (k *Key) SetPublic(public crypto.PublicKey) error {
	k.N, k.E, k.Curve, k.X, k.Y = "", "", "", "", ""
	number := base64.RawURLEncoding.EncodeToString
	switch public := public.(type) {
	case nil:
	case *rsa.PublicKey:
		if err := pubkey.Check(public); err != nil {
			return fmt.Errorf("document: %w: found %w", ErrMaterial, err)
		}
		k.N, k.E = number(public.N.Bytes()), number(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		name := public.Params().Name
		if err != nil || curveOf(name) == nil {
			return fmt.Errorf("document: %w: expected a key on P-256, P-384 or P-521, found %s", ErrMaterial, name)
		}
		size := len(point) / 2
		k.Curve, k.X, k.Y = name, number(point[1:1+size]), number(point[1+size:])
	default:
		return fmt.Errorf("document: %w: expected an RSA or EC key, found %T", ErrMaterial, public)
	}
	return nil
}

// public is the public key of the material, or nil.
func (m *Material) public() crypto.PublicKey {
	switch m.kind() {
	case rsaKey:
		return &m.RSA.PublicKey
	case ecKey:
		return &m.EC.PublicKey
	case octets, unknown:
	}
	return nil
}

func curveOf(name string) elliptic.Curve {
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		if c.Params().Name == name {
			return c
		}
	}
	return nil
}

// matches checks that the private key belongs to the public numbers of the document. A symmetric
// key has none.
func (k *Key) matches(m *Material) error {
	other := fmt.Errorf("document: %w: the private key is not that of the public numbers", ErrMaterial)
	switch m.kind() {
	case octets:
		if k.N+k.E+k.Curve+k.X+k.Y != "" {
			return fmt.Errorf("document: %w: expected no public numbers beside a symmetric key", ErrMaterial)
		}
		return nil
	case rsaKey:
		n, err := decode("n", k.N)
		if err != nil {
			return err
		}
		e, err := decode("e", k.E)
		if err != nil {
			return err
		}
		if new(big.Int).SetBytes(n).Cmp(m.RSA.N) != 0 ||
			new(big.Int).SetBytes(e).Cmp(big.NewInt(int64(m.RSA.E))) != 0 {
			return other
		}
		return nil
	case ecKey:
		return k.matchesEC(m.EC, other)
	case unknown:
	}
	return other
}

func (k *Key) matchesEC(key *ecdsa.PrivateKey, other error) error {
	curve := curveOf(k.Curve)
	if curve == nil {
		return fmt.Errorf("document: %w: expected crv P-256, P-384 or P-521, found %.60q", ErrMaterial, k.Curve)
	}
	point := []byte{4}
	for _, member := range []struct{ name, value string }{{"x", k.X}, {"y", k.Y}} {
		b, err := decode(member.name, member.value)
		if err != nil {
			return err
		}
		if size := (curve.Params().BitSize + 7) / 8; len(b) != size {
			return fmt.Errorf(
				"document: %w: expected %s of %d bytes, found %d",
				ErrMaterial,
				member.name,
				size,
				len(b),
			)
		}
		point = append(point, b...)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil || !public.Equal(&key.PublicKey) {
		return other
	}
	return nil
}
