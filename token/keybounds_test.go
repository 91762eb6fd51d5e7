package token_test

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/token"
)

// outOfBounds are keys whose signatures take long to check.
func outOfBounds() map[string]*rsa.PublicKey {
	n := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1)
	}
	return map[string]*rsa.PublicKey{
		"RSA key of 65536 bits": {N: n(65536), E: 65537}, "RSA key of 8193 bits": {N: n(8193), E: 3},
		"exponent 2147483647": {N: n(2048), E: 1<<31 - 1},
	}
}

func TestKeysOfSendersAreBoundedBeforeUse(t *testing.T) {
	for want, key := range outOfBounds() {
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
