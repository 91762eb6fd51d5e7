package pubkey

import (
	//lint:ignore SA1019 only to refuse it
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

func modulus(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.SetBit(n, 0, 1)
}

func TestKeysOutOfBoundsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		key  any
		want string
	}{
		"one bit more":      {&rsa.PublicKey{N: modulus(8193), E: 65537}, "8193 bits"},
		"huge":              {&rsa.PublicKey{N: modulus(1 << 19), E: 65537}, "524288 bits"},
		"exponent 2":        {&rsa.PublicKey{N: modulus(2048), E: 2}, "exponent 2"},
		"exponent 1":        {&rsa.PublicKey{N: modulus(2048), E: 1}, "exponent 1"},
		"exponent 0":        {&rsa.PublicKey{N: modulus(2048), E: 0}, "exponent 0"},
		"negative exponent": {&rsa.PublicKey{N: modulus(2048), E: -3}, "exponent -3"},
		"even exponent":     {&rsa.PublicKey{N: modulus(2048), E: 65536}, "exponent 65536"},
		"large exponent":    {&rsa.PublicKey{N: modulus(2048), E: 65539}, "exponent 65539"},
		"largest exponent":  {&rsa.PublicKey{N: modulus(2048), E: 1<<31 - 1}, "exponent 2147483647"},
		"even modulus":      {&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 3}, "even"},
		"no modulus":        {&rsa.PublicKey{N: new(big.Int), E: 3}, "not positive"},
		"negative modulus":  {&rsa.PublicKey{N: big.NewInt(-35), E: 3}, "not positive"},
		"DSA":               {&dsa.PublicKey{}, "DSA"},
	} {
		err := Check(c.key)
		var out KeyError
		if err == nil || !errors.As(err, &out) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestKeysInUseAreAccepted(t *testing.T) {
	curve, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	ed, _, _ := ed25519.GenerateKey(rand.Reader)
	for name, key := range map[string]any{
		"RSA 1024": &rsa.PublicKey{N: modulus(1024), E: 3}, "RSA 2048": &rsa.PublicKey{N: modulus(2048), E: 17},
		"RSA 8192": &rsa.PublicKey{N: modulus(8192), E: 65537}, "P-384": &curve.PublicKey, "Ed25519": ed,
	} {
		if err := Check(key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCertificatesAndKeysAreReadWithinBounds(t *testing.T) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := func(key any) ([]byte, []byte) {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1),
			NotBefore:    time.Unix(0, 0),
			NotAfter:     time.Unix(1<<31, 0),
		}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, key, signer)
		if err != nil {
			t.Fatal(err)
		}
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return cert, spki
	}
	cert, spki := of(&rsa.PublicKey{N: modulus(8192), E: 65537})
	if c, err := ParseCertificate(cert); err != nil || c == nil {
		t.Errorf("certificate: %v", err)
	}
	if k, err := Parse(spki); err != nil || k == nil {
		t.Errorf("key: %v", err)
	}
	for name, key := range map[string]any{
		"bits":     &rsa.PublicKey{N: modulus(65536), E: 65537},
		"exponent": &rsa.PublicKey{N: modulus(2048), E: 1<<31 - 1},
	} {
		cert, spki := of(key)
		if c, err := ParseCertificate(cert); c != nil || err == nil {
			t.Errorf("certificate with too many %s: %v", name, err)
		}
		if k, err := Parse(spki); k != nil || err == nil {
			t.Errorf("key with too many %s: %v", name, err)
		}
	}
	for _, b := range [][]byte{nil, {0x30, 0x00}, cert[:len(cert)-1], spki[:len(spki)-1]} {
		if _, err := ParseCertificate(b); err == nil {
			t.Errorf("certificate of %d bytes was read", len(b))
		}
		if _, err := Parse(b); err == nil {
			t.Errorf("key of %d bytes was read", len(b))
		}
	}
}
