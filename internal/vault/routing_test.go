package vault_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"testing"

	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

// apart is a second protection: one of software whose failures a test chooses. It keeps count of its keys, as a token does.
type apart struct {
	vault.Protection
	fail   error
	closed bool // gives nothing out
	keys   map[vault.ID]bool
}

func (a *apart) Generate(ctx context.Context, id vault.ID, k vault.Kind) (sealed, public []byte, err error) {
	if a.fail != nil {
		return nil, nil, a.fail
	}
	a.keys[id] = true
	return a.Protection.Generate(ctx, id, k)
}

func (a *apart) Seal(ctx context.Context, id vault.ID, m *vault.Material) ([]byte, error) {
	if a.fail != nil || a.keys[id] {
		return nil, errors.Join(a.fail, errors.New("a key is there"))
	}
	a.keys[id] = true
	return a.Protection.Seal(ctx, id, m)
}

func (a *apart) Open(ctx context.Context, id vault.ID, sealed []byte) ([]byte, error) {
	if a.closed {
		return nil, vault.ErrNotOpened
	}
	return a.Protection.Open(ctx, id, sealed)
}

func (a *apart) Wrap(
	ctx context.Context, id vault.ID, sealed []byte, to *rsa.PublicKey, w keywrap.Algorithm,
) ([]byte, error) {
	if a.fail != nil {
		return nil, a.fail
	}
	return a.Protection.Wrap(ctx, id, sealed, to, w)
}

func (a *apart) Destroy(_ context.Context, id vault.ID, _ []byte) error {
	delete(a.keys, id)
	return nil
}

func newApart(t *testing.T) *apart {
	p := must[vault.Protection](t)(vault.NewSoftware(make([]byte, 32), rand.Reader))
	return &apart{Protection: p, keys: map[vault.ID]bool{}}
}

// with adds the protection for keys of the -HSM types.
func (a *apart) with(c *vault.Config) { c.Protections["apart"], c.HSM = a, "apart" }

var (
	cannot    = vault.CannotProtect("a token that can", "a token that cannot", "take another type")
	errOutage = fmt.Errorf("token: %w", vault.ErrUnavailable)
	hsmKind   = vault.Kind{Type: "oct-HSM", Size: 256}
)

func TestKeysOfHSMTypesGoToTheirProtection(t *testing.T) {
	a := newApart(t)
	l := newLab(t, a.with)
	imported := vault.JWK{Type: "oct-HSM", K: b64([]byte("a passphrase"))}
	for name, tc := range map[string]struct {
		request vault.Request
		want    string
	}{
		"plain":        {vault.Request{Kind: vault.Kind{Type: "oct"}}, vault.Software},
		"plain-rsa":    {vault.Request{Kind: vault.Kind{Type: "RSA"}}, vault.Software},
		"hsm":          {vault.Request{Kind: hsmKind}, "apart"},
		"hsm-ec":       {vault.Request{Kind: vault.Kind{Type: "EC-HSM"}}, "apart"},
		"hsm-imported": {vault.Request{Import: &imported}, "apart"},
	} {
		tc.request.Name = name
		if k := l.create(tc.request); k.Version.Protection != tc.want {
			t.Errorf("%s: %s", name, k.Version.Protection)
		}
	}
	// A new version follows the type.
	if k := must[*vault.Key](t)(l.Rotate(t.Context(), l.p, "hsm", by)); k.Version.Protection != "apart" {
		t.Errorf("a rotated key: %s", k.Version.Protection)
	}
	if len(a.keys) != 4 {
		t.Errorf("%d keys", len(a.keys))
	}
}

