package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/test/kit/pgtest"
	"github.com/probity-dev/probity/test/kit/storetest"
)

func open(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestContract(t *testing.T) {
	server := pgtest.Start(t)
	storetest.Contract(t, func(t *testing.T) (store.Store, func() store.Store) {
		url := server.Database(t)
		s := open(t, url)
		return s, func() store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, url)
		}
	})
}

func put(s *Store) error {
	return s.Update(context.Background(), store.TopicProvider, "a", func(tx store.Tx) error {
		_, err := tx.PutProvider(store.Provider{Name: "a"})
		return err
	})
}

func TestNodesThatStartTogetherMigrateOnce(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			s, err := Open(context.Background(), url)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
}

// TestTwoVersionsRunTogether migrates the database as a later version would,
// below a program of this version.
func TestTwoVersionsRunTogether(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	running := open(t, url)
	for _, statement := range []string{
		`ALTER TABLE providers ADD COLUMN region TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE ledger ADD COLUMN region TEXT`,
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`,
	} {
		pgtest.Exec(t, running.DB(), statement)
	}
	if err := put(running); err != nil {
		t.Errorf("the running node: %v", err)
	}
	row := store.LedgerRow{Entry: []byte{1}, Leaf: []byte{1}, Chain: []byte{1}}
	if err := running.AppendLedger(t.Context(), "batch", time.Now(), func(tx store.LedgerTx) error {
		if _, err := tx.LedgerHead("a"); err != nil {
			return err
		}
		return tx.AppendLedger("a",
			store.Append{Rows: []store.LedgerRow{row}, Head: store.LedgerHead{Size: 1, Chain: row.Chain}})
	}); err != nil {
		t.Errorf("the running node's ledger: %v", err)
	}
	started := open(t, url)
	if err := put(started); err != nil {
		t.Errorf("a node that starts now: %v", err)
	}
	pgtest.Exec(t, running.DB(), `UPDATE compatibility SET oldest = 9999`)
	if s, err := Open(t.Context(), url); !errors.Is(err, store.ErrNewer) {
		t.Errorf("Open = %v, %v; want ErrNewer", s, err)
	}
}

// TestKeysOfCheckpointsMoveToTheirTable: versions before kept them among the signing keys.
func TestKeysOfCheckpointsMoveToTheirTable(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := migrator(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	for _, statement := range storetest.KeysBeforeTheirTable(`decode('01', 'hex')`) {
		pgtest.Exec(t, db, statement)
	}
	storetest.CheckKeysInTheirTable(t, open(t, url))
}

func TestAnOutageIsUnavailableAndHeals(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	s := open(t, url)
	if err := put(s); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	for range 3 {
		if err := put(s); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("during the outage: %v", err)
		}
		if _, err := s.Providers(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("during the outage: %v", err)
		}
	}
	_, err := Open(t.Context(), strings.Replace(url, "probity@", "probity:hunter2@", 1))
	if !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Open during the outage: %v", err)
	}
	server.Run(t)
	if err := put(s); err != nil {
		t.Errorf("after the outage: %v", err)
	}
	heard(t, s)
}

// heard waits until s is told of a change of another node.
func heard(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		short, done := context.WithTimeout(ctx, 100*time.Millisecond)
		err := s.Wait(short)
		done()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("no word of the change")
		}
		if err := put(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSeveralHosts(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	// The first host refuses; the second is the server.
	two := strings.Replace(url, "@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:", 1)
	if err := put(open(t, two)); err != nil {
		t.Error(err)
	}
	// A standby, which can only be read, is not the one to go to.
	s := open(t, url)
	pgtest.Exec(t, s.DB(), `ALTER SYSTEM SET default_transaction_read_only = on`)
	pgtest.Exec(t, s.DB(), `SELECT pg_reload_conf()`)
	time.Sleep(200 * time.Millisecond)
	if _, err := Open(t.Context(), url); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a host that can only be read: %v", err)
	}
}

func TestConnectionStringsThatAreRefused(t *testing.T) {
	for _, url := range []string{"postgres://a:hunter2@%%", "host=x port=hunter2"} {
		if _, err := Open(t.Context(), url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAReadOnlyDatabaseTakesNoChanges(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	s := open(t, url)
	if err := s.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.DB().SetMaxOpenConns(1) // settings of a connection are those of the next statement
	if _, err := s.DB().Exec("SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	if err := s.Writable(t.Context()); err == nil {
		t.Error("a read-only database takes changes")
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.DB().Exec("SET default_transaction_read_only = off"); err != nil {
		t.Fatal(err)
	}
	if err := s.Writable(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	if err := s.Writable(t.Context()); err == nil {
		t.Error("a closed database takes changes")
	}
}
