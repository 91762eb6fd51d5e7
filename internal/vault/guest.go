package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/token"
)

// Recipient is the key of a guest that attested to the provider.
type Recipient struct {
	// Thumbprint and Algorithm name the key, and how messages to it are made, in records.
	Thumbprint, Algorithm string
	// Weak says that its wrapping hashes with SHA-1.
	Weak bool
	// Nonce is what the evidence of the guest was made for.
	Nonce string
	// Encrypt makes the message that only the guest opens.
	Encrypt func(secret []byte) ([]byte, error)
}

// GuestRequest asks for the material of a key, as a message to a guest that attested to the provider.
type GuestRequest struct {
	Name string
	// Tag and Value are a tag that the key must have: without it no guest gets it.
	Tag, Value string
	// Target is a token of the provider, or empty.
	Target string
	// Session is what the service knows of such a token, which it gave and kept sealed; nil with Target.
	Session *token.Verified
	// Recipient reads the attested key out of the claims of the token.
	Recipient func(payload []byte) (*Recipient, error)
}

// ReleaseToGuest is [Vault.Release] with a message in the place of the signed document: the same checks
// are made, in the same order, and recorded. The token must be of the provider itself, whose claims say
// which key the evidence of the guest was about; only that key is encrypted to.
func (v *Vault) ReleaseToGuest(
	ctx context.Context, p *provider.Provider, r GuestRequest, by provider.By,
) (*Released, error) {
	return v.recorded(ctx, p, subject(r.Name, ""), by, func(out *Released) (string, error) {
		return v.releaseToGuest(ctx, p, r, out)
	})
}

func (v *Vault) releaseToGuest(
	ctx context.Context, p *provider.Provider, r GuestRequest, out *Released,
) (string, error) {
	k, err := v.Get(ctx, p, r.Name, "")
	if err != nil {
		return "", err
	}
	if found, ok := k.Version.Tags[r.Tag]; !ok || found != r.Value {
		// Security: the answer is that of a key that does not exist.
		return "", notFound(r.Name, "")
	}
	if err := v.releasable(k); err != nil {
		return "", err
	}
	out.Entry.Details["resource"] = shorten(r.Value)
	var to *Recipient
	_, words, err := v.opens(p, k, out, func(policy *release.Policy) (*token.Verified, string, error) {
		t, err := v.guestToken(ctx, p, policy, r, out)
		if err != nil {
			return nil, "", err
		}
		if to, err = r.Recipient(t.Payload); err != nil {
			return nil, "", unverified(CheckGuestKey, "a token with the key of a guest, of POST /kbs/v0/attest",
				err.Error())
		}
		return t, to.Nonce, nil
	})
	if err != nil {
		return "", err
	}
	if least := p.Settings.Vault.MinimumWrapping; to.Weak && least != "" &&
		keywrap.Algorithm(least) != keywrap.RSAAESKeyWrap {
		return "", bad(CheckAlgorithm, "wrapping without SHA-1, as the provider wants "+least, to.Algorithm)
	}
	out.Entry.Details["wrappingKey"], out.Entry.Details["wrapping"] = to.Thumbprint, to.Algorithm
	message, err := v.message(ctx, p, k, to)
	if err != nil {
		return "", err
	}
	// Last, as in release: a protection that does not answer uses up no token.
	if err := v.useUp(ctx, words); err != nil {
		return "", err
	}
	return message, nil
}

// guestToken returns the token of a guest, which must be of the provider.
func (v *Vault) guestToken(
	ctx context.Context, p *provider.Provider, policy *release.Policy, r GuestRequest, out *Released,
) (*token.Verified, error) {
	if t := r.Session; t != nil {
		if !v.cfg.Now().Before(t.Expires) {
			return nil, unverified(CheckTokenTimes, "a session whose token has not expired", "an older one")
		}
		return t, v.describe(t, &out.Entry)
	}
	t, err := v.token(ctx, policy, r.Target, &out.Entry)
	if err == nil && !release.SameAuthority(t.Issuer, p.URL) {
		return nil, unverified(CheckIssuer, "a token of the provider itself, "+p.URL, "a token of "+t.Issuer)
	}
	return t, err
}

// message encrypts the private key to the guest.
func (v *Vault) message(ctx context.Context, p *provider.Provider, k *Key, to *Recipient) (string, error) {
	protection, err := v.protection(k.Version.Protection)
	if err != nil {
		return "", err
	}
	secret, err := protection.Open(ctx, identify(p, &k.Version), k.Version.Sealed)
	if errors.Is(err, ErrNotOpened) {
		return "", bad(CheckProtection, "a key whose protection gives it out to be encrypted to a guest",
			"key "+k.Spelling+", which never leaves its protection in the clear")
	}
	if err != nil {
		return "", err
	}
	defer clear(secret)
	message, err := to.Encrypt(secret)
	if err != nil {
		return "", fmt.Errorf("vault: key %s: %w", k.Name, err)
	}
	return string(message), nil
}
