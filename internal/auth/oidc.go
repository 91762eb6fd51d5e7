package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
)

// Issuer is an OpenID Connect issuer whose tokens count.
type Issuer struct {
	// URL is the issuer exactly as tokens name it.
	URL string
	// Audiences are those that count: a token must be for one of them.
	Audiences []string
	// Rules give roles.
	Rules []Rule
	// Client fetches the issuer's metadata and keys.
	Client *http.Client
	// Now is the clock of tokens. Nil means the system's.
	Now func() time.Time

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	failed   time.Time
	reason   error
}

// issuerAgain is how long an issuer that failed is left alone: callers cannot make
// the service knock without end.
const issuerAgain = 5 * time.Second

// ready fetches the issuer's metadata, once. The library fetches keys, and fetches
// them anew for every token that none of them verifies; see sparing.
func (i *Issuer) ready(ctx context.Context, now time.Time) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	if i.reason != nil && now.Sub(i.failed) < issuerAgain {
		return nil, i.reason
	}
	// The provider keeps this context's client for its keys, not its deadline.
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), i.sparing())
	p, err := oidc.NewProvider(ctx, i.URL)
	if err != nil {
		i.failed, i.reason = now, fmt.Errorf("%w: %s: %w", ErrUnavailable, i.URL, err)
		return nil, i.reason
	}
	i.verifier = p.VerifierContext(ctx, &oidc.Config{
		SkipClientIDCheck:    true, // several audiences count; they are checked below
		SupportedSigningAlgs: []string{oidc.RS256, oidc.PS256, oidc.ES256, oidc.ES384, oidc.EdDSA},
		Now:                  i.Now,
	})
	return i.verifier, nil
}

// openID verifies a bearer token by the keys of the issuer that it names, if that
// one counts. The token's own header names no key that is trusted.
func (a *Authenticator) openID(ctx context.Context, bearer string) (*Caller, error) {
	name, err := unverifiedIssuer(bearer)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(a.cfg.Issuers, func(i *Issuer) bool { return i.URL == name })
	if at < 0 {
		return nil, fmt.Errorf("%w: its issuer %.200q is none of those that count here", ErrRefused, name)
	}
	issuer := a.cfg.Issuers[at]
	verifier, err := issuer.ready(ctx, a.cfg.Now())
	if err != nil {
		return nil, err
	}
	t, err := verifier.Verify(ctx, bearer)
	if err != nil {
		if strings.Contains(err.Error(), "fetching keys") {
			return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, name, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !slices.ContainsFunc(t.Audience, func(aud string) bool {
		return slices.Contains(issuer.Audiences, strings.TrimSuffix(aud, "/"))
	}) {
		return nil, fmt.Errorf("%w: its audience is %.200q; want one of %s", ErrRefused, strings.Join(t.Audience, " "), strings.Join(issuer.Audiences, " "))
	}
	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: its claims cannot be read", ErrRefused)
	}
	if t.Subject == "" {
		return nil, fmt.Errorf("%w: it names no subject", ErrRefused)
	}
	c := &Caller{Name: "oidc:" + name + "#" + t.Subject}
	for _, rule := range issuer.Rules {
		if holds(claims[rule.Claim], rule.Value) {
			c.Grants = append(c.Grants, rule.Grant)
		}
	}
	return c, nil
}

// holds reports whether a claim is the value, or a list with it.
func holds(claim any, value string) bool {
	switch c := claim.(type) {
	case string:
		return c == value
	case []any:
		return slices.ContainsFunc(c, func(v any) bool { s, ok := v.(string); return ok && s == value })
	}
	return false
}

func unverifiedIssuer(bearer string) (string, error) {
	_, rest, _ := strings.Cut(bearer, ".")
	payload, _, _ := strings.Cut(rest, ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	var c struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(b, &c) != nil || c.Issuer == "" {
		return "", fmt.Errorf("%w: the bearer token is not a JSON Web Token with an issuer", ErrRefused)
	}
	return c.Issuer, nil
}
