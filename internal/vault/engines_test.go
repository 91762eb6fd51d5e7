package vault_test

import (
	"database/sql"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/postgres"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/test/kit/pgtest"
)

// database is a store whose rows a test edits as someone would who can write the database and has no key.
type database interface {
	store.Store
	DB() *sql.DB
}

// enginePort is the environment variable with the port of the PostgreSQL server that the tests run over.
const enginePort = "PROBITY_VAULT_TEST_PORT"

var server = sync.OnceValue(func() *pgtest.Server {
	port, _ := strconv.Atoi(os.Getenv(enginePort))
	return &pgtest.Server{Port: port}
})

// openDatabase opens a database of the engine that the tests run over: SQLite, or PostgreSQL.
func openDatabase(t testing.TB, dir string) database {
	t.Helper()
	if overPostgres() {
		return must[*postgres.Store](t)(postgres.Open(t.Context(), server().Database(t)))
	}
	return must[*sqlite.Store](t)(sqlite.Open(t.Context(), dir))
}

func overPostgres() bool { return os.Getenv(enginePort) != "" }

// TestTheSameOverPostgreSQL runs all tests again, in a process of their own.
func TestTheSameOverPostgreSQL(t *testing.T) {
	if overPostgres() {
		return
	}
	s := pgtest.Start(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^Test", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), enginePort+"="+strconv.Itoa(s.Port))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
