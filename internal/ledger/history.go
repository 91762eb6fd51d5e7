package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/store"
)

// ErrStopped is wrapped by every [Stop].
var ErrStopped = errors.New(
	"the ledger is stopped: its history in the database does not extend its last checkpoint",
)

// Stop says why nothing is added to a ledger and none of its checkpoints is
// signed: the database does not have the history that was signed before.
type Stop struct {
	Provider string
	Since    time.Time
	Reason   string
}

// Error gives provider and reason.
func (s *Stop) Error() string {
	return fmt.Sprintf("ledger of %s: %s: %s", s.Provider, ErrStopped, s.Reason)
}

// Unwrap returns [ErrStopped].
func (s *Stop) Unwrap() error { return ErrStopped }

// RemedyStopped is what the operator can do about a stopped ledger.
const RemedyStopped = "find out who changed the database and restore it from a backup that extends the " +
	"last checkpoint; " +
	"probity ledger verify names the rows; to go on with the history as it is now: probity ledger accept"

// damage is a history that does not extend what was signed. Other errors mean that
// it could not be read.
type damage struct{ reason string }

func (d *damage) Error() string { return d.reason }

func damaged(format string, args ...any) error { return &damage{fmt.Sprintf(format, args...)} }

// history is what this process knows of one ledger.
type history struct {
	// edge is the right edge of the tree that was computed from leaf hashes and that
	// extends kept; nil before the first check.
	edge *edge
	// kept is the checkpoint outside the database, note its text; Size is -1 if
	// there is none yet.
	kept Checkpoint
	note string
	// saved says that the file outside has it.
	saved bool
	stop  *Stop
	// dirty says that entries have no checkpoint yet, since is when to count from;
	// the zero time means that a checkpoint is due.
	dirty bool
	since time.Time
	// accepted is the history that the operator accepted, until it is signed, and
	// announced that its entry was made; restoring is the size of a checkpoint that the database lost.
	accepted  *Acceptance
	announced bool
	restoring int64
}

// of returns what is known of a ledger. The caller holds w.mu.
func (w *Writer) of(provider string) *history {
	h := w.histories[provider]
	if h == nil {
		h = &history{kept: Checkpoint{Size: -1}, restoring: -1}
		w.histories[provider] = h
	}
	return h
}

// snapshot returns a copy of what is known of a ledger.
func (w *Writer) snapshot(provider string) history {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := *w.of(provider)
	if h.edge != nil {
		h.edge = h.edge.clone()
	}
	return h
}

// check returns the right edge of a ledger at its head, computed from the leaf
// hashes. The error wraps [ErrStopped] if the history does not extend what was
// signed before; the ledger is stopped then.
func (w *Writer) check(ctx context.Context, r reader, provider string, head store.LedgerHead) (*edge, error) {
	h := w.snapshot(provider)
	if h.stop != nil {
		return nil, h.stop
	}
	e, err := h.edge, error(nil)
	if e == nil {
		e, err = w.begin(ctx, r, provider, head)
	} else {
		err = e.extend(r, head)
	}
	return e, w.judged(provider, err)
}

// judged stops a ledger whose history is damaged.
func (w *Writer) judged(provider string, err error) error {
	if d := (*damage)(nil); errors.As(err, &d) {
		return w.stop(provider, d.reason)
	}
	return err
}

