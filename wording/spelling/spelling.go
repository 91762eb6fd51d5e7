// Package spelling finds what a misspelt name was meant to be. It is a leaf:
// it imports no other package of this module, and any package may use it.
package spelling

import "strings"

// most bounds the length of names that are compared: they may come from a
// request.
const most = 64

// Nearest returns the candidate that begins like name, or else the one with the
// smallest edit distance to it, compared without case; the first one of equals.
// It returns "" if there are no candidates.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", -1
	for _, c := range candidates {
		d := distance(strings.ToLower(name), strings.ToLower(c))
		if len(name) >= 3 && strings.HasPrefix(strings.ToLower(c), strings.ToLower(name)) {
			d = 0 // a name cut short
		}
		if bestDistance < 0 || d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// Hint asks whether the nearest candidate was meant: "did you mean permit?". It returns "" where none is near: where more
// than half of the name would have to change.
func Hint(name string, candidates []string) string {
	near := Nearest(name, candidates)
	lower, other := strings.ToLower(name), strings.ToLower(near)
	cutShort := len(name) >= 3 && strings.HasPrefix(other, lower)
	if near == "" || !cutShort && distance(lower, other) > max(1, len(name)/2) {
		return ""
	}
	return "did you mean " + near + "?"
}

// After is [Hint] behind other words, or "".
func After(words, name string, candidates []string) string {
	if hint := Hint(name, candidates); hint != "" {
		return words + hint
	}
	return ""
}

// distance is the Levenshtein distance of the beginnings of two names.
func distance(a, b string) int {
	a, b = a[:min(len(a), most)], b[:min(len(b), most)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
