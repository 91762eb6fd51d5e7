package document_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

const (
	asked = "https://vault.example:8443/keys/disk"
	host  = "vault.example:8443"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// keys are the keys of testdata/keys.pem, which exist for these tests only: fixed ones, so that a document
// has the same bytes each time.
type keys struct {
	root, between, server, machine, released *rsa.PrivateKey
	ec                                       *ecdsa.PrivateKey
}

func readKeys(t testing.TB) (k keys) {
	t.Helper()
	rest, err := os.ReadFile("testdata/keys.pem")
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []any{&k.root, &k.between, &k.server, &k.machine, &k.released, &k.ec} {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatal("a key is missing")
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		switch to := to.(type) {
		case **rsa.PrivateKey:
			*to = key.(*rsa.PrivateKey)
		case **ecdsa.PrivateKey:
			*to = key.(*ecdsa.PrivateKey)
		}
	}
	return k
}

// issue signs a certificate; its bytes depend only on the arguments.
func issue(t testing.TB, template *x509.Certificate, public crypto.PublicKey, issuer *x509.Certificate,
	key crypto.Signer) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = now.AddDate(0, -1, 0), now.AddDate(1, 0, 0)
	}
	if template.IsCA {
		template.BasicConstraintsValid, template.SubjectKeyId = true, []byte(template.Subject.CommonName)
		template.KeyUsage = x509.KeyUsageCertSign
	}
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(nil, template, issuer, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// server is what a client meets: a chain of three certificates, and who signs.
type server struct {
	keys
	chain []*x509.Certificate
	roots *x509.CertPool
}

// newServer makes a server whose certificate is changed by change, if it is not nil.
func newServer(t testing.TB, change func(*x509.Certificate)) *server {
	t.Helper()
	s := &server{keys: readKeys(t), roots: x509.NewCertPool()}
	name := func(name string) pkix.Name { return pkix.Name{CommonName: name} }
	root := issue(t, &x509.Certificate{Subject: name("root"), IsCA: true}, s.root.Public(), nil, s.root)
	between := issue(
		t,
		&x509.Certificate{Subject: name("between"), IsCA: true},
		s.between.Public(),
		root,
		s.root,
	)
	template := &x509.Certificate{
		Subject: name("vault"), DNSNames: []string{"vault.example"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	leaf := issue(t, template, s.server.Public(), between, s.between)
	s.chain = []*x509.Certificate{leaf, between, root}
	s.roots.AddCert(root)
	return s
}

func (s *server) to() *release.WrappingKey {
	return &release.WrappingKey{ID: "TpmEphemeralEncryptionKey", Public: &s.machine.PublicKey}
}

// unsealed is a document without a key.
func unsealed(kty string) *document.Document {
	return &document.Document{
		Request: document.Request{
			APIVersion: "7.4", Algorithm: keywrap.RSAAESKeyWrap256, KeyID: asked, Nonce: "ADE0101",
		},
		Key: document.Key{
			KeyID: asked + "/0123456789abcdef0123456789abcdef", Type: kty, Operations: []string{"encrypt", "decrypt"},
		},
		Attributes: document.Attributes{
			Enabled: true, Exportable: true, Created: 1772366400, Updated: 1772366401,
			RecoveryLevel: "Recoverable+Purgeable", RecoverableDays: 90,
		},
		Policy: document.Policy{ContentType: "application/json; charset=utf-8", Data: "e30"},
	}
}

// fixed is a random source of tests.
func fixed() *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 40)) }

// sealed is a document with a key.
func (s *server) sealed(t testing.TB, kty string, m *document.Material) *document.Document {
	t.Helper()
	d := unsealed(kty)
	if err := d.Seal(fixed(), s.to(), m); err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *server) sign(t testing.TB, d *document.Document) string {
	t.Helper()
	signer, err := document.NewSigner(s.server, s.chain)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signer.Sign(d)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// expectation is what the client knows that asked for the documents above.
func (s *server) expectation() document.Expectation {
	return document.Expectation{
		Roots: s.roots, Host: host, Time: now, KeyID: asked, Nonce: "ADE0101", Algorithm: keywrap.RSAAESKeyWrap256,
		APIVersion: "7.4", WrappingKeyID: "TpmEphemeralEncryptionKey",
	}
}
