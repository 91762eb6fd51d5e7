package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/internal/store"
)

// appender is what a writer needs of a store.
type appender interface {
	AppendLedger(ctx context.Context, batch string, now time.Time, f func(store.LedgerTx) error) error
}

// Config says how a writer works.
type Config struct {
	Store appender
	// Signer signs checkpoints, every so often where something was added.
	Signer     note.Signer
	Checkpoint time.Duration
	// Queue is how many decisions may wait; one provider may take half of it.
	Queue int
	Now   func() time.Time
	Log   *slog.Logger
}

const (
	// maxBatch is how many entries go into one transaction.
	maxBatch = 2000
	// retryFirst and retryLast are the pauses between attempts to write a batch.
	retryFirst = 50 * time.Millisecond
	retryLast  = 2 * time.Second
	// edges is how many providers' right edges are remembered.
	edges = 1024
)

// Errors of [Writer.Record].
var (
	// ErrFull means that the queue, or the provider's share of it, is full.
	ErrFull = errors.New("the ledger's queue is full")
	// ErrClosed means that the writer ends.
	ErrClosed = errors.New("the ledger is closed")
)

// Writer adds decisions in batches. It is safe for concurrent use.
type Writer struct {
	cfg    Config
	queue  chan item
	done   chan struct{}
	closed chan struct{} // closed when no more is taken
	// giveUp ends attempts to write when the time to close is over.
	giveUp context.Context
	cancel context.CancelFunc
	once   sync.Once

	mu      sync.Mutex
	waiting map[string]int   // by provider: entries in the queue
	lost    map[string]int64 // by provider: decisions lost and not yet told of

	written, losses atomic.Int64

	// Of the writing goroutine alone.
	edges map[string]*edge
	dirty map[string]time.Time // providers with entries after their checkpoint
}

type item struct {
	provider string
	entry    *Entry
	done     chan error // nil if nobody waits
}

// NewWriter starts a writer.
func NewWriter(cfg Config) *Writer {
	w := &Writer{cfg: cfg, queue: make(chan item, cfg.Queue), done: make(chan struct{}), closed: make(chan struct{}),
		waiting: map[string]int{}, lost: map[string]int64{}, edges: map[string]*edge{}, dirty: map[string]time.Time{}}
	w.giveUp, w.cancel = context.WithCancel(context.Background())
	go w.run()
	return w
}

// Stats counts what was written, what was lost, and what waits.
type Stats struct {
	Written, Lost int64
	Waiting       int
}

// Stats returns the counts.
func (w *Writer) Stats() Stats {
	return Stats{w.written.Load(), w.losses.Load(), len(w.queue)}
}

// Record hands an entry over. With wait it returns once the entry is committed;
// without, at once, and an entry that finds no place is counted as lost: the
// ledger says so as soon as it can.
func (w *Writer) Record(ctx context.Context, provider string, e Entry, wait bool) error {
	it := item{provider: provider, entry: &e}
	if wait {
		it.done = make(chan error, 1)
	}
	if err := w.enqueue(it); err != nil {
		if !wait {
			w.mu.Lock()
			w.lost[provider]++
			w.mu.Unlock()
			w.losses.Add(1)
		}
		return err
	}
	if !wait {
		return nil
	}
	select {
	case err := <-it.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Touch asks for a checkpoint of a ledger to which [Append] added.
func (w *Writer) Touch(provider string) {
	// Without a place in the queue the next decision brings the checkpoint.
	_ = w.enqueue(item{provider: provider})
}

func (w *Writer) enqueue(it item) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.closed:
		return ErrClosed
	default:
	}
	// Security: no provider can take the whole queue from the others.
	if w.waiting[it.provider] >= max(1, w.cfg.Queue/2) {
		return ErrFull
	}
	select {
	case w.queue <- it:
		w.waiting[it.provider]++
		return nil
	default:
		return ErrFull
	}
}

// Close writes what waits, for as long as ctx allows, and ends.
func (w *Writer) Close(ctx context.Context) {
	w.once.Do(func() {
		w.mu.Lock()
		close(w.closed)
		close(w.queue)
		w.mu.Unlock()
	})
	select {
	case <-w.done:
	case <-ctx.Done():
		w.cancel()
		<-w.done
	}
	w.cancel()
}

func (w *Writer) run() {
	defer close(w.done)
	tick := time.NewTicker(max(w.cfg.Checkpoint/2, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case it, ok := <-w.queue:
			if !ok {
				w.checkpoints(true)
				return
			}
			w.flush(w.gather(it))
		case <-tick.C:
			w.checkpoints(false)
		}
	}
}

// gather takes what waits, up to a batch. Whatever came while the last batch was
// written makes the next one: the busier, the larger.
func (w *Writer) gather(first item) []item {
	batch := []item{first}
	for len(batch) < maxBatch {
		select {
		case it, ok := <-w.queue:
			if !ok {
				return batch
			}
			batch = append(batch, it)
		default:
			return batch
		}
	}
	return batch
}

