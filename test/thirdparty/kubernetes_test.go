package thirdparty

import (
	"context"
	"os"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"

	"github.com/probity-dev/probity/test/kit/servicetest"
)

// pem is the CA of the service as the API server's configuration contains it.
type pem []byte

func (p pem) CurrentCABundleContent() []byte { return p }

// authenticator is the one that a Kubernetes API server runs for an entry under jwt
// of its AuthenticationConfiguration.
func authenticator(
	t *testing.T, i servicetest.Instance, issuer, audience string,
) oidc.AuthenticatorTokenWithHealthCheck {
	t.Helper()
	ca, err := os.ReadFile(i.CA)
	if err != nil {
		t.Fatal(err)
	}
	prefix := "attested:"
	a, err := oidc.New(t.Context(),
		oidc.Options{CAContentProvider: pem(ca), JWTAuthenticator: apiserver.JWTAuthenticator{
			Issuer: apiserver.Issuer{
				URL:                  issuer,
				Audiences:            []string{audience},
				CertificateAuthority: string(ca),
			},
			ClaimMappings: apiserver.ClaimMappings{
				Username: apiserver.PrefixedClaimOrExpression{Claim: "sub", Prefix: &prefix},
				Groups:   apiserver.PrefixedClaimOrExpression{Expression: `["tee:" + claims.tee]`},
			},
			ClaimValidationRules: []apiserver.ClaimValidationRule{{
				Expression: `claims["is-debuggable"] == false`,
				Message:    "the enclave can be debugged",
			}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	// It asks for the keys by itself, in the background.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for a.HealthCheck() != nil {
		select {
		case <-ctx.Done():
			t.Fatalf("it did not find the issuer's keys: %v", a.HealthCheck())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return a
}

// TestKubernetes: an API server takes a token of the service for a workload's identity, and
// its rules see the claims about the enclave.
func TestKubernetes(t *testing.T) {
	i, issuer, attest := servicetest.Relying(t)
	compact := attest()
	a := authenticator(t, i, issuer, "workload")
	got, ok, err := a.AuthenticateToken(t.Context(), compact)
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	name, groups := got.User.GetName(), got.User.GetGroups()
	if len(name) != len("attested:")+64 || len(groups) != 1 || groups[0] != "tee:sgx" {
		t.Errorf("user %q of %v", name, groups)
	}
	if _, ok, err := a.AuthenticateToken(t.Context(), compact[:len(compact)-8]+"AAAAAAAA"); ok || err == nil {
		t.Error("another signature is taken")
	}
	if _, ok, _ := authenticator(t, i, issuer, "another").AuthenticateToken(t.Context(), compact); ok {
		t.Error("taken for another audience")
	}
	if _, ok, _ := authenticator(t, i, i.URL, "workload").AuthenticateToken(t.Context(), compact); ok {
		t.Error("taken as a token of another provider")
	}
}
