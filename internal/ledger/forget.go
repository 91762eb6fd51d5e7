package ledger

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/store"
)

// ActionForget says that retention removed the text of the first entries. Its details say how
// many in all; a text that is missing without such an entry was removed by someone else.
const ActionForget = "ledger.forget"

// Details of entries.
const (
	detailThrough = "through" // of ActionForget: how many of the first rows have no text
	detailDamaged = "damagedRows"
)

// forgotten returns how many of the first rows have no text, as an entry of retention says.
func (e *Entry) forgotten() (int64, bool) {
	n, err := strconv.ParseInt(e.Details[detailThrough], 10, 64)
	return n, err == nil && n >= 0
}

// Due returns how many of the first entries are older than a time, and how many of them have
// lost their text. The time of an entry is that of its text, which its hash covers: the
// database cannot make a young one old. A text that is not that of its hash is an error.
func Due(ctx context.Context, h History, provider string, before time.Time) (due, gone int64, err error) {
	head, err := h.LedgerHead(ctx, provider)
	if err != nil {
		return 0, 0, err
	}
	// The texts that are missing are those of the first rows.
	gone = int64(sort.Search(int(head.Size), func(i int) bool {
		rows, readErr := h.Ledger(ctx, provider, int64(i), 1)
		if readErr != nil || len(rows) == 0 {
			err = errors.Join(err, readErr)
			return true
		}
		return rows[0].Entry != nil
	}))
	if err != nil {
		return 0, 0, err
	}
	for due = gone; due < head.Size; {
		rows, err := h.Ledger(ctx, provider, due, chunk)
		if err != nil || len(rows) == 0 {
			return due, gone, err
		}
		for _, row := range rows {
			if row.Entry == nil || row.Seq != due {
				return due, gone, nil // verification tells of it
			}
			if leaf := tlog.RecordHash(row.Entry); string(leaf[:]) != string(row.Leaf) {
				return 0, 0, fmt.Errorf(
					"ledger of %s: the text of entry %d is not the one that was recorded; nothing is removed",
					provider, row.Seq,
				)
			}
			entry, err := Parse(row.Entry)
			if err != nil {
				return 0, 0, err
			}
			if !entry.Time.Before(before) {
				return due, gone, nil
			}
			due++
		}
	}
	return due, gone, nil
}

// Forgets makes the details of an entry of retention, which is recorded before the texts of
// the first rows are removed.
func Forgets(through int64, details map[string]string) map[string]string {
	details[detailThrough] = strconv.FormatInt(through, 10)
	return details
}

// Forget removes the texts of the first rows, in steps, and returns how many had one.
func Forget(ctx context.Context, s store.Store, provider string, through int64) (total int64, err error) {
	for n := int64(forgetMax); n == forgetMax; total += n {
		if n, err = s.ForgetLedger(ctx, provider, through, forgetMax); err != nil {
			return total, err
		}
	}
	return total, nil
}

// forgetMax is how many entries lose their text in one step, so that others do not wait long
// for the rows.
const forgetMax = 10_000
