package policy

import (
	"fmt"
	"strings"
)

// Severity tells errors from warnings.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Diagnostic is one finding about a policy text.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	Message  string
	// Found is the offending text, Expected what could be there.
	Found    string
	Expected string
	// Suggestion says how to fix it.
	Suggestion string
	// Rule is the grammar rule that failed.
	Rule string
}

// String gives line, column, message and suggestion.
func (d Diagnostic) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:%d: %s: %s", d.Pos.Line, d.Pos.Column, d.Severity, d.Message)
	if d.Expected != "" {
		fmt.Fprintf(&b, ", expected %s", d.Expected)
	}
	if d.Suggestion != "" {
		fmt.Fprintf(&b, "; %s", d.Suggestion)
	}
	return b.String()
}

// ParseError contains the diagnostics of a policy that cannot be used; at least
// one of them is an error.
type ParseError struct {
	Diagnostics []Diagnostic
}

// Error gives the first error, and how many more there are.
func (e *ParseError) Error() string {
	var first *Diagnostic
	count := 0
	for i, d := range e.Diagnostics {
		if d.Severity == Error {
			if count++; first == nil {
				first = &e.Diagnostics[i]
			}
		}
	}
	if first == nil {
		return "policy: no errors"
	}
	text := "policy: " + first.String()
	if first.Found != "" && !strings.Contains(first.Message, first.Found) {
		text += fmt.Sprintf(" (found %q)", first.Found)
	}
	if count > 1 {
		text += fmt.Sprintf(" (and %d more)", count-1)
	}
	return text
}
