package tpmca

import (
	"crypto/x509"
	"testing"
)

func TestAPublishedIntermediateIsNotARoot(t *testing.T) {
	whole, err := Parse(Named(Azure))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, cert := range whole.All() {
		if v, _ := VendorOf(cert); v.Issuer == "" {
			continue
		}
		found = true
		alone, err := Parse(cert.Raw)
		if err != nil || !alone.roots.Equal(x509.NewCertPool()) || alone.intermediates.Equal(x509.NewCertPool()) {
			t.Errorf("%s alone is trusted: %v", Name(cert), err)
		}
	}
	if !found {
		t.Error("the list has no intermediate")
	}
}
