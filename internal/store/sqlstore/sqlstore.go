// Package sqlstore contains the statements that every SQL engine of package store
// shares. An engine opens the database, migrates it and describes itself as a
// [Dialect]; everything else is here, once.
//
// Statements are written for both SQLite and PostgreSQL: numbered parameters,
// upserts, casts. Where they differ, the dialect says how.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/store"
)

// Dialect is what an engine does in its own way.
type Dialect struct {
	// Statement rewrites a statement with parameters $1, $2 and FOR UPDATE.
	Statement func(string) string
	// Announce, if not nil, tells other nodes of a change, when it is committed.
	Announce string
	// Unavailable reports whether an error is of the connection, not of the call.
	Unavailable func(error) bool
	// Timeout bounds each call.
	Timeout time.Duration
	// Prepare keeps the reads of keys of vaults prepared, where the driver does not.
	Prepare bool
	// Wait implements [store.Store.Wait]. Nil waits for the context.
	Wait func(context.Context) error
	// Close is called after the database is closed.
	Close func()
}

// Store implements [store.Store].
type Store struct {
	db *sql.DB
	d  Dialect
	// statements are prepared ones (*sql.Stmt), by their text.
	statements sync.Map
}

var _ store.Store = (*Store)(nil)

// New returns a store over a database that is migrated.
func New(db *sql.DB, d Dialect) *Store { return &Store{db: db, d: d} }

// DB returns the database, for tests of the engines.
func (s *Store) DB() *sql.DB { return s.db }

// Close closes the database.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.d.Close != nil {
		s.d.Close()
	}
	return err
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.wrap("ping", s.db.PingContext(ctx))
}

// Wait returns when there may be changes of others.
func (s *Store) Wait(ctx context.Context) error {
	if s.d.Wait != nil {
		return s.d.Wait(ctx)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.d.Timeout)
}

// wrap names what failed, and sorts the error.
func (s *Store) wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("store: %s: %w", what, store.ErrNotFound)
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		return err
	case errors.Is(err, context.DeadlineExceeded), s.d.Unavailable(err):
		return fmt.Errorf("store: %s: %w: %w", what, store.ErrUnavailable, err)
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// prepared runs queries by statements that stay prepared: parsing one costs SQLite more than running it. It is for the few
// statements that are fixed texts, and ends with the database.
type prepared struct{ s *Store }

// statement returns a prepared statement, or nil if it cannot be prepared: the query itself then tells why.
func (p prepared) statement(ctx context.Context, query string) *sql.Stmt {
	if known, ok := p.s.statements.Load(query); ok {
		return known.(*sql.Stmt)
	}
	if !p.s.d.Prepare {
		return nil
	}
	made, err := p.s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	known, others := p.s.statements.LoadOrStore(query, made)
	if others {
		made.Close()
	}
	return known.(*sql.Stmt)
}

func (p prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if st := p.statement(ctx, query); st != nil {
		return st.QueryContext(ctx, args...)
	}
	return p.s.db.QueryContext(ctx, query, args...)
}

func (p prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if st := p.statement(ctx, query); st != nil {
		return st.QueryRowContext(ctx, args...)
	}
	return p.s.db.QueryRowContext(ctx, query, args...)
}

func (p prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.s.db.ExecContext(ctx, query, args...)
}

// row is what a statement gives back, one at a time.
type row interface{ Scan(dest ...any) error }

// list runs a query and reads all of its rows.
func list[T any](
	ctx context.Context, s *Store, q querier, what string, read func(row) (T, error), statement string,
	args ...any,
) ([]T, error) {
	rows, err := q.QueryContext(ctx, s.d.Statement(statement), args...)
	if err != nil {
		return nil, s.wrap(what, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := read(rows)
		if err != nil {
			return nil, s.wrap(what, err)
		}
		all = append(all, v)
	}
	return all, s.wrap(what, rows.Err())
}

// one runs a query and reads its only row.
func one[T any](
	ctx context.Context, s *Store, q querier, what string, read func(row) (T, error), statement string,
	args ...any,
) (T, error) {
	v, err := read(q.QueryRowContext(ctx, s.d.Statement(statement), args...))
	return v, s.wrap(what, err)
}

// read runs a query outside of transactions.
func read[T any](
	ctx context.Context, s *Store, what string, scan func(row) (T, error), statement string,
	args ...any,
) ([]T, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return list(ctx, s, s.db, what, scan, statement, args...)
}

func readOne[T any](
	ctx context.Context, s *Store, what string, scan func(row) (T, error), statement string,
	args ...any,
) (T, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return one(ctx, s, s.db, what, scan, statement, args...)
}

func (s *Store) exec(ctx context.Context, q querier, what, statement string, args ...any) error {
	_, err := q.ExecContext(ctx, s.d.Statement(statement), args...)
	return s.wrap(what, err)
}

// execSome is exec for statements that must change something.
func (s *Store) execSome(ctx context.Context, q querier, what, statement string, args ...any) error {
	result, err := q.ExecContext(ctx, s.d.Statement(statement), args...)
	if err == nil {
		var n int64
		if n, err = result.RowsAffected(); err == nil && n == 0 {
			err = sql.ErrNoRows
		}
	}
	return s.wrap(what, err)
}

// data reads a JSON column into v.
func data(text string, v any) error { return json.Unmarshal([]byte(text), v) }

func marshal(v any) (string, error) {
	b, err := json.Marshal(v, json.Deterministic(true))
	return string(b), err
}

func seconds(t int64) time.Time { return time.Unix(t, 0).UTC() }

// Numbered returns SQLite's form of statements: ?1 for $1, and no locks of rows,
// as its transactions are alone in writing.
func Numbered(statement string) string {
	return strings.ReplaceAll(strings.ReplaceAll(statement, " FOR UPDATE", ""), "$", "?")
}

// Changes returns what changed after a revision.
func (s *Store) Changes(ctx context.Context, after int64) (changes store.Changes, err error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	// The newest revision is read first: what is committed between the two reads
	// is read twice, never missed.
	changes.Latest, err = one(ctx, s, s.db, "changes", number, `SELECT n FROM revision`)
	if err != nil || changes.Latest == after {
		return changes, err
	}
	oldest, err := one(ctx, s, s.db, "changes", number, `SELECT coalesce(min(revision), 0) FROM changes`)
	if changes.All = oldest > after+1 || changes.Latest < after; err != nil || changes.All {
		return changes, err
	}
	changes.List, err = list(ctx, s, s.db, "changes", func(r row) (c store.Change, err error) {
		return c, r.Scan(&c.Revision, &c.Topic, &c.Name)
	}, `SELECT revision, topic, name FROM changes WHERE revision > $1 AND revision <= $2 ORDER BY revision`,
		after, changes.Latest)
	return changes, err
}
