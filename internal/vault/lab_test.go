package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/seal"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/document"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// lab is a vault over a sealed database, with a clock that tests move.
type lab struct {
	*vault.Vault
	t      testing.TB
	db     *sql.DB
	store  store.Store
	master keys.MasterKey
	now    time.Time
	cfg    vault.Config
	p      *provider.Provider
}

var by = provider.By{Caller: "token:officer", Request: "00-1"}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newLab(t testing.TB, edit ...func(*vault.Config)) *lab {
	t.Helper()
	dir := t.TempDir()
	db := openDatabase(t, dir)
	t.Cleanup(func() { db.Close() })
	l := &lab{t: t, db: db.DB(), now: start}
	l.master = must[keys.MasterKey](t)(keys.NewMasterKey(bytes.Repeat([]byte{7}, 32)))
	seals := must[*seal.Seals](t)(seal.Open(l.master, must[*anchor.Folder](t)(anchor.Open(dir))))
	l.store = seals.Guard(db)
	for _, name := range []string{"default", "other"} {
		err := l.store.Update(t.Context(), store.TopicProvider, name, func(tx store.Tx) error {
			_, err := tx.PutProvider(store.Provider{Name: name})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	l.p = l.provider("default")
	l.cfg = vault.Config{
		Store: l.store, New: vault.Software, Random: rand.Reader, Now: func() time.Time { return l.now },
		Protections: map[string]vault.Protection{vault.Software: must[vault.Protection](t)(
			vault.NewSoftware(l.master.Subkey("keys of vaults"), rand.Reader))},
		Challenges:  l.master,
		Authorities: vault.Authorities{Own: func(string) (*provider.Provider, bool) { return nil, false }},
		Signer:      func() *document.Signer { return nil },
		Record:      func(context.Context, string, ledger.Entry, bool) error { return nil },
		Backups:     must[*vault.Backups](t)(vault.NewBackups(l.master.Subkey("backups of vaults"))),
	}
	for _, f := range edit {
		f(&l.cfg)
	}
	l.Vault = must[*vault.Vault](t)(vault.New(l.cfg))
	return l
}

func (l *lab) provider(name string) *provider.Provider {
	return &provider.Provider{Provider: store.Provider{Name: name}, URL: "https://" + name + ".example"}
}

// policy is a release policy that anyone could write.
func policy(immutable bool) *store.ReleasePolicy {
	return &store.ReleasePolicy{Immutable: immutable, Data: []byte(`{"version":"1.0.0","anyOf":[{` +
		`"authority":"https://default.example","allOf":[{"claim":"x-ms-attestation-type","equals":"sevsnpvm"}]}]}`)}
}

func ptr[T any](v T) *T { return &v }

// exportable asks for a key that can be released.
func exportable(name string) vault.Request {
	return vault.Request{Name: name, Kind: vault.Kind{Type: "oct"}, Policy: policy(false),
		Attributes: vault.Attributes{Exportable: ptr(true)}}
}

func (l *lab) create(r vault.Request) *vault.Key {
	l.t.Helper()
	return must[*vault.Key](l.t)(l.Create(l.t.Context(), l.p, r, by))
}

// refused checks that an error is a refusal with a code by a check.
func refused(t *testing.T, what string, err error, code string, check error) {
	t.Helper()
	var r *vault.Refusal
	switch {
	case !errors.As(err, &r):
		t.Errorf("%s: %v", what, err)
	case r.Code != code || !errors.Is(err, check):
		t.Errorf("%s: %s %v, want %s %v", what, r.Code, err, code, check)
	case r.Check.Expected == "" || r.Check.Found == "" || r.Check.Remedy == "" || r.Message == "":
		t.Errorf("%s: a refusal that does not explain itself: %+v", what, r)
	}
}
