package ledger

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
)

// Database is what a writer needs of a store.
type Database interface {
	Store
	AppendLedger(ctx context.Context, batch string, now time.Time, f func(store.LedgerTx) error) error
	LedgerHeads(ctx context.Context) ([]store.LedgerState, error)
}

// Config says how a writer works.
type Config struct {
	Store Database
	// Outside keeps the newest checkpoint of each ledger outside the database.
	Outside *anchor.Folder
	// Signer signs checkpoints, every so often where something was added. Keys verify
	// them: the signer's, and those before it.
	Signer     note.Signer
	Keys       Keys
	Checkpoint time.Duration
	// Audit is how often all ledgers are read whole; zero means never.
	Audit time.Duration
	// Queue is how many decisions may wait; one provider may take half of it.
	Queue int
	// Patience is how long a write may take before callers that wait for it are
	// refused. Zero means two seconds.
	Patience time.Duration
	Now      func() time.Time
	Log      *slog.Logger
	// Kept, if not nil, is told of each checkpoint that was kept. It must not block.
	Kept func(provider, text string, c Checkpoint)
}

const (
	// maxBatch is how many entries go into one transaction.
	maxBatch = 2000
	// retryFirst and retryLast are the pauses between attempts to write a batch.
	retryFirst = 50 * time.Millisecond
	retryLast  = 2 * time.Second
	patience   = 2 * time.Second
)

// Errors of [Writer.Record]. [ErrStopped] is another one.
var (
	// ErrFull means that the queue, or the provider's share of it, is full.
	ErrFull = errors.New("the ledger's queue is full")
	// ErrClosed means that the writer ends.
	ErrClosed = errors.New("the ledger is closed")
	// ErrNotWriting means that the database takes no entries now.
	ErrNotWriting = errors.New("the database takes no entries of the ledger now")
)

// Writer adds decisions in batches. It is safe for concurrent use.
type Writer struct {
	cfg    Config
	queue  chan *item
	done   chan struct{}
	closed chan struct{} // closed when no more is taken
	// giveUp ends attempts to write when the time to close is over.
	giveUp context.Context
	cancel context.CancelFunc
	once   sync.Once

	keeping sync.Mutex // held while a checkpoint is kept

	mu        sync.Mutex
	waiting   map[string]int      // by provider: entries in the queue
	lost      map[string]int64    // by provider: decisions lost and not yet told of
	withheld  map[string][]*Entry // by provider: what is to be said about tokens that never left
	recalled  map[string]bool     // by provider: losses of the run before are in a file
	histories map[string]*history
	// trouble is closed while nothing can be written.
	trouble chan struct{}
	failing bool

	written, losses, alerts atomic.Int64
}

// item is an entry, or without one the wish for a checkpoint.
type item struct {
	provider string
	entry    *Entry
	sign     bool
	done     chan error // nil if no caller waits
	// answered is taken once: by the caller who waits no longer, or by the writer.
	answered atomic.Bool
	left     atomic.Bool // by the caller
}

// NewWriter checks all ledgers and starts a writer. Ledgers whose history does not
// extend their last checkpoint are stopped, which is no error: see
// [Writer.Stopped].
func NewWriter(ctx context.Context, cfg Config) (*Writer, error) {
	if cfg.Patience == 0 {
		cfg.Patience = patience
	}
	w := &Writer{
		cfg: cfg, queue: make(chan *item, cfg.Queue), done: make(chan struct{}),
		closed: make(chan struct{}), trouble: make(chan struct{}),
		waiting: map[string]int{},
		lost:    map[string]int64{}, withheld: map[string][]*Entry{}, recalled: map[string]bool{},
		histories: map[string]*history{},
	}
	w.giveUp, w.cancel = context.WithCancel(context.Background())
	if err := errors.Join(w.recall(), w.open(ctx)); err != nil {
		w.cancel()
		return nil, err
	}
	go w.run()
	return w, nil
}

// Stats counts what was written, what was lost, what waits, and what the operator
// must look at.
type Stats struct {
	Written, Lost, Alerts int64
	Waiting, Stopped      int
}

// Stats returns the counts.
func (w *Writer) Stats() Stats {
	return Stats{w.written.Load(), w.losses.Load(), w.alerts.Load(), len(w.queue), len(w.Stopped())}
}

// Record hands an entry over. With wait it returns once the entry is committed, or
// as soon as the database is known to take none; without, at once. Each entry that
// is not recorded is lost, and the ledger says so as soon as it can.
func (w *Writer) Record(ctx context.Context, provider string, e Entry, wait bool) error {
	it := &item{provider: provider, entry: &e}
	if wait {
		it.done = make(chan error, 1)
	}
	trouble, err := w.admit(it)
	if err != nil {
		if e.Type == Decision {
			w.lose(provider, 1)
		}
		return err
	}
	if !wait {
		return nil
	}
	select {
	case err := <-it.done:
		return err
	case <-trouble:
		err = ErrNotWriting
	case <-ctx.Done():
		err = ctx.Err()
	}
	it.left.Store(true)
	if !it.answered.CompareAndSwap(false, true) {
		return <-it.done // written after all
	}
	return err
}

