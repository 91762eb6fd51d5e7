package devissuer_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/devissuer"
)

func TestATokenForEachRole(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	i, err := devissuer.New(server.URL, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = i
	ctx := oidc.ClientContext(t.Context(), server.Client())
	p, err := oidc.NewProvider(ctx, i.URL)
	if err != nil {
		t.Fatal(err)
	}
	post := func(form url.Values) (*http.Response, map[string]any) {
		resp, err := server.Client().PostForm(i.Authorization()+"/oauth2/v2.0/token", form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var v map[string]any
		if err := json.UnmarshalRead(resp.Body, &v); err != nil {
			t.Fatal(err)
		}
		return resp, v
	}
	for _, role := range devissuer.Roles() {
		for _, scope := range []string{"https://attest.azure.net/.default", "https://attest.azure.net//.default", "https://attest.azure.net/.default openid offline_access profile"} {
			_, v := post(url.Values{"grant_type": {"client_credentials"}, "client_id": {role}, "client_secret": {"any"}, "scope": {scope}})
			token, err := p.VerifierContext(ctx, &oidc.Config{ClientID: "https://attest.azure.net"}).Verify(ctx, v["access_token"].(string))
			if err != nil || token.Subject != role {
				t.Errorf("%s, %s: %+v, %v", role, scope, token, err)
			}
		}
	}
	for name, form := range map[string]url.Values{"an unknown client": {"grant_type": {"client_credentials"}, "client_id": {"root"}}, "another grant": {"grant_type": {"password"}, "client_id": {"owner"}},
		"nothing": {}, "too much": {"grant_type": {"client_credentials"}, "client_id": {"owner"}, "x": {strings.Repeat("x", 20<<10)}}} {
		if resp, v := post(form); resp.StatusCode != 400 || v["access_token"] != nil {
			t.Errorf("%s: %d %v", name, resp.StatusCode, v)
		}
	}
}
