package token_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/probity-dev/probity/test/kit/jwstest"
	"github.com/probity-dev/probity/token"
)

func TestATokenHasOneText(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"RS256": rsaKey(t), "ES256": ecKey(t, elliptic.P256())} {
		s := newSigner(t, key)
		good, err := s.Sign(payload(t, now))
		if err != nil {
			t.Fatal(err)
		}
		keys := token.Keys(s)
		if _, err := token.Verify(good, keys, issuer, now); err != nil {
			t.Fatal(err)
		}
		n := 0
		for text := range jwstest.Neighbours(good) {
			n++
			if v, err := token.Verify(text, keys, issuer, now); err == nil {
				t.Errorf("%s: %q is accepted: %s", name, text, v.Payload)
			}
		}
		if n < 20000 {
			t.Errorf("%s: only %d texts were tried", name, n)
		}
	}
}

func TestASignedPolicyHasOneText(t *testing.T) {
	for _, key := range []crypto.Signer{rsaKey(t), ecKey(t, elliptic.P256())} {
		good, err := token.WrapPolicy(rand.Reader, policyText, key, []*x509.Certificate{newSigner(t, key).Certificate})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.ParsePolicy(good); err != nil {
			t.Fatal(err)
		}
		for text := range jwstest.Neighbours(good) {
			if _, err := token.ParsePolicy(text); !errors.Is(err, token.ErrPolicyJWS) {
				t.Errorf("%q is accepted: %v", text, err)
			}
		}
	}
}

func TestOtherSpellingsAreNotDecoded(t *testing.T) {
	good := token.Unsecured([]byte(`{"a":1}`))
	if _, _, err := token.Decode(good); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{good + "\n", " " + good, strings.Replace(good, ".", "=.", 1), strings.Replace(good, ".", "\n.", 1), good + ".", "eyJhbGciOiJub25lIn1.e30."} {
		if _, _, err := token.Decode(text); !errors.Is(err, token.ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestThePolicyInsideItsJWSMayBePadded(t *testing.T) {
	wrap := func(member string) string {
		return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(`{"AttestationPolicy":"`+member+`"}`)) + "."
	}
	for _, text := range []string{"a", "ab", "abc"} {
		p, err := token.ParsePolicy(wrap(base64.URLEncoding.EncodeToString([]byte(text))))
		if err != nil || p.Text != text {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, member := range []string{"YQ=", "YQ===", "YWI==", "YWJj=", "YWJj====", "=", "YR==", `YQ\n`, `YW\r\nI`, "YWI ", "YW+I"} {
		if p, err := token.ParsePolicy(wrap(member)); err == nil {
			t.Errorf("%q is read as %q", member, p.Text)
		}
	}
}
