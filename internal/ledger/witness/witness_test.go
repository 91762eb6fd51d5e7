package witness

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// server is a witness by the rules of C2SP tlog-witness.
type server struct {
	*httptest.Server
	vkey string

	mu     sync.Mutex
	key    ed25519.PrivateKey
	hash   uint32
	logs   map[string]note.Verifier // by origin
	seen   map[string]seen
	answer func(http.ResponseWriter) bool // replaces the answer, if it returns true
	old    []int64
}

type seen struct {
	size int64
	root tlog.Hash
}

const name = "witness.example.net"

func newServer(t *testing.T) *server {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	typed := append([]byte{algorithm}, public...)
	s := &server{key: private, hash: keyHash(name,
		typed), logs: map[string]note.Verifier{}, seen: map[string]seen{}}
	s.vkey = fmt.Sprintf("%s+%08x+%s", name, s.hash, base64.StdEncoding.EncodeToString(typed))
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil && s.answer(w) {
		return
	}
	old, proof, checkpoint, err := addCheckpoint(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.old = append(s.old, old)
	origin, _, _ := strings.Cut(checkpoint, "\n")
	key, known := s.logs[origin]
	if !known {
		http.Error(w, "unknown log", http.StatusNotFound)
		return
	}
	c, err := ledger.OpenCheckpoint(checkpoint, key)
	if err != nil {
		http.Error(w, "not signed by the log", http.StatusForbidden)
		return
	}
	if old > c.Size {
		http.Error(w, "old is larger", http.StatusBadRequest)
		return
	}
	last := s.seen[origin]
	if old != last.size || old == c.Size && old > 0 && last.root != c.Root {
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintln(w, last.size)
		return
	}
	if err := extends(proof, c, old, last.root); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	s.seen[origin] = seen{c.Size, c.Root}
	text, _, _ := strings.Cut(checkpoint, "\n\n")
	io.WriteString(w, s.cosign(text+"\n", s.hash, s.key))
}

// addCheckpoint reads a request: the size that the witness saw last, a proof, a checkpoint.
func addCheckpoint(r *http.Request) (old int64, proof tlog.TreeProof, checkpoint string, err error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	header, checkpoint, found := strings.Cut(string(body), "\n\n")
	lines := strings.Split(header, "\n")
	number, isOld := strings.CutPrefix(lines[0], "old ")
	old, sizeErr := strconv.ParseInt(number, 10, 64)
	if r.Method != http.MethodPost || r.URL.Path != "/add-checkpoint" || err != nil || !found || !isOld ||
		sizeErr != nil || len(lines) > 64 {
		return 0, nil, "", errors.New("malformed")
	}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, "", errors.New("malformed proof")
		}
		proof = append(proof, h)
	}
	return old, proof, checkpoint, nil
}

// extends checks that a checkpoint extends the history of the old size.
func extends(proof tlog.TreeProof, c *ledger.Checkpoint, old int64, root tlog.Hash) error {
	if old != 0 && old != c.Size {
		return tlog.CheckTree(proof, c.Size, c.Root, old, root)
	}
	if len(proof) > 0 {
		return errors.New("a proof where none is needed")
	}
	return nil
}

func (s *server) cosign(text string, hash uint32, key ed25519.PrivateKey) string {
	at := uint64(now.Unix())
	b := binary.BigEndian.AppendUint32(nil, hash)
	b = binary.BigEndian.AppendUint64(b, at)
	b = append(b, ed25519.Sign(key, message(at, []byte(text)))...)
	return fmt.Sprintf("— %s %s\n", name, base64.StdEncoding.EncodeToString(b))
}

// site is a ledger whose checkpoints are shown to the witness.
type site struct {
	*ledger.Writer
	db     *sqlite.Store
	keeper *Keeper
	log    note.Verifier
	newest chan string
}

func newSite(t *testing.T, s *server) *site {
	t.Helper()
	secret, public, err := ledger.NewKey(rand.Reader, "attest.example.org")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	x := &site{db: db, newest: make(chan string, 100)}
	if x.log, err = note.NewVerifier(public); err != nil {
		t.Fatal(err)
	}
	x.open(t, s, secret)
	s.logs[ledger.Origin("attest.example.org", "a")] = x.log
	return x
}

func (x *site) open(t *testing.T, s *server, secret string) {
	t.Helper()
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := NewVerifier(s.vkey)
	if err != nil {
		t.Fatal(err)
	}
	outside, err := anchor.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	x.keeper = NewKeeper(&Client{URL: s.URL, Key: theirs, HTTP: http.DefaultClient}, x.log, quiet)
	x.Writer, err = ledger.NewWriter(t.Context(), ledger.Config{
		Store: x.db, Outside: outside, Signer: signer, Keys: ledger.Keys{x.log}, Checkpoint: time.Hour,
		Queue: 1000, Now: func() time.Time { return now }, Log: quiet,
		Kept: func(_, text string, _ ledger.Checkpoint) { x.newest <- text },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Writer.Close(context.Background()) })
}

