package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/wording/spelling"
)

// Lint compares a policy with the claims that an attestation type offers. A
// comparison that is never true for the type of a claim is an error; what the
// author probably did not mean is a warning: unknown claims, upper-case hex,
// rules that never run, policies that cannot fail or cannot permit. The
// policy's own warnings are among them. An unknown type checks less.
func Lint(p *Policy, attestationType string) []Diagnostic {
	l := &linter{policy: p, found: slices.Clone(p.Warnings), terms: map[string]Term{}, made: map[string]bool{}}
	for _, term := range Vocabulary(attestationType) {
		l.terms[term.Name] = term
	}
	l.kind = attestationType
	for _, s := range p.Sections {
		for _, r := range s.Rules {
			l.rule(s, r)
		}
	}
	l.verdict()
	slices.SortStableFunc(l.found, func(a, b Diagnostic) int { return a.Pos.Offset - b.Pos.Offset })
	return l.found
}

type linter struct {
	policy *Policy
	kind   string
	terms  map[string]Term
	// made are the claims that earlier rules made; dynamic tells that some
	// have names which only evaluation knows.
	made    map[string]bool
	dynamic bool
	found   []Diagnostic
}

func (l *linter) report(at Pos, severity Severity, message, suggestion string) {
	l.found = append(l.found, Diagnostic{Pos: at, Severity: severity, Message: message, Suggestion: suggestion})
}

func (l *linter) rule(s *Section, r *Rule) {
	if s.Name == Configuration && len(r.Conditions) > 0 {
		l.report(r.Pos, Warning,
			"configuration rules run before anything is known about the evidence, "+
				"so this condition is never true",
			"leave the condition out")
	} else {
		for _, c := range r.Conditions {
			l.condition(c)
		}
	}
	used := map[string]bool{}
	for _, c := range r.Conditions {
		for _, prop := range c.Properties {
			refs(prop.Value, used)
		}
	}
	for _, arg := range r.Action.Args {
		refs(arg.Value, used)
	}
	for _, c := range r.Conditions {
		if c.Name != "" && !used[c.Name] && r.Action.Name != "permit" && r.Action.Name != "deny" {
			l.report(c.Pos, Warning, "identifier "+c.Name+" is bound but not used", "")
		}
	}
	if a := r.Action.Arg("type"); a != nil {
		if name, ok := literalText(a.Value); ok {
			l.made[name] = true
		} else {
			l.dynamic = true
		}
	}
	if r.Action.Arg("claim") != nil {
		l.dynamic = true
	}
}

func refs(x Expr, used map[string]bool) {
	switch x := x.(type) {
	case *Ref:
		used[x.Name] = true
	case *Call:
		for _, arg := range x.Args {
			refs(arg, used)
		}
	}
}

func (l *linter) condition(c *Condition) {
	name := conditionType(c)
	if name == "" {
		return
	}
	term, known := l.terms[name]
	if !known {
		if len(l.terms) > 0 && !l.made[name] && !l.dynamic {
			l.unknown(c, name)
		}
		return
	}
	if l.made[name] {
		return // the policy may have made it with another type
	}
	for i := range c.Properties {
		if c.Properties[i].Name == "value" {
			l.value(&c.Properties[i], term)
		}
	}
}

func (l *linter) unknown(c *Condition, name string) {
	for _, prop := range c.Properties {
		if prop.Name == "issuer" {
			if issuer, ok := literalText(prop.Value); ok && issuer == string(claims.CustomClaim) {
				return // the client chooses these names
			}
		}
	}
	names := make([]string, 0, len(l.terms))
	for n := range l.terms {
		names = append(names, n)
	}
	slices.Sort(names)
	l.report(c.Pos, Warning,
		fmt.Sprintf("no %s evidence has the claim %q, and no earlier rule makes it", l.kind, name),
		spelling.Hint(name, names))
}

func (l *linter) value(prop *Property, term Term) {
	if prop.Op != "==" && prop.Op != "!=" && term.Type != claims.Integer {
		l.report(prop.Pos, Error,
			fmt.Sprintf("%s orders integers, and %s is %s", prop.Op, term.Name, withArticle(term.Type)),
			"compare with == or !=")
		return
	}
	literal, ok := prop.Value.(*Literal)
	if !ok {
		return
	}
	if literal.Value.Type() != term.Type {
		l.report(prop.Pos, Warning, fmt.Sprintf("%s is %s, so it never equals %s", term.Name,
			withArticle(term.Type), clip(literal.Text)), mendValue(literal, term.Type))
		return
	}
	if value, _ := literal.Value.Text(); term.Hex && value != strings.ToLower(value) {
		l.report(prop.Value.Start(), Warning,
			"the value is upper-case hex; the service issues lower case, so this never matches",
			`write "`+strings.ToLower(value)+`"`)
	}
}

// mendValue says how to write a literal as a value of the given type.
func mendValue(literal *Literal, want claims.Type) string {
	text, quoted := literal.Value.Text()
	_, err := strconv.ParseInt(text, 10, 64)
	switch {
	case want == claims.String && !quoted:
		return "write " + strconv.Quote(literal.Text)
	case want == claims.Integer && quoted && err == nil,
		want == claims.Boolean && (text == "true" || text == "false"):
		return "write " + text + ", without quotes"
	case want == claims.Integer:
		return "compare with a whole number"
	case want == claims.Boolean:
		return "compare with true or false"
	default:
		return ""
	}
}

// withArticle names a type in a sentence.
func withArticle(t claims.Type) string {
	if t == claims.Integer {
		return "an integer"
	}
	return "a " + strings.ToLower(string(t))
}

// verdict warns of policies that always say the same.
func (l *linter) verdict() {
	section := l.policy.Section(Authorization)
	permits := 0
	for _, r := range section.Rules {
		switch r.Action.Name {
		case "permit":
			permits++
		case "deny":
			if len(r.Conditions) == 0 {
				l.report(r.Pos, Warning, "this rule denies everything", "")
			}
		}
	}
	if permits == 0 {
		l.report(section.Pos, Warning, "no rule permits, so everything is denied", "add a rule with permit()")
	}
}
