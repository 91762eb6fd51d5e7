package vault

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/strict/pubkey"
	"github.com/probity-dev/probity/token"
)

// ReleaseRequest asks for the release of a key.
type ReleaseRequest struct {
	Name, Version string
	// Target is the token of the attested machine.
	Target string
	// Nonce is echoed. It proves nothing.
	Nonce string
	// Algorithm is the member enc, or empty for the default.
	Algorithm string
	// APIVersion and KeyURL are those of the request; Base is the URL of the provider, by which it was called.
	APIVersion, KeyURL, Base string
}

// maxNonce bounds the nonce that is echoed, in bytes.
const maxNonce = 1024

// Released is what a release came to: the signed answer, or a refusal.
type Released struct {
	// Answer is the signed document.
	Answer string
	// Entry is what the ledger says.
	Entry ledger.Entry
	// Decision shows each condition of the release policy, if it was evaluated.
	Decision *release.Decision
}

// Release decides whether a token opens a key, wraps it to the key of the attested machine, and records the decision.
// The error is a *[Refusal], wraps [issuer.ErrUnavailable] or [store.ErrUnavailable], or is one of the service. What
// was decided is recorded, refusals too, unless the error is the service's own.
func (v *Vault) Release(
	ctx context.Context, p *provider.Provider, r ReleaseRequest, by provider.By,
) (*Released, error) {
	return v.recorded(ctx, p, subject(r.Name, r.Version), by, func(out *Released) (string, error) {
		return v.release(ctx, p, r, out)
	})
}

// recorded decides about a release, which f makes, and records the decision.
func (v *Vault) recorded(
	ctx context.Context, p *provider.Provider, subject string, by provider.By,
	f func(out *Released) (answer string, err error),
) (*Released, error) {
	out := &Released{Entry: ledger.Entry{Time: v.cfg.Now().UTC(), Type: ledger.Release, Request: by.Request,
		Client: by.Client, By: by.Caller, Subject: subject, Outcome: ledger.Accepted,
		Details: map[string]string{}}}
	answer, err := f(out)
	var refused *Refusal
	switch {
	case errors.As(err, &refused):
		out.Entry.Outcome, out.Entry.Check = ledger.Refused, refused.Check.ID
		out.Entry.Details["reason"] = shorten(refused.Check.Found)
	case err != nil:
		return out, err
	}
	// A key never leaves without its entry; a refusal waits for it where the provider asks for that.
	wait := refused == nil || p.FailsClosed()
	if failure := v.cfg.Record(ctx, p.Identity(), out.Entry, wait); failure != nil && wait {
		return out, errors.Join(refuse(CodeUnavailable, "The release cannot be recorded now.", CheckRecorded,
			"an entry in the ledger", "a ledger that cannot be written now"), failure)
	}
	if refused != nil {
		return out, refused
	}
	out.Answer = answer
	return out, nil
}

// maxReason bounds what the ledger keeps of a reason, in bytes.
const maxReason = 1024

func shorten(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}

// release makes the checks in their order. What is used once is used up only by a request that is
// otherwise accepted.
func (v *Vault) release(
	ctx context.Context, p *provider.Provider, r ReleaseRequest, out *Released,
) (string, error) {
	rules := p.Settings.Vault
	algorithm, err := v.algorithm(r, rules.MinimumWrapping)
	if err != nil {
		return "", err
	}
	k, err := v.Get(ctx, p, r.Name, r.Version)
	if err != nil {
		return "", err
	}
	if err := v.releasable(k); err != nil {
		return "", err
	}
	claims, words, err := v.opens(p, k, out, func(policy *release.Policy) (*token.Verified, string, error) {
		t, err := v.token(ctx, policy, r.Target, &out.Entry)
		return t, "", err
	})
	if err != nil {
		return "", err
	}
	to, err := claims.WrappingKey()
	if err != nil {
		return "", unverified(CheckWrappingKey, "an RSA key for encryption in x-ms-runtime.keys", err.Error())
	}
	out.Entry.Details["wrappingKey"], out.Entry.Details["wrapping"] = to.Thumbprint, string(algorithm)
	answer, err := v.answer(ctx, p, r, k, to, algorithm)
	if err != nil {
		return "", err
	}
	// Last: a protection that does not answer uses up no token.
	if err := v.useUp(ctx, words); err != nil {
		return "", err
	}
	return answer, nil
}

// opens decides whether a token opens a key. It returns the claims, and what is to be used up. Verify
// verifies the token; it may return a nonce that the evidence covers, besides those of the claims.
func (v *Vault) opens(
	p *provider.Provider, k *Key, out *Released,
	verify func(*release.Policy) (t *token.Verified, nonce string, err error),
) (release.Claims, []word, error) {
	var none release.Claims
	out.Entry.Subject = subject(k.Name, k.Version.ID)
	out.Entry.Details["releasePolicy"] = PolicyHash(k.Policy)
	policy, err := release.Parse(k.Policy.Data)
	if err != nil {
		return none, nil, fmt.Errorf("vault: the release policy of key %s: %w", k.Name, err)
	}
	t, nonce, err := verify(policy)
	if err != nil {
		return none, nil, err
	}
	claims, err := release.ParseClaims(t.Payload)
	if err != nil {
		return none, nil, unverified(CheckTokenSignature, "claims without duplicate members", err.Error())
	}
	words, err := v.words(p, t, k, nonce)
	if err != nil {
		return none, nil, err
	}
	out.Decision = policy.Evaluate(t.Issuer, claims)
	if !out.Decision.Satisfied {
		return none, nil, refuse(CodeForbidden,
			"Target environment attestation does not meet key release policy requirements.",
			CheckConditions, "a token that satisfies the release policy", out.Decision.Reason)
	}
	return claims, words, nil
}