// grow adds entries and returns the checkpoint over them.
func (x *site) grow(t *testing.T, n int) offer {
	t.Helper()
	for range n {
		if err := x.Record(t.Context(), "a", ledger.Entry{Time: now, Type: ledger.Decision}, true); err != nil {
			t.Fatal(err)
		}
	}
	size, err := x.Size(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	x.Touch("a")
	for {
		text := <-x.newest
		if c, err := ledger.OpenCheckpoint(text, x.log); err == nil && c.Size == size {
			return offer{text, size}
		}
	}
}

func TestCheckpointsAreCosigned(t *testing.T) {
	s := newServer(t)
	x := newSite(t, s)
	for _, n := range []int{1, 6, 20, 1, 100} {
		o := x.grow(t, n)
		if err := x.keeper.show(t.Context(), x, "a", o); err != nil {
			t.Fatal(err)
		}
		text, size := x.Cosigned("a")
		if size != o.size || strings.Count(text, "\n— ") != 2 || !strings.Contains(text, "— "+name+" ") {
			t.Errorf("%d cosigned of %d: %q", size, o.size, text)
		}
	}
	if len(s.old) != 5 || s.old[4] != 28 {
		t.Errorf("sizes shown as old: %v", s.old)
	}
	// The same checkpoint again, and a node that does not know what was cosigned.
	o := x.grow(t, 3)
	for range 2 {
		if err := x.keeper.show(t.Context(), x, "a", o); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.keeper.show(t.Context(), forgetful{x}, "a", x.grow(t, 2)); err != nil {
		t.Errorf("after a conflict: %v", err)
	}
}

// forgetful does not know what was cosigned.
type forgetful struct{ *site }

func (forgetful) Cosigned(string) (string, int64) { return "", 0 }

func TestTheKeeperShowsWhatIsOffered(t *testing.T) {
	s := newServer(t)
	x := newSite(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { x.keeper.Run(ctx, x) })
	defer wg.Wait()
	defer cancel()
	o := x.grow(t, 5)
	x.keeper.Offer("a", o.text, o.size)
	for range 500 {
		if _, size := x.Cosigned("a"); size == 5 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("not cosigned")
}

// The witness remembers more than the database has: the ledger is stopped, even
// where the folder outside the database is lost too.
func TestAWitnessKnowsWhatWasRemoved(t *testing.T) {
	s := newServer(t)
	x := newSite(t, s)
	first := x.grow(t, 5)
	err := errors.Join(x.keeper.show(t.Context(), x, "a", first),
		x.keeper.show(t.Context(), x, "a", x.grow(t, 5)))
	if err != nil {
		t.Fatal(err)
	}
	// Another node may just be ahead.
	if err := x.keeper.show(t.Context(), forgetful{x}, "a", first); err != nil || len(x.Stopped()) != 0 {
		t.Errorf("an older checkpoint: %v, stopped %v", err, x.Stopped())
	}
	if _, err := x.db.DB().Exec(`UPDATE ledger_heads SET size = 5`); err != nil {
		t.Fatal(err)
	}
	if err := x.keeper.show(t.Context(), forgetful{x}, "a", first); err != nil || len(x.Stopped()) != 1 {
		t.Errorf("%v, stopped %v", err, x.Stopped())
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	s := newServer(t)
	x := newSite(t, s)
	o := x.grow(t, 5)
	text, _, _ := strings.Cut(o.text, "\n\n")
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	send := func(status int, kind, body string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			io.WriteString(w, body)
			return true
		}
	}
	for what, answer := range map[string]func(http.ResponseWriter) bool{
		"empty":                          send(200, "", ""),
		"not a signature":                send(200, "", "thank you\n"),
		"a signature of another text":    send(200, "", s.cosign("other\n", s.hash, s.key)),
		"a signature by another key":     send(200, "", s.cosign(text+"\n", s.hash, stranger)),
		"a signature of another witness": send(200, "", s.cosign(text+"\n", s.hash+1, s.key)),
		"a signature that is cut": send(200, "",
			"— "+name+" "+base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, s.hash))+"\n"),
		"too long":                      send(200, "", strings.Repeat("x", maxAnswer+1)),
		"a failure":                     send(500, "", "out of order"),
		"a redirect that leads nowhere": send(302, "", ""),
		"a conflict without a size":     send(409, "text/plain", "5\n"),
		"a conflict of a negative size": send(409, "text/x.tlog.size", "-5\n"),
		"a conflict of an odd size":     send(409, "text/x.tlog.size", "05\n"),
		"a conflict forever":            send(409, "text/x.tlog.size", "3\n"),
		"a refusal":                     send(422, "", "the proof does not lead there"),
	} {
		s.answer = answer
		if err := x.keeper.show(t.Context(), x, "a", o); err == nil {
			t.Errorf("%s: accepted", what)
		}
		if text, _ := x.Cosigned("a"); text != "" {
			t.Errorf("%s: kept %q", what, text)
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	s := newServer(t)
	if _, err := NewVerifier(s.vkey); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(s.vkey, "+")
	for what, key := range map[string]string{
		"empty": "", "no hash": name, "another name": "x" + s.vkey,
		"another hash":      parts[0] + "+00000000+" + strings.Join(parts[2:], "+"),
		"a short hash":      parts[0] + "+" + parts[1][1:] + "+" + strings.Join(parts[2:], "+"),
		"a key that is cut": s.vkey[:len(s.vkey)-4],
		"a key of a log": func() string {
			_, public, _ := ledger.NewKey(rand.Reader, name)
			return public
		}(),
	} {
		if _, err := NewVerifier(key); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func FuzzVerifier(f *testing.F) {
	f.Add("witness.example.net+00000000+BAAA", []byte("text"), []byte("signature"))
	f.Fuzz(func(t *testing.T, key string, text, signature []byte) {
		if v, err := NewVerifier(key); err == nil {
			v.Verify(text, signature)
		}
	})
}

func FuzzConflict(f *testing.F) {
	f.Add("5\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c := (*Conflict)(nil); errors.As(conflict("text/x.tlog.size", text), &c) && c.Size < 0 {
			t.Error("a negative size")
		}
	})
}
