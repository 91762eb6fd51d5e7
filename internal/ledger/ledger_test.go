package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func key(t testing.TB) (keyPair, note.Verifier) {
	t.Helper()
	secret, public, err := NewKey(rand.Reader, "attest.example.org")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{s, v}, v
}

func open(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// writer is one of a node of its own.
func writer(t testing.TB, s Database, k keyPair) *Writer {
	t.Helper()
	return writerAt(t, s, k, outside(t), func(c *Config) {})
}

func outside(t testing.TB) *anchor.Folder {
	t.Helper()
	f, err := anchor.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func writerAt(t testing.TB, s Database, k keyPair, f *anchor.Folder, edit func(*Config)) *Writer {
	t.Helper()
	cfg := Config{
		Store: s, Signer: k.Signer, Keys: Keys{k.v}, Outside: f, Checkpoint: time.Hour, Queue: 1000,
		Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
	}
	edit(&cfg)
	w, err := NewWriter(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(context.Background()) })
	return w
}

// keyPair signs checkpoints and verifies them.
type keyPair struct {
	note.Signer
	v note.Verifier
}

func decision(i int) Entry {
	return Entry{Time: now, Type: Decision, Kind: "SgxEnclave", Outcome: Accepted, Token: fmt.Sprint(i)}
}

// filled is a ledger of n entries with checkpoints on the way.
func filled(t testing.TB, n int) (*sqlite.Store, note.Verifier, keyPair) {
	t.Helper()
	s := open(t)
	signer, verifier := key(t)
	w := writer(t, s, signer)
	for i := range n {
		if err := w.Record(t.Context(), "a", decision(i), true); err != nil {
			t.Fatal(err)
		}
		if i%10 == 5 {
			done := make(chan error, 1)
			if err := errors.Join(w.enqueue(&item{provider: "a", sign: true, done: done}), <-done); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.Close(t.Context())
	return s, verifier, signer
}

func verify(t *testing.T, h History, v note.Verifier, elsewhere ...string) *Report {
	t.Helper()
	r, err := Verify(t.Context(), h, "a", Keys{v}, elsewhere, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestALedgerVerifies(t *testing.T) {
	for _, n := range []int{1, 2, 15, 16, 17, 33, 100} {
		s, v, _ := filled(t, n)
		if r := verify(t, s, v); len(r.Problems) != 0 || r.Size != int64(n) || r.Covered != int64(n) {
			t.Errorf("%d entries: %+v", n, r)
		}
	}
}

// The tree is that of the library: its own functions give the same root and take
// the proofs.
func TestTheTreeIsTheLibrarys(t *testing.T) {
	s, v, _ := filled(t, 77)
	root, err := tlog.TreeHash(77, inStore{t.Context(), s, "a"})
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s, v); r.Root != root.String() {
		t.Errorf("root %s, the library's %s", r.Root, root)
	}
	for seq := range int64(77) {
		p, err := Prove(t.Context(), s, "a", seq)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(v); err != nil {
			t.Errorf("entry %d: %v", seq, err)
		}
	}
}

func TestProofsThatAreRefused(t *testing.T) {
	s, v, _ := filled(t, 20)
	other, _, _ := filled(t, 20)
	_, stranger := key(t)
	for name, edit := range map[string]func(p *Proof) note.Verifier{
		"another entry": func(p *Proof) note.Verifier {
			p.Entry = strings.Replace(p.Entry, "accepted", "refused", 1)
			return v
		},
		"another place":       func(p *Proof) note.Verifier { p.Seq++; return v },
		"a hash exchanged":    func(p *Proof) note.Verifier { p.Hashes[0] = p.Hashes[1]; return v },
		"a hash too few":      func(p *Proof) note.Verifier { p.Hashes = p.Hashes[1:]; return v },
		"a hash that is none": func(p *Proof) note.Verifier { p.Hashes[0] = "?"; return v },
		"another key":         func(*Proof) note.Verifier { return stranger },
		"another's checkpoint": func(p *Proof) note.Verifier {
			q, _ := Prove(t.Context(), other, "a", 7)
			p.Checkpoint = q.Checkpoint
			return v
		},
		"a checkpoint of no lines": func(p *Proof) note.Verifier { p.Checkpoint = ""; return v },
	} {
		p, err := Prove(t.Context(), s, "a", 7)
		if err != nil {
			t.Fatal(err)
		}
		if verifier := edit(p); p.Check(verifier) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, seq := range []int64{-1, 20} {
		if _, err := Prove(t.Context(), s, "a", seq); !errors.Is(err, ErrNoCheckpoint) {
			t.Errorf("entry %d: %v", seq, err)
		}
	}
}

func TestWhatVerifyFinds(t *testing.T) {
	_, stranger := key(t)
	exec := func(statements ...string) func(*testing.T, *sqlite.Store, keyPair) {
		return func(t *testing.T, s *sqlite.Store, _ keyPair) {
			for _, statement := range statements {
				if _, err := s.DB().Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	altered := `UPDATE ledger SET entry = CAST(replace(CAST(entry AS TEXT), 'accepted', ` +
		`'refused') AS BLOB) WHERE seq = 30`
	for name, tc := range map[string]struct {
		edit  func(*testing.T, *sqlite.Store, keyPair)
		check string
		seq   int64
	}{
		"an altered entry": {exec(altered), "ledger.row", 30},
		"an altered time": {
			exec(`UPDATE ledger SET entry = CAST(replace(CAST(entry AS TEXT), '2026', '2025') AS BLOB) ` +
				`WHERE seq = 0`),
			"ledger.row", 0,
		},
		"an altered leaf": {
			exec(`UPDATE ledger SET leaf = zeroblob(32) WHERE seq = 30`), "ledger.row", 30,
		},
		"an altered chain": {
			exec(`UPDATE ledger SET chain = zeroblob(32) WHERE seq = 30`), "ledger.chain", 30,
		},
		"a removed row":         {exec(`DELETE FROM ledger WHERE seq = 30`), "ledger.gap", 30},
		"the first row removed": {exec(`DELETE FROM ledger WHERE seq = 0`), "ledger.gap", 0},
		"the last row removed":  {exec(`DELETE FROM ledger WHERE seq = 49`), "ledger.gap", 49},
		"the last rows removed, and the head": {exec(`DELETE FROM ledger WHERE seq >= 40`,
			`UPDATE ledger_heads SET size = 40, chain = (SELECT chain FROM ledger WHERE seq = 39)`),
			"ledger.fork", 50},
		"a removed row, the rest moved up": {exec(
			`DELETE FROM ledger WHERE seq = 30`, `UPDATE ledger SET seq = seq - 1000 WHERE seq > 30`,
			`UPDATE ledger SET seq = seq + 999 WHERE seq < 0`, `UPDATE ledger_heads SET size = 49`,
		), "ledger.row", 30},
		"two rows exchanged": {exec(`UPDATE ledger SET seq = 1000 WHERE seq = 3`,
			`UPDATE ledger SET seq = 3 WHERE seq = 4`, `UPDATE ledger SET seq = 4 WHERE seq = 1000`),
			"ledger.row", 3},
		"another head": {
			exec(`UPDATE ledger_heads SET chain = zeroblob(32)`), "ledger.head", 50,
		},
		"a checkpoint of an unknown origin": {
			exec(`UPDATE ledger_checkpoints SET note = replace(note, 'attest', 'attack') WHERE size = 26`),
			"ledger.checkpoint", 26,
		},
		"a checkpoint of another provider": {
			func(t *testing.T, s *sqlite.Store, k keyPair) { rewrite(t, s, k, "b", 26) },
			"ledger.checkpoint", 26,
		},
		"a history rewritten whole, and the key": {
			func(t *testing.T, s *sqlite.Store, _ keyPair) { forge(t, s, altered) }, "ledger.fork", 36,
		},
		"a forked chain, signed": {
			func(t *testing.T, s *sqlite.Store, k keyPair) { rewrite(t, s, k, "a", 26) },
			"ledger.fork", 26,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, v, signer := filled(t, 50)
			tc.edit(t, s, signer)
			r := verify(t, s, v)
			found := false
			for _, p := range r.Problems {
				found = found || p.Check == tc.check && p.Seq == tc.seq
			}
			if !found {
				t.Errorf("want %s at %d; found %+v", tc.check, tc.seq, r.Problems)
			}
			var export bytes.Buffer
			if err := Export(t.Context(), &export, s, "a", 0); err != nil {
				t.Fatal(err)
			}
			x, err := ReadExport(&export)
			if err != nil {
				t.Fatal(err)
			}
			if again := verify(t, x, v); len(again.Problems) == 0 {
				t.Error("the export verifies")
			}
		})
	}
	s, _, _ := filled(t, 5)
	if r := verify(t, s, stranger); len(r.Problems) == 0 || r.Checkpoints != 0 {
		t.Errorf("by another key: %+v", r)
	}
}

// rewrite replaces a checkpoint by one of another root.
func rewrite(t *testing.T, s *sqlite.Store, k keyPair, provider string, size int64) {
	t.Helper()
	text, err := sign(k, provider, size, tlog.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB().Exec(`UPDATE ledger_checkpoints SET note = ? WHERE size = ?`, text, size); err != nil {
		t.Fatal(err)
	}
}

// forge alters an entry and computes all after it again, as an attacker can who has
// the database but not the key.
func forge(t *testing.T, s *sqlite.Store, statement string) {
	t.Helper()
	if _, err := s.DB().Exec(statement); err != nil {
		t.Fatal(err)
	}
	rows, err := s.Ledger(t.Context(), "a", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{}
	for _, row := range rows {
		leaf := tlog.RecordHash(row.Entry)
		e.push(leaf, nil)
		_, err := s.DB().Exec(`UPDATE ledger SET leaf = ?, chain = ? WHERE seq = ?`, leaf[:],
			e.chain, row.Seq)
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.DB().Exec(`UPDATE ledger_heads SET chain = ?`, e.chain); err != nil {
		t.Fatal(err)
	}
}

func verifyRoot(t *testing.T, s *sqlite.Store, v note.Verifier) tlog.Hash {
	t.Helper()
	h, err := tlog.ParseHash(verify(t, s, v).Root)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A checkpoint kept elsewhere proves the change even if the attacker has the key.
func TestACheckpointKeptElsewhere(t *testing.T) {
	s, v, signer := filled(t, 50)
	kept, err := s.Checkpoints(t.Context(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s, v, kept[0].Note); len(r.Problems) != 0 {
		t.Errorf("%+v", r.Problems)
	}
	forge(t, s, `DELETE FROM ledger WHERE seq >= 45`)
	if _, err := s.DB().Exec(`DELETE FROM ledger_checkpoints`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB().Exec(`UPDATE ledger_heads SET size = 45`); err != nil {
		t.Fatal(err)
	}
	if text, err := sign(signer, "a", 45, verifyRoot(t, s, v)); err != nil {
		t.Fatal(err)
	} else if _, err := s.DB().Exec(`INSERT INTO ledger_checkpoints VALUES ('a', 45, ?)`, text); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s, v); len(r.Problems) != 0 {
		t.Errorf("the forgery is damaged: %+v", r.Problems)
	}
	if r := verify(t, s, v, kept[0].Note); len(r.Problems) != 1 || r.Problems[0].Check != "ledger.fork" {
		t.Errorf("%+v", r.Problems)
	}
}

func TestTwoWritersShareALedger(t *testing.T) {
	s := open(t)
	signer, v := key(t)
	changes := writer(t, s, signer).Guard(s)
	var wg sync.WaitGroup
	for range 2 {
		w := writer(t, s, signer)
		wg.Go(func() {
			for i := range 60 {
				if err := w.Record(t.Context(), "a", decision(i), true); err != nil {
					t.Error(err)
				}
			}
			w.Close(t.Context())
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := changes.Update(t.Context(), "", "", func(tx store.Tx) error {
				return Append(tx, "a", &Entry{Time: now, Type: Change, Action: "test"})
			}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if r := verify(t, s, v); len(r.Problems) != 0 || r.Size != 140 {
		t.Errorf("%+v", r)
	}
}

// gate is a store whose first batch waits.
type gate struct {
	Database
	once    sync.Once
	entered chan struct{}
	open    chan struct{}
}

func (g *gate) AppendLedger(
	ctx context.Context, batch string, at time.Time, f func(store.LedgerTx) error,
) error {
	g.once.Do(func() { close(g.entered); <-g.open })
	return g.Database.AppendLedger(ctx, batch, at, f)
}

// TestABrokenLedgerDoesNotAffectOtherProviders: it takes no entries, and those of others that
// were in one batch with its own are written.
func TestABrokenLedgerDoesNotAffectOtherProviders(t *testing.T) {
	s, v, signer := filled(t, 50)
	g := &gate{Database: s, entered: make(chan struct{}), open: make(chan struct{})}
	w := writer(t, g, signer)
	if _, err := s.DB().Exec(`UPDATE ledger_heads SET size = 40 WHERE provider = 'a'`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var broken, written atomic.Int32
	record := func(provider string) {
		wg.Go(func() {
			if w.Record(t.Context(), provider, decision(0), true) != nil {
				broken.Add(1)
			} else {
				written.Add(1)
			}
		})
	}
	record("b")
	<-g.entered
	for range 10 {
		record("a")
		record("b")
	}
	for w.Stats().Waiting < 20 {
		time.Sleep(time.Millisecond)
	}
	close(g.open)
	wg.Wait()
	if broken.Load() != 10 || written.Load() != 11 {
		t.Errorf("%d refused, %d written", broken.Load(), written.Load())
	}
	w.Close(t.Context())
	if stats := w.Stats(); stats.Written != 11 || stats.Lost != 10 {
		t.Errorf("%+v", stats)
	}
	r, err := Verify(t.Context(), s, "b", Keys{v}, nil, nil)
	if err != nil || len(r.Problems) != 0 || r.Size != 11 {
		t.Errorf("%+v, %v", r, err)
	}
}

// flaky is a store that fails for a while; lying, it has done what it says that
// failed.
type flaky struct {
	Database
	failures, lies atomic.Int32
	down           atomic.Bool
}

func (f *flaky) AppendLedger(
	ctx context.Context, batch string, at time.Time, g func(store.LedgerTx) error,
) error {
	if f.down.Load() || f.failures.Add(-1) >= 0 {
		return store.ErrUnavailable
	}
	err := f.Database.AppendLedger(ctx, batch, at, g)
	if err == nil && f.lies.Add(-1) >= 0 {
		return store.ErrUnavailable
	}
	return err
}

func TestAnUnansweredCommitIsNotRepeated(t *testing.T) {
	s := open(t)
	signer, v := key(t)
	f := &flaky{Database: s}
	f.failures.Store(2)
	f.lies.Store(2)
	w := writer(t, f, signer)
	for i := range 3 {
		if err := w.Record(t.Context(), "a", decision(i), false); err != nil {
			t.Fatal(err)
		}
	}
	w.Close(t.Context())
	if r := verify(t, s, v); len(r.Problems) != 0 || r.Size != 3 {
		t.Errorf("%+v", r)
	}
}

func TestTheQueueIsBoundedAndLossIsReported(t *testing.T) {
	s := open(t)
	signer, v := key(t)
	f := &flaky{Database: s}
	f.down.Store(true)
	w := writerAt(t, f, signer, outside(t), func(c *Config) { c.Queue = 20 })
	lost := 0
	for i := range 50 {
		if err := w.Record(t.Context(), "a", decision(i), false); errors.Is(err, ErrFull) {
			lost++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	// A neighbour finds its place all the same.
	if err := w.Record(t.Context(), "b", decision(0), false); err != nil {
		t.Errorf("the neighbour: %v", err)
	}
	// A caller who waits is answered at once: the database takes no entries.
	if err := w.Record(t.Context(), "b", decision(1), true); !errors.Is(err, ErrNotWriting) {
		t.Errorf("error = %v", err)
	}
	for w.Stats().Lost < int64(lost) { // that of b is counted too, or was in the queue
		time.Sleep(time.Millisecond)
	}
	if lost < 39 || w.Stats().Lost > int64(lost)+1 {
		t.Errorf("lost %d, counted %d", lost, w.Stats().Lost)
	}
	f.down.Store(false)
	w.Close(t.Context())
	if err := w.Record(t.Context(), "a", decision(1), false); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	found, _, err := Search(t.Context(), s, "a", Query{Type: Loss}, 0, 10, 1000)
	told := int64(0)
	for _, e := range found {
		told += e.Lost
	}
	if err != nil || told != int64(lost) {
		t.Errorf("told of %d lost, %v; lost %d", told, err, lost)
	}
	if r := verify(t, s, v); len(r.Problems) != 0 || int(r.Size) != 50-lost+len(found) {
		t.Errorf("%+v", r)
	}
}

func TestSearchGoesOn(t *testing.T) {
	s, _, _ := filled(t, 30)
	var got []string
	for from := int64(0); from >= 0; {
		found, next, err := Search(t.Context(), s, "a", Query{Outcome: Accepted}, from, 4, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found {
			got = append(got, e.Token)
		}
		from = next
	}
	if len(got) != 30 || got[29] != "29" {
		t.Errorf("%v", got)
	}
	found, next, err := Search(t.Context(), s, "a", Query{Token: "x"}, 0, 4, 1000)
	if err != nil || len(found) != 0 || next != -1 {
		t.Errorf("%v, %d, %v", found, next, err)
	}
}

func TestExportsThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":    "",
		"no head":  `{"row":0,"leaf":"","chain":""}`,
		"not JSON": "x",
		"a second head": `{"provider":"a","head":{"size":0,"chain":""}}` + "\n" +
			`{"provider":"a","head":{"size":0,"chain":""}}`,
		"a line too long": strings.Repeat("x", maxLine+1),
	} {
		if x, err := ReadExport(strings.NewReader(text)); !errors.Is(err, ErrExport) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
}

func FuzzReadExport(f *testing.F) {
	s, v, _ := filled(f, 20)
	var b bytes.Buffer
	if err := Export(context.Background(), &b, s, "a", 0); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := ReadExport(bytes.NewReader(text))
		if err != nil {
			return
		}
		if r, err := Verify(context.Background(), x, x.Provider, Keys{v}, nil, nil); err == nil &&
			len(r.Problems) == 0 && r.Size > 0 && r.Covered > 0 && x.Provider != "a" {
			t.Errorf("another's history verifies: %+v", r)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	signer, v := key(f)
	text, err := sign(signer, "a", 7, tlog.Hash{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		OpenCheckpoint(text, v)
		if c, err := readCheckpoint(text); err == nil && c.Size < 0 {
			t.Error("a negative size")
		}
	})
}
