package thirdparty

import (
	"encoding/json"
	"testing"

	"github.com/probity-dev/probity/token"
)

// payload is the claims of a token, which the caller does not yet trust.
func payload(t *testing.T, compact string) (claims map[string]any) {
	t.Helper()
	_, text, err := token.Decode(compact)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
