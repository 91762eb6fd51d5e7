// Package pubkey reads certificates and judges public keys that someone else chose. The
// work of a signature check grows with the size of the key and with its exponent: a key
// of 500,000 bits takes a processor for seconds. So a key has bounds before it is used.
// It is a leaf: it imports no other package of this module.
package pubkey

import (
	//lint:ignore SA1019 only to refuse it: its parameters are as large as the sender wants
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// MaxRSABits and MaxExponent bound RSA keys. No maker of hardware and no public authority
// uses larger ones; the exponent of nearly all is 65537 (FIPS 186-5, A.1.1 gives it as the least).
const (
	MaxRSABits  = 8192
	MaxExponent = 65537
)

// MinRSABits is the smallest RSA key that signs: some clients refuse smaller ones.
const MinRSABits = 2048

// ParseCertificate reads a certificate in DER (RFC 5280). A key that is out of bounds is an error,
// which wraps [KeyError].
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := Check(cert.PublicKey); err != nil {
		return nil, err
	}
	return cert, nil
}

// Parse reads a public key in DER (SubjectPublicKeyInfo) within bounds.
func Parse(der []byte) (any, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	if err := Check(key); err != nil {
		return nil, err
	}
	return key, nil
}

// ParsePKCS1 reads an RSA key in the form of PKCS #1 (RFC 8017, A.1.1) within bounds.
func ParsePKCS1(der []byte) (*rsa.PublicKey, error) {
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil, err
	}
	return key, Check(key)
}

// KeyError says which key is out of bounds, and why.
type KeyError string

func (e KeyError) Error() string { return string(e) }

// Check refuses keys with which a signature check takes long: RSA keys of more than
// [MaxRSABits] bits, or with an exponent that is even, below 3, or over [MaxExponent]; and
// DSA keys, which nothing here uses. Keys of other kinds have a fixed size.
func Check(key any) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch bits := key.N.BitLen(); {
		case key.N.Sign() <= 0 || key.N.Bit(0) == 0:
			return KeyError("an RSA key whose modulus is even or not positive")
		case bits > MaxRSABits:
			return KeyError(fmt.Sprintf("an RSA key of %d bits; at most %d are accepted", bits, MaxRSABits))
		case key.E < 3 || key.E > MaxExponent || key.E&1 == 0:
			return KeyError(fmt.Sprintf("an RSA key with exponent %d; odd ones from 3 to %d are accepted",
				key.E, MaxExponent))
		}
	case *dsa.PublicKey:
		return KeyError("a DSA key, which is not accepted")
	}
	return nil
}

// Algorithm returns the JWS algorithm (RFC 7518, section 3.1; RFC 8037) with which the
// private key of a public key signs: RS256, ES256, ES384 or EdDSA.
func Algorithm(public any) (string, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < MinRSABits {
			return "", fmt.Errorf("RSA key of %d bits, at least %d are needed", k.N.BitLen(), MinRSABits)
		}
		return "RS256", nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return "ES256", nil
		case elliptic.P384():
			return "ES384", nil
		}
	case ed25519.PublicKey:
		return "EdDSA", nil
	}
	return "", fmt.Errorf("keys of type %T do not sign", public)
}
