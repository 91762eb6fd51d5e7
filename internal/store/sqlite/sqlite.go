// Package sqlite is the embedded store: one SQLite database in the data
// directory, no set-up, migrations at start.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/probity-dev/probity/internal/private"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// FileName is the database's name in the data directory.
const FileName = "probity.db"

// Store is a store in one SQLite database.
type Store = sqlstore.Store

// idleConnections stay open for the next reader, each with a cache of up to 16 MiB: a database of ten thousand keys of
// vaults, whose rows are read in no order, fits.
const idleConnections = 4

// timeout bounds each call: a writer waits for others no longer than that.
const timeout = 10 * time.Second

// Open opens the database in dir, creating directory and database if they are
// not there, and migrates it to this version. A database of a newer version
// gives an error wrapping [store.ErrNewer] and is not touched.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", private.Explain(dir, err))
	}
	path := filepath.Join(dir, FileName)
	if err := checkVersion(ctx, path); err != nil {
		return nil, err
	}
	// It contains sealed keys; no one else needs to read it. SQLite gives the files beside it the
	// mode that it has when they are made.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Chmod(0o600), f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", private.Explain(dir, err))
	}
	db, err := sql.Open("sqlite", dsn(path, url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "foreign_keys(1)",
		"cache_size(-16384)"},
		"_txlock": {"immediate"}}))
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	db.SetMaxIdleConns(idleConnections)
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), db.Close())
	}
	return sqlstore.New(db,
		sqlstore.Dialect{Statement: sqlstore.Numbered, Unavailable: unavailable, Timeout: timeout, Prepare: true}), nil
}

// unavailable reports whether the database is busy, or its disk fails or is
// full: the same call may succeed later.
func unavailable(err error) bool {
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}

func dsn(path string, query url.Values) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}
	return u.String()
}

func provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files)
}

func migrate(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// checkVersion looks at an existing database through a read-only connection.
func checkVersion(ctx context.Context, path string) (err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := sql.Open("sqlite", dsn(path, url.Values{"mode": {"ro"}}))
	if err != nil {
		return fmt.Errorf("store: %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	if err := db.QueryRowContext(ctx,
		`SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`).Scan(&tables); err != nil {
		return fmt.Errorf("store: %s cannot be read as a database: %w; restore it from a backup, "+
			"or move it away to start with an empty one", path, err)
	}
	if tables == 0 {
		var others int
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&others)
		if err != nil || others > 0 {
			return fmt.Errorf("store: %s is the database of another program; choose another data directory", path)
		}
		return nil
	}
	var have int64
	if err := db.QueryRowContext(ctx,
		`SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&have); err != nil {
		return fmt.Errorf("store: %s: %w", path, err)
	}
	p, err := provider(db)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	latest := sources[len(sources)-1].Version
	if have <= latest {
		return nil
	}
	// A later version may have added what does not disturb this one.
	oldest := have
	if err := db.QueryRowContext(ctx, `SELECT oldest FROM compatibility`).Scan(&oldest); err != nil ||
		oldest > latest {
		return fmt.Errorf("store: %s has schema version %d, which programs from version %d on can use, "+
			"this one knows up to %d: %w; start the newer program,"+
			" or restore the backup made before the upgrade",
			path, have, oldest, latest, store.ErrNewer)
	}
	return nil
}