func TestWhatAProtectionCannotIsRefusedUnlessItIsMarked(t *testing.T) {
	a := newApart(t)
	a.fail = cannot
	l := newLab(t, a.with)
	_, err := l.Create(t.Context(), l.p, vault.Request{Name: "k", Kind: hsmKind}, by)
	refused(t, "not marked", err, vault.CodeBadParameter, vault.CheckProtection)
	marked := newLab(t, a.with, func(c *vault.Config) { c.SoftwareWrapped = true })
	if k := marked.create(vault.Request{Name: "k", Kind: hsmKind}); k.Version.Protection != vault.Software ||
		k.Version.Type != "oct-HSM" {
		t.Errorf("%+v", k.Version)
	}
	jwk := vault.JWK{Type: "oct-HSM", K: b64([]byte{1, 2, 3})}
	if k := marked.create(vault.Request{Name: "i", Import: &jwk}); k.Version.Protection != vault.Software {
		t.Errorf("%+v", k.Version)
	}
	// An outage is no reason to keep a key elsewhere.
	a.fail = errOutage
	if k, err := marked.Create(t.Context(), marked.p, vault.Request{Name: "o", Kind: hsmKind}, by); !errors.Is(err,
		vault.ErrUnavailable) || k != nil {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := marked.Get(t.Context(), marked.p, "o", ""); !errors.Is(err, vault.CheckExists) {
		t.Errorf("a key was stored: %v", err)
	}
}

func TestAProtectionThatIsNotConfiguredIsNotReplaced(t *testing.T) {
	if _, err := vault.New(vault.Config{New: vault.Software, HSM: "apart"}); err == nil {
		t.Error("a vault without its protection")
	}
	l := newLab(t, newApart(t).with)
	l.create(vault.Request{Name: "k", Kind: hsmKind})
	delete(l.cfg.Protections, "apart")
	l.cfg.HSM = ""
	later := must[*vault.Vault](t)(vault.New(l.cfg))
	_, err := later.Backup(t.Context(), l.p, "k", by)
	refused(t, "backup", err, vault.CodeConflict, vault.CheckProtection)
}

func TestKeysThatNeverOpenAreNotBackedUp(t *testing.T) {
	a := newApart(t)
	a.closed = true
	l := newLab(t, a.with)
	l.create(vault.Request{Name: "k", Kind: hsmKind})
	_, err := l.Backup(t.Context(), l.p, "k", by)
	refused(t, "backup", err, vault.CodeBadParameter, vault.CheckBackup)
}

// TestARestoreThatIsRefusedDestroysNothing: a protection with one key for an id keeps the one that is there.
func TestARestoreThatIsRefusedDestroysNothing(t *testing.T) {
	a := newApart(t)
	l := newLab(t, a.with)
	k := l.create(vault.Request{Name: "k", Kind: hsmKind})
	l.create(vault.Request{Name: "k", Kind: hsmKind})
	blob := must[[]byte](t)(l.Backup(t.Context(), l.p, "k", by))
	if _, err := l.Restore(t.Context(), l.p, blob, by); err == nil {
		t.Error("a key was restored over itself")
	}
	if len(a.keys) != 2 {
		t.Fatalf("%d keys, want 2", len(a.keys))
	}
	must[*vault.Key](t)(l.Delete(t.Context(), l.p, "k", by))
	if err := l.Purge(t.Context(), l.p, "k", by); err != nil || len(a.keys) != 0 {
		t.Fatalf("%d keys, %v", len(a.keys), err)
	}
	// The second version cannot be sealed: what was made of the first one is removed.
	a.keys[vault.ID{Provider: l.p.Identity(), Name: "k", Version: k.Version.ID}] = true
	if _, err := l.Restore(t.Context(), l.p, blob, by); err == nil || len(a.keys) != 1 {
		t.Errorf("%d keys, %v", len(a.keys), err)
	}
	clear(a.keys)
	if back := must[*vault.Key](t)(l.Restore(t.Context(), l.p, blob, by)); len(a.keys) != 2 ||
		back.Version.Protection != "apart" {
		t.Errorf("%d keys, %+v", len(a.keys), back.Version)
	}
}

func TestAnOutageOfAProtectionUsesUpNoToken(t *testing.T) {
	a := newApart(t)
	r := newReleases(t)
	a.with(&r.cfg)
	r.Vault = must[*vault.Vault](t)(vault.New(r.cfg))
	r.p.Settings.Vault.Once = true
	r.key(func(q *vault.Request) { q.Import.Type = "oct-HSM" })
	text := r.sign(r.claims())
	a.fail = errOutage
	out, err := r.Release(t.Context(), r.p, r.request(text), by)
	var refusal *vault.Refusal
	if !errors.Is(err, vault.ErrUnavailable) || errors.As(err, &refusal) || out.Answer != "" {
		t.Fatalf("%v", err)
	}
	if len(r.entries) != 0 {
		t.Errorf("an outage was recorded as a decision: %+v", r.last())
	}
	a.fail = nil
	out = must[*vault.Released](t)(r.Release(t.Context(), r.p, r.request(text), by))
	if m := r.open(out.Answer, document.Expectation{}); string(m.Octets) != "the passphrase" {
		t.Errorf("%q", m.Octets)
	}
	_, err = r.Release(t.Context(), r.p, r.request(text), by)
	refused(t, "the same token again", err, vault.CodeForbidden, vault.CheckOnce)
}