func (v *Vault) algorithm(r ReleaseRequest, minimum string) (keywrap.Algorithm, error) {
	a, err := keywrap.ParseAlgorithm(r.Algorithm)
	if err != nil {
		return a, bad(CheckAlgorithm, fmt.Sprint("enc one of ", keywrap.Algorithms()),
			fmt.Sprintf("%.60q", r.Algorithm))
	}
	if least := keywrap.Algorithm(minimum); minimum != "" && a.Hash().Size() < least.Hash().Size() {
		return a, bad(CheckAlgorithm, "enc "+minimum+" or stronger, as the provider wants", string(a))
	}
	if len(r.Nonce) > maxNonce {
		return a, bad(CheckAttributes, fmt.Sprintf("a nonce of at most %d bytes", maxNonce),
			fmt.Sprint(len(r.Nonce)))
	}
	return a, nil
}

// releasable checks that a key may be released now.
func (v *Vault) releasable(k *Key) error {
	one, now := k.Version, v.cfg.Now()
	refuseTime := func(found string) error {
		return refuse(CodeForbidden, "Operation release is not permitted on this key.", CheckEnabled,
			"a version that is enabled and valid now", found)
	}
	switch {
	case !k.Exportable || k.Policy == nil:
		return bad(CheckReleasable, "a key that is exportable", "key "+k.Spelling+", which is not")
	case one.Disabled:
		return refuseTime("version " + one.ID + ", which is disabled")
	case !one.NotBefore.IsZero() && now.Before(one.NotBefore):
		return refuseTime(
			"version " + one.ID + ", which is not valid before " + one.NotBefore.Format(time.RFC3339),
		)
	case !one.Expires.IsZero() && !now.Before(one.Expires):
		return refuseTime("version " + one.ID + ", which expired at " + one.Expires.Format(time.RFC3339))
	}
	return nil
}

// tokenClaims are what the vault reads of a token besides the release policy.
type tokenClaims struct {
	Issuer  string `json:"iss"`
	ID      string `json:"jti"`
	Type    string `json:"x-ms-attestation-type"`
	Nonce   any    `json:"nonce"`
	Runtime struct {
		Nonce any `json:"nonce"`
	} `json:"x-ms-runtime"`
}

// token verifies the token, which must be of an authority of the policy, and about an attested machine.
func (v *Vault) token(
	ctx context.Context, policy *release.Policy, compact string, e *ledger.Entry,
) (*token.Verified, error) {
	_, payload, err := token.Decode(compact)
	if err != nil {
		return nil, unverified(CheckTokenSignature, "an attestation token, a compact JWS", err.Error())
	}
	var claims tokenClaims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, unverified(CheckTokenSignature, "an attestation token", "claims that cannot be read")
	}
	// Cheap checks come first, and no token makes us ask an issuer that no policy names.
	known := false
	var names []string
	for _, a := range policy.Authorities {
		known = known || release.SameAuthority(a.URL, claims.Issuer)
		names = append(names, a.URL)
	}
	if !known {
		return nil, unverified(CheckIssuer,
			"a token of an authority of the release policy: "+strings.Join(names, ", "),
			fmt.Sprintf("a token of %.200q", claims.Issuer))
	}
	t, err := v.cfg.Authorities.verify(ctx, compact, claims.Issuer, v.cfg.Now())
	if err != nil {
		return nil, err
	}
	return t, v.describe(t, e)
}

// describe puts into the record which token it was, and refuses one that is not about a machine.
func (v *Vault) describe(t *token.Verified, e *ledger.Entry) error {
	var claims tokenClaims
	if err := json.Unmarshal(t.Payload, &claims); err != nil {
		return unverified(CheckTokenSignature, "an attestation token", "claims that cannot be read")
	}
	e.Token, e.Details["issuer"] = shorten(claims.ID), t.Issuer
	var all map[string]any
	if err := json.Unmarshal(t.Payload, &all); err != nil {
		return unverified(CheckTokenSignature, "an attestation token", "claims that cannot be read")
	}
	for _, name := range measurements {
		if text, ok := measurement(all, name); ok {
			e.Details["measurement"] = name + "=" + shorten(text)
			break
		}
	}
	if claims.Type == "" {
		return unverified(CheckTokenKind, "a token with the claim x-ms-attestation-type", "a token without it")
	}
	return nil
}

