package ledger

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

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
	// Accepted counts rows that are damaged, and that the operator accepted so.
	Accepted int64 `json:"accepted,omitzero"`
	// Checkpoints counts those that were verified, Covered the entries up to the
	// newest one.
	Checkpoints int   `json:"checkpoints"`
	Covered     int64 `json:"covered"`
	// Uncovered counts the last entries, which no checkpoint covers yet: anyone who can
	// write the database can change them.
	Uncovered int64     `json:"uncovered"`
	Problems  []Problem `json:"problems"`

	rows     []Problem // of single rows, until it is known which were accepted
	missing  []span    // rows without a text
	through  int64     // up to which retention says that it removed texts
	accepted []accepted
}

// span are the rows from the first one up to the one before end.
type span struct{ first, end int64 }

// accepted are damaged rows that the operator accepted, and how many rows there were then.
type accepted struct {
	rows Rows
	size int64
}

// maxProblems bounds a report, maxRowProblems the problems of rows that are looked at.
const (
	maxProblems    = 100
	maxRowProblems = 10_000
)

func (r *Report) problem(check string, seq int64, format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{check, seq, fmt.Sprintf(format, args...)})
	}
}

// rowProblem notes a problem of one row.
func (r *Report) rowProblem(check string, seq int64, format string, args ...any) {
	if len(r.rows) <= maxRowProblems {
		r.rows = append(r.rows, Problem{check, seq, fmt.Sprintf(format, args...)})
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
func Verify(
	ctx context.Context, h History, provider string, keys Keys, elsewhere []string,
	progress func(int64),
) (*Report, error) {
	return verifyWith(ctx, h, provider, keys, elsewhere, nil, progress)
}

// verifyWith is [Verify] with what the operator accepted and no entry says yet.
func verifyWith(
	ctx context.Context, h History, provider string, keys Keys, elsewhere []string,
	pending *Acceptance, progress func(int64),
) (*Report, error) {
	r := &Report{Provider: provider, Problems: []Problem{}}
	if pending != nil {
		r.accepted = append(r.accepted, accepted{pending.Damaged, pending.Size})
	}
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
		r.problem("ledger.head", e.size,
			"the chain of hashes does not lead to the head: the last rows were changed")
	}
	return r.end(e, stated), nil
}

// row checks one row and goes on after it.
func (r *Report) row(e *edge, row store.LedgerRow) {
	leaf := tlog.Hash{}
	if len(row.Leaf) == tlog.HashSize {
		leaf = tlog.Hash(row.Leaf)
	}
	switch {
	case row.Entry == nil:
		if n := len(r.missing); n > 0 && r.missing[n-1].end == row.Seq {
			r.missing[n-1].end++
		} else {
			r.missing = append(r.missing, span{row.Seq, row.Seq + 1})
		}
	case tlog.RecordHash(row.Entry) != leaf:
		r.rowProblem("ledger.row", row.Seq, "the text of the entry was changed")
	default:
		entry, err := Parse(row.Entry)
		switch {
		case err != nil || entry.Seq != row.Seq || entry.Provider != r.Provider:
			r.rowProblem("ledger.row", row.Seq, "the entry was moved from another row or provider")
		case !row.Time.IsZero() && row.Time.UnixNano() != entry.Time.UnixNano(): // exports have no column
			r.rowProblem("ledger.row", row.Seq,
				"the column at says %s, the entry was made at %s: the column was changed",
				row.Time.Format(time.RFC3339), entry.Time.Format(time.RFC3339))
		}
		if err == nil {
			r.learn(entry)
		}
	}
	e.push(leaf, nil)
	if !bytes.Equal(e.chain, row.Chain) {
		r.rowProblem("ledger.chain", row.Seq,
			"the chain of hashes is broken: a row before this one was changed or removed")
		// One broken link is one problem; the rows after it are judged by theirs.
		e.chain = row.Chain
	}
}

// learn reads what an entry says about the rows before it.
func (r *Report) learn(entry *Entry) {
	if entry.Type != Change {
		return
	}
	switch entry.Action {
	case ActionForget:
		if n, ok := entry.forgotten(); ok && n <= entry.Seq {
			r.through = max(r.through, n)
		}
	case ActionAccept:
		if rows, err := ParseRows(entry.Details[detailDamaged]); err == nil {
			r.accepted = append(r.accepted, accepted{rows, entry.Seq})
		}
	}
}

// judgeRows turns the problems of rows into those of the report: texts that retention
// removed and said so, and rows that the operator accepted, are none.
func (r *Report) judgeRows() {
	for _, m := range r.missing {
		r.Forgotten += max(0, min(m.end, r.through)-m.first)
		first := max(m.first, r.through)
		for seq := first; seq < m.end && len(r.rows) <= maxRowProblems; seq++ {
			if r.isAccepted(seq) {
				r.Accepted++
				continue
			}
			// The rest of the span is one problem, unless some of it was accepted.
			last := seq
			for last+1 < m.end && !r.isAccepted(last+1) {
				last++
			}
			r.problem("ledger.row", seq,
				"the text of %s was removed, and no entry %s says so: retention did not do it",
				rowsNamed(seq, last), ActionForget)
			seq = last
		}
	}
	for _, p := range r.rows {
		if r.isAccepted(p.Seq) {
			r.Accepted++
			continue
		}
		r.problem(p.Check, p.Seq, "%s", p.Message)
	}
	if len(r.rows) > maxRowProblems && len(r.Problems) == 0 {
		r.problem("ledger.row", r.rows[maxRowProblems].Seq, "more than %d rows are damaged", maxRowProblems)
	}
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return cmp.Compare(a.Seq, b.Seq) })
}

