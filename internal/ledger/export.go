package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/store"
)

// line is one line of an export (NDJSON): the head first, then checkpoints, the
// oldest first, then rows. An entry is there as it was hashed, byte by byte.
type line struct {
	Provider   string         `json:"provider,omitzero"`
	Head       *head          `json:"head,omitzero"`
	Checkpoint string         `json:"checkpoint,omitzero"`
	Size       int64          `json:"size,omitzero"`
	Row        *int64         `json:"row,omitzero"`
	Leaf       []byte         `json:"leaf,omitzero"`
	Chain      []byte         `json:"chain,omitzero"`
	Entry      jsontext.Value `json:"entry,omitzero"`
}

type head struct {
	Size  int64  `json:"size"`
	Chain []byte `json:"chain"`
}

// maxLine bounds a line of an export, in bytes.
const maxLine = 1 << 20

// Export writes a ledger, from a row on, as NDJSON. An export from row 0 can be
// verified.
func Export(ctx context.Context, w io.Writer, h History, provider string, from int64) error {
	buffered := bufio.NewWriter(w)
	write := func(l line) error {
		b, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		_, err = buffered.Write(append(b, '\n'))
		return err
	}
	checkpoints, err := h.Checkpoints(ctx, provider, maxCheckpoints)
	if err != nil {
		return err
	}
	end, err := h.LedgerHead(ctx, provider)
	if err != nil {
		return err
	}
	if err := write(line{Provider: provider, Head: &head{end.Size, end.Chain}}); err != nil {
		return err
	}
	for _, c := range slices.Backward(checkpoints) {
		if err := write(line{Checkpoint: c.Note, Size: c.Size}); err != nil {
			return err
		}
	}
	for from < end.Size {
		rows, err := h.Ledger(ctx, provider, from, chunk)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			if row.Seq >= end.Size {
				break
			}
			if err := write(line{Row: &row.Seq, Leaf: row.Leaf, Chain: row.Chain, Entry: row.Entry}); err != nil {
				return err
			}
		}
		from = rows[len(rows)-1].Seq + 1
	}
	return buffered.Flush()
}

// Exported is an export, read whole. It implements [History].
type Exported struct {
	Provider string

	head        store.LedgerHead
	rows        []store.LedgerRow
	checkpoints []store.Checkpoint // the newest first
}

// ErrExport is returned for what is no export of a ledger.
var ErrExport = errors.New("not an export of a ledger")

// ReadExport reads an export.
func ReadExport(r io.Reader) (*Exported, error) {
	x := &Exported{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("ledger: %w: line %d: %w", ErrExport, n, err)
		}
		switch {
		case n == 1 && l.Head != nil:
			x.Provider, x.head = l.Provider, store.LedgerHead{Size: l.Head.Size, Chain: l.Head.Chain}
		case n > 1 && l.Checkpoint != "":
			x.checkpoints = append([]store.Checkpoint{{Size: l.Size, Note: l.Checkpoint}}, x.checkpoints...)
		case n > 1 && l.Row != nil:
			x.rows = append(x.rows, store.LedgerRow{Seq: *l.Row, Entry: l.Entry, Leaf: l.Leaf, Chain: l.Chain})
		default:
			return nil, fmt.Errorf("ledger: %w: line %d is neither a head, a checkpoint nor a row", ErrExport, n)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("ledger: %w: %w", ErrExport, err)
	}
	if x.Provider == "" {
		return nil, fmt.Errorf("ledger: %w: it is empty", ErrExport)
	}
	return x, nil
}

// Ledger implements [History].
func (x *Exported) Ledger(_ context.Context, _ string, from int64, limit int) ([]store.LedgerRow, error) {
	// Rows are in the order of the file. One that is out of order is found as a
	// gap.
	i := min(int(from), len(x.rows))
	return x.rows[i:min(i+limit, len(x.rows))], nil
}

// LedgerHead implements [History].
func (x *Exported) LedgerHead(context.Context, string) (store.LedgerHead, error) { return x.head, nil }

// Checkpoints implements [History].
func (x *Exported) Checkpoints(_ context.Context, _ string, limit int) ([]store.Checkpoint, error) {
	return x.checkpoints[:min(limit, len(x.checkpoints))], nil
}

// Query selects entries. Empty members select all.
type Query struct {
	Type, Kind, Outcome, Check, Evidence, Token, By, Action, Request string
}

// Matches reports whether an entry is selected.
func (q Query) Matches(e *Entry) bool {
	for _, pair := range [][2]string{
		{q.Type, e.Type}, {q.Kind, e.Kind}, {q.Outcome, e.Outcome}, {q.Check, e.Check},
		{q.Evidence, e.Evidence},
		{q.Token, e.Token}, {q.By, e.By}, {q.Action, e.Action},
		{q.Request, e.Request},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return true
}

// Search returns up to limit entries that match, from a row on, and the row to go
// on from; -1 at the end. It reads at most budget rows.
func Search(
	ctx context.Context, s History, provider string, q Query, from int64, limit, budget int,
) (found []*Entry, next int64, err error) {
	found = []*Entry{}
	for budget > 0 {
		rows, err := s.Ledger(ctx, provider, from, min(chunk, budget))
		if err != nil {
			return nil, 0, err
		}
		if len(rows) == 0 {
			return found, -1, nil
		}
		budget -= len(rows)
		for _, row := range rows {
			from = row.Seq + 1
			if row.Entry == nil {
				continue
			}
			e, err := Parse(row.Entry)
			if err != nil {
				return nil, 0, err
			}
			if q.Matches(e) {
				if found = append(found, e); len(found) == limit {
					return found, from, nil
				}
			}
		}
	}
	return found, from, nil
}
