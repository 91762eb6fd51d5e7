package policyjws_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/policy/policyjws"
)

var when = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issue makes a certificate; without a parent it is self-signed.
func issue(
	t testing.TB, name string, ca bool, key crypto.Signer, parent *x509.Certificate, by crypto.Signer,
) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             when.Add(-time.Hour),
		NotAfter:              when.Add(time.Hour),
		IsCA:                  ca,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestRequestsAboutCertificates(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	cert := issue(t, "a", false, key, nil, nil)
	jws, err := policyjws.WrapCertificate(rand.Reader, cert, key, []*x509.Certificate{cert})
	if err != nil {
		t.Fatal(err)
	}
	in, err := policyjws.ParseCertificate(jws)
	if err != nil || !in.Certificate.Equal(cert) || !in.SignedBy([]*x509.Certificate{cert}, when) {
		t.Errorf("%+v, %v", in, err)
	}
	x5c := base64.StdEncoding.EncodeToString(cert.Raw)
	unsigned := func(payload string) string {
		return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "."
	}
	// The Python client says RSA of every key; the preview and the documentation have
	// other names.
	for _, payload := range []string{
		`{"policyCertificate":{"kty":"RSA","x5c":["` + x5c + `"]}}`,
		`{"maa-policyCertificate":{"kty":"EC","x5c":["` + x5c + `"]}}`,
		`{"x-ms-policyCertificate":{"kty":"EC","x5c":["` + x5c + `"]}}`,
	} {
		in, err := policyjws.ParseCertificate(unsigned(payload))
		if err != nil || in.SignedBy([]*x509.Certificate{cert}, when) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	policy, err := policyjws.Wrap(rand.Reader, "version=1.0;", key, []*x509.Certificate{cert})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a policy": policy, "nothing": policyjws.NoPolicy, "altered": jws[:len(jws)-4] + "AAAA",
		"no key":         unsigned(`{}`),
		"no certificate": unsigned(`{"policyCertificate":{"kty":"RSA"}}`),
		"no kty":         unsigned(`{"policyCertificate":{"x5c":["` + x5c + `"]}}`),
		"not base64":     unsigned(`{"policyCertificate":{"kty":"RSA","x5c":["?"]}}`),
		"no DER":         unsigned(`{"policyCertificate":{"kty":"RSA","x5c":["AAAA"]}}`),
		"no JSON":        unsigned(`x`),
	} {
		if in, err := policyjws.ParseCertificate(text); !errors.Is(err, policyjws.ErrFormat) {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
}

func TestWhichKeysSignPolicies(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no small keys")
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"small RSA": small, "Ed25519": edwards, "P-521": p521} {
		jwk := jsontext.Value(`{"kty":"X","x5c":["` +
			base64.StdEncoding.EncodeToString(issue(t, "a", false, key, nil, nil).Raw) + `"]}`)
		if _, err := policyjws.Certificate(jwk); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestKeysWithDeeplyNestedMembersAreNotKept(t *testing.T) {
	key := string(policyjws.CertificateKey(issue(t, "a", false, ecKey(t, elliptic.P256()), nil, nil)))
	with := func(levels int) jsontext.Value {
		return jsontext.Value(`{"x":` + strings.Repeat("[",
			levels-1) + strings.Repeat("]", levels-1) + "," + key[1:])
	}
	if _, err := policyjws.Certificate(with(64)); err != nil {
		t.Error(err)
	}
	for _, levels := range []int{65, 9000} {
		if _, err := policyjws.Certificate(with(levels)); err == nil {
			t.Errorf("%d levels: taken", levels)
		}
	}
}

func TestChainsToARegisteredCA(t *testing.T) {
	root, leaf, stranger := ecKey(t, elliptic.P384()), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	rootCert := issue(t, "root", true, root, nil, nil)
	leafCert := issue(t, "leaf", false, leaf, rootCert, root)
	below := issue(t, "below", false, stranger, leafCert, leaf)
	parse := func(key crypto.Signer, chain ...*x509.Certificate) *policyjws.Submission {
		jws, err := policyjws.Wrap(rand.Reader, "x", key, chain)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policyjws.Parse(jws)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, tc := range map[string]struct {
		p          *policyjws.Submission
		registered *x509.Certificate
		at         time.Time
		want       bool
	}{
		"below the CA":  {parse(leaf, leafCert), rootCert, when, true},
		"the CA itself": {parse(root, rootCert), rootCert, when, true},
		"expired":       {parse(leaf, leafCert), rootCert, when.AddDate(1, 0, 0), false},
		"another CA": {
			parse(leaf, leafCert), issue(t, "root", true, stranger, nil, nil), when, false,
		},
		"below what is no CA": {parse(stranger, below, leafCert), leafCert, when, false},
		"its chain says so itself": {
			parse(leaf, leafCert, rootCert), issue(t, "other", true, stranger, nil, nil), when, false,
		},
		"registered, and expired": {parse(leaf, leafCert), leafCert, when.AddDate(1, 0, 0), true},
		"the same name, another key": {
			parse(leaf, leafCert), issue(t, "leaf", false, stranger, nil, nil), when, false,
		},
	} {
		if got := tc.p.SignedBy([]*x509.Certificate{tc.registered}, tc.at); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func FuzzParseCertificate(f *testing.F) {
	key := ecKey(f, elliptic.P256())
	cert := issue(f, "a", false, key, nil, nil)
	jws, err := policyjws.WrapCertificate(rand.Reader, cert, key, []*x509.Certificate{cert})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(jws)
	f.Fuzz(func(t *testing.T, text string) {
		in, err := policyjws.ParseCertificate(text)
		if err == nil && (in.Certificate == nil || strings.TrimSpace(string(in.Key)) == "") {
			t.Error("read without a certificate")
		}
	})
}