// flush writes a batch, again and again until it is written.
func (w *Writer) flush(batch []item) {
	byProvider := map[string][]*Entry{}
	entries := 0
	for _, it := range batch {
		list := byProvider[it.provider]
		if it.entry != nil {
			list = append(list, it.entry)
			entries++
		} else {
			w.dirty[it.provider] = time.Time{} // due
		}
		byProvider[it.provider] = list
	}
	w.mu.Lock()
	losses := w.lost
	w.lost = map[string]int64{}
	w.mu.Unlock()
	for provider, n := range losses {
		byProvider[provider] = append(byProvider[provider], &Entry{Time: w.cfg.Now().UTC(), Type: Loss, Lost: n})
	}
	failed := w.writeEach(byProvider)
	lost := 0
	w.mu.Lock()
	for provider, n := range losses {
		if failed[provider] != nil {
			w.lost[provider] += n
		}
	}
	for _, it := range batch {
		if w.waiting[it.provider]--; w.waiting[it.provider] == 0 {
			delete(w.waiting, it.provider)
		}
		if it.entry != nil && failed[it.provider] != nil {
			lost++
		}
	}
	w.mu.Unlock()
	w.written.Add(int64(entries - lost))
	w.losses.Add(int64(lost))
	for provider, err := range failed {
		w.cfg.Log.Error("decisions were not recorded", "provider", provider, "lost of all", lost, "err", err.Error())
	}
	for _, it := range batch {
		if it.done != nil {
			it.done <- failed[it.provider]
		}
	}
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

// write adds entries to ledgers in one transaction. Its name keeps a batch whose
// commit was not answered from being added twice.
func (w *Writer) write(byProvider map[string][]*Entry) error {
	name := rand.Text()
	pause := retryFirst
	for {
		next := map[string]*edge{}
		err := w.cfg.Store.AppendLedger(w.giveUp, name, w.cfg.Now(), func(tx store.LedgerTx) error {
			clear(next)
			// One order for all nodes, so that none waits for the other in a ring.
			for _, provider := range slices.Sorted(maps.Keys(byProvider)) {
				e, err := w.append(tx, provider, byProvider[provider])
				if err != nil {
					return err
				}
				next[provider] = e
			}
			return nil
		})
		if err == nil {
			w.remember(next)
			return nil
		}
		clear(w.edges)
		if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		w.cfg.Log.Warn("the ledger waits for the store", "waiting", len(w.queue), "err", err.Error())
		select {
		case <-w.giveUp.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, retryLast)
	}
}

func (w *Writer) append(tx store.LedgerTx, provider string, entries []*Entry) (*edge, error) {
	head, err := tx.LedgerHead(provider)
	if err != nil {
		return nil, err
	}
	var e *edge
	// Another node may have written since: what is remembered counts only if it is
	// what stands there.
	if known := w.edges[provider]; known != nil && known.size == head.Size && string(known.chain) == string(head.Chain) {
		e = known.clone()
	} else if e, err = load(inTx{tx, provider}, head); err != nil {
		return nil, err
	}
	a, err := e.append(provider, entries)
	if err != nil {
		return nil, err
	}
	if w.due(provider) && e.size > 0 {
		text, err := sign(w.cfg.Signer, provider, e.size, e.root())
		if err != nil {
			return nil, err
		}
		a.Checkpoint = &store.Checkpoint{Size: e.size, Note: text}
	}
	return e, tx.AppendLedger(provider, a)
}

// due reports whether a checkpoint is to be made.
func (w *Writer) due(provider string) bool {
	since, dirty := w.dirty[provider]
	return dirty && w.cfg.Now().Sub(since) >= w.cfg.Checkpoint
}

// remember keeps the edges of what was written, and since when entries have had
// no checkpoint.
func (w *Writer) remember(next map[string]*edge) {
	if len(w.edges)+len(next) > edges {
		clear(w.edges)
	}
	now := w.cfg.Now()
	for provider, e := range next {
		w.edges[provider] = e
		if since, dirty := w.dirty[provider]; !dirty || now.Sub(since) >= w.cfg.Checkpoint {
			w.dirty[provider] = now
		}
	}
}

// checkpoints makes those that are due where nothing more was added.
func (w *Writer) checkpoints(all bool) {
	w.mu.Lock()
	untold := len(w.lost) > 0
	w.mu.Unlock()
	if untold {
		w.flush(nil)
	}
	due := map[string][]*Entry{}
	for provider, since := range w.dirty {
		if all || w.cfg.Now().Sub(since) >= w.cfg.Checkpoint {
			due[provider] = nil
			w.dirty[provider] = time.Time{}
		}
	}
	if len(due) == 0 {
		return
	}
	failed := w.writeEach(due)
	for provider := range due {
		if err := failed[provider]; err != nil {
			w.cfg.Log.Warn("no checkpoint of the ledger was made", "provider", provider, "err", err.Error())
			continue
		}
		delete(w.dirty, provider)
	}
}
