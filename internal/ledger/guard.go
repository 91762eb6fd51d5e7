package ledger

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/store"
)

// Guard returns the store with checked changes: what adds to a ledger does so
// only where its history extends the last checkpoint, and the first entries
// of a ledger come with a checkpoint, so that no ledger is ever without one.
func (w *Writer) Guard(s store.Store) store.Store { return guarded{s, w} }

type guarded struct {
	store.Store
	w *Writer
}

// Update runs f in a transaction whose ledgers are checked.
func (g guarded) Update(ctx context.Context, topic, name string, f func(store.Tx) error) error {
	return g.Store.Update(ctx, topic, name,
		func(tx store.Tx) error { return f(guardedTx{tx, g.w.guard(ctx, tx)}) })
}

// AppendLedger runs f in a transaction whose ledgers are checked.
func (g guarded) AppendLedger(
	ctx context.Context, batch string, now time.Time, f func(store.LedgerTx) error,
) error {
	return g.Store.AppendLedger(ctx, batch, now, func(tx store.LedgerTx) error { return f(g.w.guard(ctx, tx)) })
}

type guardedTx struct {
	store.Tx
	ledger *guardedLedger
}

// LedgerHead implements [store.LedgerTx].
func (t guardedTx) LedgerHead(provider string) (store.LedgerHead, error) {
	return t.ledger.LedgerHead(provider)
}

// AppendLedger implements [store.LedgerTx].
func (t guardedTx) AppendLedger(provider string, a store.Append) error {
	return t.ledger.AppendLedger(provider, a)
}

func (w *Writer) guard(ctx context.Context, tx store.LedgerTx) *guardedLedger {
	return &guardedLedger{tx, ctx, w, map[string]store.LedgerHead{}}
}

// guardedLedger is the ledger's part of one transaction.
type guardedLedger struct {
	store.LedgerTx
	ctx context.Context // of the transaction
	w   *Writer
	// own are the heads that the transaction itself wrote.
	own map[string]store.LedgerHead
}

// LedgerHead returns the head if the history up to it is the one that was signed.
func (t *guardedLedger) LedgerHead(provider string) (store.LedgerHead, error) {
	head, err := t.LedgerTx.LedgerHead(provider)
	if err != nil {
		return head, err
	}
	if own, ok := t.own[provider]; ok && own.Size == head.Size && string(own.Chain) == string(head.Chain) {
		return head, nil
	}
	_, err = t.w.check(t.ctx, inTx{t.LedgerTx, provider}, provider, head)
	return head, err
}

// AppendLedger adds rows, and a checkpoint to the first ones.
func (t *guardedLedger) AppendLedger(provider string, a store.Append) error {
	if err := signFirst(t.w.cfg.Signer, provider, &a); err != nil {
		return err
	}
	t.own[provider] = a.Head
	return t.LedgerTx.AppendLedger(provider, a)
}

// signFirst gives the first rows of a ledger their checkpoint.
func signFirst(s note.Signer, provider string, a *store.Append) error {
	if a.Checkpoint != nil || a.Head.Size == 0 || a.Head.Size != int64(len(a.Rows)) {
		return nil
	}
	e := &edge{}
	for _, row := range a.Rows {
		e.push(tlog.Hash(row.Leaf), nil)
	}
	text, err := sign(s, provider, e.size, e.root())
	if err != nil {
		return err
	}
	a.Checkpoint = &store.Checkpoint{Size: e.size, Note: text}
	return nil
}

// AppendFirst begins a ledger, with a checkpoint, where no writer runs yet.
func AppendFirst(tx store.LedgerTx, s note.Signer, provider string, entries ...*Entry) error {
	return Append(signedTx{tx, s}, provider, entries...)
}

type signedTx struct {
	store.LedgerTx
	signer note.Signer
}

// AppendLedger adds rows with a checkpoint.
func (t signedTx) AppendLedger(provider string, a store.Append) error {
	if err := signFirst(t.signer, provider, &a); err != nil {
		return err
	}
	return t.LedgerTx.AppendLedger(provider, a)
}
