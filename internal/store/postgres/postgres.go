// Package postgres is the store for many nodes: a PostgreSQL database, or one
// that speaks its protocol. Nodes are told of each other's changes by LISTEN and
// NOTIFY; those who use a store poll besides, for a notification can be lost.
//
// The package does not create the database itself, and it does not replicate: a
// second region has its copy by the database's own means.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// timeout bounds each call, connecting each attempt to reach a host.
	timeout        = 5 * time.Second
	connectTimeout = 2 * time.Second
	maxConnections = 10
	// lifetime ends connections now and then, so that they move to hosts that came
	// back.
	lifetime = 15 * time.Minute
)

// Store is a store in a PostgreSQL database.
type Store = sqlstore.Store

// Open connects to the database of a URL or keyword string as libpq reads it,
// and migrates it to this version; nodes that start together do it once. With
// several hosts it goes to the one that can be written to. A database of a newer
// version that this one cannot run beside gives an error wrapping
// [store.ErrNewer] and is not touched.
func Open(ctx context.Context, url string) (*Store, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("store: PostgreSQL: the connection string cannot be read: " +
			// the text contains a password
			"want postgres://user@host:5432/database, several hosts separated by commas")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	if cfg.ValidateConnect == nil && !strings.Contains(url, "target_session_attrs") {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "probity"
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxLifetime(lifetime)
	if err := prepare(ctx, db); err != nil {
		return nil, errors.Join(describe(cfg, err), db.Close())
	}
	l := listen(cfg)
	return sqlstore.New(db, sqlstore.Dialect{
		Statement: func(s string) string { return s }, Announce: `SELECT pg_notify('` + channel + `', '')`,
		Unavailable: unavailable, Timeout: timeout, Wait: l.wait, Close: l.stop,
	}), nil
}

// describe names host and database of what failed, never the password.
func describe(cfg *pgx.ConnConfig, err error) error {
	return fmt.Errorf("store: PostgreSQL database %q at %s: %w", cfg.Database,
		net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)), err)
}

// prepare checks the schema's version and migrates.
func prepare(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	p, err := migrator(db)
	if err != nil {
		return err
	}
	newer, err := checkVersion(ctx, db, p)
	if err != nil || newer {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// migrator migrates a database; of several nodes that start, one does.
func migrator(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
}

// checkVersion reports whether the schema is newer than this program's, and
// whether that does.
func checkVersion(ctx context.Context, db *sql.DB, p *goose.Provider) (newer bool, err error) {
	var exists bool
	if err := db.QueryRowContext(ctx,
		`SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&exists); err != nil ||
		!exists {
		return false, err
	}
	var have int64
	if err := db.QueryRowContext(ctx,
		`SELECT coalesce(max(version_id), 0) FROM goose_db_version `+
			`WHERE is_applied`).Scan(&have); err != nil {
		return false, err
	}
	sources := p.ListSources()
	latest := sources[len(sources)-1].Version
	if have <= latest {
		return false, nil
	}
	oldest := have
	if err := db.QueryRowContext(ctx, `SELECT oldest FROM compatibility`).Scan(&oldest); err != nil {
		return true, err
	}
	if oldest > latest {
		return true, fmt.Errorf("schema version %d is for programs from version %d on, this one knows up "+
			"to %d: %w; start the newer program, or restore the backup made before the upgrade",
			have, oldest, latest, store.ErrNewer)
	}
	return true, nil
}

// unavailable reports whether an error is of the connection or of the server's
// state: the same call may succeed later, or at another host.
func unavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "57P"),
			pg.Code == "25006", pg.Code == "40001", pg.Code == "40P01":
			return true // connection, resources, shutdown, read-only, serialisation, deadlock
		}
		return false
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) ||
		errors.Is(err, pgconn.ErrConnClosed)
}
