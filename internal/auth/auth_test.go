package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/issuer"
)

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func static(t *testing.T, name, secret, role string, expires time.Time, providers ...string) StaticToken {
	t.Helper()
	token, err := NewStaticToken(name, hashOf(secret), role, providers, expires)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func request(header string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	return r
}

func TestRoles(t *testing.T) {
	for text, want := range map[string]Role{
		"reader":                               Reader,
		"Attestation Contributor":              Contributor,
		"OWNER":                                Owner,
		"fd1bd22b-8476-40bc-a0bc-69b95687b9f3": Reader,
	} {
		if got, err := ParseRole(text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	if _, err := ParseRole("ownr"); err == nil || !strings.Contains(err.Error(), "did you mean owner") {
		t.Errorf("error = %v", err)
	}
	c := &Caller{Grants: []Grant{{Contributor, []string{"alpha"}}, {Reader, []string{Everywhere}}}}
	for _, tc := range []struct {
		role     Role
		provider string
		want     bool
	}{
		{Contributor, "alpha", true}, {Contributor, "ALPHA", true}, {Owner, "alpha", false},
		{Contributor, "alph", false}, {Contributor, "alphabet", false}, {Reader, "beta", true},
		{Contributor, "beta", false}, {Contributor, Everywhere, false}, {Reader, Everywhere, true},
		{Nobody, "x", true},
	} {
		if got := c.May(tc.role, tc.provider); got != tc.want {
			t.Errorf("%s at %s: %t", tc.role, tc.provider, got)
		}
	}
}

func TestStaticTokens(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := New(Config{Now: func() time.Time { return now }, Tokens: func() []StaticToken {
		return []StaticToken{
			static(t, "ci", "secret-of-ci", "reader", time.Time{}, "*"),
			static(t, "old", "secret-of-old", "owner", now, "*"),
		}
	}})
	if c, err := a.Caller(request("bearer secret-of-ci")); err != nil || c.Name != "token:ci" ||
		!c.May(Reader, "x") || c.May(Contributor, "x") {
		t.Errorf("%+v, %v", c, err)
	}
	for header, want := range map[string]error{
		"": ErrAnonymous, "Bearer secret-of-old": ErrRefused, "Bearer secret-of-c": ErrRefused,
		"Bearer ": ErrRefused, "Basic secret-of-ci": ErrRefused,
		"secret-of-ci": ErrRefused,
		"Bearer a.b.c": ErrRefused, "Bearer " + strings.Repeat("x", maxBearer+1): ErrRefused,
		"Bearer ..": ErrRefused,
	} {
		if c, err := a.Caller(request(header)); !errors.Is(err, want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.40s: %+v, %v", header, c, err)
		}
	}
	if _, err := NewStaticToken("x", "00", "reader", nil, time.Time{}); err == nil {
		t.Error("a short hash was taken")
	}
}

// provider is an OpenID Connect issuer over TLS.
type provider struct {
	*httptest.Server
	key  *ecdsa.PrivateKey
	down bool
	// asked counts requests for the keys; padding makes the metadata longer.
	asked    int
	padding  string
	keysDown bool
	// cache is sent as Cache-Control.
	cache string
	first *ecdsa.PrivateKey
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, first: key}
	mux := http.NewServeMux()
	answer := func(v func() any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if p.down {
				w.WriteHeader(500)
				return
			}
			if p.cache != "" {
				w.Header().Set("Cache-Control", p.cache)
			}
			b, _ := json.Marshal(v())
			w.Write(b)
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", answer(func() any {
		return map[string]any{
			"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/auth",
			"token_endpoint":                        p.URL + "/token",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "padding": p.padding,
		}
	}))
	mux.HandleFunc("/keys", answer(func() any {
		p.asked++
		if p.keysDown {
			return "no keys"
		}
		return jose.JSONWebKeySet{
			Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}},
		}
	}))
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

