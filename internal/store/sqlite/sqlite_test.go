package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/test/kit/storetest"
)

func TestContract(t *testing.T) {
	storetest.Contract(t, func(t *testing.T) (store.Store, func() store.Store) {
		dir := filepath.Join(t.TempDir(), "data #1?")
		s := mustOpen(t, dir)
		return s, func() store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return mustOpen(t, dir)
		}
	})
}

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestADatabaseOfANewerVersionIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if _, err := s.DB().Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1); ` +
		`UPDATE compatibility SET oldest = 9999`); err != nil {
		t.Fatal(err)
	}
	s.Close()
	path := filepath.Join(dir, FileName)
	before := read(t, path)
	_, err := Open(context.Background(), dir)
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("error = %v, want ErrNewer and what to do", err)
	}
	if read(t, path) != before {
		t.Error("the database was changed")
	}
}

func TestAFileThatIsNotADatabaseIsNotChanged(t *testing.T) {
	for name, content := range map[string]string{"text": "this is not a database, " +
		"but long enough to have a header of 100 bytes; this is not a database at all",
		"cut short": "SQLite format 3\x00"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, FileName)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(context.Background(), dir); err == nil {
				s.Close()
				t.Error("opened")
			}
			if read(t, path) != content {
				t.Error("the file was changed")
			}
		})
	}
}

func TestTheDatabaseOfAnotherProgramIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE recipes (name TEXT)`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	_, err = Open(context.Background(), dir)
	if err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("error = %v", err)
	}
}

func TestTheDatabaseIsPrivate(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	st, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", st.Mode(), err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestADatabaseOfTheFirstVersions keeps its policies and keys.
func TestADatabaseOfTheFirstVersions(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, FileName), nil))
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO providers (name, tcb, created) VALUES ('default', 'UpToDate', 1772366400)`,
		`INSERT INTO policies (provider, kind, jws, updated) VALUES ('default', 'SgxEnclave', 'a.b.c', 1772366400)`,
		`INSERT INTO signing_keys (id, sealed, certificate, created) VALUES ('k', x'01', x'02', 1772366400)`,
		`INSERT INTO tpm_keys (provider, key, endorsement_key, name, created) ` +
			`VALUES ('default', 'k', 'e', 'host', 1772366400)`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir)
	policies, err := s.Policies(t.Context(), "default")
	if err != nil || len(policies) != 1 || policies[0].JWS != "a.b.c" || policies[0].Version != 1 ||
		policies[0].Action != store.PolicySet {
		t.Errorf("%+v, %v", policies, err)
	}
	keys, err := s.SigningKeys(t.Context())
	if err != nil || len(keys) != 1 || keys[0].Algorithm != "" || keys[0].Created.Unix() != 1772366400 {
		t.Errorf("%+v, %v", keys, err)
	}
	got, err := s.Provider(t.Context(), "default")
	if err != nil || got.Created.Unix() != 1772366400 {
		t.Errorf("%+v, %v", got, err)
	}
	if tpms, err := s.TPMKeys(t.Context(), "default"); err != nil || len(tpms) != 1 {
		t.Errorf("%+v, %v", tpms, err)
	}
}

// TestKeysOfCheckpointsMoveToTheirTable: versions before kept them among the signing keys.
func TestKeysOfCheckpointsMoveToTheirTable(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, FileName), nil))
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	for _, statement := range storetest.KeysBeforeTheirTable(`x'01'`) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.CheckKeysInTheirTable(t, mustOpen(t, dir))
}

func TestAFullOrReadOnlyDatabaseTakesNoChanges(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	s.DB().SetMaxOpenConns(1) // settings of a connection are those of the next statement
	if err := s.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string][2]string{
		"full":      {"PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000"},
		"read-only": {"PRAGMA query_only = ON", "PRAGMA query_only = OFF"},
	} {
		if _, err := s.DB().Exec(settings[0]); err != nil {
			t.Fatal(err)
		}
		if err := s.Writable(t.Context()); err == nil {
			t.Errorf("a %s database takes changes", name)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("a %s database does not answer: %v", name, err)
		}
		if _, err := s.DB().Exec(settings[1]); err != nil {
			t.Fatal(err)
		}
		if err := s.Writable(t.Context()); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	var left int
	err := s.DB().QueryRow("SELECT count(*) FROM leases WHERE work = 'probe'").Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d rows of the probe are left, %v", left, err)
	}
}