// begin reads a ledger for the first time: all leaf hashes from the start, which
// must lead to the checkpoint that was kept outside the database, and to the newest
// one in it.
func (w *Writer) begin(ctx context.Context, r reader, provider string, head store.LedgerHead) (*edge, error) {
	b, err := w.base(ctx, provider)
	if err != nil {
		return nil, err
	}
	e := &edge{}
	if b.Size < 0 {
		if head.Size > 0 {
			return nil, damaged("the database has %d entries and no checkpoint, and none is kept outside it",
				head.Size)
		}
		// Security: entries without a head would become the first ones again.
		leaves, err := r.leaves(0, 1)
		if err != nil {
			return nil, err
		}
		if len(leaves) > 0 {
			return nil, damaged("the database has entries, but says that the ledger is empty")
		}
		return e, nil
	}
	if head.Size < b.Size {
		return nil, damaged("the last checkpoint says %d entries, the database has %d: "+
			"entries were removed, or the database is an older copy", b.Size, head.Size)
	}
	if err := e.read(r, b.Size); err != nil {
		return nil, err
	}
	if e.root() != b.Root {
		return nil,
			damaged("the first %d entries are not those of the last checkpoint: they were rewritten", b.Size)
	}
	if b, err = w.beyond(ctx, r, provider, e, head, b); err != nil {
		return nil, err
	}
	if err := e.extend(r, head); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.of(provider); h.kept.Size < b.Size {
		h.kept, h.note, h.saved, h.accepted = b.Checkpoint, b.note, b.saved, b.accepted
	}
	return e, nil
}

// beyond compares with the newest checkpoint in the database where that is larger
// than the one outside: of another node, or of this one before it was killed.
func (w *Writer) beyond(
	ctx context.Context, r reader, provider string, e *edge, head store.LedgerHead, b base,
) (base, error) {
	if b.accepted != nil {
		return b, nil
	}
	c, text, err := w.newest(ctx, provider)
	if err != nil || c.Size <= b.Size {
		return b, err
	}
	if c.Size > head.Size {
		// Another node may have added entries since the head was read.
		now, err := w.cfg.Store.LedgerHead(ctx, provider)
		if err == nil && now.Size < c.Size {
			err = damaged("a checkpoint in the database says %d entries, there are %d: entries were removed",
				c.Size, now.Size)
		}
		return b, err
	}
	if err := e.read(r, c.Size); err != nil {
		return b, err
	}
	if e.root() != c.Root {
		return b, damaged("the first %d entries are not those of the newest checkpoint in the database: "+
			"they were rewritten", c.Size)
	}
	return base{Checkpoint: c, note: text}, nil
}

// base is where trust in a ledger begins. Size is -1 where there is nothing.
type base struct {
	Checkpoint
	note     string
	saved    bool // outside the database
	accepted *Acceptance
}

// base finds where trust begins: the history that the operator accepted, the
// checkpoint outside the database, or, where there is none, the newest in the
// database.
func (w *Writer) base(ctx context.Context, provider string) (b base, err error) {
	if b.accepted, err = w.acceptance(provider); b.accepted != nil || err != nil {
		if err == nil {
			b.Checkpoint = Checkpoint{Origin(w.cfg.Signer.Name(), provider), b.accepted.Size, b.accepted.Root}
		}
		return b, err
	}
	text, err := w.cfg.Outside.Read(provider)
	switch {
	case err == nil:
		c, err := w.cfg.Keys.open(provider, string(text))
		if err != nil {
			return b, damaged("the checkpoint outside the database: %v", err)
		}
		return base{Checkpoint: c, note: string(text), saved: true}, nil
	case !errors.Is(err, fs.ErrNotExist):
		w.cfg.Log.Error("the checkpoint outside the database cannot be read", "provider", provider, "err",
			err.Error())
		return b, damaged("the checkpoint outside the database cannot be read; the log says why")
	}
	b.Checkpoint, b.note, err = w.newest(ctx, provider)
	return b, err
}

// newest is the newest checkpoint in the database, with size -1 if there is none.
func (w *Writer) newest(ctx context.Context, provider string) (Checkpoint, string, error) {
	list, err := w.cfg.Store.Checkpoints(ctx, provider, 1)
	if err != nil || len(list) == 0 {
		return Checkpoint{Size: -1}, "", err
	}
	c, err := w.cfg.Keys.open(provider, list[0].Note)
	if err == nil && c.Size != list[0].Size {
		err = fmt.Errorf("it is of size %d", c.Size)
	}
	if err != nil {
		return c, "", damaged("the newest checkpoint in the database, of size %d: %v", list[0].Size, err)
	}
	return c, list[0].Note, nil
}

// readAtOnce is how many leaf hashes are read by one statement.
const readAtOnce = 10_000

