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

	"github.com/probity-dev/probity/internal/auth/devissuer"
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
		for _, scope := range []string{
			"https://attest.azure.net/.default",
			"https://attest.azure.net//.default",
			"https://attest.azure.net/.default openid offline_access profile",
		} {
			_, v := post(url.Values{
				"grant_type":    {"client_credentials"},
				"client_id":     {role},
				"client_secret": {"any"},
				"scope":         {scope},
			})
			token, err := p.VerifierContext(ctx,
				&oidc.Config{ClientID: "https://attest.azure.net"}).Verify(ctx, v["access_token"].(string))
			if err != nil || token.Subject != role {
				t.Errorf("%s, %s: %+v, %v", role, scope, token, err)
			}
		}
	}
	for name, form := range map[string]url.Values{
		"an unknown client": {"grant_type": {"client_credentials"}, "client_id": {"root"}},
		"another grant":     {"grant_type": {"password"}, "client_id": {"owner"}},
		"nothing":           {},
		"too much": {
			"grant_type": {"client_credentials"},
			"client_id":  {"owner"},
			"x":          {strings.Repeat("x", 20<<10)},
		},
	} {
		if resp, v := post(form); resp.StatusCode != 400 || v["access_token"] != nil {
			t.Errorf("%s: %d %v", name, resp.StatusCode, v)
		}
	}
}

// A page in a browser of this machine, or a proxy in front of it, must not get a
// token: the Host of DNS rebinding is foreign, and a proxy says for whom it asks.
func TestOnlyThisMachineIsAnswered(t *testing.T) {
	i, err := devissuer.New("https://localhost:8443", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"owner"}, "scope": {"x"}}.Encode()
	post := func(host, remote, header string) int {
		r := httptest.NewRequest("POST", "/dev/oauth2/v2.0/token", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Host, r.RemoteAddr = host, remote
		if header != "" {
			r.Header.Set(header, "203.0.113.7")
		}
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		return w.Code
	}
	for _, host := range []string{
		"localhost:8443", "LOCALHOST", "localhost.", "a.localhost:1", "127.0.0.1:8443", "[::1]:8443",
		"[::ffff:127.0.0.1]:1",
	} {
		if code := post(host, "127.0.0.1:9", ""); code != 200 {
			t.Errorf("%s: %d", host, code)
		}
	}
	for _, host := range []string{
		"evil.example", "evil.example:8443", "localhost.evil.example", "127.0.0.1.evil.example",
		"10.0.0.1:8443", "[2001:db8::1]:8443", "0.0.0.0:8443",
	} {
		if code := post(host, "127.0.0.1:9", ""); code != 421 {
			t.Errorf("%s: %d", host, code)
		}
	}
	for _, remote := range []string{"203.0.113.7:9", "192.168.0.9:9", "[2001:db8::1]:9", "nonsense"} {
		if code := post("localhost:8443", remote, ""); code != 421 {
			t.Errorf("from %s: %d", remote, code)
		}
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if code := post("localhost:8443", "127.0.0.1:9", header); code != 421 {
			t.Errorf("with %s: %d", header, code)
		}
	}
}
