package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/store"
)

// nodeLevel is the lowest level of inner hashes that are kept. Below it they are
// computed from at most 15 leaves.
const nodeLevel = 4

// reader reads hashes of one ledger.
type reader interface {
	leaves(from, n int64) ([][]byte, error)
	node(level int, n int64) ([]byte, error)
}

// edge is the right edge of a tree: the roots of the perfect subtrees that its
// size is the sum of, the largest first. It is all that appending needs.
type edge struct {
	size  int64
	chain []byte
	roots []tlog.Hash // one for each bit of size
}

// load reads the edge of a tree of a size.
func load(r reader, head store.LedgerHead) (*edge, error) {
	e := &edge{size: head.Size, chain: head.Chain}
	at := int64(0)
	for level := 62; level >= 0; level-- {
		if head.Size&(1<<level) == 0 {
			continue
		}
		h, err := subtree(r, level, at>>level)
		if err != nil {
			return nil, err
		}
		e.roots = append(e.roots, h)
		at += 1 << level
	}
	return e, nil
}

// subtree returns the root of a perfect subtree.
func subtree(r reader, level int, n int64) (h tlog.Hash, err error) {
	if level >= nodeLevel {
		b, err := r.node(level, n)
		if err != nil {
			return h, err
		}
		if len(b) != tlog.HashSize {
			return h, errors.New("ledger: an inner hash has a wrong size")
		}
		return tlog.Hash(b), nil
	}
	width := int64(1) << level
	leaves, err := r.leaves(n*width, width)
	if err != nil {
		return h, err
	}
	if int64(len(leaves)) != width {
		return h, fmt.Errorf("ledger: some of the %d rows from %d on are missing", width, n*width)
	}
	var e edge
	for _, b := range leaves {
		if len(b) != tlog.HashSize {
			return h, errors.New("ledger: a leaf hash has a wrong size")
		}
		e.push(tlog.Hash(b), nil)
	}
	return e.roots[0], nil
}

// push adds a leaf. Inner hashes that become complete go to keep.
func (e *edge) push(leaf tlog.Hash, keep func(level int, n int64, h tlog.Hash)) {
	h := leaf
	for level := range bits.TrailingZeros64(^uint64(e.size)) {
		left := e.roots[len(e.roots)-1]
		e.roots = e.roots[:len(e.roots)-1]
		h = tlog.NodeHash(left, h)
		if keep != nil && level+1 >= nodeLevel {
			keep(level+1, e.size>>(level+1), h)
		}
	}
	e.roots = append(e.roots, h)
	e.size++
	e.chain = link(e.chain, leaf)
}

// link continues the chain.
func link(chain []byte, leaf tlog.Hash) []byte {
	h := sha256.New()
	h.Write(chain)
	h.Write(leaf[:])
	return h.Sum(nil)
}

// root is the root of the whole tree.
func (e *edge) root() tlog.Hash {
	if e.size == 0 {
		return tlog.Hash(sha256.Sum256(nil))
	}
	h := e.roots[len(e.roots)-1]
	for i := len(e.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(e.roots[i], h)
	}
	return h
}

func (e *edge) clone() *edge {
	c := *e
	c.roots = append([]tlog.Hash(nil), e.roots...)
	return &c
}

// append gives entries their places and makes the rows. The entries' text is made
// here, so that place and provider are part of what is hashed.
func (e *edge) append(provider string, entries []*Entry) (store.Append, error) {
	var a store.Append
	for _, entry := range entries {
		entry.Seq, entry.Provider = e.size, provider
		text, err := entry.text()
		if err != nil {
			return a, err
		}
		leaf := tlog.RecordHash(text)
		e.push(leaf, func(level int, n int64, h tlog.Hash) {
			a.Nodes = append(a.Nodes, store.LedgerNode{Level: level, N: n, Hash: h[:]})
		})
		a.Rows = append(a.Rows,
			store.LedgerRow{Seq: entry.Seq, Time: entry.Time, Entry: text, Leaf: leaf[:], Chain: e.chain})
	}
	a.Head = store.LedgerHead{Size: e.size, Chain: e.chain}
	return a, nil
}

// inTx reads hashes within a transaction.
type inTx struct {
	tx       store.LedgerTx
	provider string
}

func (r inTx) leaves(from, n int64) ([][]byte, error) { return r.tx.LedgerLeaves(r.provider, from, n) }
func (r inTx) node(level int, n int64) ([]byte, error) {
	return r.tx.LedgerNode(r.provider, level, n)
}

// Append adds entries to a provider's ledger within a transaction.
func Append(tx store.LedgerTx, provider string, entries ...*Entry) error {
	head, err := tx.LedgerHead(provider)
	if err != nil {
		return err
	}
	e, err := load(inTx{tx, provider}, head)
	if err != nil {
		return err
	}
	a, err := e.append(provider, entries)
	if err != nil {
		return err
	}
	return tx.AppendLedger(provider, a)
}
