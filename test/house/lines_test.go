package house

import (
	"bytes"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

const (
	wide     = 110 // columns, which one line of a hundred may exceed
	tooWide  = 140 // columns, which no line may exceed; lll in .golangci.yml says the same
	perWides = 100
)

// TestLinesFitOnAScreen: in all modules, tests included, 99 of 100 lines of Go have at most 110
// columns, and none has more than 140. A column is a character; a tab is one.
func TestLinesFitOnAScreen(t *testing.T) {
	lines, over := 0, 0
	for _, file := range goFiles(t, ".") {
		path, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range bytes.Lines(read(t, file)) {
			n++
			columns := utf8.RuneCount(bytes.TrimRight(line, "\r\n"))
			if columns > tooWide {
				t.Errorf("%s:%d has %d columns, at most %d are allowed", path, n, columns, tooWide)
			}
			if columns > wide {
				over++
			}
		}
		lines += n
	}
	if lines < 50_000 {
		t.Errorf("only %d lines were found", lines)
	}
	if over*perWides > lines {
		t.Errorf("%d of %d lines have more than %d columns: more than 1 of %d", over, lines, wide, perWides)
	}
}
