package seal_test

import (
	"bytes"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/seal"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

var created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// vault is a guarded store with a key "a" of two versions and a key "b" of one, and the database below it.
type vault struct {
	store.Store
	db *sql.DB
}

func version(name, id string) store.VaultVersion {
	return store.VaultVersion{Provider: "default", Name: name, ID: id, Sealed: []byte(name + id), Type: "oct",
		Protection: "software", Created: created, Updated: created}
}

func key(name, current string) store.VaultKey {
	return store.VaultKey{Provider: "default", Name: name, Spelling: name, Current: current, Created: created,
		Exportable: true, Policy: &store.ReleasePolicy{Data: []byte("strict")}}
}

func newVault(t *testing.T) *vault {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	master, err := keys.NewMasterKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	folder, err := anchor.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	seals, err := seal.Open(master, folder)
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{seals.Guard(db), db.DB()}
	v.change(t, func(tx store.Tx) error {
		if _, err := tx.PutProvider(store.Provider{Name: "default"}); err != nil {
			return err
		}
		return errors.Join(tx.PutVaultKey(key("a", "v2")), tx.PutVaultVersion(version("a", "v1")),
			tx.PutVaultVersion(version("a", "v2")), tx.PutVaultKey(key("b", "v1")),
			tx.PutVaultVersion(version("b", "v1")))
	})
	return v
}

func (v *vault) change(t *testing.T, f func(store.Tx) error) {
	t.Helper()
	if err := v.Update(t.Context(), store.TopicVault, "default/a", f); err != nil {
		t.Fatal(err)
	}
}

// exec changes the database behind the service.
func (v *vault) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := v.db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func (v *vault) read(t *testing.T, name, id string) error {
	t.Helper()
	_, err := v.VaultItem(t.Context(), "default", name, id)
	return err
}

func TestKeysOfAVaultAreReadAsTheyWereWritten(t *testing.T) {
	v := newVault(t)
	for _, id := range []string{"", "v1", "v2"} {
		if err := v.read(t, "a", id); err != nil {
			t.Errorf("version %q: %v", id, err)
		}
	}
	if list, err := v.VaultKeys(t.Context(), "default", "", false, 10); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, missing := range [][2]string{{"c", ""}, {"c", "v1"}, {"a", "v3"}} {
		err := v.read(t, missing[0], missing[1])
		if !errors.Is(err, store.ErrNotFound) || errors.Is(err, seal.ErrAltered) {
			t.Errorf("%v: %v", missing, err)
		}
	}
}

func TestKeysOfAVaultThatWereAlteredInTheDatabaseAreRefused(t *testing.T) {
	for name, statements := range map[string][]string{
		"a weaker release policy": {`UPDATE vault_keys SET data = replace(data, 'c3RyaWN0', 'ZWFzeQ==') WHERE name = 'a'`},
		"other key material":      {`UPDATE vault_versions SET sealed = x'00' WHERE name = 'a' AND id = 'v2'`},
		"material of another key": {`UPDATE vault_versions SET sealed = (SELECT sealed FROM vault_versions
			WHERE name = 'b') WHERE name = 'a' AND id = 'v2'`},
		"an older version as the newest": {`UPDATE vault_keys SET current = 'v1' WHERE name = 'a'`},
		"the whole row of another key": {`DELETE FROM vault_versions WHERE name = 'a'`,
			`UPDATE vault_versions SET name = 'a', id = 'v2' WHERE name = 'b'`},
		"no seal of the key":     {`DELETE FROM seals WHERE scope = 'vault:default/a'`},
		"no seal of the version": {`DELETE FROM seals WHERE scope = 'vault:default/a/v2'`},
		"the seal of another key": {`UPDATE seals SET mac = (SELECT mac FROM seals WHERE scope = 'vault:default/b')
			WHERE scope = 'vault:default/a'`},
		"no newest version": {`DELETE FROM vault_versions WHERE name = 'a' AND id = 'v2'`},
		"no key":            {`DELETE FROM vault_keys WHERE name = 'a'`},
		"neither a key nor seals": {`DELETE FROM vault_keys WHERE name = 'a'`,
			`DELETE FROM seals WHERE scope LIKE 'vault:default/a%'`},
	} {
		v := newVault(t)
		v.exec(t, statements...)
		if err := v.read(t, "a", ""); !errors.Is(err, seal.ErrAltered) {
			t.Errorf("%s: %v", name, err)
		}
		if err := v.read(t, "b", ""); name != "the whole row of another key" && err != nil {
			t.Errorf("%s: another key: %v", name, err)
		}
		err := v.Update(t.Context(), store.TopicVault, "default/a", func(tx store.Tx) error {
			_, err := tx.VaultKey("default", "a")
			if err == nil {
				_, err = tx.VaultVersion("default", "a", "v2")
			}
			return err
		})
		if !errors.Is(err, seal.ErrAltered) {
			t.Errorf("%s, in a change: %v", name, err)
		}
	}
}

func TestAnEarlierStateOfAKeyIsRefused(t *testing.T) {
	v := newVault(t)
	v.exec(t, `CREATE TABLE old_keys AS SELECT * FROM vault_keys`,
		`CREATE TABLE old_versions AS SELECT * FROM vault_versions`, `CREATE TABLE old_seals AS SELECT * FROM seals`)
	v.change(t, func(tx store.Tx) error {
		k := key("a", "v2")
		k.Policy.Data = []byte("stricter")
		disabled := version("a", "v1")
		disabled.Disabled = true
		return errors.Join(tx.PutVaultKey(k), tx.PutVaultVersion(disabled))
	})
	v.exec(t, `UPDATE vault_keys SET data = (SELECT o.data FROM old_keys o WHERE o.name = vault_keys.name)`,
		`UPDATE seals SET version = (SELECT o.version FROM old_seals o WHERE o.scope = seals.scope),
			mac = (SELECT o.mac FROM old_seals o WHERE o.scope = seals.scope)`)
	if err := v.read(t, "a", "v1"); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("the earlier state: %v", err)
	}
}

