package ledger

import (
	"fmt"
	"strconv"
	"strings"
)

// Rows are numbers of rows, as ascending ranges.
type Rows []span

// maxRanges bounds a text of rows.
const maxRanges = 1000

// Has reports whether a row is one of them.
func (r Rows) Has(seq int64) bool {
	for _, s := range r {
		if s.first <= seq && seq < s.end {
			return true
		}
	}
	return false
}

// String writes rows as in "7,9-12".
func (r Rows) String() string {
	parts := make([]string, 0, len(r))
	for _, s := range r {
		part := strconv.FormatInt(s.first, 10)
		if s.end-s.first > 1 {
			part += "-" + strconv.FormatInt(s.end-1, 10)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// ParseRows reads rows as String writes them; an empty text is no row.
func ParseRows(text string) (rows Rows, err error) {
	if text == "" {
		return nil, nil
	}
	before := int64(-1)
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseInt(first, 10, 64)
		b, err2 := strconv.ParseInt(last, 10, 64)
		if err != nil || err2 != nil || a <= before || b < a || b == 1<<63-1 || len(rows) == maxRanges {
			return nil, fmt.Errorf("%.100q are not rows in ascending order, as in 7,9-12", text)
		}
		before = b
		rows = append(rows, span{a, b + 1})
	}
	return rows, nil
}
