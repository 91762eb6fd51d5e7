package token_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/test/kit/jwstest"
	"github.com/probity-dev/probity/token"
)

func TestKeysOfSendersAreBoundedBeforeUse(t *testing.T) {
	for want, key := range jwstest.KeysOutOfBounds() {
		signature := base64.RawURLEncoding.EncodeToString(make([]byte, (key.N.BitLen()+7)/8))
		part := base64.RawURLEncoding.EncodeToString

		keys := token.KeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "k"}}}
		_, err := token.Verify(part([]byte(`{"alg":"RS256","kid":"k"}`))+"."+part([]byte(`{}`))+"."+
			signature[:20],
			keys, issuer, now)
		if !errors.Is(err, token.ErrKey) || !strings.Contains(err.Error(), want) {
			t.Errorf("key set: %v, want %q", err, want)
		}
	}
}
