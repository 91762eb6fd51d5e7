package auth

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Issuer is an OpenID Connect issuer whose tokens count.
type Issuer struct {
	// URL is the issuer exactly as tokens name it.
	URL string
	// Audiences are those that are accepted: a token must be for one of them.
	Audiences []string
	// Rules give roles.
	Rules []Rule
	// Client fetches the issuer's metadata and keys.
	Client *http.Client
	// TokenType, if it is [TokenTypeAccess], accepts access tokens of RFC 9068 alone;
	// empty accepts those without a type and with the type JWT too, ID tokens among
	// them.
	TokenType string
	// Now is the clock of tokens and keys. Nil means the authenticator's.
	Now func() time.Time

	published keySet
}

// openID verifies a bearer token by the keys of the issuer that it names, if that
// one is configured. The token's own header names no key that is trusted.
func (a *Authenticator) openID(ctx context.Context, bearer string) (*Caller, error) {
	header, claimed, err := readBearer(bearer)
	if err != nil {
		return nil, err
	}
	name := claimed.Issuer
	at := slices.IndexFunc(a.cfg.Issuers, func(i *Issuer) bool { return i.URL == name })
	if at < 0 {
		return nil, fmt.Errorf("%w: its issuer %.200q is not in callers.issuers", ErrRefused, name)
	}
	issuer := a.cfg.Issuers[at]
	clock := issuer.Now
	if clock == nil {
		clock = a.cfg.Now
	}
	// Cheap checks come first: what they refuse asks no issuer for keys.
	if err := header.check(issuer.TokenType); err != nil {
		return nil, err
	}
	if err := claimed.check(clock()); err != nil {
		return nil, err
	}
	t, err := issuer.verify(ctx, bearer, clock)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(t.Audience, func(aud string) bool {
		return slices.Contains(issuer.Audiences, strings.TrimSuffix(aud, "/"))
	}) {
		return nil, fmt.Errorf("%w: its audience is %.200q; want one of %s", ErrRefused,
			strings.Join(t.Audience, " "), strings.Join(issuer.Audiences, " "))
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

// verify checks a token's signature by the issuer's keys, which are fetched again if
// none of them fits.
func (i *Issuer) verify(ctx context.Context, bearer string, clock func() time.Time) (*oidc.IDToken, error) {
	for retry := false; ; retry = true {
		keys, ok, err := i.current(ctx, clock(), retry)
		if err != nil {
			return nil, err
		}
		t, err := oidc.NewVerifier(i.URL, verifies(keys), &oidc.Config{
			SkipClientIDCheck:    true, // several audiences are accepted; the caller checks them
			SupportedSigningAlgs: algorithmNames(),
			Now:                  clock,
		}).Verify(ctx, bearer)
		if err == nil {
			return t, nil
		}
		if failure := i.published.lastFailure(); !ok && failure != nil {
			// It may be signed with a new key, which cannot be fetched now.
			return nil, failure
		}
		if retry || !ok {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
}
