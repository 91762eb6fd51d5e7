package node

import (
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"log/slog"
	"testing"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store/seal"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/test/kit/pgtest"
)

// openNode opens a node of a shared database, with a data folder of its own and one master key for all.
func openNode(t *testing.T, database, master string) *Node {
	t.Helper()
	t.Setenv("PROBITY_POSTGRES", database)
	t.Setenv("PROBITY_MASTER_KEY", master)
	cfg := config.Config{Listen: "localhost:0", DataDir: t.TempDir(), URL: "https://localhost:8443"}
	if err := cfg.Complete(true); err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), cfg, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// TestAChangeOfOneNodeIsNotUndoneAtAnother: a node knows what others changed, and refuses an earlier state.
func TestAChangeOfOneNodeIsNotUndoneAtAnother(t *testing.T) {
	database := pgtest.Start(t).Database(t)
	key := make([]byte, 32)
	rand.Read(key)
	master := base64.StdEncoding.EncodeToString(key)
	one := openNode(t, database, master)
	two := openNode(t, database, master)
	p := one.registry.Default()
	by := provider.By{Caller: "token:officer"}
	oct := vault.Kind{Type: "oct"}
	if _, err := one.vault.Create(t.Context(), p, vault.Request{Name: "disk", Kind: oct}, by); err != nil {
		t.Fatal(err)
	}
	db := one.store.(interface{ DB() *sql.DB })
	pgtest.Exec(t, db.DB(), `CREATE TABLE old_versions AS SELECT * FROM vault_versions`)
	pgtest.Exec(t, db.DB(), `CREATE TABLE old_seals AS SELECT * FROM seals`)
	off := false
	if _, err := one.vault.Update(t.Context(), p, "", vault.Request{Name: "disk",
		Attributes: vault.Attributes{Enabled: &off}}, by); err != nil {
		t.Fatal(err)
	}
	if err := two.registry.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The earlier, enabled state comes back behind both nodes.
	pgtest.Exec(t, db.DB(), `UPDATE vault_versions SET data = o.data FROM old_versions o WHERE o.id = vault_versions.id`)
	pgtest.Exec(t, db.DB(), `UPDATE seals SET version = o.version, mac = o.mac FROM old_seals o WHERE o.scope = seals.scope`)
	for name, n := range map[string]*Node{"one": one, "two": two} {
		if k, err := n.vault.Get(t.Context(), p, "disk", ""); !errors.Is(err, seal.ErrAltered) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}
