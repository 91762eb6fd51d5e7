package sqlstore

import (
	"context"
	"database/sql"

	"github.com/probity-dev/probity/internal/store"
)

// rememberedChanges is how many changes are kept for nodes that were away.
const rememberedChanges = 10_000

// tx implements [store.Tx].
type tx struct {
	ctx      context.Context
	s        *Store
	q        *sql.Tx
	revision int64
}

// Update runs f in a transaction. The row of the revision is locked for its
// whole length: changes are made one after the other, and become visible in the
// order of their revisions.
func (s *Store) Update(ctx context.Context, topic, name string, f func(store.Tx) error) error {
	return s.transaction(ctx, func(t *tx) error {
		var err error
		t.revision, err = one(t.ctx, s, t.q, "revision",
			func(r row) (n int64, err error) { return n, r.Scan(&n) },
			`UPDATE revision SET n = n + 1 RETURNING n`)
		if err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
		if err := s.exec(t.ctx, t.q, "changes",
			`INSERT INTO changes (revision, topic, name) VALUES ($1, $2, $3)`,
			t.revision, topic, name); err != nil {
			return err
		}
		if err := s.exec(t.ctx, t.q, "changes", `DELETE FROM changes WHERE revision <= $1`,
			t.revision-rememberedChanges); err != nil {
			return err
		}
		if s.d.Announce == "" {
			return nil
		}
		return s.exec(t.ctx, t.q, "announce", s.d.Announce)
	})
}

func (s *Store) transaction(ctx context.Context, f func(*tx) error) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	q, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap("begin", err)
	}
	defer q.Rollback() // does nothing once committed
	if err := f(&tx{ctx: ctx, s: s, q: q}); err != nil {
		return err
	}
	return s.wrap("commit", q.Commit())
}