// Damaged returns the rows that are damaged: those of the problems, with all that lack a text
// without retention's word. It is an error if they are in too many places to be told.
func (r *Report) Damaged() (Rows, error) {
	var all []span
	for _, p := range r.rows {
		all = append(all, span{p.Seq, p.Seq + 1})
	}
	for _, m := range r.missing {
		if m.end > r.through {
			all = append(all, span{max(m.first, r.through), m.end})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	var rows Rows
	for _, s := range all {
		if n := len(rows); n > 0 && s.first <= rows[n-1].end {
			rows[n-1].end = max(rows[n-1].end, s.end)
		} else {
			rows = append(rows, s)
		}
	}
	if len(r.rows) > maxRowProblems || len(rows) > maxRanges {
		return nil, fmt.Errorf("ledger of %s: rows are damaged in more places than can be accepted; "+
			"restore the database from a backup", r.Provider)
	}
	return rows, nil
}

func (r *Report) isAccepted(seq int64) bool {
	return slices.ContainsFunc(r.accepted, func(a accepted) bool { return seq < a.size && a.rows.Has(seq) })
}

func rowsNamed(first, last int64) string {
	if first == last {
		return "the entry"
	}
	return fmt.Sprintf("the entries %d to %d", first, last)
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

// compare checks the checkpoints of the edge's size against its root.
func (r *Report) compare(e *edge, stated []statement) {
	i, found := slices.BinarySearchFunc(stated, e.size,
		func(s statement, size int64) int { return int(s.Size - size) })
	if !found {
		return
	}
	root := e.root()
	for ; i < len(stated) && stated[i].Size == e.size; i++ {
		if stated[i].Root != root {
			r.problem("ledger.fork", e.size,
				"the first %d entries are not those of a checkpoint: the history was rewritten", e.size)
			continue
		}
		r.Checkpoints++
		r.Covered = e.size
	}
}

// end judges the rows, and looks for checkpoints that nothing reached.
func (r *Report) end(e *edge, stated []statement) *Report {
	r.judgeRows()
	r.Size, r.Root, r.Uncovered = e.size, e.root().String(), e.size-r.Covered
	for _, s := range stated {
		if s.Size > e.size {
			where := "a checkpoint"
			if s.elsewhere {
				where = "a checkpoint kept elsewhere"
			}
			r.problem("ledger.fork", s.Size,
				"%s says %d entries, but there are %d: entries were removed, or the database is an older copy",
				where, s.Size, e.size)
		}
	}
	// Without a checkpoint, anyone who writes the database can make such a history.
	if e.size > 0 && len(stated) == 0 {
		r.problem("ledger.checkpoint", -1, "there are %d entries, and no checkpoint of this key: "+
			"nothing shows that they are the ones that were recorded", e.size)
	}
	return r
}
