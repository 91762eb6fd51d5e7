package tpmca_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral/tpmca"
)

func TestTheAuthoritiesOfAzureAreThoseOfTheList(t *testing.T) {
	set, err := tpmca.Parse(tpmca.Named("Azure"))
	if err != nil {
		t.Fatal(err)
	}
	var roots, intermediates int
	for _, cert := range set.All() {
		v, ok := tpmca.VendorOf(cert)
		if !ok || v.NotAfter != cert.NotAfter.UTC().Format(time.DateOnly) ||
			!strings.Contains(v.Subject, tpmca.Name(cert)) {
			t.Errorf("%s: %+v", tpmca.Name(cert), v)
		}
		if v.Issuer == "" {
			roots++
		} else {
			intermediates++
		}
	}
	if roots != 2 || intermediates != 1 {
		t.Errorf("%d roots and %d intermediates", roots, intermediates)
	}
	if tpmca.Named("gce") != nil || tpmca.Named("") != nil {
		t.Error("an unknown name has authorities")
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	root := issue(t, "root", nil, authority)
	middle := issue(t, "Global Virtual TPM CA - 01", &root, authority)
	leaf := issue(t, "ak", &middle,
		func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.example/01.crt"} })
	bare := issue(t, "ak", &middle, func(*x509.Certificate) {})
	other := issue(t, "other", nil, authority)
	for name, tc := range map[string]struct {
		trusted []byte
		leaf    *x509.Certificate
		want    []string
	}{
		"the issuer, with its address": {
			root.pem(), leaf.cert,
			[]string{`"Global Virtual TPM CA - 01"`, `"http://ca.example/01.crt"`, "is missing", `"azure"`},
		},
		"the issuer, without its address": {
			root.pem(), bare.cert, []string{`"Global Virtual TPM CA - 01"`, "does not say where"},
		},
		"the root": {
			append(other.pem(), middle.pem()...), leaf.cert,
			[]string{`the certificate of "root"`, `which issued "Global Virtual TPM CA - 01"`},
		},
	} {
		set, err := tpmca.Parse(tc.trusted)
		if err != nil {
			t.Fatal(err)
		}
		_, err = set.Verify(tc.leaf, now)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, expected %q", name, err, want)
			}
		}
	}
	set, err := tpmca.Parse(root.pem(), middle.pem())
	if err != nil {
		t.Fatal(err)
	}
	_, err = set.Verify(leaf.cert, now.AddDate(2, 0, 0))
	if err == nil || strings.Contains(err.Error(), "missing") {
		t.Errorf("an expired certificate: %v", err)
	}
}

// crl makes a revocation list of the issuer.
func crl(t *testing.T, by identity, from time.Time, number int64, revoked ...*x509.Certificate) []byte {
	t.Helper()
	template := &x509.RevocationList{
		Number:     big.NewInt(number),
		ThisUpdate: from,
		NextUpdate: from.AddDate(0, 1, 0),
	}
	for _, cert := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: from})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, by.cert, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestRevocationListsThatAreGivenAreObeyed(t *testing.T) {
	signs := func(c *x509.Certificate) {
		authority(c)
		c.KeyUsage |= x509.KeyUsageCRLSign
		c.SubjectKeyId = []byte(c.Subject.CommonName)
	}
	root := issue(t, "root", nil, signs)
	middle := issue(t, "middle", &root, signs)
	leaf := issue(t, "ak", &middle, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(77) })
	stranger := issue(t, "middle", nil, signs)
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for name, tc := range map[string]struct {
		lists [][]byte
		want  string
	}{
		"no lists": {nil, ""},
		"an empty list of each": {
			[][]byte{crl(t, root, day(-1), 1), crl(t, middle, day(-1), 1)}, "",
		},
		"the leaf is revoked": {
			[][]byte{crl(t, middle, day(-1), 1, leaf.cert)},
			`"ak" (serial number 4d) was revoked by "middle"`,
		},
		"the intermediate is revoked": {
			[][]byte{crl(t, root, day(-1), 1, middle.cert)},
			`"middle" (serial number 1) was revoked by "root"`,
		},
		"the newest list is used": {
			[][]byte{crl(t, middle, day(-1), 2, leaf.cert), crl(t, middle, day(-9), 1)}, "was revoked",
		},
		"two lists of one date, clean first": {
			[][]byte{crl(t, middle, day(-1), 1), crl(t, middle, day(-1), 2, leaf.cert)}, "was revoked",
		},
		"two lists of one date, revoking first": {
			[][]byte{crl(t, middle, day(-1), 2, leaf.cert), crl(t, middle, day(-1), 1)}, "was revoked",
		},
		"a list that expired": {
			[][]byte{crl(t, middle, day(-60), 1)}, `the revocation list of "middle" is valid from`,
		},
		"a list of tomorrow": {
			[][]byte{crl(t, middle, day(1), 1)}, `the revocation list of "middle" is valid from`,
		},
		"a list of someone of that name": {[][]byte{crl(t, stranger, day(-1), 1, leaf.cert)}, ""},
		"a PEM list beside the authority": {
			[][]byte{pem.EncodeToMemory(&pem.Block{
				Type:  "X509 CRL",
				Bytes: crl(t, middle, day(-1), 1, leaf.cert),
			})},
			"was revoked",
		},
		"the root's own number on its own": {[][]byte{crl(t, root, day(-1), 1)}, ""},
	} {
		set, err := tpmca.Parse(append(tc.lists, root.pem(), middle.pem())...)
		if err != nil {
			t.Fatal(name, err)
		}
		chain, err := set.Verify(leaf.cert, now)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, expected %q", name, err, tc.want)
		}
		if name == "an empty list of each" && !set.ValidUntil(chain).Equal(day(-1).AddDate(0, 1, 0)) {
			t.Errorf("valid until %v", set.ValidUntil(chain))
		}
	}
	_, err := tpmca.Parse(append(bytes.Replace(root.pem(), []byte("MI"), []byte("!!"), 1), middle.pem()...))
	if err == nil || !strings.Contains(err.Error(), "2 PEM blocks begin") {
		t.Error("a damaged certificate is left out in silence:", err)
	}
	if _, err := tpmca.Parse(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte{1}})); err == nil {
		t.Error("a list that cannot be read is accepted")
	}
}
