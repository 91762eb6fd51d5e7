package release

import (
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/wording/phrase"
)

// Severity tells errors from warnings.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Pos is a place in a policy text.
type Pos struct {
	Offset int `json:"-"`      // in bytes, from 0
	Line   int `json:"line"`   // from 1
	Column int `json:"column"` // in characters, from 1
}

// String gives line and column.
func (p Pos) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Diagnostic is one finding about a policy text.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	Message  string
	// Found is the text in question, Expected what could be there.
	Found    string
	Expected string
	// Suggestion says how to fix it.
	Suggestion string
}

// String gives line, column, message, what was expected and found, and the suggestion.
func (d Diagnostic) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s", d.Pos, d.Severity, d.Message)
	if d.Expected != "" {
		b.WriteString(", expected " + d.Expected)
	}
	if d.Found != "" {
		b.WriteString(", found " + d.Found)
	}
	if d.Suggestion != "" {
		b.WriteString("; " + d.Suggestion)
	}
	return b.String()
}

// ParseError contains everything that is wrong with a policy, in the order of the text.
type ParseError struct {
	Diagnostics []Diagnostic
}

// listed is how many diagnostics the text of a ParseError lists.
const listed = 8

// Error lists the problems with their places: the first eight, and how many more there are.
func (e *ParseError) Error() string {
	if len(e.Diagnostics) == 0 {
		return "release policy: no errors"
	}
	var texts []string
	for i, d := range e.Diagnostics {
		if i == listed {
			texts = append(texts, fmt.Sprintf("and %d more", len(e.Diagnostics)-listed))
			break
		}
		texts = append(texts, d.String())
	}
	return "release policy: " + strings.Join(texts, "; ")
}

// shown is the greatest length, in characters, of a value or name that a message repeats: others
// chose it.
const shown = 160

// quoted is a text of others for a message: in quotes, control characters escaped, cut to size.
func quoted(text string) string {
	if len(text) > 4*shown {
		text = text[:4*shown] // each character has at most four bytes
	}
	return fmt.Sprintf("%q", phrase.Shorten(strings.ToValidUTF8(text, "\ufffd"), shown))
}

func sortByPlace(list []Diagnostic) {
	slices.SortStableFunc(list, func(a, b Diagnostic) int { return a.Pos.Offset - b.Pos.Offset })
}
