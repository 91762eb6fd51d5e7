package thirdparty

import (
	"os"
	"testing"
	"time"

	"github.com/hashicorp/cap/jwt"

	"github.com/probity-dev/probity/test/kit/servicetest"
)

// TestTheLibraryOfVault: the library with which HashiCorp Vault's JWT method verifies tokens accepts a token
// of a provider for its audience and subject, and nothing else. Vault's role then compares the claims.
func TestTheLibraryOfVault(t *testing.T) {
	i, issuer, attest := servicetest.Relying(t)
	ca, err := os.ReadFile(i.CA)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwt.NewOIDCDiscoveryKeySet(t.Context(), issuer, string(ca))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jwt.NewValidator(keys)
	if err != nil {
		t.Fatal(err)
	}
	compact := attest()
	subject := payload(t, compact)["x-ms-sgx-mrenclave"].(string)
	workload := []string{"workload"}
	_, _, other := servicetest.Relying(t)
	later := func(d time.Duration) func() time.Time {
		return func() time.Time { return time.Now().Add(d) }
	}
	for name, tc := range map[string]struct {
		compact  string
		expected jwt.Expected
		ok       bool
	}{
		"as it is": {compact, jwt.Expected{Issuer: issuer, Audiences: workload, Subject: subject}, true},
		"one of several audiences": {
			compact, jwt.Expected{Issuer: issuer, Audiences: []string{"a", "workload"}}, true,
		},
		"another audience":   {compact, jwt.Expected{Issuer: issuer, Audiences: []string{"a"}}, false},
		"another subject":    {compact, jwt.Expected{Issuer: issuer, Audiences: workload, Subject: "a"}, false},
		"another issuer":     {compact, jwt.Expected{Issuer: i.URL, Audiences: workload}, false},
		"a slash at the end": {compact, jwt.Expected{Issuer: issuer + "/", Audiences: workload}, false},
		"another algorithm": {
			compact, jwt.Expected{Audiences: workload, SigningAlgorithms: []jwt.Alg{jwt.ES256}}, false,
		},
		"after its end":       {compact, jwt.Expected{Audiences: workload, Now: later(9 * time.Hour)}, false},
		"before its start":    {compact, jwt.Expected{Audiences: workload, Now: later(-time.Hour)}, false},
		"another signature":   {compact[:len(compact)-8] + "AAAAAAAA", jwt.Expected{Audiences: workload}, false},
		"of another service":  {other(), jwt.Expected{Audiences: workload}, false},
		"not a token":         {"a.b.c", jwt.Expected{Audiences: workload}, false},
		"without a signature": {compact[:len(compact)-342], jwt.Expected{Audiences: workload}, false},
	} {
		claims, err := v.Validate(t.Context(), tc.compact, tc.expected)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
		if tc.ok && (claims["sub"] != subject || claims["x-ms-sgx-is-debuggable"] != false) {
			t.Errorf("%s: %v", name, claims)
		}
	}
	if _, err := jwt.NewOIDCDiscoveryKeySet(t.Context(), issuer+"/", string(ca)); err == nil {
		t.Error("the issuer with a slash at its end is accepted")
	}
	if _, err := jwt.NewOIDCDiscoveryKeySet(t.Context(), issuer, ""); err == nil {
		t.Error("a certificate of an unknown authority is accepted")
	}
}