func sign(t *testing.T, key any, alg jose.SignatureAlgorithm, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key},
		(&jose.SignerOptions{EmbedJWK: false}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOpenIDConnect(t *testing.T) {
	p := newProvider(t)
	own := &Issuer{Keys: issuer.Keys{URL: p.URL, Client: p.Client()}, Audiences: []string{"https://attest.azure.net"},
		Rules: []Rule{
			{"groups", "platform", Grant{Owner, []string{Everywhere}}},
			{"role", "audit", Grant{Reader, []string{"alpha"}}},
		}}
	a := New(Config{Issuers: []*Issuer{own}, Now: time.Now})
	claims := func(edit func(map[string]any)) map[string]any {
		c := map[string]any{
			"iss": p.URL, "sub": "alice", "aud": "https://attest.azure.net",
			"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
			"groups": []string{"x", "platform"},
		}
		if edit != nil {
			edit(c)
		}
		return c
	}
	c, err := a.Caller(request("Bearer " + sign(t, p.key, jose.ES256, claims(nil))))
	if err != nil || c.Name != "oidc:"+p.URL+"#alice" || !c.May(Owner, Everywhere) {
		t.Fatalf("%+v, %v", c, err)
	}
	// Trailing slashes of audiences differ between clients.
	for _, aud := range []any{"https://attest.azure.net/", []string{"x", "https://attest.azure.net"}} {
		if _, err := a.Caller(request("Bearer " + sign(t, p.key, jose.ES256, claims(func(c map[string]any) {
			c["aud"] = aud
		})))); err != nil {
			t.Errorf("%v: %v", aud, err)
		}
	}
	c, err = a.Caller(request("Bearer " + sign(t, p.key, jose.ES256, claims(func(c map[string]any) {
		c["groups"] = "platforms"
		c["role"] = "audit"
	}))))
	if err != nil || c.May(Owner, "alpha") || !c.May(Reader, "alpha") || c.May(Reader, "alphabet") {
		t.Errorf("%+v, %v", c, err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, p.key, jose.ES256, claims(nil))
	for name, bearer := range map[string]string{
		"another key":     sign(t, stranger, jose.ES256, claims(nil)),
		"a shared secret": sign(t, []byte(strings.Repeat("k", 32)), jose.HS256, claims(nil)),
		"unsigned":        "eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".",
		"altered":         strings.Replace(good, ".", ".e30", 1),
		"expired": sign(t, p.key, jose.ES256,
			claims(func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() })),
		"not yet": sign(t, p.key, jose.ES256,
			claims(func(c map[string]any) { c["nbf"] = time.Now().Add(time.Hour).Unix() })),
		"another audience": sign(t, p.key, jose.ES256,
			claims(func(c map[string]any) { c["aud"] = "https://attest.azure.net.evil.example" })),
		"no audience": sign(t, p.key, jose.ES256, claims(func(c map[string]any) { delete(c, "aud") })),
		"another issuer": sign(t, p.key, jose.ES256,
			claims(func(c map[string]any) { c["iss"] = p.URL + ".evil.example" })),
		"an issuer's prefix": sign(t, p.key, jose.ES256,
			claims(func(c map[string]any) { c["iss"] = p.URL[:len(p.URL)-1] })),
		"no subject":           sign(t, p.key, jose.ES256, claims(func(c map[string]any) { delete(c, "sub") })),
		"no issuer":            sign(t, p.key, jose.ES256, claims(func(c map[string]any) { delete(c, "iss") })),
		"not a JSON web token": "a.b.c",
	} {
		if c, err := a.Caller(request("Bearer " + bearer)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// TestTokensThatDoNotVerifyAskTheIssuerSeldom: anyone can send such tokens.
func TestTokensThatDoNotVerifyAskTheIssuerSeldom(t *testing.T) {
	p := newProvider(t)
	now := time.Now()
	clock := func() time.Time { return now }
	a := New(Config{
		Issuers: []*Issuer{{Keys: issuer.Keys{URL: p.URL, Client: p.Client()}, Audiences: []string{"a"}, Now: clock}},
		Now:     clock,
	})
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bearer := request("Bearer " + sign(t, next, jose.ES256,
		map[string]any{"iss": p.URL, "sub": "x", "aud": "a", "exp": now.Add(time.Hour).Unix()}))
	for range 100 {
		if _, err := a.Caller(bearer); !errors.Is(err, ErrRefused) {
			t.Fatalf("error = %v", err)
		}
	}
	if p.asked != 1 {
		t.Errorf("the keys were asked for %d times", p.asked)
	}
	// The issuer rotates: its new key is found a little later.
	p.key = next
	now = now.Add(issuer.Again)
	for range 100 { // the library may still use what it fetched last
		if _, err = a.Caller(bearer); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil || p.asked != 2 {
		t.Errorf("%v, asked %d times", err, p.asked)
	}

	// It is unavailable: that is remembered as well.
	p.keysDown = true
	now = now.Add(issuer.Again)
	other := request("Bearer " + sign(t, p.first, jose.ES256,
		map[string]any{"iss": p.URL, "sub": "x", "aud": "a", "exp": now.Add(time.Hour).Unix()}))
	for range 20 {
		if _, err := a.Caller(other); err == nil {
			t.Fatal("the old key is still accepted")
		}
	}
	if p.asked != 3 {
		t.Errorf("the keys of an unavailable issuer were asked for %d times", p.asked-2)
	}
}

func TestAnIssuerThatSaysTooMuch(t *testing.T) {
	p := newProvider(t)
	p.padding = strings.Repeat("x", issuer.MaxDocument)
	a := New(Config{
		Issuers: []*Issuer{{Keys: issuer.Keys{URL: p.URL, Client: p.Client()}, Audiences: []string{"a"}}},
		Now:     time.Now,
	})
	_, err := a.Caller(request("Bearer " + sign(t, p.key, jose.ES256,
		map[string]any{"iss": p.URL, "sub": "x", "aud": "a", "exp": time.Now().Add(time.Hour).Unix()})))
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("error = %v", err)
	}
}

func TestAnUnavailableIssuer(t *testing.T) {
	p := newProvider(t)
	p.down = true
	now := time.Now()
	a := New(Config{
		Issuers: []*Issuer{{Keys: issuer.Keys{URL: p.URL, Client: p.Client()}, Audiences: []string{"a"}}},
		Now:     func() time.Time { return now },
	})
	bearer := request("Bearer " + sign(t, p.key, jose.ES256,
		map[string]any{"iss": p.URL, "sub": "x", "aud": "a", "exp": now.Add(time.Hour).Unix()}))
	if _, err := a.Caller(bearer); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error = %v", err)
	}
	p.down = false
	if _, err := a.Caller(bearer); !errors.Is(err, ErrUnavailable) {
		t.Errorf("it was asked again at once: %v", err)
	}
	now = now.Add(issuer.Again)
	if _, err := a.Caller(bearer); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

func FuzzBearer(f *testing.F) {
	f.Add("a.eyJpc3MiOiJ4In0.c")
	a := New(Config{Now: time.Now})
	f.Fuzz(func(t *testing.T, bearer string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = []string{"Bearer " + bearer}
		if c, err := a.Caller(r); err == nil {
			t.Errorf("%+v", c)
		}
	})
}
