package term

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/wording/phrase"
	"github.com/probity-dev/probity/wording/plainerror"
)

// UI prints for people; with colours only on a terminal.
type UI struct {
	colour bool
}

// NewUI prints to out.
func NewUI(out io.Writer, noColour bool) UI {
	return UI{colour: isTerminal(out) && !noColour && os.Getenv("NO_COLOR") == ""}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (u UI) paint(code, text string) string {
	if !u.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Good, Bad and Bold paint text.
func (u UI) Good(text string) string { return u.paint("32", text) }
func (u UI) Bad(text string) string  { return u.paint("31", text) }
func (u UI) Bold(text string) string { return u.paint("1", text) }

// Checks prints a line for each check.
func (u UI) Checks(w io.Writer, indent string, list []evidence.Check) {
	width := 0
	for _, c := range list {
		width = max(width, len(c.ID))
	}
	for _, c := range list {
		mark := u.Good("✓")
		if !c.OK {
			mark = u.Bad("✗")
		}
		fmt.Fprintf(w, "%s%s %-*s  %s\n", indent, mark, width, c.ID, phrase.Shorten(c.Found, 90))
	}
}

// PlainError words the errors in a log for people.
func PlainError(_ []string, a slog.Attr) slog.Attr {
	if a.Key == "err" {
		a.Value = slog.StringValue(plainerror.Words(a.Value.String()))
	}
	return a
}
