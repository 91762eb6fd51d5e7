// Package devissuer is a tiny OAuth 2.0 issuer for development: it gives a bearer
// token to everyone who asks (client credentials grant, RFC 6749 section 4.4), in
// the places where Microsoft's identity libraries look. It is there so that SDKs
// can log in to `probity serve --dev`; it checks no secret, keeps its key in
// memory, and must not run anywhere else.
//
// The client id says which role the token is for: reader, contributor, owner, officer or
// releaser.
package devissuer

import (
	"crypto/rand"
	"crypto/rsa"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json"
)

// Tenant is the first part of the issuer's paths: what identity libraries take
// for the directory.
const Tenant = "dev"

const (
	lifetime = time.Hour
	keyID    = "development"
	maxForm  = 16 << 10
)

// Roles are the client ids that get a token.
func Roles() []string { return []string{"reader", "contributor", "owner", "officer", "releaser"} }

// Issuer answers under /dev/. It is safe for concurrent use.
type Issuer struct {
	// URL is the issuer's name: the service's URL and /dev/v2.0.
	URL string

	base   string
	key    *rsa.PrivateKey
	signer jose.Signer
	now    func() time.Time
}

// New makes an issuer with a key of its own at the service's URL.
func New(service string, now func() time.Time) (*Issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", keyID))
	if err != nil {
		return nil, err
	}
	base := service + "/" + Tenant
	return &Issuer{URL: base + "/v2.0", base: base, key: key, signer: signer, now: now}, nil
}

// Authorization is what a 401 points to.
func (i *Issuer) Authorization() string { return i.base }

// ServeHTTP answers the metadata, the keys, and the token endpoint.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !i.local(r) {
		answer(w, http.StatusMisdirectedRequest, map[string]string{"error": "invalid_request",
			"error_description": "development: the issuer answers direct requests from this machine " +
				"only, at localhost"})
		return
	}
	switch path := strings.TrimPrefix(r.URL.Path, "/"+Tenant); {
	case r.Method == http.MethodGet && path == "/v2.0/.well-known/openid-configuration":
		answer(w, http.StatusOK, map[string]any{
			"issuer": i.URL, "jwks_uri": i.base + "/discovery/v2.0/keys",
			"token_endpoint":                        i.base + "/oauth2/v2.0/token",
			"authorization_endpoint":                i.base + "/oauth2/v2.0/authorize",
			"token_endpoint_auth_methods_supported": []string{"client_secret_post"},
			"response_types_supported":              []string{"token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case r.Method == http.MethodGet && path == "/discovery/v2.0/keys":
		answer(w, http.StatusOK, jose.JSONWebKeySet{
			Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: keyID, Algorithm: "RS256", Use: "sig"}},
		})
	case r.Method == http.MethodPost && path == "/oauth2/v2.0/token":
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		i.token(w, r)
	default:
		answer(w, http.StatusNotFound, map[string]string{"error": "not_found"})
	}
}

// local reports whether a request was made on this machine to this machine's name.
// A page that had its own name resolve to this machine (DNS rebinding) sends that
// name as Host, and a proxy says for whom it asks; neither gets an answer.
func (i *Issuer) local(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	if r.RemoteAddr != "" { // empty within the process
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			return false
		}
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.Unmap().IsLoopback()
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	role := r.PostFormValue("client_id")
	if r.PostFormValue("grant_type") != "client_credentials" || !slices.Contains(Roles(), role) {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_client",
			"error_description": "development: grant_type client_credentials with a client_id of " +
				strings.Join(Roles(), ", ")})
		return
	}
	now := i.now()
	text, err := jwt.Signed(i.signer).Claims(map[string]any{
		"iss": i.URL, "sub": role, "roles": []string{role}, "iat": now.Unix(), "nbf": now.Unix(),
		"exp": now.Add(lifetime).Unix(),
		"aud": audience(r.PostFormValue("scope")),
	}).Serialize()
	if err != nil {
		answer(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": int(lifetime / time.Second), "access_token": text,
	})
}

// audience is the resource that a scope asks for. Microsoft's library for Go asks for
// openid, offline_access and profile beside it.
func audience(scope string) string {
	for _, s := range strings.Fields(scope) {
		if resource, ok := strings.CutSuffix(s, "/.default"); ok {
			return strings.TrimSuffix(resource, "/")
		}
	}
	return scope
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.WriteHeader(status)
	w.Write(b) // a client that went away is not an error of this program
}
