package release

import (
	"fmt"
	"strconv"
	"strings"
)

// comparison reads a condition about a claim: its name, one operator, and a value that the
// operator can compare with.
func (p *parser) comparison(n, name *node, members map[string]member) *Comparison {
	c := &Comparison{Pos: p.locate.pos(n.at), Claim: name.text}
	switch {
	case name.kind != '"':
		p.want(name, "the name of a claim", "a string", "")
		return nil
	case name.text == "":
		p.add(
			name.at,
			Diagnostic{Message: "the name of a claim is empty", Suggestion: "name a claim of the token"},
		)
		return nil
	case len(name.text) > MaxClaimName:
		p.add(name.at, Diagnostic{
			Message:  "the name of a claim is too long",
			Expected: fmt.Sprintf("at most %d bytes", MaxClaimName), Found: fmt.Sprintf("%d bytes", len(name.text)),
		})
		return nil
	}
	var operators []string
	for _, o := range Operators() {
		if _, ok := members[string(o)]; ok {
			operators = append(operators, string(o))
		}
	}
	switch {
	case len(operators) == 1:
	case len(operators) == 0 && len(n.members) > len(members):
		return nil // the operator is misspelt, which was noted
	default:
		found := "no operator"
		suggestion := "compare the claim " + quoted(name.text) + ` with a value: "equals": …`
		if len(operators) > 1 {
			found = strings.Join(operators, ", ")
			suggestion = "write a condition for each, in an allOf"
		}
		var all []string
		for _, o := range Operators() {
			all = append(all, string(o))
		}
		p.add(n.at, Diagnostic{
			Message: "the condition does not have exactly one operator", Expected: list(all),
			Found: found, Suggestion: suggestion,
		})
		return nil
	}
	c.Operator = Operator(operators[0])
	value := members[operators[0]].value
	if !p.comparable(c.Operator, value) {
		return nil
	}
	c.Value = Value{value.scalar}
	if value.kind == '"' {
		// Read once: an array of a claim may have many members to compare with.
		c.Value.scalar.number, c.Value.scalar.whole = integerText(value.text)
	}
	return c
}

// comparable checks that an operator can compare with a value.
func (p *parser) comparable(o Operator, n *node) bool {
	what := "the value of " + string(o)
	_, whole := integerText(n.text)
	switch {
	case o == Exists && n.kind != 't' && n.kind != 'f':
		suggestion := "write true, or false for a claim that must be missing"
		if n.kind == '"' {
			suggestion += ", without quotes"
		}
		p.want(n, what, "true or false", suggestion)
	case o.orders() && n.kind != '0':
		suggestion := "only equals and notEquals compare other values"
		if n.kind == '"' && whole {
			suggestion = "write " + n.text[:min(len(n.text), shown)] + ", without quotes"
		}
		p.want(n, what, "a number", suggestion)
	case n.kind == '{' || n.kind == '[' || n.kind == 'n':
		p.want(n, what, "a string, a number, true or false", "write a condition for each value, in an anyOf")
	case n.kind == '0' && !reasonable(n.text):
		p.add(n.at, Diagnostic{
			Message: "the number is too long",
			Expected: fmt.Sprintf("at most %d characters, and a power of ten up to %d", maxNumber,
				maxExponent), Found: n.String(),
		})
	default:
		return true
	}
	return false
}

// reasonable reports whether a JSON number is within the bounds of a policy.
func reasonable(number string) bool {
	at := strings.IndexAny(number, "eE")
	if at < 0 {
		return len(number) <= maxNumber
	}
	power, err := strconv.Atoi(number[at+1:])
	return err == nil && len(number) <= maxNumber && -maxExponent <= power && power <= maxExponent
}