// admit puts an entry into the queue, unless it is known that it cannot be written.
func (w *Writer) admit(it *item) (trouble <-chan struct{}, err error) {
	// An entry that has no text must not take its batch with it.
	if _, err := it.entry.text(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	h := w.of(it.provider)
	stop, trouble, failing := h.stop, w.trouble, w.failing
	w.mu.Unlock()
	switch {
	case stop != nil:
		return nil, stop
	case failing && it.done != nil:
		return nil, ErrNotWriting
	}
	return trouble, w.enqueue(it)
}

// Withhold puts on record that the token of a decision never left the service.
func (w *Writer) Withhold(provider string, of Entry, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.withhold(provider, &of, reason)
}

// withhold is Withhold for the holder of w.mu.
func (w *Writer) withhold(provider string, of *Entry, reason string) {
	if len(w.withheld[provider]) >= maxBatch {
		w.lost[provider]++
		w.losses.Add(1)
		return
	}
	w.withheld[provider] = append(w.withheld[provider],
		&Entry{Time: w.cfg.Now().UTC(), Type: Withheld, Request: of.Request, Client: of.Client,
			Kind: of.Kind, Token: of.Token, Reason: reason})
}

// Touch asks for a checkpoint of a ledger to which [Append] added.
func (w *Writer) Touch(provider string) {
	// Without a place in the queue, Watch brings the checkpoint.
	_ = w.enqueue(&item{provider: provider, sign: true})
}

func (w *Writer) enqueue(it *item) error {
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

// Close writes what waits, for as long as ctx allows, and ends. Losses that could
// not be told of are kept outside the database for the next start.
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
	w.checkpoints(false)
	for {
		select {
		case it, ok := <-w.queue:
			if !ok {
				w.checkpoints(true)
				w.leave()
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
func (w *Writer) gather(first *item) []*item {
	batch := []*item{first}
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

// reasonGone says about an entry that its caller had been refused before it was
// written.
const reasonGone = "the caller had been refused, or had left, before the ledger had the decision"

// flush writes a batch, again and again until it is written.
func (w *Writer) flush(batch []*item) {
	round := w.take(batch)
	if len(round.byProvider) == 0 {
		return
	}
	failed := w.writeEach(round.byProvider)
	lost := w.settle(batch, round, failed)
	for provider, n := range lost {
		w.lose(provider, n)
	}
	for provider, err := range failed {
		w.cfg.Log.Error("decisions were not recorded", "provider", provider, "lost", lost[provider], "err",
			err.Error())
	}
	for _, it := range batch {
		if it.done != nil {
			it.done <- failed[it.provider]
		}
	}
}

// round is what one flush writes.
type round struct {
	byProvider map[string][]*Entry
	losses     map[string]int64    // told in it
	withheld   map[string][]*Entry // of earlier batches
}

// take takes the entries of a batch, and what is to be told besides.
func (w *Writer) take(batch []*item) round {
	byProvider := map[string][]*Entry{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, it := range batch {
		list := byProvider[it.provider]
		if it.sign {
			h := w.of(it.provider)
			h.dirty, h.since = true, time.Time{} // due
		}
		if it.entry != nil {
			if it.left.Load() && it.answered.Load() {
				it.entry.Reason = reasonGone
			}
			list = append(list, it.entry)
		}
		byProvider[it.provider] = list
	}
	told := round{byProvider, w.lost, w.withheld}
	w.lost, w.withheld = map[string]int64{}, map[string][]*Entry{}
	for provider, n := range told.losses {
		if w.of(provider).stop != nil { // it is told later
			w.lost[provider] = n
			delete(told.losses, provider)
			continue
		}
		byProvider[provider] = append(byProvider[provider], &Entry{Time: w.cfg.Now().UTC(), Type: Loss, Lost: n})
	}
	for provider, list := range told.withheld {
		byProvider[provider] = append(byProvider[provider], list...)
	}
	return told
}

// settle counts what was written, and keeps for later what was not told. It returns how many
// entries of each provider are lost.
func (w *Writer) settle(batch []*item, told round, failed map[string]error) map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	for provider, n := range told.losses {
		if failed[provider] != nil {
			w.lost[provider] += n
		} else {
			w.told(provider)
		}
	}
	lost := map[string]int64{}
	for provider, list := range told.withheld {
		if failed[provider] != nil {
			lost[provider] += int64(len(list))
		}
	}
	written := int64(0)
	for _, it := range batch {
		if w.waiting[it.provider]--; w.waiting[it.provider] == 0 {
			delete(w.waiting, it.provider)
		}
		if it.entry == nil {
			continue
		}
		if failed[it.provider] != nil {
			lost[it.provider]++
			continue
		}
		written++
		if it.done != nil && !it.answered.CompareAndSwap(false, true) && it.entry.Reason == "" {
			w.withhold(it.provider, it.entry, reasonGone)
		}
	}
	w.written.Add(written)
	return lost
}

// checkpoints makes those that are due where nothing more was added, and says what
// was lost.
func (w *Writer) checkpoints(all bool) {
	w.mu.Lock()
	untold := len(w.withheld) > 0
	for provider := range w.lost {
		untold = untold || w.of(provider).stop == nil
	}
	w.mu.Unlock()
	if untold {
		w.flush(nil)
	}
	due := map[string][]*Entry{}
	w.mu.Lock()
	for provider, h := range w.histories {
		if h.dirty && h.stop == nil && (all || w.cfg.Now().Sub(h.since) >= w.cfg.Checkpoint) {
			due[provider] = nil
			h.since = time.Time{}
		}
	}
	w.mu.Unlock()
	if len(due) == 0 {
		return
	}
	for provider, err := range w.writeEach(due) {
		if err != nil {
			w.cfg.Log.Warn("no checkpoint of the ledger was made", "provider", provider, "err", err.Error())
		}
	}
}
