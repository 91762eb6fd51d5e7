package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/provider"
)

// send is a request with any host and headers.
func (b *bench) send(
	bearer, method, target, host, body string, headers ...string,
) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if host != "" {
		r.Host = host
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

// TestACallerOfOneProviderReachesNoOther: paths, hosts and headers that proxies rewrite do
// not lead from one provider to another.
func TestACallerOfOneProviderReachesNoOther(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "acme", "")
	b.provider(t, "beta", "")
	owner := b.token(t, "owner", "acme")
	if w := b.send(owner, "GET", "/p/acme/ledger", "", ""); w.Code != 200 {
		t.Fatalf("the own ledger: %d %s", w.Code, w.Body)
	}
	for _, path := range []string{
		"/p/beta/ledger", "/p/beta%2Fledger", "/p/acme/../beta/ledger", "/p/acme/%2e%2e/beta/ledger",
		"//p/beta/ledger", "/p/BETA/ledger",
		"/p/beta/ledger/", "/p/acme/p/beta/ledger",
		"/P/beta/ledger?x=/p/acme/", "/p/acme%00beta/ledger", "/p/%C5%BFacme/ledger", "/ledger",
		"/p//ledger", "/p/default/ledger",
	} {
		for _, headers := range [][]string{
			nil, {"X-Forwarded-Host", "acme"}, {"X-Original-URL", "/p/acme/ledger"},
			{"X-Forwarded-Prefix", "/p/acme"}, {"X-Rewrite-URL", "/p/acme/ledger"},
		} {
			for _, host := range []string{"", "acme", "acme.attest.example.org", "beta"} {
				if w := b.send(owner, "GET", path, host, "", headers...); w.Code == 200 || w.Code >= 500 {
					t.Errorf("%s at host %q with %v: %d %s", path, host, headers, w.Code, w.Body)
				}
			}
		}
	}
	group := "/subscriptions/s1/resourceGroups/g1/providers/Microsoft.Attestation/attestationProviders/"
	for _, request := range [][3]string{
		{"GET", group + "beta" + apiVersion, ""},
		{"PUT", group + "gamma" + apiVersion, `{"location":"local"}`},
		{"PATCH", group + "beta" + apiVersion, `{"tags":{"a":"b"}}`},
		{"DELETE", group + "beta" + apiVersion, ""},
		{"POST", "/tokens", `{"name":"evil","role":"owner","providers":["*"]}`},
		{"POST", "/p/beta/tokens", `{"name":"evil","role":"owner","providers":["*"]}`},
		{"GET", "/tokens", ""}, {"DELETE", "/tokens/other", ""}, {"POST", "/signingkeys:rotate", `{}`},
		{"POST", "/p/beta/signingkeys:rotate", `{}`},
		{"POST", "/p/default/signingkeys:rotate", `{}`}, {"POST", "/signingkeys:retire", `{"kid":"x"}`},
	} {
		if w := b.send(owner, request[0], request[1], "", request[2]); w.Code != 403 && w.Code != 404 {
			t.Errorf("%s %s: %d %s", request[0], request[1], w.Code, w.Body)
		}
	}
}

func TestPathsAreComparedInASCII(t *testing.T) {
	b := newBench(t, nil)
	for _, path := range []string{
		"/to\u212aens", "/policie\u017f/SgxEnclave" + apiVersion, "/metric\u017f",
		"/attest/\u017fgxEnclave" + apiVersion, "/certificate\u017f" + apiVersion,
	} {
		for _, method := range []string{"GET", "POST"} {
			w := b.send(adminToken, method,
				strings.NewReplacer("\u212a", "%E2%84%AA", "\u017f", "%C5%BF").Replace(path), "", "")
			if w.Code != 404 && w.Code != 400 && w.Code != 405 {
				t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
			}
		}
	}
	if w := b.send(adminToken, "GET", "/TOKENS", "", ""); w.Code != 200 {
		t.Errorf("ASCII letters in another case: %d %s", w.Code, w.Body)
	}
}

