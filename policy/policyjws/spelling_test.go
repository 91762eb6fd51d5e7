package policyjws_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/test/kit/jwstest"
)

func TestASignedPolicyHasOneText(t *testing.T) {
	for _, key := range []crypto.Signer{rsaKey(t), ecKey(t, elliptic.P256())} {
		good, err := policyjws.Wrap(rand.Reader, policyText, key, []*x509.Certificate{certificate(t, key)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policyjws.Parse(good); err != nil {
			t.Fatal(err)
		}
		for text := range jwstest.Neighbours(good) {
			if _, err := policyjws.Parse(text); !errors.Is(err, policyjws.ErrFormat) {
				t.Errorf("%q is accepted: %v", text, err)
			}
		}
	}
}

func TestThePolicyInsideItsJWSMayBePadded(t *testing.T) {
	wrap := func(member string) string {
		return "eyJhbGciOiJub25lIn0." +
			base64.RawURLEncoding.EncodeToString([]byte(`{"AttestationPolicy":"`+member+`"}`)) + "."
	}
	for _, text := range []string{"a", "ab", "abc"} {
		p, err := policyjws.Parse(wrap(base64.URLEncoding.EncodeToString([]byte(text))))
		if err != nil || p.Text != text {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, member := range []string{
		"YQ=", "YQ===", "YWI==", "YWJj=", "YWJj====", "=", "YR==", `YQ\n`, `YW\r\nI`, "YWI ", "YW+I",
	} {
		if p, err := policyjws.Parse(wrap(member)); err == nil {
			t.Errorf("%q is read as %q", member, p.Text)
		}
	}
}
