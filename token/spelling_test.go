package token_test

import (
	"crypto"
	"crypto/elliptic"
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

func TestOtherSpellingsAreNotDecoded(t *testing.T) {
	good := token.Unsecured([]byte(`{"a":1}`))
	if _, _, err := token.Decode(good); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{good + "\n", " " + good, strings.Replace(good, ".", "=.",
		1), strings.Replace(good, ".", "\n.", 1), good + ".", "eyJhbGciOiJub25lIn1.e30."} {
		if _, _, err := token.Decode(text); !errors.Is(err, token.ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
