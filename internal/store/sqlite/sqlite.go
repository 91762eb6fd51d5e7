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
	_ "modernc.org/sqlite" // the driver

	"github.com/probity-dev/probity/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// FileName is the database's name in the data directory.
const FileName = "probity.db"

// Store is a store in one SQLite database.
type Store struct {
	db *sql.DB
}

// Open opens the database in dir, creating directory and database if they are
// not there, and migrates it to this version. A database of a newer version
// gives an error wrapping [store.ErrNewer] and is not touched.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: data directory: %w", err)
	}
	path := filepath.Join(dir, FileName)
	if err := checkVersion(ctx, path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path, url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "foreign_keys(1)"}, "_txlock": {"immediate"}}))
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), db.Close())
	}
	// The database holds sealed keys; nobody else needs to read it.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), db.Close())
	}
	return &Store{db: db}, nil
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
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`).Scan(&tables); err != nil {
		return fmt.Errorf("store: %s cannot be read as a database: %w; restore it from a backup, or move it away to start anew", path, err)
	}
	if tables == 0 {
		var others int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&others); err != nil || others > 0 {
			return fmt.Errorf("store: %s is the database of another program; choose another data directory", path)
		}
		return nil
	}
	var have int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&have); err != nil {
		return fmt.Errorf("store: %s: %w", path, err)
	}
	p, err := provider(db)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if latest := sources[len(sources)-1].Version; have > latest {
		return fmt.Errorf("store: %s has schema version %d, this program knows up to %d: %w; start the newer program, or restore the backup made before the upgrade",
			path, have, latest, store.ErrNewer)
	}
	return nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Provider returns the named provider.
func (s *Store) Provider(ctx context.Context, name string) (store.Provider, error) {
	p := store.Provider{Name: name}
	var created int64
	err := s.db.QueryRowContext(ctx, `SELECT tcb, created FROM providers WHERE name = ?`, name).Scan(&p.TCB, &created)
	p.Created = time.Unix(created, 0).UTC()
	return p, wrap("provider "+name, err)
}

// PutProvider creates or replaces a provider.
func (s *Store) PutProvider(ctx context.Context, p store.Provider) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO providers (name, tcb, created) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET tcb = excluded.tcb`, p.Name, p.TCB, p.Created.Unix())
	return wrap("provider "+p.Name, err)
}

// Policies returns the policies of a provider.
func (s *Store) Policies(ctx context.Context, provider string) ([]store.Policy, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT kind, jws, updated FROM policies WHERE provider = ? ORDER BY kind`, provider)
	if err != nil {
		return nil, wrap("policies", err)
	}
	defer rows.Close()
	var list []store.Policy
	for rows.Next() {
		p := store.Policy{Provider: provider}
		var updated int64
		if err := rows.Scan(&p.Kind, &p.JWS, &updated); err != nil {
			return nil, wrap("policies", err)
		}
		p.Updated = time.Unix(updated, 0).UTC()
		list = append(list, p)
	}
	return list, wrap("policies", rows.Err())
}

// PutPolicy creates or replaces a policy.
func (s *Store) PutPolicy(ctx context.Context, p store.Policy) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO policies (provider, kind, jws, updated) VALUES (?, ?, ?, ?)
		ON CONFLICT (provider, kind) DO UPDATE SET jws = excluded.jws, updated = excluded.updated`,
		p.Provider, p.Kind, p.JWS, p.Updated.Unix())
	return wrap("policy "+p.Kind, err)
}

// DeletePolicy removes a policy.
func (s *Store) DeletePolicy(ctx context.Context, provider, kind string) error {
	result, err := s.db.ExecContext(ctx, `DELETE FROM policies WHERE provider = ? AND kind = ?`, provider, kind)
	if err == nil {
		var n int64
		if n, err = result.RowsAffected(); err == nil && n == 0 {
			err = sql.ErrNoRows
		}
	}
	return wrap("policy "+kind, err)
}

// SigningKeys returns all keys, the newest first.
func (s *Store) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, sealed, certificate, created FROM signing_keys ORDER BY created DESC, id`)
	if err != nil {
		return nil, wrap("signing keys", err)
	}
	defer rows.Close()
	var list []store.SigningKey
	for rows.Next() {
		var k store.SigningKey
		var created int64
		if err := rows.Scan(&k.ID, &k.Sealed, &k.Certificate, &created); err != nil {
			return nil, wrap("signing keys", err)
		}
		k.Created = time.Unix(created, 0).UTC()
		list = append(list, k)
	}
	return list, wrap("signing keys", rows.Err())
}

// PutSigningKey creates a key or replaces its certificate.
func (s *Store) PutSigningKey(ctx context.Context, k store.SigningKey) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO signing_keys (id, sealed, certificate, created) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET certificate = excluded.certificate`, k.ID, k.Sealed, k.Certificate, k.Created.Unix())
	return wrap("signing key", err)
}

func wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("store: %s: %w", what, store.ErrNotFound)
	default:
		return fmt.Errorf("store: %s: %w", what, err)
	}
}
