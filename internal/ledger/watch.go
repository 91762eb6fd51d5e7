package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// open checks every ledger: those in the database and those that only a
// checkpoint outside it remembers. Entries without a checkpoint get one.
func (w *Writer) open(ctx context.Context) error {
	_, err := w.look(ctx, true)
	return err
}

// Watch looks at the ledgers until ctx ends: every so often at the heads, so that a
// change of the database is noticed without any request, and now and then at every
// row. Nodes that share a database keep what the others signed in this way.
func (w *Writer) Watch(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Checkpoint)
	defer tick.Stop()
	failing := false
	var audited time.Time
	for {
		if now := w.cfg.Now(); w.cfg.Audit > 0 && now.Sub(audited) >= w.cfg.Audit {
			audited = now
			w.audit(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := w.look(ctx, false)
		if err != nil && ctx.Err() == nil && !failing {
			w.cfg.Log.Warn("the ledgers could not be checked", "err", err.Error())
		}
		failing = err != nil
	}
}

// look compares all heads with what is known. It returns the providers.
func (w *Writer) look(ctx context.Context, first bool) ([]string, error) {
	// Sizes of checkpoints are read before the database is: what is signed meanwhile
	// makes the database newer, never older.
	before := w.Kept()
	heads, err := w.cfg.Store.LedgerHeads(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	var problems []error
	seen := map[string]bool{}
	for _, row := range heads {
		seen[row.Provider] = true
		names = append(names, row.Provider)
		problems = append(problems, w.lookAt(ctx, row, before[row.Provider], first))
	}
	kept, err := w.cfg.Outside.Names()
	problems = append(problems, err)
	for _, name := range kept {
		// A ledger that was removed whole.
		if !seen[name] && !strings.Contains(name, ":") {
			names = append(names, name)
			problems = append(problems,
				w.lookAt(ctx, store.LedgerState{Provider: name, Signed: -1}, before[name], first))
		}
	}
	slices.Sort(names)
	return names, errors.Join(problems...)
}

// lookAt checks one ledger. A ledger that is stopped is no error: the alert is
// raised.
func (w *Writer) lookAt(ctx context.Context, row store.LedgerState, keptBefore int64, first bool) error {
	h := w.snapshot(row.Provider)
	if h.stop != nil {
		return w.retry(ctx, row)
	}
	if h.edge != nil && h.saved && h.edge.size == row.Size && string(h.edge.chain) == string(row.Chain) &&
		row.Signed == row.Size && h.kept.Size == row.Size {
		return nil
	}
	if err := w.follow(ctx, inStore{ctx, w.cfg.Store, row.Provider}, row, h); errors.Is(err, ErrStopped) {
		return nil
	} else if err != nil {
		return fmt.Errorf("ledger of %s: %w", row.Provider, err)
	}
	if h = w.snapshot(row.Provider); !h.saved && h.note != "" {
		w.keep(row.Provider, h.note, h.kept)
	}
	if first {
		keptBefore = h.kept.Size
	}
	w.mu.Lock()
	if now := w.of(row.Provider); now.kept.Size < row.Size && !now.dirty {
		now.dirty, now.since = true, w.cfg.Now().Add(w.cfg.Checkpoint) // another node may be about to sign
		if first {
			now.since = time.Time{}
		}
	}
	w.mu.Unlock()
	return errors.Join(w.announce(row.Provider), w.missing(row, keptBefore))
}

// follow goes on to a head, by way of a checkpoint of another node if there is one.
func (w *Writer) follow(ctx context.Context, r reader, row store.LedgerState, h history) error {
	head, err := row.LedgerHead, error(nil)
	if h.edge == nil {
		e, err := w.check(ctx, r, row.Provider, head)
		if err == nil {
			w.learn(row.Provider, e)
		}
		return err
	}
	c, text := Checkpoint{Size: -1}, ""
	if row.Signed > h.kept.Size {
		if c, text, err = w.newest(ctx, row.Provider); err != nil {
			return w.judged(row.Provider, err)
		}
	}
	if head.Size < max(h.edge.size, c.Size) {
		// What is known may be newer than the head that was read before it.
		if head, err = w.cfg.Store.LedgerHead(ctx, row.Provider); err != nil {
			return err
		}
	}
	if c.Size > head.Size {
		return w.stop(row.Provider,
			fmt.Sprintf("a checkpoint in the database says %d entries, there are %d: entries were removed",
				c.Size, head.Size))
	}
	if c.Size >= h.edge.size {
		if err := h.edge.read(r, c.Size); err != nil {
			return w.judged(row.Provider, err)
		}
		if h.edge.root() != c.Root {
			return w.stop(row.Provider,
				fmt.Sprintf("the first %d entries are not those of the newest checkpoint in the "+
					"database: they were rewritten", c.Size))
		}
		w.keep(row.Provider, text, c)
	}
	if err := h.edge.extend(r, head); err != nil {
		return w.judged(row.Provider, err)
	}
	w.learn(row.Provider, h.edge)
	return nil
}

// learn remembers an edge that is further than what is known.
func (w *Writer) learn(provider string, e *edge) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.of(provider); h.edge == nil || h.edge.size < e.size {
		h.edge = e
	}
}

// missing notices checkpoints that were removed from the database while the one
// outside proves the history. The ledger says so and gets a new checkpoint.
func (w *Writer) missing(row store.LedgerState, expected int64) error {
	h := w.snapshot(row.Provider)
	if row.Signed >= expected || h.accepted != nil || h.restoring >= expected || h.note == "" {
		return nil
	}
	w.mu.Lock()
	w.of(row.Provider).restoring = expected
	w.mu.Unlock()
	w.alerts.Add(1)
	w.cfg.Log.Error("checkpoints of a ledger were removed from the database; "+
		"the one outside it proves the history, and a new one is signed", "provider", row.Provider,
		"size in the database", row.Signed, "size outside", expected, "remedy", "find out who changed the database")
	return w.enqueue(&item{provider: row.Provider, sign: true, entry: &Entry{
		Time:    w.cfg.Now().UTC(),
		Type:    Change,
		Action:  ActionCheckpointMissing,
		Subject: "checkpoint",
		Details: map[string]string{"size": fmt.Sprint(expected), "sizeInDatabase": fmt.Sprint(row.Signed)},
	}})
}

// Actions of entries that the ledger makes itself.
const (
	// ActionCheckpointMissing says that checkpoints were removed from the database.
	ActionCheckpointMissing = "ledger.checkpoint.missing"
	// ActionAccept says that the operator accepted a history that does not extend the
	// last checkpoint.
	ActionAccept = "ledger.accept"
)

// retry checks a stopped ledger again: it goes on once the database has the history
// that was signed, every row included, or the operator accepts the one that it has. What
// stopped it may have been found in the rows, so that fewer checks would not do.
func (w *Writer) retry(ctx context.Context, row store.LedgerState) error {
	fresh := &Writer{cfg: w.cfg, histories: map[string]*history{}}
	fresh.cfg.Log = slog.New(slog.DiscardHandler)
	e, err := fresh.check(ctx, inStore{ctx, w.cfg.Store, row.Provider}, row.Provider, row.LedgerHead)
	if err != nil {
		if errors.Is(err, ErrStopped) {
			return nil
		}
		return err
	}
	h := fresh.snapshot(row.Provider)
	if found, err := w.damagedRow(ctx, row.Provider, h); err != nil || found != nil {
		return err
	}
	h.edge, h.dirty = e, true
	w.mu.Lock()
	*w.of(row.Provider) = h
	w.mu.Unlock()
	w.cfg.Log.Warn("a stopped ledger continues", "provider", row.Provider, "size", row.Size,
		"accepted by the operator", h.accepted != nil)
	return w.announce(row.Provider)
}

// audits is how often a damaged row is looked at again: retention may remove texts
// while they are read.
const audits = 3

// audit reads all ledgers whole, as probity ledger verify does. It finds texts that
// were changed while their hashes stayed, which no signature depends on.
func (w *Writer) audit(ctx context.Context) {
	names, err := w.look(ctx, false)
	if err != nil {
		return // Watch says so
	}
	for _, name := range names {
		h := w.snapshot(name)
		if h.stop != nil || h.note == "" {
			continue
		}
		found, err := w.damagedRow(ctx, name, h)
		if err != nil && ctx.Err() == nil {
			w.cfg.Log.Warn("a ledger could not be read", "provider", name, "err", err.Error())
		}
		if found != nil {
			_ = w.stop(name, fmt.Sprintf("%s at %d: %s", found.Check, found.Seq, found.Message))
		}
	}
}

// damagedRow reads a ledger whole and returns the first row that is damaged, or nil.
func (w *Writer) damagedRow(ctx context.Context, provider string, h history) (found *Problem, err error) {
	var notes []string
	if h.note != "" {
		notes = []string{h.note}
	}
	for range audits {
		r, err := verifyWith(ctx, w.cfg.Store, provider, w.cfg.Keys, notes, h.accepted, nil)
		if err != nil {
			return nil, err
		}
		if h.accepted != nil { // what the checkpoints of another history say is no longer of interest
			r.Problems = slices.DeleteFunc(r.Problems,
				func(p Problem) bool { return p.Check == "ledger.fork" || p.Check == "ledger.checkpoint" })
		}
		if len(r.Problems) == 0 {
			return nil, nil
		}
		found = &r.Problems[0]
	}
	return found, nil
}
