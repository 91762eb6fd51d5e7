package vault_test

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/token"
)

// guestRequest asks for the key of [releases.key] with a session of the provider.
func (r *releases) guestRequest(edit ...func(map[string]any)) vault.GuestRequest {
	claims := r.claims()
	for _, f := range edit {
		f(claims)
	}
	payload := must[[]byte](r.t)(json.Marshal(claims))
	return vault.GuestRequest{Name: "disk", Tag: "resource", Value: "a/b/c",
		Session: &token.Verified{Issuer: r.issuer, Expires: start.Add(time.Hour), Payload: payload},
		Recipient: func([]byte) (*vault.Recipient, error) {
			return &vault.Recipient{Thumbprint: "tp", Algorithm: "alg", Nonce: "n",
				Encrypt: func(secret []byte) ([]byte, error) {
					return append([]byte("sealed "), secret...),
						nil
				}}, nil
		}}
}

// guestKey is a key that guests may have.
func (r *releases) guestKey(edit ...func(*vault.Request)) {
	r.key(append(edit, func(v *vault.Request) { v.Attributes.Tags = map[string]string{"resource": "a/b/c"} })...)
}

func TestAKeyIsReleasedToAGuest(t *testing.T) {
	r := newReleases(t)
	r.guestKey()
	out, err := r.ReleaseToGuest(t.Context(), r.p, r.guestRequest(), by)
	if err != nil || out.Answer != "sealed the passphrase" {
		t.Fatalf("%+v %v", out, err)
	}
	e := r.last()
	if e.Outcome != ledger.Accepted || e.Token != "token-1" || !strings.HasPrefix(e.Subject, "key:disk/") ||
		e.Details["wrappingKey"] != "tp" || e.Details["wrapping"] != "alg" || e.Details["resource"] != "a/b/c" ||
		e.Details["measurement"] != "x-ms-sevsnpvm-launchmeasurement=abcd" || e.Details["releasePolicy"] == "" {
		t.Errorf("%+v", e)
	}
	// A token in the place of the session must be of the provider itself.
	request := r.guestRequest()
	request.Session, request.Target = nil, r.sign(r.claims())
	_, err = r.ReleaseToGuest(t.Context(), r.p, request, by)
	refused(t, "a token of another authority", err, vault.CodeForbidden, vault.CheckIssuer)
}

func TestGuestsAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		edit  func(*releases, *vault.GuestRequest)
		key   func(*vault.Request)
		code  string
		check error
	}{
		"another tag": {func(_ *releases, g *vault.GuestRequest) { g.Value = "a/b/d" }, nil,
			vault.CodeNotFound, vault.CheckExists},
		"the tag's prefix": {func(_ *releases, g *vault.GuestRequest) { g.Value = "a/b" }, nil,
			vault.CodeNotFound, vault.CheckExists},
		"no tag": {func(_ *releases, g *vault.GuestRequest) { g.Tag, g.Value = "other", "" }, nil,
			vault.CodeNotFound, vault.CheckExists},
		"no key": {func(_ *releases, g *vault.GuestRequest) { g.Name = "none" }, nil,
			vault.CodeNotFound, vault.CheckExists},
		"no name": {func(_ *releases, g *vault.GuestRequest) { g.Name = "" }, nil,
			vault.CodeBadParameter, vault.CheckKeyName},
		"an old session": {func(r *releases, _ *vault.GuestRequest) { r.now = start.Add(2 * time.Hour) },
			nil, vault.CodeForbidden, vault.CheckTokenTimes},
		"no key in the claims": {func(_ *releases, g *vault.GuestRequest) {
			g.Recipient = func([]byte) (*vault.Recipient, error) { return nil, errors.New("no key") }
		}, nil, vault.CodeForbidden, vault.CheckGuestKey},
		"not about a machine": {func(r *releases, g *vault.GuestRequest) {
			*g = r.guestRequest(func(c map[string]any) { delete(c, "x-ms-attestation-type") })
		}, nil, vault.CodeForbidden, vault.CheckTokenKind},
		"another measurement": {func(r *releases, g *vault.GuestRequest) {
			*g = r.guestRequest(func(c map[string]any) { c["x-ms-sevsnpvm-launchmeasurement"] = "abce" })
		}, nil, vault.CodeForbidden, vault.CheckConditions},
		"claims that are not JSON": {func(_ *releases,
			g *vault.GuestRequest) {
			g.Session.Payload = []byte("{")
		}, nil,
			vault.CodeForbidden, vault.CheckTokenSignature},
		"a nonce that is no challenge": {func(r *releases,
			_ *vault.GuestRequest) {
			r.p.Settings.Vault.Challenge = "evidence"
		}, nil,
			vault.CodeForbidden, vault.CheckChallenge},
		"wrapping with SHA-1": {func(r *releases, g *vault.GuestRequest) {
			r.p.Settings.Vault.MinimumWrapping = "RSA_AES_KEY_WRAP_384"
			g.Recipient = func([]byte) (*vault.Recipient, error) {
				return &vault.Recipient{Weak: true,
					Algorithm: "RSA-OAEP"}, nil
			}
		}, nil, vault.CodeBadParameter, vault.CheckAlgorithm},
		"a disabled key": {func(*releases, *vault.GuestRequest) {},
			func(v *vault.Request) { v.Attributes.Enabled = ptr(false) },
			vault.CodeForbidden, vault.CheckEnabled},
		"a key that is not released": {func(*releases, *vault.GuestRequest) {}, func(v *vault.Request) {
			v.Attributes.Exportable, v.Policy = nil, (*store.ReleasePolicy)(nil)
		}, vault.CodeBadParameter, vault.CheckReleasable},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReleases(t)
			edits := []func(*vault.Request){}
			if tc.key != nil {
				edits = append(edits, tc.key)
			}
			r.guestKey(edits...)
			request := r.guestRequest()
			tc.edit(r, &request)
			out, err := r.ReleaseToGuest(t.Context(), r.p, request, by)
			refused(t, name, err, tc.code, tc.check)
			if out.Answer != "" {
				t.Error("a refusal with an answer")
			}
			if e := r.last(); e.Outcome != ledger.Refused || e.Check != tc.check.Error() {
				t.Errorf("%+v", e)
			}
		})
	}
}

// closed is a protection that never gives a key out.
type closed struct{ vault.Protection }

func (closed) Open(context.Context, vault.ID, []byte) ([]byte, error) { return nil, vault.ErrNotOpened }
func (closed) Wrap(context.Context, vault.ID, []byte, *rsa.PublicKey, keywrap.Algorithm) ([]byte, error) {
	return nil, vault.ErrNotOpened
}

func TestNothingReachesAGuestWithoutItsEntryOrInTheClear(t *testing.T) {
	r := newReleases(t)
	r.guestKey()
	r.broken = errors.New("the store is down")
	out, err := r.ReleaseToGuest(t.Context(), r.p, r.guestRequest(), by)
	refused(t, "no ledger", err, vault.CodeUnavailable, vault.CheckRecorded)
	if out.Answer != "" {
		t.Error("an answer without an entry")
	}
	r.broken = nil
	request := r.guestRequest()
	request.Recipient = func([]byte) (*vault.Recipient, error) {
		return &vault.Recipient{Encrypt: func([]byte) ([]byte, error) {
			return nil,
				errors.New("no randomness")
		}}, nil
	}
	if out, err := r.ReleaseToGuest(t.Context(), r.p, request, by); err == nil || out.Answer != "" ||
		strings.Contains(err.Error(), "passphrase") {
		t.Errorf("%+v %v", out, err)
	}
	r.cfg.Protections[vault.Software] = closed{r.cfg.Protections[vault.Software]}
	_, err = r.ReleaseToGuest(t.Context(), r.p, r.guestRequest(), by)
	refused(t, "a protection that gives nothing out", err, vault.CodeBadParameter, vault.CheckProtection)
}
