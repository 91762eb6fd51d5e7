package sqlstore

import (
	"context"
	"strings"
	"time"
)

func number(r row) (n int64, err error) { return n, r.Scan(&n) }

// UseOnce takes a word. Those that expired are forgotten.
func (s *Store) UseOnce(ctx context.Context, word string, now, expires time.Time) (bool, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.useOnce(ctx, s.db, word, now, expires)
}

func (s *Store) useOnce(ctx context.Context, q querier, word string, now, expires time.Time) (bool, error) {
	if err := s.exec(ctx, q, "challenge", `DELETE FROM used_words WHERE expires <= $1`, now.Unix()); err != nil {
		return false, err
	}
	result, err := q.ExecContext(ctx,
		s.d.Statement(`INSERT INTO used_words (word, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING`),
		word, expires.Unix())
	if err != nil {
		return false, s.wrap("challenge", err)
	}
	n, err := result.RowsAffected()
	return n == 1, s.wrap("challenge", err)
}

// probeSize is more than a page of either engine, so that a full database is noticed.
const probeSize = 64 << 10

// Writable writes a row of [probeSize] and takes it back.
func (s *Store) Writable(ctx context.Context) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap("probe", err)
	}
	defer tx.Rollback() // the rows are not wanted
	_, err = tx.ExecContext(ctx,
		s.d.Statement(`INSERT INTO leases (work, holder, until) VALUES ($1, $2, $3)`), "probe",
		strings.Repeat("x", probeSize), 0)
	return s.wrap("probe", err)
}

// Lease gives or renews background work.
func (s *Store) Lease(ctx context.Context, work, holder string, now, until time.Time) (bool, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	result, err := s.db.ExecContext(ctx,
		s.d.Statement(`INSERT INTO leases (work, holder, until) VALUES ($1, $2, $3)
		ON CONFLICT (work) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE leases.holder = excluded.holder OR leases.until < $4`), work, holder, until.UnixNano(),
		now.UnixNano())
	if err != nil {
		return false, s.wrap("lease of "+work, err)
	}
	n, err := result.RowsAffected()
	return n == 1, s.wrap("lease of "+work, err)
}
