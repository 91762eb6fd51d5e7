package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// losses returns the losses and withheld tokens that the ledger of a tells of.
func losses(t *testing.T, s Database) (lost int64, withheld []*Entry) {
	t.Helper()
	for _, kind := range []string{Loss, Withheld} {
		found, _, err := Search(t.Context(), s, "a", Query{Type: kind}, 0, 1000, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found {
			lost += e.Lost
			if e.Type == Withheld {
				withheld = append(withheld, e)
			}
		}
	}
	return lost, withheld
}

// broken is a database whose transactions fail permanently, hang, or do not answer.
type broken struct {
	Database
	err  atomic.Pointer[error]
	hang chan struct{}
}

func (b *broken) fail(err error) {
	if err == nil {
		b.err.Store(nil)
		return
	}
	b.err.Store(&err)
}

func (b *broken) AppendLedger(
	ctx context.Context, batch string, at time.Time, f func(store.LedgerTx) error,
) error {
	if b.hang != nil {
		<-b.hang
	}
	if err := b.err.Load(); err != nil {
		return *err
	}
	return b.Database.AppendLedger(ctx, batch, at, f)
}

// waysToLose are what keeps three decisions from the ledger.
var waysToLose = map[string]func(t *testing.T, b *broken, w *Writer){
	"an error of the database": func(t *testing.T, b *broken, w *Writer) {
		b.fail(errors.New("a constraint fails"))
		for range 3 {
			if err := w.Record(t.Context(), "a", decision(1), true); err == nil {
				t.Error("recorded")
			}
		}
		b.fail(nil)
	},
	"an error of the database, no caller waits": func(t *testing.T, b *broken, w *Writer) {
		b.fail(errors.New("a constraint fails"))
		for range 3 {
			if err := w.Record(t.Context(), "a", decision(1), false); err != nil {
				t.Error(err)
			}
		}
		for w.Stats().Lost < 3 {
			time.Sleep(time.Millisecond)
		}
		b.fail(nil)
	},
	"entries that have no text": func(t *testing.T, b *broken, w *Writer) {
		for range 3 {
			bad := decision(1)
			bad.By = "\xff"
			if err := w.Record(t.Context(), "a", bad, false); err == nil {
				t.Error("recorded")
			}
		}
		if err := w.Record(t.Context(), "a", decision(2), true); err != nil {
			t.Errorf("a neighbour of an entry without text: %v", err)
		}
	},
	"the database does not answer until the end": func(t *testing.T, b *broken, w *Writer) {
		b.fail(store.ErrUnavailable)
		for range 3 {
			if err := w.Record(t.Context(), "a", decision(1), false); err != nil {
				t.Error(err)
			}
		}
		end, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		w.Close(end)
		b.fail(nil)
	},
	"after the end": func(t *testing.T, b *broken, w *Writer) {
		w.Close(t.Context())
		for range 3 {
			if err := w.Record(t.Context(), "a", decision(1), false); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	},
	"the ledger is stopped": func(t *testing.T, b *broken, w *Writer) {
		_ = w.stop("a", "test")
		for range 3 {
			if err := w.Record(t.Context(), "a", decision(1), false); !errors.Is(err, ErrStopped) {
				t.Error(err)
			}
		}
	},
}

// Whatever keeps a decision from the ledger, it is counted, and the ledger says so
// when it can: at the next start if need be.
func TestEveryLossIsReported(t *testing.T) {
	for name, lose := range waysToLose {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			k, v := key(t)
			f := outside(t)
			b := &broken{Database: s}
			w := writerAt(t, b, k, f, func(*Config) {})
			if err := w.Record(t.Context(), "a", decision(0), true); err != nil {
				t.Fatal(err)
			}
			lose(t, b, w)
			w.Close(t.Context())
			if got := w.Stats().Lost; got != 3 {
				t.Errorf("counted %d", got)
			}
			for range 2 { // told once, however often the service starts
				next := writerAt(t, s, k, f, func(*Config) {})
				if err := next.Record(t.Context(), "a", decision(9), true); err != nil {
					t.Fatal(err)
				}
				next.Close(t.Context())
			}
			if lost, _ := losses(t, s); lost != 3 {
				t.Errorf("the ledger tells of %d", lost)
			}
			if r := verify(t, s, v); len(r.Problems) != 0 {
				t.Errorf("%+v", r.Problems)
			}
		})
	}
}

// A caller who waits is answered as soon as the database is known to take nothing;
// the ledger says later that the token was not sent.
func TestCallersDoNotWaitForADatabaseThatTakesNothing(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("it hangs: %v", hangs), func(t *testing.T) {
			b := &broken{Database: open(t)}
			if hangs {
				b.hang = make(chan struct{})
			} else {
				b.fail(store.ErrUnavailable)
			}
			k, v := key(t)
			w := writerAt(t, b, k, outside(t), func(c *Config) { c.Patience = 50 * time.Millisecond })
			first := decision(1)
			first.Request = "first"
			start := time.Now()
			if err := w.Record(t.Context(), "a", first, true); !errors.Is(err, ErrNotWriting) {
				t.Errorf("the first: %v", err)
			}
			for range 20 {
				if err := w.Record(t.Context(), "a", decision(2), true); !errors.Is(err, ErrNotWriting) {
					t.Errorf("while nothing is written: %v", err)
				}
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("answered after %s", took)
			}
			if hangs {
				close(b.hang)
			} else {
				b.fail(nil)
			}
			for w.Stats().Written == 0 {
				time.Sleep(time.Millisecond)
			}
			w.Close(t.Context())
			lost, withheld := losses(t, b.Database)
			if lost != 20 || len(withheld) != 1 || withheld[0].Request != "first" ||
				withheld[0].Token != "1" || withheld[0].Reason == "" {
				t.Errorf("lost %d, withheld %+v", lost, withheld)
			}
			if r := verify(t, b.Database, v); len(r.Problems) != 0 {
				t.Errorf("%+v", r.Problems)
			}
		})
	}
}

// A caller who left while the entry waited got no token, and the entry says so.
func TestACallerWhoLeft(t *testing.T) {
	s := open(t)
	k, _ := key(t)
	g := &gate{Database: s, entered: make(chan struct{}), open: make(chan struct{})}
	w := writerAt(t, g, k, outside(t), func(c *Config) { c.Patience = time.Minute })
	go w.Record(t.Context(), "b", decision(0), true)
	<-g.entered
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Record(gone, "a", decision(7), true); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(g.open)
	w.Close(t.Context())
	found, _, err := Search(t.Context(), s, "a", Query{Token: "7"}, 0, 10, 1000)
	if err != nil || len(found) != 1 || found[0].Type != Decision || !strings.Contains(found[0].Reason, "left") {
		t.Errorf("%+v, %v", found, err)
	}
}

func FuzzAcceptance(f *testing.F) {
	f.Add("5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	f.Add("-1\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := parseAcceptance(text); err == nil && a.Size < 0 {
			t.Error("a negative size")
		}
	})
}