// read goes on to a size by the leaf hashes.
func (e *edge) read(r reader, size int64) error {
	for e.size < size {
		n := min(size-e.size, readAtOnce)
		leaves, err := r.leaves(e.size, n)
		if err != nil {
			return err
		}
		if int64(len(leaves)) != n {
			return damaged("of the entries %d to %d, %d are missing", e.size, e.size+n-1, n-int64(len(leaves)))
		}
		for _, leaf := range leaves {
			if len(leaf) != tlog.HashSize {
				return damaged("the hash of entry %d has %d bytes", e.size, len(leaf))
			}
			e.push(tlog.Hash(leaf), nil)
		}
	}
	return nil
}

// extend goes on to the head, which must follow from what was read before.
func (e *edge) extend(r reader, head store.LedgerHead) error {
	if head.Size < e.size {
		return damaged("there were %d entries, now the database has %d: entries were removed, "+
			"or the database is an older copy",
			e.size, head.Size)
	}
	if err := e.read(r, head.Size); err != nil {
		return err
	}
	if string(e.chain) != string(head.Chain) {
		return damaged("the chain of hashes does not lead to the head at %d entries: entries were rewritten",
			head.Size)
	}
	return nil
}

// stop stops a ledger, raises the alert, and returns the stop.
func (w *Writer) stop(provider, reason string) error {
	w.mu.Lock()
	h := w.of(provider)
	first := h.stop == nil
	if first {
		h.stop = &Stop{provider, w.cfg.Now().UTC(), reason}
	}
	s := h.stop
	w.mu.Unlock()
	if first {
		w.alerts.Add(1)
		w.cfg.Log.Error("LEDGER STOPPED: no entry of this provider is recorded and no checkpoint is signed",
			"provider", provider, "reason", reason, "remedy", RemedyStopped)
	}
	return s
}

// Stopped returns the ledgers that are stopped.
func (w *Writer) Stopped() []*Stop {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*Stop
	for _, h := range w.histories {
		if h.stop != nil {
			all = append(all, h.stop)
		}
	}
	return all
}

// Kept returns the sizes of the checkpoints that are kept outside the database, by
// provider.
func (w *Writer) Kept() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	sizes := map[string]int64{}
	for provider, h := range w.histories {
		if h.kept.Size >= 0 {
			sizes[provider] = h.kept.Size
		}
	}
	return sizes
}

// EachKept calls f with the newest checkpoint of each ledger.
func (w *Writer) EachKept(f func(provider, text string, size int64)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for provider, h := range w.histories {
		if h.note != "" {
			f(provider, h.note, h.kept.Size)
		}
	}
}

// keep puts a checkpoint that is committed, and that extends the one before, into
// the file outside the database.
func (w *Writer) keep(provider, text string, c Checkpoint) {
	w.keeping.Lock() // one file at a time, so that a smaller one never comes last
	defer w.keeping.Unlock()
	h := w.snapshot(provider)
	if h.accepted == nil && (c.Size < h.kept.Size || c.Size == h.kept.Size && h.saved) {
		return
	}
	err := w.setAside(provider, h.accepted)
	if err == nil {
		err = w.cfg.Outside.Write(provider, []byte(text))
	}
	if err == nil && h.accepted != nil {
		err = w.cfg.Outside.Remove(acceptedName(provider))
	}
	w.mu.Lock()
	now := w.of(provider)
	now.kept, now.note, now.saved, now.accepted, now.announced, now.restoring = c, text, err == nil,
		nil, false, -1
	w.mu.Unlock()
	if err != nil {
		w.alerts.Add(1)
		w.cfg.Log.Error(
			"a checkpoint could not be kept outside the database: a change of the database may go unnoticed",
			"provider", provider, "size", c.Size,
			"err", err.Error(), "remedy",
			"make the data folder writable for the service, and free space on its disk",
		)
	}
	w.cfg.Log.Info("ledger checkpoint", "provider", provider, "size", c.Size, "checkpoint", text)
	if w.cfg.Kept != nil {
		w.cfg.Kept(provider, text, c)
	}
}
