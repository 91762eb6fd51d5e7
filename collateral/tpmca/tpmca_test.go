package tpmca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral/tpmca"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type identity struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func (i identity) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

// issue makes a certificate by the parent, or by itself.
func issue(t *testing.T, cn string, parent *identity, edit func(*x509.Certificate)) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: cn},
		NotBefore:    now.AddDate(-1, 0, 0),
		NotAfter:     now.AddDate(1, 0, 0),
	}
	edit(template)
	signer, issuer := key, template
	if parent != nil {
		signer, issuer = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return identity{key, cert}
}

func authority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
}

// tpmName is a critical directory name with a TPM's manufacturer, model and version,
// or without one of them.
func tpmName(parts ...byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		var value []byte
		for _, part := range parts {
			value = append(value, 0x06, 0x05, 0x67, 0x81, 0x05, 0x02, part)
		}
		// The name itself is not read: it has the form of a directory name.
		name := append([]byte{0xa4, byte(len(value) + 2), 0x30, byte(len(value))}, value...)
		c.ExtraExtensions = []pkix.Extension{
			{Id: []int{2, 5, 29, 17}, Critical: true, Value: append([]byte{0x30, byte(len(name))}, name...)},
		}
	}
}

func TestVerify(t *testing.T) {
	root := issue(t, "root", nil, authority)
	middle := issue(t, "middle", &root, authority)
	set, err := tpmca.Parse(root.pem(), middle.pem(), root.cert.Raw)
	if err != nil || set.Len() != 2 {
		t.Fatal(err, set.Len())
	}
	leaf := issue(t, "ek", &middle, tpmName(1, 2, 3))
	chain, err := set.Verify(leaf.cert, now)
	if err != nil || len(chain) != 3 || chain[0] != leaf.cert {
		t.Fatalf("%d certificates, %v", len(chain), err)
	}
	if len(leaf.cert.UnhandledCriticalExtensions) != 1 {
		t.Error("the caller's certificate was changed")
	}
	stranger := issue(t, "root", nil, authority)
	other := issue(t, "ek", &stranger, func(*x509.Certificate) {})
	for name, tc := range map[string]struct {
		set  *tpmca.Roots
		leaf *x509.Certificate
		at   time.Time
	}{
		"of another root of the same name": {set, other.cert, now}, "expired": {
			set, leaf.cert, now.AddDate(2, 0, 0),
		}, "not yet valid": {set, leaf.cert, now.AddDate(-2, 0, 0)},
		"an authority": {set, middle.cert, now}, "no roots": {nil, leaf.cert, now},
		"a name that is not a TPM's": {set, issue(t, "ek", &middle, tpmName(1, 2)).cert, now},
		"another critical extension": {set, issue(t, "ek", &middle, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}).cert, now},
	} {
		if _, err := tc.set.Verify(tc.leaf, tc.at); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
	alone, err := tpmca.Parse(middle.pem())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Verify(leaf.cert, now); err == nil {
		t.Error("an intermediate alone is trusted")
	}
}

func TestParseRefuses(t *testing.T) {
	root := issue(t, "root", nil, authority)
	leaf := issue(t, "leaf", &root, func(*x509.Certificate) {})
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"text":             []byte("hello"),
		"not an authority": leaf.pem(),
		"a key":            pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}}),
		"cut":              root.cert.Raw[:100],
		"garbage in PEM":   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}),
	} {
		if set, err := tpmca.Parse(b); err == nil {
			t.Errorf("%s: %d certificates", name, set.Len())
		}
	}
}

func TestVendors(t *testing.T) {
	list := tpmca.Vendors()
	if len(list) < 20 {
		t.Fatalf("%d roots", len(list))
	}
	seen := map[string]bool{}
	for _, v := range list {
		if len(v.Fingerprint) != 64 || v.Fingerprint != strings.ToLower(v.Fingerprint) ||
			seen[v.Fingerprint] || v.Vendor == "" || v.Subject == "" {
			t.Errorf("%+v", v)
		}
		if _, err := time.Parse(time.DateOnly, v.NotAfter); err != nil {
			t.Error(err)
		}
		seen[v.Fingerprint] = true
	}
	if _, ok := tpmca.VendorOf(issue(t, "STM TPM EK Root CA", nil, authority).cert); ok {
		t.Error("a root was taken for a vendor's by its name")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, b []byte) { tpmca.Parse(b) })
}
