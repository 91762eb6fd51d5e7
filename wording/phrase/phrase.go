// Package phrase puts values into the words and lengths in which people read them.
package phrase

import (
	"fmt"
	"strings"
	"time"
)

// Shorten cuts long text for people; JSON output has it whole.
func Shorten(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}

// Wrap breaks text into lines of at most width characters.
func Wrap(text, indent string, width int) string {
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

// Span tells a duration in words: the two largest units.
func Span(d time.Duration) string {
	d = d.Round(time.Minute)
	switch {
	case d < 0:
		return "-" + Span(-d)
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
}

func Plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