func TestAPurgedKeyDoesNotComeBack(t *testing.T) {
	v := newVault(t)
	v.exec(t, `CREATE TABLE old_keys AS SELECT * FROM vault_keys`,
		`CREATE TABLE old_versions AS SELECT * FROM vault_versions`, `CREATE TABLE old_seals AS SELECT * FROM seals`)
	v.change(t, func(tx store.Tx) error { return tx.DeleteVaultKey("default", "a") })
	for _, id := range []string{"", "v1", "v2"} {
		if err := v.read(t, "a", id); !errors.Is(err, store.ErrNotFound) || errors.Is(err, seal.ErrAltered) {
			t.Errorf("version %q after the purge: %v", id, err)
		}
	}
	v.exec(t, `INSERT INTO vault_keys SELECT * FROM old_keys WHERE name = 'a'`,
		`INSERT INTO vault_versions SELECT * FROM old_versions WHERE name = 'a'`)
	if err := v.read(t, "a", ""); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("its rows: %v", err)
	}
	v.exec(t, `DELETE FROM seals WHERE scope LIKE 'vault:default/a%'`,
		`INSERT INTO seals SELECT * FROM old_seals WHERE scope LIKE 'vault:default/a%'`)
	if err := v.read(t, "a", ""); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("its rows and seals: %v", err)
	}
}

func TestAPurgedNameCanBeUsedAgain(t *testing.T) {
	v := newVault(t)
	v.change(t, func(tx store.Tx) error { return tx.DeleteVaultKey("default", "a") })
	v.change(t, func(tx store.Tx) error {
		return errors.Join(tx.PutVaultKey(key("a", "v1")), tx.PutVaultVersion(version("a", "v1")))
	})
	if err := v.read(t, "a", ""); err != nil {
		t.Error(err)
	}
}
