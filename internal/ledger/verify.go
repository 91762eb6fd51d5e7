package ledger

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/store"
)

// History is what [Verify] reads: a store, or an export.
type History interface {
	Ledger(ctx context.Context, provider string, from int64, limit int) ([]store.LedgerRow, error)
	LedgerHead(ctx context.Context, provider string) (store.LedgerHead, error)
	Checkpoints(ctx context.Context, provider string, limit int) ([]store.Checkpoint, error)
}

// Problem is something that should not be.
type Problem struct {
	// Check is what failed: "ledger.row", "ledger.gap", "ledger.chain",
	// "ledger.head", "ledger.checkpoint" or "ledger.fork".
	Check string `json:"check"`
	// Seq is the row, or the size of the checkpoint.
	Seq     int64  `json:"seq"`
	Message string `json:"message"`
}

// Report is what [Verify] found.
type Report struct {
	Provider string `json:"provider"`
	Size     int64  `json:"size"`
	Root     string `json:"root"`
	// Forgotten counts entries whose text was removed by retention.
	Forgotten int64 `json:"forgotten"`
	// Checkpoints counts those that were verified, Covered the entries up to the
	// newest one.
	Checkpoints int   `json:"checkpoints"`
	Covered     int64 `json:"covered"`
	// Uncovered counts the last entries, which no checkpoint covers yet: whoever can
	// write the database can change them.
	Uncovered int64     `json:"uncovered"`
	Problems  []Problem `json:"problems"`
}

// maxProblems bounds a report.
const maxProblems = 100

func (r *Report) problem(check string, seq int64, format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{check, seq, fmt.Sprintf(format, args...)})
	}
}

// chunk is how many rows are read at once.
const chunk = 1000

// maxCheckpoints is how many checkpoints are read, the newest.
const maxCheckpoints = 1_000_000

// Verify reads a whole ledger and checks every row, the chain, the head, and
// every checkpoint: the ledger's own and those kept elsewhere. Progress, if not
// nil, is told how many rows were read. The error means that it could not be
// told.
func Verify(ctx context.Context, h History, provider string, keys Keys, elsewhere []string, progress func(int64)) (*Report, error) {
	r := &Report{Provider: provider, Problems: []Problem{}}
	own, err := h.Checkpoints(ctx, provider, maxCheckpoints)
	if err != nil {
		return nil, err
	}
	// What is written while this reads comes after the head.
	head, err := h.LedgerHead(ctx, provider)
	if err != nil {
		return nil, err
	}
	stated := r.open(keys, own, elsewhere)
	e := &edge{}
	r.compare(e, stated)
	for e.size < head.Size {
		rows, err := h.Ledger(ctx, provider, e.size, chunk)
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			if row.Seq != e.size {
				r.problem("ledger.gap", e.size, "rows %d to %d are missing", e.size, row.Seq-1)
				return r.end(e, stated), nil
			}
			r.row(e, row)
			r.compare(e, stated)
			if e.size == head.Size {
				break
			}
		}
		if progress != nil {
			progress(e.size)
		}
	}
	switch {
	case e.size < head.Size:
		r.problem("ledger.gap", e.size, "rows %d to %d are missing at the end", e.size, head.Size-1)
	case !bytes.Equal(e.chain, head.Chain):
		r.problem("ledger.head", e.size, "the chain of hashes does not lead to the head: the last rows were changed")
	}
	return r.end(e, stated), nil
}

// row checks one row and goes on behind it.
func (r *Report) row(e *edge, row store.LedgerRow) {
	leaf := tlog.Hash{}
	if len(row.Leaf) == tlog.HashSize {
		leaf = tlog.Hash(row.Leaf)
	}
	switch {
	case row.Entry == nil:
		if r.Forgotten++; r.Forgotten != row.Seq+1 {
			r.problem("ledger.row", row.Seq, "the text of the entry was removed, but not by retention: older ones are still there")
		}
	case tlog.RecordHash(row.Entry) != leaf:
		r.problem("ledger.row", row.Seq, "the text of the entry was changed")
		leaf = tlog.RecordHash(row.Entry)
	default:
		if entry, err := Parse(row.Entry); err != nil || entry.Seq != row.Seq || entry.Provider != r.Provider {
			r.problem("ledger.row", row.Seq, "the entry was moved from another row or provider")
		}
	}
	e.push(leaf, nil)
	if !bytes.Equal(e.chain, row.Chain) {
		r.problem("ledger.chain", row.Seq, "the chain of hashes is broken: a row before this one was changed or removed")
		// One broken link is one problem; the rows behind it are judged by theirs.
		e.chain = row.Chain
	}
}

// statement is a checkpoint that waits for its size.
type statement struct {
	Checkpoint
	elsewhere bool
}

// open verifies checkpoints and sorts them by size.
func (r *Report) open(keys Keys, own []store.Checkpoint, elsewhere []string) []statement {
	var all []statement
	add := func(text string, size int64, foreign bool) {
		c, err := keys.open(r.Provider, text)
		if err != nil {
			r.problem("ledger.checkpoint", size, "%v", err)
			return
		}
		all = append(all, statement{c, foreign})
	}
	for _, c := range own {
		add(c.Note, c.Size, false)
	}
	for _, text := range elsewhere {
		add(text, -1, true)
	}
	slices.SortStableFunc(all, func(a, b statement) int { return int(a.Size - b.Size) })
	return all
}

// compare holds the checkpoints of the edge's size against its root.
func (r *Report) compare(e *edge, stated []statement) {
	i, found := slices.BinarySearchFunc(stated, e.size, func(s statement, size int64) int { return int(s.Size - size) })
	if !found {
		return
	}
	root := e.root()
	for ; i < len(stated) && stated[i].Size == e.size; i++ {
		if stated[i].Root != root {
			r.problem("ledger.fork", e.size, "the first %d entries are not those of a checkpoint: the history was rewritten", e.size)
			continue
		}
		r.Checkpoints++
		r.Covered = e.size
	}
}

// end looks for checkpoints that nothing reached.
func (r *Report) end(e *edge, stated []statement) *Report {
	r.Size, r.Root, r.Uncovered = e.size, e.root().String(), e.size-r.Covered
	for _, s := range stated {
		if s.Size > e.size {
			where := "a checkpoint"
			if s.elsewhere {
				where = "a checkpoint kept elsewhere"
			}
			r.problem("ledger.fork", s.Size, "%s says %d entries, but there are %d: entries were removed, or the database is an older copy", where, s.Size, e.size)
		}
	}
	// Without a checkpoint, anybody who writes the database can make such a history.
	if e.size > 0 && len(stated) == 0 {
		r.problem("ledger.checkpoint", -1, "there are %d entries, and no checkpoint of this key: nothing shows that they are the ones that were recorded", e.size)
	}
	return r
}
