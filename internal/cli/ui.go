package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/wording/plainerror"
)

// ui prints for people; with colours only on a terminal.
type ui struct {
	colour bool
}

func newUI(out io.Writer, noColour bool) ui {
	f, isFile := out.(*os.File)
	return ui{colour: isFile && term.IsTerminal(int(f.Fd())) && !noColour && os.Getenv("NO_COLOR") == ""}
}

func (u ui) paint(code, text string) string {
	if !u.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (u ui) good(text string) string { return u.paint("32", text) }
func (u ui) bad(text string) string  { return u.paint("31", text) }
func (u ui) bold(text string) string { return u.paint("1", text) }

// checks prints a line for each check.
func (u ui) checks(w io.Writer, indent string, list []evidence.Check) {
	width := 0
	for _, c := range list {
		width = max(width, len(c.ID))
	}
	for _, c := range list {
		mark := u.good("✓")
		if !c.OK {
			mark = u.bad("✗")
		}
		fmt.Fprintf(w, "%s%s %-*s  %s\n", indent, mark, width, c.ID, shorten(c.Found, 90))
	}
}

// shorten cuts long text for people; JSON output has it whole.
func shorten(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}

// wrap breaks text into lines of at most width characters.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	line := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			b.WriteString(indent)
		case line+1+len(word) > width:
			b.WriteString("\n" + indent)
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}

// span tells a duration in words: the two largest units.
func span(d time.Duration) string {
	d = d.Round(time.Minute)
	switch {
	case d < 0:
		return "-" + span(-d)
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
}

// plainAttr words the errors in a log for people.
func plainAttr(_ []string, a slog.Attr) slog.Attr {
	if a.Key == "err" {
		a.Value = slog.StringValue(plainerror.Words(a.Value.String()))
	}
	return a
}
