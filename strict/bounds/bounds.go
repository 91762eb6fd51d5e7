// Package bounds checks numbers, times and texts that people and clients choose: in
// settings, the configuration, flags, queries and bodies. Every such value has a
// least and a most, so that no later sum or product of it overflows. It
// imports no other package of this module.
package bounds

import (
	"cmp"
	"fmt"
	"time"
	"unicode/utf8"
)

// What settings of providers and the service's configuration have in common. Products
// of these numbers with their units are far from the ends of int64 and time.Time.
const (
	// MaxTokenValidity is the longest that a token may be valid.
	MaxTokenValidity = 365 * 24 * time.Hour
	// MinRate and MaxRate bound attestations per second.
	MinRate, MaxRate = 0.001, 1e6
	MaxBurst         = 1_000_000
	MaxConcurrent    = 100_000
	// MaxRetention is in days: a hundred years.
	MaxRetention = 36_500
)

// Check returns an error that names the value unless least <= v <= most. NaN is
// never within bounds.
func Check[T cmp.Ordered](name string, v, least, most T) error {
	if v >= least && v <= most {
		return nil
	}
	return fmt.Errorf("%s: %v; want %v to %v", name, v, least, most)
}

// Optional is [Check] for values of which zero stands for the default.
func Optional[T cmp.Ordered](name string, v, least, most T) error {
	var zero T
	if v == zero || v >= least && v <= most {
		return nil
	}
	return fmt.Errorf("%s: %v; want %v to %v, or 0 for the default", name, v, least, most)
}

// Text returns an error unless s is UTF-8 of at most that many bytes, without
// control characters. An empty text passes.
func Text(name, s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("%s: %d bytes; want at most %d", name, len(s), most)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s: it is not UTF-8", name)
	}
	for _, c := range s {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return fmt.Errorf("%s: it contains the control character %U", name, c)
		}
	}
	return nil
}

// MaxNesting bounds how deeply JSON of a sender is nested that is echoed to others, in tokens
// above all: many parsers read them, some of which call themselves for each level.
const MaxNesting = 64

// Nesting returns an error if objects and arrays of a JSON text are nested deeper than
// [MaxNesting]. It does not check that the text is JSON.
func Nesting(text []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			if depth++; depth > MaxNesting {
				return fmt.Errorf("JSON is nested deeper than %d", MaxNesting)
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return nil
}

// Time returns an error unless t is between the two. It compares moments: the
// offset in which t is written does not matter.
func Time(name string, t, least, most time.Time) error {
	if t.Before(least) || t.After(most) {
		return fmt.Errorf("%s: %s; want %s to %s", name, t.UTC().Format(time.RFC3339),
			least.UTC().Format(time.RFC3339), most.UTC().Format(time.RFC3339))
	}
	return nil
}
