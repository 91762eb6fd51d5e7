package ledger

import (
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// addition is what a transaction added to one ledger.
type addition struct {
	edge *edge
	note string // the checkpoint, or empty
}

// writeEach writes a batch, and says whose entries were not written. A ledger that
// takes no entries keeps no other one from its own.
func (w *Writer) writeEach(byProvider map[string][]*Entry) (failed map[string]error) {
	err := w.write(byProvider)
	if err == nil {
		return nil
	}
	failed = map[string]error{}
	for provider, list := range byProvider {
		if len(byProvider) > 1 && !errors.Is(err, store.ErrUnavailable) {
			if one := w.write(map[string][]*Entry{provider: list}); one != nil {
				failed[provider] = one
			}
			continue
		}
		failed[provider] = err
	}
	return failed
}

// write adds entries to ledgers in one transaction, again and again while the
// database does not answer. Its name keeps a batch whose commit was not answered
// from being added twice.
func (w *Writer) write(byProvider map[string][]*Entry) error {
	name := rand.Text()
	pause := retryFirst
	slow := time.AfterFunc(w.cfg.Patience, w.trip)
	defer func() { slow.Stop(); w.recover() }()
	for {
		next := map[string]addition{}
		err := w.cfg.Store.AppendLedger(w.giveUp, name, w.cfg.Now(), func(tx store.LedgerTx) error {
			clear(next)
			// One order for all nodes, so that none waits for the other in a ring.
			for _, provider := range slices.Sorted(maps.Keys(byProvider)) {
				a, err := w.append(tx, provider, byProvider[provider])
				if err != nil {
					return err
				}
				next[provider] = a
			}
			return nil
		})
		if err == nil {
			w.remember(next)
			return nil
		}
		if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		w.trip()
		w.cfg.Log.Warn("the ledger waits for the store", "waiting", len(w.queue), "err", err.Error())
		select {
		case <-w.giveUp.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, retryLast)
	}
}

// trip releases the callers that wait for a database which does not take entries.
func (w *Writer) trip() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.failing {
		w.failing = true
		close(w.trouble)
	}
}

// recover lets callers wait again.
func (w *Writer) recover() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing {
		w.failing = false
		w.trouble = make(chan struct{})
	}
}

func (w *Writer) append(tx store.LedgerTx, provider string, entries []*Entry) (next addition, err error) {
	head, err := tx.LedgerHead(provider)
	if err != nil {
		return next, err
	}
	if next.edge, err = w.check(w.giveUp, inTx{tx, provider}, provider, head); err != nil {
		return next, err
	}
	a, err := next.edge.append(provider, entries)
	if err != nil {
		return next, err
	}
	e := next.edge
	if e.size > 0 && (w.due(provider) || head.Size == 0) {
		if next.note, err = sign(w.cfg.Signer, provider, e.size, e.root()); err != nil {
			return next, err
		}
		a.Checkpoint = &store.Checkpoint{Size: e.size, Note: next.note}
	}
	return next, tx.AppendLedger(provider, a)
}

// due reports whether a checkpoint is to be made.
func (w *Writer) due(provider string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.of(provider)
	return h.dirty && w.cfg.Now().Sub(h.since) >= w.cfg.Checkpoint
}

// remember keeps what was committed, and since when entries have had no
// checkpoint.
func (w *Writer) remember(next map[string]addition) {
	for provider, a := range next {
		w.learn(provider, a.edge)
		w.mu.Lock()
		h := w.of(provider)
		if a.note != "" {
			h.dirty = false
		} else if !h.dirty && a.edge.size > 0 {
			h.dirty, h.since = true, w.cfg.Now()
		}
		w.mu.Unlock()
		if a.note != "" {
			w.keep(provider, a.note, Checkpoint{Origin(w.cfg.Signer.Name(), provider), a.edge.size, a.edge.root()})
		}
	}
}