// measurements are the claims that name what was measured, in the order in which they are looked for.
var measurements = []string{
	"x-ms-sgx-mrenclave", "x-ms-sevsnpvm-launchmeasurement", "x-ms-tdx-mrtd", "tdx_mrtd",
	"x-ms-isolation-tee.x-ms-sevsnpvm-launchmeasurement", "x-ms-isolation-tee.tdx_mrtd",
}

func measurement(claims map[string]any, path string) (string, bool) {
	var value any = claims
	for part := range strings.SplitSeq(path, ".") {
		m, ok := value.(map[string]any)
		if !ok {
			return "", false
		}
		value = m[part]
	}
	text, ok := value.(string)
	return text, ok
}

// word is what may be used once.
type word struct {
	text    string
	expires time.Time
	refusal *Refusal
}

// words returns what the provider's settings want to be used once: the challenge, and the token. Covered is a
// nonce that the evidence covers, if it is not among the runtime data.
func (v *Vault) words(p *provider.Provider, t *token.Verified, k *Key, covered string) ([]word, error) {
	var claims tokenClaims
	if err := json.Unmarshal(t.Payload, &claims); err != nil {
		return nil, unverified(CheckTokenSignature, "an attestation token", "claims that cannot be read")
	}
	var list []word
	if mode := p.Settings.Vault.Challenge; mode != "" {
		nonce := covered
		if nonce == "" {
			nonce, _ = claims.Runtime.Nonce.(string)
		}
		if nonce == "" && mode == settings.ChallengeToken {
			nonce, _ = claims.Nonce.(string)
		}
		expires, err := v.challenged(p, nonce)
		if err != nil {
			return nil, err
		}
		list = append(list, word{"release challenge:" + nonce, expires, unverified(CheckChallenge,
			"a nonce that was not used before", "one that was")})
	}
	if p.Settings.Vault.Once {
		if claims.ID == "" {
			return nil, unverified(CheckOnce, "a token with an id (jti)", "a token without one")
		}
		text := fmt.Sprintf("%s %s/%s %s %s", p.Identity(), k.Name, k.Version.ID, t.Issuer, claims.ID)
		list = append(list, word{"release token:" + digest(text), t.Expires, unverified(CheckOnce,
			"a token that did not release this version before", "token "+shorten(claims.ID)+", which did")})
	}
	return list, nil
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// useUp takes the words, on all nodes that share the store.
func (v *Vault) useUp(ctx context.Context, words []word) error {
	for _, w := range words {
		free, err := v.cfg.Store.UseOnce(ctx, w.text, v.cfg.Now(), w.expires)
		if err != nil {
			return err
		}
		if !free {
			return w.refusal
		}
	}
	return nil
}

// answer wraps the key and signs the document.
func (v *Vault) answer(
	ctx context.Context, p *provider.Provider, r ReleaseRequest, k *Key, to *release.WrappingKey,
	algorithm keywrap.Algorithm,
) (string, error) {
	signer := v.cfg.Signer()
	if signer == nil {
		return "", refuse(CodeUnavailable, "The service has no certificate that signs released keys.", CheckSigner,
			"an RSA certificate that names the service's host", "no such certificate")
	}
	protection, err := v.protection(k.Version.Protection)
	if err != nil {
		return "", err
	}
	ciphertext, err := protection.Wrap(ctx, identify(p, &k.Version), k.Version.Sealed, to.Public, algorithm)
	if err != nil {
		return "", err
	}
	d := &document.Document{
		Request: document.Request{APIVersion: r.APIVersion, Algorithm: algorithm, KeyID: r.KeyURL, Nonce: r.Nonce},
		Key: document.Key{
			KeyID:      r.Base + "/keys/" + r.Name + "/" + k.Version.ID,
			Type:       k.Version.Type,
			Operations: k.Version.Operations,
		},
		Attributes: document.Attributes{
			Enabled: true, Exportable: true, Created: k.Version.Created.Unix(), Updated: k.Version.Updated.Unix(),
			RecoveryLevel: v.RecoveryLevel(), RecoverableDays: v.cfg.Recoverable,
			NotBefore: seconds(k.Version.NotBefore), Expires: seconds(k.Version.Expires),
		},
		Tags: k.Version.Tags,
		Policy: document.Policy{ContentType: k.Policy.ContentType, Immutable: k.Policy.Immutable,
			Data: base64.RawURLEncoding.EncodeToString(k.Policy.Data)},
	}
	if k.Version.Public != nil {
		public, err := pubkey.Parse(k.Version.Public)
		if err == nil {
			err = d.Key.SetPublic(public)
		}
		if err != nil {
			return "", fmt.Errorf("vault: key %s: %w", k.Name, err)
		}
	}
	if err := d.SetWrapped(to, ciphertext); err != nil {
		return "", err
	}
	return signer.Sign(d)
}

// RecoveryLevel is what Azure's vault calls it.
func (v *Vault) RecoveryLevel() string {
	if v.cfg.Recoverable < DefaultRecoverable {
		return "CustomizedRecoverable+Purgeable"
	}
	return "Recoverable+Purgeable"
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// URL is the id of a key with its version, below the URL of its provider.
func (k *Key) URL(base string) string { return base + "/keys/" + k.Spelling + "/" + k.Version.ID }
