package policy

import (
	"slices"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy/jmespath"
)

// program is a policy prepared for evaluation: identifiers are slots, literal
// sides and queries are worked out. It is never changed.
type program struct {
	sections map[string][]compiledRule
	rules    int
	slots    int // the most identifiers that one rule binds
}

type compiledRule struct {
	source     *Rule
	number     int // within its section, from 1
	section    string
	conditions []compiledCondition
	action     compiledAction
}

type compiledCondition struct {
	source *Condition
	slot   int // where the matched claims go, or -1
	props  []compiledProperty
}

type compiledProperty struct {
	source *Property
	name   propertyName
	op     operator
	// side contains the values of the right side if they are constant.
	side []claims.Value
	expr compiledExpr
}

// propertyName and operator are the words of the language as numbers.
type (
	propertyName uint8
	operator     uint8
)

const (
	propType propertyName = iota
	propValue
	propValueType
	propIssuer
)

const (
	opEqual operator = iota
	opNotEqual
	opLess
	opAtMost
	opGreater
	opAtLeast
)

var propertyByName = map[string]propertyName{
	"type": propType, "value": propValue, "valueType": propValueType, "issuer": propIssuer,
}

var operatorByText = map[string]operator{
	"==": opEqual, "!=": opNotEqual, "<": opLess, "<=": opAtMost, ">": opGreater, ">=": opAtLeast,
}

type compiledAction struct {
	source *Action
	claim  int // the slot of claim=, or -1
	typ    compiledExpr
	value  compiledExpr
	// named is the standing of a type that is a constant, or nil.
	named *standing
}

// compiledExpr yields the values of an expression: one for a literal, one for
// each claim of a reference, in claim order.
type compiledExpr interface {
	eval(e *evaluation) ([]claims.Value, error)
}

type constant []claims.Value

type reference struct {
	at       Pos
	slot     int
	property propertyName
}

type invocation struct {
	source *Call
	args   []compiledExpr
	query  *jmespath.Query // the compiled literal query of JmesPath
}

func (c constant) eval(*evaluation) ([]claims.Value, error) { return c, nil }

func (r reference) eval(e *evaluation) ([]claims.Value, error) {
	bound := e.bound[r.slot]
	if err := e.budget.Spend(len(bound), len(bound)*valueBytes); err != nil {
		return nil, e.overspent(r.at, err)
	}
	values := make([]claims.Value, len(bound))
	for i, at := range bound {
		values[i] = property(&e.in.All()[at], r.property)
	}
	return values, nil
}

func compile(p *Policy) *program {
	prog := &program{sections: map[string][]compiledRule{}}
	for _, s := range p.Sections {
		for i, r := range s.Rules {
			c := compiledRule{source: r, number: i + 1, section: s.Name}
			var names []string
			for _, condition := range r.Conditions {
				c.conditions = append(c.conditions, compileCondition(condition, names))
				if condition.Name != "" {
					names = append(names, condition.Name)
				}
			}
			c.action = compileAction(&r.Action, names)
			prog.slots = max(prog.slots, len(names))
			prog.sections[s.Name] = append(prog.sections[s.Name], c)
			prog.rules++
		}
	}
	return prog
}

func compileCondition(source *Condition, names []string) compiledCondition {
	c := compiledCondition{source: source, slot: -1}
	if source.Name != "" {
		c.slot = len(names)
	}
	for i := range source.Properties {
		written := &source.Properties[i]
		prop := compiledProperty{
			source: written,
			name:   propertyByName[written.Name],
			op:     operatorByText[written.Op],
		}
		prop.expr = compileExpr(prop.source.Value, names)
		if values, ok := prop.expr.(constant); ok {
			prop.side = values
		}
		c.props = append(c.props, prop)
	}
	// The type is the property that most claims lack: look at it first. The
	// order of properties has no meaning.
	slices.SortStableFunc(c.props, func(a, b compiledProperty) int { return rank(a) - rank(b) })
	return c
}

func rank(p compiledProperty) int {
	if p.name == propType && p.side != nil {
		return 0
	}
	return 1
}

func compileAction(source *Action, names []string) compiledAction {
	a := compiledAction{source: source, claim: -1}
	if arg := source.Arg("claim"); arg != nil {
		a.claim = slices.Index(names, arg.Value.(*Ref).Name)
	}
	if arg := source.Arg("type"); arg != nil {
		a.typ = compileExpr(arg.Value, names)
		if name, ok := literalText(arg.Value); ok {
			as := standingOf(name)
			a.named = &as
		}
	}
	if arg := source.Arg("value"); arg != nil {
		a.value = compileExpr(arg.Value, names)
	}
	return a
}

func compileExpr(x Expr, names []string) compiledExpr {
	switch x := x.(type) {
	case *Literal:
		return constant{x.Value}
	case *Ref:
		return reference{x.Pos, slices.Index(names, x.Name), propertyByName[x.Property]}
	}
	source := x.(*Call)
	// A literal query that does not compile was reported as a warning; it fails when the
	// rule runs.
	call := &invocation{source: source, query: source.query}
	for _, arg := range source.Args {
		call.args = append(call.args, compileExpr(arg, names))
	}
	return call
}

func literalText(x Expr) (string, bool) {
	literal, ok := x.(*Literal)
	if !ok {
		return "", false
	}
	return literal.Value.Text()
}
