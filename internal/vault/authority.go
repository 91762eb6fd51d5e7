package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/internal/issuer"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/token"
)

// Skew is how far the clock of an issuer may be ahead of the clock of this service: a token is accepted so long before its nbf. A token is
// never accepted after its exp.
const Skew = 60 * time.Second

// Authorities are the issuers that release policies may name: the providers of this service, and others that the
// configuration pins.
type Authorities struct {
	// Own returns the provider with an issuer URL.
	Own func(issuer string) (*provider.Provider, bool)
	// Others fetches the keys of the others.
	Others []*issuer.Keys
}

// Known returns the issuers that are known, for warnings about policies that name others. Own providers are
// added by name.
func (a *Authorities) Known(own ...string) []string {
	for _, o := range a.Others {
		own = append(own, o.URL)
	}
	return own
}

// verify verifies a token of an issuer: signature, issuer and times. The error is a refusal, or wraps
// [issuer.ErrUnavailable].
func (a *Authorities) verify(
	ctx context.Context, compact, iss string, now time.Time,
) (*token.Verified, error) {
	if own, ok := a.Own(iss); ok {
		signers, err := own.Signers(now)
		if err != nil {
			return nil, err
		}
		t, err := verifyAt(compact, token.Keys(signers.Published...), own.URL, now)
		return t, tokenRefused(err)
	}
	for _, other := range a.Others {
		if release.SameAuthority(other.URL, iss) {
			return verifyBy(ctx, other, compact, now)
		}
	}
	return nil, unverified(CheckIssuer,
		"a token of a provider of this service, or of an issuer in vault.authorities",
		fmt.Sprintf("a token of %.200q", iss))
}

// verifyBy verifies a token by the keys of another issuer, which are fetched again if they do not
// have its kid.
func verifyBy(
	ctx context.Context, other *issuer.Keys, compact string, now time.Time,
) (*token.Verified, error) {
	for retry := false; ; retry = true {
		keys, fetched, err := other.Current(ctx, now, retry)
		if err != nil {
			return nil, err
		}
		t, err := verifyAt(compact, jose.JSONWebKeySet{Keys: keys}, other.URL, now)
		switch {
		case !errors.Is(err, token.ErrKey):
			return t, tokenRefused(err)
		case !fetched && other.Failure() != nil:
			return nil, other.Failure() // it may be signed with a new key, which cannot be fetched now
		case retry:
			return nil, tokenRefused(err)
		}
	}
}

// verifyAt is [token.Verify] with [Skew] before nbf.
func verifyAt(compact string, keys token.KeySet, iss string, now time.Time) (*token.Verified, error) {
	t, err := token.Verify(compact, keys, iss, now)
	if errors.Is(err, token.ErrNotYet) {
		return token.Verify(compact, keys, iss, now.Add(Skew))
	}
	return t, err
}

// tokenRefused turns the error of a token into a refusal; nil stays nil.
func tokenRefused(err error) error {
	const signed = "a token that the issuer signed with one of its published keys"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, token.ErrExpired):
		return unverified(CheckTokenTimes, "a token that has not expired", err.Error())
	case errors.Is(err, token.ErrNotYet):
		return unverified(CheckTokenTimes, "a token that is valid now, or in "+Skew.String(), err.Error())
	case errors.Is(err, token.ErrUnsecured):
		return unverified(CheckTokenSignature, signed, "a token without a signature, as draft policies give")
	case errors.Is(err, token.ErrIssuer):
		return unverified(CheckIssuer, "the issuer as its authority is written", err.Error())
	}
	return unverified(CheckTokenSignature, signed, err.Error())
}
