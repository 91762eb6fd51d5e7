package release

import (
	"fmt"
	"strings"

	"github.com/probity-dev/probity/wording/spelling"
)

// StepKind says what a step of a decision evaluated.
type StepKind string

// The kinds of steps.
const (
	StepAuthority StepKind = "authority"
	StepAnyOf     StepKind = anyOf
	StepAllOf     StepKind = allOf
	StepClaim     StepKind = claim
)

// Step is what one authority, group or condition of the policy came to.
type Step struct {
	Pos  Pos      `json:"at"`
	Kind StepKind `json:"kind"`
	Met  bool     `json:"met"`
	// Authority is the URL of an authority, and Issued tells whether it is the token's issuer.
	Authority string `json:"authority,omitempty"`
	Issued    bool   `json:"issued,omitempty"`
	// Claim is the path of the claim that a condition compares, Operator how, and Expected
	// the policy's value as JSON text.
	Claim    string   `json:"claim,omitempty"`
	Operator Operator `json:"operator,omitempty"`
	Expected string   `json:"expected,omitempty"`
	// Found is the claim's value as JSON text, or empty if there is no such claim. It is cut to a
	// length for people, and objects are not written out.
	Found string `json:"found,omitempty"`
	// Hint says how a condition that is not met might have been meant.
	Hint  string `json:"hint,omitempty"`
	Steps []Step `json:"steps,omitempty"`
}

// Decision is what a policy came to for one token.
type Decision struct {
	Satisfied bool `json:"satisfied"`
	// Issuer is the token's.
	Issuer string `json:"issuer"`
	// Reason says in one line why.
	Reason string `json:"reason"`
	// Authorities are the policy's, in its order.
	Authorities []Step `json:"authorities"`
}

// Bounds of a reason; the steps name everything.
const (
	maxReasons   = 8
	maxReasonEnd = 2048
)

func (d *Decision) reason() string {
	var issued []*Step
	for i := range d.Authorities {
		a := &d.Authorities[i]
		if a.Met {
			return fmt.Sprintf("the conditions of authority %s (%s) are met", quoted(a.Authority), a.Pos)
		}
		if a.Issued {
			issued = append(issued, a)
		}
	}
	if len(issued) == 0 {
		return d.noAuthority()
	}
	var reasons []string
	for _, a := range issued {
		reasons = append(reasons, a.failures()...)
	}
	if more := len(reasons) - maxReasons; more > 0 {
		reasons = append(reasons[:maxReasons], fmt.Sprintf("and %d more", more))
	}
	return cut(strings.Join(reasons, "; "))
}

func (d *Decision) noAuthority() string {
	var names, plain []string
	for i, a := range d.Authorities {
		if i == maxReasons {
			names = append(names, fmt.Sprintf("%d more", len(d.Authorities)-i))
			break
		}
		names = append(names, quoted(a.Authority))
		plain = append(plain, a.Authority)
	}
	text := fmt.Sprintf("issuer: expected %s, found %s", strings.Join(names, " or "), quoted(d.Issuer))
	if nearest := spelling.Nearest(d.Issuer, plain); nearest != "" && len(names) > 1 {
		text += "; nearest: " + quoted(nearest)
	}
	return cut(text + "; attest with an authority of the policy, or add the issuer to it")
}

// failures says why a step is not met, in a text for each condition that would have to be.
func (s *Step) failures() (texts []string) {
	switch {
	case s.Met && s.Kind != StepAuthority:
		return nil
	case s.Kind == StepClaim:
		return []string{s.failure()}
	}
	for i := range s.Steps {
		texts = append(texts, s.Steps[i].failures()...)
	}
	if s.Kind == StepAnyOf && len(s.Steps) > 1 {
		const most = 4
		if more := len(texts) - most; more > 0 {
			texts = append(texts[:most], fmt.Sprintf("and %d more", more))
		}
		return []string{fmt.Sprintf("none of anyOf (%s) is met: %s", s.Pos, strings.Join(texts, ", or "))}
	}
	return texts
}

// failure is the text of one condition: what was expected, what was found, and a hint.
func (s *Step) failure() string {
	text := fmt.Sprintf("claim %s: expected %s %s, ", printable(s.Claim), s.Operator, s.Expected)
	if s.Found == "" {
		text += "not found"
	} else {
		text += "found " + s.Found
	}
	if s.Hint != "" {
		text += " (" + s.Hint + ")"
	}
	return text
}

// String gives the decision with all steps, a line each.
func (d *Decision) String() string {
	var b strings.Builder
	if d.Satisfied {
		b.WriteString("satisfied: ")
	} else {
		b.WriteString("not satisfied: ")
	}
	b.WriteString(d.Reason + "\n")
	for i := range d.Authorities {
		d.Authorities[i].write(&b, 1)
	}
	return b.String()
}

func (s *Step) write(b *strings.Builder, depth int) {
	mark := "not met"
	if s.Met {
		mark = "met"
	}
	fmt.Fprintf(b, "%-7s %-6s %*s", mark, s.Pos, 2*depth, "")
	switch s.Kind {
	case StepAuthority:
		text := "is not the token's issuer"
		if s.Issued {
			text = "is the token's issuer"
		}
		fmt.Fprintf(b, "authority %s %s", quoted(s.Authority), text)
	case StepClaim:
		if s.Met {
			fmt.Fprintf(b, "claim %s %s %s", printable(s.Claim), s.Operator, s.Expected)
		} else {
			b.WriteString(s.failure())
		}
	case StepAnyOf, StepAllOf:
		b.WriteString(string(s.Kind))
	}
	b.WriteByte('\n')
	for i := range s.Steps {
		s.Steps[i].write(b, depth+1)
	}
}

// printable is a name for a message: bare if it is made of ordinary characters.
func printable(name string) string {
	text := quoted(name)
	if text == `"`+name+`"` {
		return name
	}
	return text
}

func cut(text string) string {
	if len(text) <= maxReasonEnd {
		return text
	}
	return strings.ToValidUTF8(text[:maxReasonEnd], "") + "…"
}

// maxHinted bounds the claims that hints are made for, in bytes: values of policies are shorter.
const maxHinted = 4096

// hint says how a comparison that is not met might have been meant.
func (c Claims) hint(condition *Comparison, n *node) string {
	want := condition.Value.scalar
	switch {
	case n == nil:
		if path := c.elsewhere(condition.Claim); path != "" {
			return "the token has " + printable(path)
		}
		return ""
	case condition.Operator.orders() && n.kind != '0':
		return "only a number is " + string(condition.Operator) + " another"
	case condition.Operator != Equals || n.kind != '"' || len(n.text) > maxHinted:
		return ""
	case want.kind != '"' && n.text == want.String():
		return `the claim is a string: write "` + want.String() + `" in quotes`
	case want.kind == '"' && lowerASCII(n.text) == lowerASCII(want.text):
		return "they differ in case"
	case want.kind == '"' && strings.TrimSpace(n.text) == strings.TrimSpace(want.text):
		return "they differ in white space"
	default:
		return ""
	}
}
