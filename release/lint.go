package release

import (
	"fmt"
	"strings"

	"github.com/probity-dev/probity/wording/spelling"
)

// Lint warns of what the author of a policy probably did not mean: authorities that are not among
// the known ones (if any are given) or are not reached over TLS, and conditions that no claims can
// meet together. The findings are warnings, in the order of the text.
func (p *Policy) Lint(known ...string) []Diagnostic {
	l := &linter{}
	impossible := 0
	for i := range p.Authorities {
		a := &p.Authorities[i]
		l.authority(a, known)
		if !l.possible(a.Conditions, false) {
			impossible++
		}
	}
	if len(p.Authorities) > 0 && impossible == len(p.Authorities) {
		l.warn(p.Authorities[0].Pos, "no token can satisfy this policy",
			"change the conditions that the other warnings name")
	}
	sortByPlace(l.found)
	return l.found
}

type linter struct{ found []Diagnostic }

func (l *linter) warn(at Pos, message, suggestion string) {
	if len(l.found) < maxDiagnostics {
		l.found = append(l.found, Diagnostic{
			Pos: at, Severity: Warning, Message: message,
			Suggestion: suggestion,
		})
	}
}

func (l *linter) authority(a *Authority, known []string) {
	if strings.HasPrefix(normalAuthority(a.URL), "http://") {
		l.warn(
			a.URLPos,
			"the authority "+quoted(a.URL)+" is not an https URL, so its keys could be replaced on the way",
			"write https, if the issuer does",
		)
	}
	for _, k := range known {
		if SameAuthority(k, a.URL) {
			return
		}
	}
	if len(known) > 0 {
		l.warn(a.URLPos, "no known issuer is "+quoted(a.URL)+", so no token can satisfy these conditions",
			"nearest: "+spelling.Nearest(a.URL, known))
	}
}

// possible reports whether some claims meet a condition, and warns where none do. The conditions of
// an allOf inside an allOf are compared with those of the outer one.
func (l *linter) possible(condition Condition, insideAll bool) bool {
	g, ok := condition.(*Group)
	if !ok {
		return true
	}
	possible := 0
	for _, c := range g.Conditions {
		if l.possible(c, g.All) {
			possible++
		}
	}
	if !g.All {
		return possible > 0
	}
	conflict := !insideAll && l.conflicts(g)
	return !conflict && possible == len(g.Conditions)
}

// conflicts warns of conditions that an allOf wants of the same claim and that exclude each other: each
// condition with the first earlier one that it excludes. It reports whether no claim at all meets them.
func (l *linter) conflicts(g *Group) bool {
	byClaim := map[string][]*Comparison{}
	impossible := false
	for _, c := range together(g, nil) {
		for _, other := range byClaim[c.Claim] {
			why := excludes(c, other)
			if why == "" {
				why = excludes(other, c)
			}
			if why == "" {
				continue
			}
			l.warn(c.Pos, fmt.Sprintf("claim %s: %s %s excludes %s %s (%s): %s", printable(c.Claim),
				c.Operator, c.Value, other.Operator, other.Value, other.Pos, why),
				"leave one of them out, or write them in an anyOf")
			impossible = impossible || why != onlyArrays
			break
		}
		byClaim[c.Claim] = append(byClaim[c.Claim], c)
	}
	return impossible
}

// onlyArrays is why two values exclude each other, except in arrays.
const onlyArrays = "only an array with both equals two values"

// together lists the comparisons that an allOf needs all of, those of an allOf inside included.
func together(g *Group, list []*Comparison) []*Comparison {
	for _, c := range g.Conditions {
		switch c := c.(type) {
		case *Comparison:
			list = append(list, c)
		case *Group:
			if c.All {
				list = together(c, list)
			}
		}
	}
	return list
}

// excludes says why no claim meets both comparisons, or "". Its caller asks in both directions.
func excludes(a, b *Comparison) string {
	switch {
	case a.Operator == Exists:
		if truth, _ := a.Value.Bool(); !truth && (b.Operator != Exists || b.Value != a.Value) {
			return "a claim that is missing meets no other condition"
		}
	case a.Operator == Equals:
		return a.Value.scalar.excludes(b)
	case a.Operator.bounds(Less, LessOrEquals) && b.Operator.bounds(Greater, GreaterOrEquals):
		outcome := a.Value.scalar.number.compare(b.Value.scalar.number)
		if outcome < 0 || outcome == 0 && (a.Operator == Less || b.Operator == Greater) {
			return "no number is in this range"
		}
	}
	return ""
}

// excludes says why no claim that equals s meets a comparison, or "".
func (s scalar) excludes(c *Comparison) string {
	want := c.Value.scalar
	switch {
	case c.Operator == Equals && !s.equals(want) && !want.equals(s):
		return onlyArrays
	case c.Operator == NotEquals && s.equals(want):
		return "they contradict each other"
	case c.Operator.orders():
		if s.kind != '0' && !s.whole {
			return "only a number has an order"
		}
		if !ordered(c.Operator, s.number.compare(want.number)) {
			return "the value is outside the range"
		}
	}
	return ""
}

// bounds reports whether the operator is one of two.
func (o Operator) bounds(open, closed Operator) bool { return o == open || o == closed }
