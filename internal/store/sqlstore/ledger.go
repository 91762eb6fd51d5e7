package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// batchMemory is how long names of batches are remembered: longer than a batch
// is tried again.
const batchMemory = time.Hour

// AppendLedger runs f in a transaction of its own.
func (s *Store) AppendLedger(
	ctx context.Context, batch string, now time.Time, f func(store.LedgerTx) error,
) error {
	return s.transaction(ctx, func(t *tx) error {
		fresh, err := s.useOnce(t.ctx, t.q, "ledger/"+batch, now, now.Add(batchMemory))
		if err != nil || !fresh {
			return err
		}
		return f(t)
	})
}

func scanHead(r row) (h store.LedgerHead, err error) { return h, r.Scan(&h.Size, &h.Chain) }

// LedgerHead returns where a ledger ends, and locks it.
func (t *tx) LedgerHead(provider string) (store.LedgerHead, error) {
	if err := t.s.exec(t.ctx, t.q, "ledger",
		`INSERT INTO ledger_heads (provider, size, chain) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING`,
		provider, []byte{}); err != nil {
		return store.LedgerHead{}, err
	}
	return one(t.ctx, t.s, t.q, "ledger", scanHead,
		`SELECT size, chain FROM ledger_heads WHERE provider = $1 FOR UPDATE`, provider)
}

// LedgerHead returns where a ledger ends.
func (s *Store) LedgerHead(ctx context.Context, provider string) (store.LedgerHead, error) {
	heads, err := read(ctx, s, "ledger", scanHead,
		`SELECT size, chain FROM ledger_heads WHERE provider = $1`, provider)
	if err != nil || len(heads) == 0 {
		return store.LedgerHead{}, err
	}
	return heads[0], nil
}

// LedgerHeads returns where all ledgers end.
func (s *Store) LedgerHeads(ctx context.Context) ([]store.LedgerState, error) {
	return read(ctx, s, "ledger", func(r row) (l store.LedgerState, err error) {
		return l, r.Scan(&l.Provider, &l.Size, &l.Chain, &l.Signed)
	},
		`SELECT h.provider, h.size, h.chain,
			coalesce((SELECT max(c.size) FROM ledger_checkpoints c WHERE c.provider = h.provider), -1)
		FROM ledger_heads h ORDER BY h.provider`)
}

func scanBytes(r row) (b []byte, err error) { return b, r.Scan(&b) }

func (s *Store) leaves(ctx context.Context, q querier, provider string, from, n int64) ([][]byte, error) {
	return list(ctx, s, q, "ledger", scanBytes,
		`SELECT leaf FROM ledger WHERE provider = $1 AND seq >= $2 AND seq < $3 ORDER BY seq`, provider,
		from, from+n)
}

func (s *Store) node(ctx context.Context, q querier, provider string, level int, n int64) ([]byte, error) {
	return one(ctx, s, q, fmt.Sprintf("ledger node %d/%d", level, n), scanBytes,
		`SELECT hash FROM ledger_nodes WHERE provider = $1 AND level = $2 AND n = $3`, provider, level, n)
}

// LedgerLeaves implements [store.LedgerTx].
func (t *tx) LedgerLeaves(provider string, from, n int64) ([][]byte, error) {
	return t.s.leaves(t.ctx, t.q, provider, from, n)
}

// LedgerNode implements [store.LedgerTx].
func (t *tx) LedgerNode(provider string, level int, n int64) ([]byte, error) {
	return t.s.node(t.ctx, t.q, provider, level, n)
}

// LedgerLeaves implements [store.Store].
func (s *Store) LedgerLeaves(ctx context.Context, provider string, from, n int64) ([][]byte, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.leaves(ctx, s.db, provider, from, n)
}

// LedgerNode implements [store.Store].
func (s *Store) LedgerNode(ctx context.Context, provider string, level int, n int64) ([]byte, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.node(ctx, s.db, provider, level, n)
}

// rowsPerStatement keeps the parameters of a statement within every engine's
// bounds.
const rowsPerStatement = 200