func TestAnUnknownHostUnderTheSuffixIsMisdirected(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Callers.HostSuffix = "attest.example.org" },
		func(c *provider.Config) { c.HostSuffix = "attest.example.org" })
	b.provider(t, "acme", "")
	for host, want := range map[string]int{
		"acme.attest.example.org": 200, "ACME.attest.example.org:8443": 200, "acme.attest.example.org.": 200,
		"attest.example.org": 200, "localhost": 200, "10.0.0.1:8443": 200, "other.example.com": 200,
		"beta.attest.example.org": 421, "beta.attest.example.org.": 421,
		"acme.attest.example.org.evil.example": 200,
		"a.b.attest.example.org":               421, ".attest.example.org": 421,
	} {
		w := b.send("", "GET", "/.well-known/openid-configuration", host, "")
		if w.Code != want {
			t.Errorf("%s: %d, expected %d: %s", host, w.Code, want, w.Body)
		}
		if w := b.send("", "GET", "/p/acme/certs", host, ""); w.Code != want {
			t.Errorf("%s, by its path: %d, expected %d: %s", host, w.Code, want, w.Body)
		}
	}
}

// TestTheAddressOfAProviderHasThePort: that of the service, unless the suffix has its own.
func TestTheAddressOfAProviderHasThePort(t *testing.T) {
	for _, tc := range []struct{ url, suffix, want string }{
		{"https://attest.example.org", "attest.example.org", "https://acme.attest.example.org"},
		{"https://attest.example.org:8443", "attest.example.org", "https://acme.attest.example.org:8443"},
		{"https://attest.example.org:8443", "attest.example.org:9443", "https://acme.attest.example.org:9443"},
		{"https://attest.example.org", "attest.example.org:9443", "https://acme.attest.example.org:9443"},
	} {
		b := newBench(t, func(c *Config) { c.Callers.HostSuffix = tc.suffix },
			func(c *provider.Config) { c.URL, c.HostSuffix = tc.url, tc.suffix })
		b.provider(t, "acme", "")
		w := b.send("", "GET", "/.well-known/openid-configuration", strings.TrimPrefix(tc.want, "https://"), "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"`+tc.want+`"`) {
			t.Errorf("%s and %s: %d %s, expected %s", tc.url, tc.suffix, w.Code, w.Body, tc.want)
		}
	}
}

// TestChangesFromPagesOfOtherSitesAreRefused: a browser would show its client certificate,
// and forms need no preflight.
func TestChangesFromPagesOfOtherSitesAreRefused(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "acme", "")
	create := func(name string, headers ...string) int {
		return b.send(adminToken, "POST", "/tokens", "attest.example.org",
			`{"name":"`+name+`","role":"reader","providers":["acme"]}`, headers...).Code
	}
	for name, headers := range map[string][]string{
		"fetch": {
			"Content-Type", "text/plain", "Origin", "https://evil.example", "Sec-Fetch-Site",
			"cross-site",
		},
		"same-site": {"Origin", "https://evil.example.org", "Sec-Fetch-Site", "same-site"},
		"old":       {"Origin", "https://evil.example"},
		"form": {
			"Content-Type", "application/x-www-form-urlencoded", "Origin", "null", "Sec-Fetch-Site",
			"cross-site",
		},
		"other-port": {"Origin", "https://attest.example.org:444"},
	} {
		if code := create(name, headers...); code != http.StatusForbidden {
			t.Errorf("%s: %d", name, code)
		}
	}
	for name, headers := range map[string][]string{
		"sdk": nil, "own-page": {"Origin", "https://attest.example.org"},
		"own-page-2": {"Sec-Fetch-Site", "same-origin"}, "typed": {"Sec-Fetch-Site", "none"},
	} {
		if code := create(name, headers...); code != http.StatusOK && code != http.StatusCreated {
			t.Errorf("%s: %d", name, code)
		}
	}
	if w := b.send(adminToken, "GET", "/tokens", "", "", "Origin", "https://evil.example", "Sec-Fetch-Site",
		"cross-site"); w.Code != 200 {
		t.Errorf("reading: %d", w.Code)
	}
	w := b.send(adminToken, "POST", "/p/acme/policies/TdxVm:reset"+apiVersion, "attest.example.org",
		"eyJhbGciOiJub25lIn0..", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if w.Code != 403 || !strings.Contains(w.Body.String(), "request.origin") {
		t.Errorf("a reset: %d %s", w.Code, w.Body)
	}
}
