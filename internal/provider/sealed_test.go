package provider_test

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/postgres"
	"github.com/probity-dev/probity/internal/store/seal"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/test/kit/pgtest"
)

// database is a store whose rows a test edits as someone would who can write the
// database and has no key.
type database interface {
	store.Store
	DB() *sql.DB
}

// engines runs the test on both engines.
func engines(t *testing.T, test func(t *testing.T, open func(t *testing.T) database)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, func(t *testing.T) database { return open(t) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Start(t)
		test(t, func(t *testing.T) database {
			db, err := postgres.Open(t.Context(), server.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		})
	})
}

var _ database = (*sqlite.Store)(nil)

// node is a node of a service with sealed state.
type node struct {
	*provider.Registry
	t      *testing.T
	db     database
	folder string
	log    bytes.Buffer
	sealed store.Store
}

func newNode(t *testing.T, db database) *node {
	n := &node{t: t, db: db, folder: filepath.Join(t.TempDir(), "anchor")}
	n.must(n.start())
	return n
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// start starts the node, or starts it again.
func (n *node) start() error {
	cfg := config(n.t, n.db)
	folder, err := anchor.Open(n.folder)
	n.must(err)
	seals, err := seal.Open(cfg.Signing.Master, folder)
	n.must(err)
	if err := seals.Upgrade(n.t.Context(), n.db, func(store.Tx, int) error { return nil }); err != nil {
		return err
	}
	n.sealed = seals.Guard(n.db)
	cfg.Store, cfg.Seals, cfg.Log = n.sealed, seals, slog.New(slog.NewTextHandler(&n.log, nil))
	r, err := provider.New(n.t.Context(), cfg)
	if err == nil {
		n.Registry = r
	}
	return err
}

func (n *node) put(name, settings string) {
	n.t.Helper()
	_, _, err := n.PutProvider(n.t.Context(), provider.ProviderChange{
		Name: name, Subscription: "s", Group: "g", Settings: jsontext.Value(settings),
	}, true)
	n.must(err)
}

const strict, lax = `version=1.0;authorizationrules{[type=="x-ms-sgx-is-debuggable", ` +
	`value==false] => permit();};`,
	`version=1.0;authorizationrules{=> permit();};`

func wrapped(t *testing.T, text string) string {
	jws, err := policyjws.Wrap(nil, text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

func (n *node) policy(name, text string) error {
	_, err := n.Change(n.t.Context(), provider.PolicyChange{
		Provider: name, Kind: evidence.SGXEnclave, Action: store.PolicySet, JWS: wrapped(n.t, text),
		By: provider.By{Caller: "test"},
	})
	return err
}

// exec changes the database without a key, and tells the nodes that something changed.
func (n *node) exec(statement string, args ...any) {
	n.t.Helper()
	_, err := n.db.DB().Exec(statement, args...)
	n.must(err)
	_, err = n.db.DB().Exec(
		`INSERT INTO changes (revision, topic, name) SELECT n + 1, 'provider', 'acme' FROM revision`,
	)
	n.must(err)
	_, err = n.db.DB().Exec(
		`INSERT INTO changes (revision, topic, name) SELECT n + 2, 'tokens', '' FROM revision`,
	)
	n.must(err)
	_, err = n.db.DB().Exec(`UPDATE revision SET n = n + 2`)
	n.must(err)
}

// works reports whether the provider's evidence is judged, by a policy of its own.
func (n *node) works(name string) error {
	t, ok := n.Get(name)
	if !ok {
		return errors.New("there is no such provider")
	}
	if p := t.Policy(evidence.SGXEnclave); p.Broken != nil {
		return p.Broken
	}
	return nil
}

func TestWhatTheDatabaseAloneSaysIsNotTrusted(t *testing.T) {
	engines(t, func(t *testing.T, open func(t *testing.T) database) {
		attacks := map[string]struct {
			attack func(n *node)
			tokens bool // of callers
			keys   bool // of TPMs, which have a seal of their own
		}{
			"a policy is replaced": {attack: func(n *node) {
				n.exec(`UPDATE policy_versions SET jws = $1 WHERE provider = 'acme'`, wrapped(n.t, lax))
			}},
			"an old policy is put back": {attack: func(n *node) {
				n.exec(`DELETE FROM policy_versions WHERE provider = 'acme' AND version = 2`)
			}},
			"a policy is added": {attack: func(n *node) {
				n.exec(`INSERT INTO policy_versions (provider, kind, version, action, jws, submitter, `+
					`signer, from_version, at) VALUES ('acme', 'TdxVm', 1, 'set', $1, 'x', '', 0, 1)`,
					wrapped(n.t, lax))
			}},
			"a setting is changed": {attack: func(n *node) {
				n.exec(`UPDATE providers SET data = REPLACE(CAST(data AS TEXT), 'failClosed', 'count') ` +
					`WHERE name = 'acme'`)
			}},
			"the network is opened": {attack: func(n *node) {
				n.exec(`UPDATE providers SET data = '{"publicNetworkAccess":"Enabled"}' WHERE name = 'acme'`)
			}},
			"an attestation key is enrolled": {keys: true, attack: func(n *node) {
				n.exec(`INSERT INTO tpm_keys (provider, key, endorsement_key, name, created) ` +
					`VALUES ('acme', 'aa', 'bb', 'evil', 1)`)
			}},
			"the provider is removed": {attack: func(n *node) { n.exec(`DELETE FROM providers WHERE name = 'acme'`) }},
			"its seal is removed": {attack: func(n *node) {
				n.exec(`DELETE FROM seals WHERE scope = 'provider:acme'`)
			}},
			"all seals are removed": {attack: func(n *node) {
				n.exec(`UPDATE providers SET data = '{}' WHERE name = 'acme'`)
				n.exec(`DELETE FROM seals WHERE scope = 'provider:acme'`)
			}},
			"the seal of another provider": {attack: func(n *node) {
				n.exec(`UPDATE seals SET mac = (SELECT mac FROM seals WHERE scope = 'provider:beta') ` +
					`WHERE scope = 'provider:acme'`)
			}},
			"a token is made": {tokens: true, attack: func(n *node) {
				n.exec(`INSERT INTO tokens (name, hash, data) SELECT 'evil', hash || '0', data ` +
					`FROM tokens WHERE name = 'ci'`)
			}},
			"a token gets another role": {tokens: true, attack: func(n *node) {
				n.exec(`UPDATE tokens SET data = REPLACE(CAST(data AS TEXT), 'reader', 'owner')`)
			}},
		}
		for name, tc := range attacks {
			t.Run(name, func(t *testing.T) {
				n := newNode(t, open(t))
				n.put("acme", `{"ledger":"failClosed"}`)
				n.put("beta", ``)
				n.must(n.policy("acme", lax))
				n.must(n.policy("acme", strict))
				n.must(n.policy("beta", lax))
				_, err := n.NewToken(t.Context(), "ci", "reader", []string{"acme"}, time.Time{},
					provider.By{Caller: "test"})
				n.must(err)
				if len(n.Altered()) > 0 {
					t.Fatal(n.Altered())
				}
				before, _ := n.Get("acme")
				tc.attack(n)

				// A node that runs keeps its last good state, and tells.
				n.must(n.Refresh(t.Context()))
				if len(n.Altered()) != 1 || !strings.Contains(n.log.String(), "DATABASE ALTERED") {
					t.Errorf("altered: %v", n.Altered())
				}
				if after, ok := n.Get("acme"); !tc.tokens && (!ok || after != before) {
					t.Error("the node uses what it read")
				}
				if len(n.Tokens()) != 1 {
					t.Errorf("%d tokens", len(n.Tokens()))
				}
				if !tc.tokens && !tc.keys {
					if err := n.policy("acme", lax); !errors.Is(err, provider.ErrAltered) {
						t.Errorf("a change of what was altered: %v", err)
					}
				}
				n.must(n.policy("beta", strict))

				// A node that starts trusts none of it, and goes on for others.
				n.must(n.start())
				if len(n.Altered()) != 1 {
					t.Errorf("altered after a start: %v", n.Altered())
				}
				if err := n.works("beta"); err != nil {
					t.Errorf("another provider: %v", err)
				}
				switch err := n.works("acme"); {
				case tc.tokens && (err != nil || len(n.Tokens()) != 0):
					t.Errorf("%d tokens, provider: %v", len(n.Tokens()), err)
				case !tc.tokens && !errors.Is(err, provider.ErrAltered):
					t.Errorf("its evidence: %v", err)
				}
			})
		}
	})
}

func TestAnOlderStateThatFitsItsSealIsNotTrusted(t *testing.T) {
	n := newNode(t, open(t))
	n.put("acme", ``)
	n.must(n.policy("acme", lax))
	var version int64
	var mac []byte
	n.must(n.db.DB().QueryRow(`SELECT version, mac FROM seals WHERE scope = 'provider:acme'`).Scan(&version,
		&mac))
	var data string
	var revision int64
	n.must(n.db.DB().QueryRow(`SELECT data, revision FROM providers WHERE name = 'acme'`).Scan(&data, &revision))
	n.must(n.policy("acme", strict))
	n.exec(`DELETE FROM policy_versions WHERE provider = 'acme' AND version = 2`)
	n.exec(`UPDATE providers SET data = $1, revision = $2 WHERE name = 'acme'`, data, revision)
	n.exec(`UPDATE seals SET version = $1, mac = $2 WHERE scope = 'provider:acme'`, version, mac)
	n.must(n.Refresh(t.Context()))
	if reason := n.Altered()["provider acme"]; !strings.Contains(reason, "was there before") {
		t.Errorf("altered: %v", n.Altered())
	}
	n.must(n.start())
	if err := n.works("acme"); !errors.Is(err, provider.ErrAltered) {
		t.Errorf("its evidence: %v", err)
	}
}

func TestARestoredStateIsTrustedAgain(t *testing.T) {
	n := newNode(t, open(t))
	n.put("acme", ``)
	n.must(n.policy("acme", strict))
	var jws string
	n.must(n.db.DB().QueryRow(`SELECT jws FROM policy_versions WHERE provider = 'acme'`).Scan(&jws))
	n.exec(`UPDATE policy_versions SET jws = $1 WHERE provider = 'acme'`, wrapped(t, lax))
	n.must(n.start())
	if n.works("acme") == nil {
		t.Fatal("the attack was not noticed")
	}
	n.exec(`UPDATE policy_versions SET jws = $1 WHERE provider = 'acme'`, jws)
	n.must(n.Refresh(t.Context()))
	if err := n.works("acme"); err != nil || len(n.Altered()) != 0 {
		t.Errorf("%v, %v", err, n.Altered())
	}
	n.must(n.policy("acme", lax))
}

func TestTheDefaultProviderIsNotMadeAgainWhenItWasRemoved(t *testing.T) {
	n := newNode(t, open(t))
	n.exec(`DELETE FROM providers WHERE name = 'default'`)
	if err := n.start(); !errors.Is(err, provider.ErrAltered) {
		t.Errorf("started: %v", err)
	}
}

func TestADatabaseWithoutSealsIsSealedOnce(t *testing.T) {
	db := open(t)
	cfg := config(t, db)
	r, err := provider.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = r.PutProvider(t.Context(),
		provider.ProviderChange{Name: "acme", Subscription: "s", Group: "g"}, true)
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t, db) // the program that has seals
	if err := n.works("acme"); err != nil || len(n.Altered()) != 0 {
		t.Fatalf("%v, %v", err, n.Altered())
	}
	n.exec(`UPDATE providers SET data = '{}' WHERE name = 'acme'`)
	n.exec(`DELETE FROM seals`)
	if err := n.start(); !errors.Is(err, provider.ErrAltered) {
		t.Errorf("a database whose seals were removed is sealed again: %v", err)
	}
}

func TestAProviderThatIsDeletedAndMadeAgainIsSealed(t *testing.T) {
	n := newNode(t, open(t))
	for range 2 {
		n.put("acme", ``)
		n.must(n.policy("acme", strict))
		n.must(n.DeleteProvider(t.Context(), "acme", provider.By{Caller: "test"}))
		n.must(n.start())
		if _, ok := n.Get("acme"); ok || len(n.Altered()) != 0 {
			t.Errorf("there: %v, altered: %v", ok, n.Altered())
		}
	}
}

func TestTwoNodesKnowEachOthersChanges(t *testing.T) {
	a := newNode(t, open(t))
	b := newNode(t, a.db)
	for i := range 20 {
		one, other := a, b
		if i%2 == 1 {
			one, other = b, a
		}
		one.put("acme", ``)
		n := one.policy("acme", []string{lax, strict}[i%2])
		one.must(n)
		other.must(other.Refresh(t.Context()))
		if len(other.Altered()) != 0 || other.works("acme") != nil {
			t.Fatalf("%v, %v", other.Altered(), other.works("acme"))
		}
	}
	b.must(b.start())
	if len(b.Altered()) != 0 {
		t.Error(b.Altered())
	}
}
