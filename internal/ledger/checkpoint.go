package ledger

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/store"
)

// NewKey makes a key that signs checkpoints, in the forms of the note library:
// the secret, and what verifies.
func NewKey(random io.Reader, name string) (secret, public string, err error) {
	return note.GenerateKey(random, name)
}

// Origin is the first line of a provider's checkpoints.
func Origin(service, provider string) string { return service + "/ledger/" + provider }

// KeyName returns the name of the service's checkpoint key: its URL without the
// scheme.
func KeyName(url string) string { return strings.TrimPrefix(strings.TrimSuffix(url, "/"), "https://") }

// sign makes a checkpoint.
func sign(s note.Signer, provider string, size int64, root tlog.Hash) (string, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", Origin(s.Name(), provider), size, root)
	signed, err := note.Sign(&note.Note{Text: text}, s)
	if err != nil {
		return "", fmt.Errorf("ledger: checkpoint: %w", err)
	}
	return string(signed), nil
}

// Checkpoint is what a signed note says.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// ErrCheckpoint is returned for what is no checkpoint of the key.
var ErrCheckpoint = errors.New("not a checkpoint signed by this key")

// OpenCheckpoint verifies a checkpoint by any of the keys.
func OpenCheckpoint(text string, keys ...note.Verifier) (*Checkpoint, error) {
	n, err := note.Open([]byte(text), note.VerifierList(keys...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return readCheckpoint(n.Text)
}

// Keys verify checkpoints of a service: the key in use first, then those before it.
// All have one name.
type Keys []note.Verifier

// open verifies a checkpoint of a provider.
func (k Keys) open(provider, text string) (Checkpoint, error) {
	c, err := OpenCheckpoint(text, k...)
	if err != nil {
		return Checkpoint{Size: -1}, err
	}
	if want := Origin(k[0].Name(), provider); c.Origin != want {
		return Checkpoint{Size: -1}, fmt.Errorf("%w: it is of %s, not of %s", ErrCheckpoint, c.Origin, want)
	}
	return *c, nil
}

func readCheckpoint(text string) (*Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return nil, fmt.Errorf("%w: %d lines", ErrCheckpoint, len(lines)-1)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	root, hashErr := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] || hashErr != nil ||
		len(root) != tlog.HashSize {
		return nil, fmt.Errorf("%w: size or root cannot be read", ErrCheckpoint)
	}
	return &Checkpoint{lines[0], size, tlog.Hash(root)}, nil
}

// Store is what reading a ledger needs of a store.
type Store interface {
	Ledger(ctx context.Context, provider string, from int64, limit int) ([]store.LedgerRow, error)
	LedgerHead(ctx context.Context, provider string) (store.LedgerHead, error)
	LedgerLeaves(ctx context.Context, provider string, from, n int64) ([][]byte, error)
	LedgerNode(ctx context.Context, provider string, level int, n int64) ([]byte, error)
	Checkpoints(ctx context.Context, provider string, limit int) ([]store.Checkpoint, error)
}

// inStore reads hashes of a store.
type inStore struct {
	ctx      context.Context
	s        Store
	provider string
}

func (r inStore) leaves(from, n int64) ([][]byte, error) {
	return r.s.LedgerLeaves(r.ctx, r.provider, from, n)
}
func (r inStore) node(level int, n int64) ([]byte, error) {
	return r.s.LedgerNode(r.ctx, r.provider, level, n)
}

// ReadHashes implements tlog.HashReader.
func (r inStore) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		h, err := subtree(r, level, n)
		if err != nil {
			return nil, err
		}
		all[i] = h
	}
	return all, nil
}

// Proof shows that an entry is in the tree of a checkpoint.
type Proof struct {
	Seq int64 `json:"seq"`
	// Entry is the text of the entry.
	Entry string `json:"entry"`
	// Hashes lead from the entry's leaf to the root (RFC 6962, section 2.1.1), in
	// base64.
	Hashes     []string `json:"hashes"`
	Checkpoint string   `json:"checkpoint"`
}

// ErrNoCheckpoint is returned where no checkpoint covers an entry yet.
var ErrNoCheckpoint = errors.New("no checkpoint covers the entry yet")

// Prove returns the proof that an entry is in the newest checkpoint's tree.
func Prove(ctx context.Context, s Store, provider string, seq int64) (*Proof, error) {
	list, err := s.Checkpoints(ctx, provider, 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || seq < 0 || list[0].Size <= seq {
		return nil, fmt.Errorf("ledger: entry %d: %w", seq, ErrNoCheckpoint)
	}
	rows, err := s.Ledger(ctx, provider, seq, 1)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || rows[0].Seq != seq {
		return nil, fmt.Errorf("ledger: entry %d: %w", seq, store.ErrNotFound)
	}
	hashes, err := tlog.ProveRecord(list[0].Size, seq, inStore{ctx, s, provider})
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	p := &Proof{Seq: seq, Entry: string(rows[0].Entry), Hashes: []string{}, Checkpoint: list[0].Note}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, h.String())
	}
	return p, nil
}

// Check verifies a proof by the key alone, without the ledger.
func (p *Proof) Check(v note.Verifier) error {
	c, err := OpenCheckpoint(p.Checkpoint, v)
	if err != nil {
		return err
	}
	e, err := Parse([]byte(p.Entry))
	if err != nil {
		return err
	}
	if e.Seq != p.Seq || c.Origin != Origin(v.Name(), e.Provider) {
		return fmt.Errorf("ledger: entry %d of %s is not what the checkpoint of %s is asked for", e.Seq,
			e.Provider, c.Origin)
	}
	var proof tlog.RecordProof
	for _, text := range p.Hashes {
		h, err := tlog.ParseHash(text)
		if err != nil {
			return fmt.Errorf("ledger: proof: %w", err)
		}
		proof = append(proof, h)
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, p.Seq, tlog.RecordHash([]byte(p.Entry))); err != nil {
		return fmt.Errorf("ledger: the proof does not lead to the checkpoint: %w", err)
	}
	return nil
}
