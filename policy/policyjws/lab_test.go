package policyjws_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"testing"

	"github.com/probity-dev/probity/token"
)

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate is a self-signed certificate of a key.
func certificate(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	cert, err := token.InstanceCertificate(rand.Reader, "https://attest.example.org", key, when)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