// insert adds rows by as few statements as may be.
func (t *tx) insert(table string, columns, n int, args func(i int) []any) error {
	for from := 0; from < n; from += rowsPerStatement {
		var b strings.Builder
		var all []any
		fmt.Fprintf(&b, "INSERT INTO %s VALUES ", table)
		for i := from; i < min(n, from+rowsPerStatement); i++ {
			if i > from {
				b.WriteByte(',')
			}
			b.WriteByte('(')
			for c := range columns {
				if c > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "$%d", len(all)+c+1)
			}
			b.WriteByte(')')
			all = append(all, args(i)...)
		}
		if err := t.s.exec(t.ctx, t.q, "ledger", b.String(), all...); err != nil {
			return err
		}
	}
	return nil
}

// AppendLedger implements [store.LedgerTx].
func (t *tx) AppendLedger(provider string, a store.Append) error {
	err := t.insert("ledger (provider, seq, at, entry, leaf, chain)", 6, len(a.Rows), func(i int) []any {
		r := a.Rows[i]
		return []any{provider, r.Seq, r.Time.UnixNano(), r.Entry, r.Leaf, r.Chain}
	})
	if err != nil {
		return err
	}
	err = t.insert("ledger_nodes (provider, level, n, hash)", 4, len(a.Nodes), func(i int) []any {
		n := a.Nodes[i]
		return []any{provider, n.Level, n.N, n.Hash}
	})
	if err != nil {
		return err
	}
	if c := a.Checkpoint; c != nil {
		if err := t.s.exec(t.ctx, t.q, "ledger",
			`INSERT INTO ledger_checkpoints (provider, size, note) VALUES ($1, $2, $3) `+
				`ON CONFLICT DO NOTHING`,
			provider, c.Size, c.Note); err != nil {
			return err
		}
	}
	return t.s.execSome(t.ctx, t.q, "ledger",
		`UPDATE ledger_heads SET size = $2, chain = $3 WHERE provider = $1`, provider, a.Head.Size,
		a.Head.Chain)
}

// Ledger returns rows from a place on.
func (s *Store) Ledger(
	ctx context.Context, provider string, from int64, limit int,
) ([]store.LedgerRow, error) {
	return read(ctx, s, "ledger", func(r row) (l store.LedgerRow, err error) {
		var at int64
		err = r.Scan(&l.Seq, &at, &l.Entry, &l.Leaf, &l.Chain)
		l.Time = time.Unix(0, at).UTC()
		return l, err
	},
		`SELECT seq, at, entry, leaf,`+
			` chain FROM ledger WHERE provider = $1 AND seq >= $2 ORDER BY seq LIMIT $3`,
		provider, from, limit)
}

// Checkpoints returns those of a ledger, the newest first.
func (s *Store) Checkpoints(ctx context.Context, provider string, limit int) ([]store.Checkpoint, error) {
	return read(ctx, s, "checkpoints",
		func(r row) (c store.Checkpoint, err error) { return c, r.Scan(&c.Size, &c.Note) },
		`SELECT size, note FROM ledger_checkpoints WHERE provider = $1 ORDER BY size DESC LIMIT $2`,
		provider, limit)
}

// DeleteCheckpoints removes the checkpoints of a ledger.
func (s *Store) DeleteCheckpoints(ctx context.Context, provider string) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.exec(ctx, s.db, "checkpoints", `DELETE FROM ledger_checkpoints WHERE provider = $1`, provider)
}

// ForgetLedger removes the text of the first entries, the oldest of them first.
func (s *Store) ForgetLedger(ctx context.Context, provider string, through int64, limit int) (int64, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	result, err := s.db.ExecContext(ctx,
		s.d.Statement(`UPDATE ledger SET entry = NULL WHERE provider = $1 AND seq IN
		(SELECT seq FROM ledger WHERE provider = $1 AND entry IS NOT NULL AND seq < $2 ORDER BY seq LIMIT $3)`),
		provider, through, limit)
	if err != nil {
		return 0, s.wrap("ledger", err)
	}
	n, err := result.RowsAffected()
	return n, s.wrap("ledger", err)
}
