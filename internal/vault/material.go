package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"slices"

	"github.com/probity-dev/probity/strict/base64text"
)

// Material is a private key in the clear: PKCS#8 of RSA and EC keys, the bytes of oct keys.
type Material struct {
	Kind
	Private []byte
	// Public is the SubjectPublicKeyInfo, or nil for oct.
	Public []byte
}

// Wipe overwrites the key.
func (m *Material) Wipe() { clear(m.Private) }

// NewMaterial makes a key of a kind in software.
func NewMaterial(random io.Reader, k Kind) (*Material, error) {
	switch k.Family() {
	case RSA:
		key, err := rsa.GenerateKey(random, k.Size)
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		return marshal(k, key, key.Public())
	case EC:
		key, err := ecdsa.GenerateKey(curve(k.Curve), random)
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		return marshal(k, key, key.Public())
	}
	m := &Material{Kind: k, Private: make([]byte, k.Size/8)}
	_, err := io.ReadFull(random, m.Private)
	return m, err
}

func marshal(k Kind, private, public any) (*Material, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	info, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &Material{Kind: k, Private: secret, Public: info}, nil
}

func curve(name string) elliptic.Curve {
	switch name {
	case "P-384":
		return elliptic.P384()
	case "P-521":
		return elliptic.P521()
	}
	return elliptic.P256()
}

// JWK is the private JSON Web Key of an import (RFC 7518, section 6). Its numbers are base64url, with or
// without padding.
type JWK struct {
	Type  string
	Curve string
	N, E  string
	D     string
	P, Q  string
	X, Y  string
	K     string
}

// Import reads the material of a JSON Web Key. Errors contain nothing of the key.
func (j *JWK) Import() (*Material, error) {
	if err := checkType(j.Type); err != nil {
		return nil, err
	}
	k := Kind{Type: j.Type}
	switch k.Family() {
	case RSA:
		return j.rsa(k)
	case EC:
		return j.ec(k)
	}
	if j.N+j.E+j.D+j.P+j.Q+j.X+j.Y+j.Curve != "" {
		return nil, bad(CheckMaterial, "an oct key with the member k alone", "members of other kinds")
	}
	secret, err := decode("k", j.K, MaxOct)
	if err != nil {
		return nil, err
	}
	k.Size = 8 * len(secret)
	return &Material{Kind: k, Private: secret}, nil
}

// decode reads a number or a secret of 1 to most bytes.
func decode(name, text string, most int) ([]byte, error) {
	if text == "" {
		return nil, bad(CheckMaterial, "the member "+name, "no "+name)
	}
	b, err := base64text.Decode([]byte(text))
	if err != nil {
		return nil, bad(CheckMaterial, "base64url in "+name, "other characters")
	}
	if len(b) == 0 || len(b) > most {
		return nil, bad(CheckMaterial, fmt.Sprintf("%s of 1 to %d bytes", name, most),
			fmt.Sprintf("%d bytes", len(b)))
	}
	return b, nil
}

// maxNumber is the size of the largest number of an RSA key, in bytes, with a leading zero.
const maxNumber = 4096/8 + 1

func (j *JWK) rsa(k Kind) (*Material, error) {
	if j.X+j.Y+j.K+j.Curve != "" {
		return nil, bad(CheckMaterial, "an RSA key with the members n, e, d, p and q", "members of other kinds")
	}
	numbers := map[string]*big.Int{}
	for name, text := range map[string]string{"n": j.N, "e": j.E, "d": j.D, "p": j.P, "q": j.Q} {
		b, err := decode(name, text, maxNumber)
		if err != nil {
			return nil, err
		}
		numbers[name] = new(big.Int).SetBytes(b)
		clear(b)
	}
	n, e := numbers["n"], numbers["e"]
	if k.Size = n.BitLen(); !slices.Contains(rsaSizes, k.Size) {
		return nil, bad(CheckKeyType, fmt.Sprintf("an RSA key of %v bits", rsaSizes),
			fmt.Sprintf("%d bits", k.Size))
	}
	if !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0 {
		return nil, bad(CheckMaterial, "an odd exponent e from 3 to 2147483647", fmt.Sprintf("%d bits", e.BitLen()))
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())}, D: numbers["d"],
		Primes: []*big.Int{numbers["p"], numbers["q"]}}
	if err := key.Validate(); err != nil {
		return nil, bad(CheckMaterial, "an RSA key whose parts fit each other", "parts that do not")
	}
	key.Precompute()
	return marshal(k, key, key.Public())
}

func (j *JWK) ec(k Kind) (*Material, error) {
	if j.N+j.E+j.P+j.Q+j.K != "" {
		return nil, bad(CheckMaterial, "an EC key with the members crv, x, y and d", "members of other kinds")
	}
	if k.Curve = j.Curve; !slices.Contains(curves, k.Curve) {
		return nil, bad(CheckKeyType, fmt.Sprintf("crv one of %v", curves), fmt.Sprintf("%.40q", k.Curve))
	}
	size := (curve(k.Curve).Params().BitSize + 7) / 8
	parts := map[string][]byte{}
	for name, text := range map[string]string{"x": j.X, "y": j.Y, "d": j.D} {
		b, err := decode(name, text, size)
		if err != nil {
			return nil, err
		}
		// Fixed length: RFC 7518, 6.2.1.2 and 6.2.2.1. Some writers leave zeros out.
		parts[name] = append(make([]byte, size-len(b)), b...)
		clear(b)
	}
	key, err := ecdsa.ParseRawPrivateKey(curve(k.Curve), parts["d"])
	if err != nil {
		return nil, bad(CheckMaterial, "a private key on "+k.Curve, "a number that is none of its keys")
	}
	defer clear(parts["d"])
	point, err := key.PublicKey.Bytes()
	if err != nil || !slices.Equal(point, slices.Concat([]byte{4}, parts["x"], parts["y"])) {
		return nil, bad(CheckMaterial, "a point x, y that belongs to d", "another point")
	}
	return marshal(k, key, key.Public())
}
