package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/internal/issuer"
	"github.com/probity-dev/probity/strict/jws"
)

// Issuer is an OpenID Connect issuer whose tokens are accepted.
type Issuer struct {
	issuer.Keys
	// Audiences are those that are accepted: a token must be for one of them.
	Audiences []string
	// Rules give roles.
	Rules []Rule
	// TokenType, if it is [TokenTypeAccess], accepts access tokens of RFC 9068 alone;
	// empty accepts those without a type and with the type JWT too, ID tokens among
	// them.
	TokenType string
	// Now is the clock of tokens and keys. Nil means the authenticator's.
	Now func() time.Time
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
	by := a.cfg.Issuers[at]
	clock := by.Now
	if clock == nil {
		clock = a.cfg.Now
	}
	// Cheap checks come first: what they refuse asks no issuer for keys.
	if err := header.check(by.TokenType); err != nil {
		return nil, err
	}
	if err := claimed.check(clock()); err != nil {
		return nil, err
	}
	t, err := by.verify(ctx, bearer, clock)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(t.Audience, func(aud string) bool {
		return slices.Contains(by.Audiences, strings.TrimSuffix(aud, "/"))
	}) {
		return nil, fmt.Errorf("%w: its audience is %.200q; want one of %s", ErrRefused,
			strings.Join(t.Audience, " "), strings.Join(by.Audiences, " "))
	}
	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: its claims cannot be read", ErrRefused)
	}
	if t.Subject == "" {
		return nil, fmt.Errorf("%w: it names no subject", ErrRefused)
	}
	c := &Caller{Name: "oidc:" + name + "#" + t.Subject}
	for _, rule := range by.Rules {
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
		keys, ok, err := i.Current(ctx, clock(), retry)
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
		if failure := i.Failure(); !ok && failure != nil {
			// It may be signed with a new key, which cannot be fetched now.
			return nil, failure
		}
		if retry || !ok {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
}

// verifies implements [oidc.KeySet] with keys that were current at one time.
type verifies []jose.JSONWebKey

var errNoKey = errors.New("no key of the issuer verifies its signature")

// VerifySignature implements [oidc.KeySet].
func (keys verifies) VerifySignature(_ context.Context, text string) ([]byte, error) {
	signed, err := jws.Parse(text, algorithms)
	if err != nil {
		return nil, err
	}
	header := signed.Signatures[0].Header
	for _, k := range keys {
		if header.KeyID != "" && k.KeyID != header.KeyID || k.Algorithm != "" && k.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := signed.Verify(k); err == nil {
			return payload, nil
		}
	}
	return nil, errNoKey
}

// algorithms are those that bearer tokens may be signed with: none with a shared
// secret.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}

func algorithmNames() (names []string) {
	for _, a := range algorithms {
		names = append(names, string(a))
	}
	slices.Sort(names)
	return names
}
