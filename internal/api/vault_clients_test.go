package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/vault"
)

// Microsoft's client for JavaScript imports with the member Hsm, and .NET's services read names in any case.
func TestMembersOfVaultRequestsInAnyCase(t *testing.T) {
	b := newBench(t, nil)
	b.handler = b.server // not recorded: the documents have the names as they are written
	made := b.vault(t, "PUT", "/keys/folded", `{"Hsm":true,"Key":{"KTY":"oct","K":"AAECAw"}}`, 200)
	if kty := made["key"].(map[string]any)["kty"]; kty != "oct-HSM" {
		t.Errorf("kty %v, want oct-HSM", kty)
	}
	for name, body := range map[string]string{
		"hsm in two cases": `{"Hsm":true,"hsm":false,"key":{"kty":"oct","k":"AAECAw"}}`,
		"k in two cases":   `{"key":{"kty":"oct","k":"AAECAw","K":"AAECBA"}}`,
	} {
		w := b.admin("PUT", "/keys/twice"+vaultVersion, body)
		wantVaultError(t, name, w.Code, w.Body.Bytes(), http.StatusBadRequest, vault.CodeBadParameter, nil)
	}
}

// The client for JavaScript sends seconds in 32 bits: after 2038-01-19 they are negative.
func TestATimeThatOverflowedIsExplained(t *testing.T) {
	b := newBench(t, nil)
	w := b.admin("POST", "/keys/late/create"+vaultVersion, `{"kty":"oct","attributes":{"exp":-223891696}}`)
	e := wantVaultError(t, "exp", w.Code, w.Body.Bytes(), http.StatusBadRequest, vault.CodeBadParameter,
		vault.CheckAttributes)
	if !strings.Contains(e.Error.Message, "exp -223891696") || !strings.Contains(e.Error.Message, "2038") {
		t.Errorf("the message does not show the time: %s", e.Error.Message)
	}
}
