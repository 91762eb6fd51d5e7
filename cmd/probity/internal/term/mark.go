package term

import (
	"fmt"
	"io"
	"strings"
)

// widest is the length of the longest line that is shown, in bytes.
const widest = 160

// Mark prints the line of a text with a mark below a column. Lines and columns count from 1.
func Mark(w io.Writer, text string, at, column int) {
	lines := strings.Split(text, "\n")
	if at > len(lines) {
		return
	}
	line := strings.TrimRight(lines[at-1], "\r")
	if len(line) > widest || strings.TrimSpace(line) == "" {
		return
	}
	var indent strings.Builder
	for i, r := range []rune(line) {
		if i+1 >= column {
			break
		}
		if r == '\t' {
			indent.WriteByte('\t')
		} else {
			indent.WriteByte(' ')
		}
	}
	fmt.Fprintf(w, "    %s\n    %s^\n", line, indent.String())
}
