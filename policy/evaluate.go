package policy

import (
	"fmt"
	"slices"

	"github.com/probity-dev/probity/claims"
)

// maxSteps bounds the claims that one evaluation looks at: 1000 rules of 32
// conditions over a large set stay under it only if they are reasonable.
const maxSteps = 5_000_000

// maxClaims bounds the claims that rules may add.
const maxClaims = 10_000

// Outcome is what a policy says of a claim set.
type Outcome struct {
	Permitted bool
	// Issued are the claims for the token, in issue order.
	Issued claims.Set
	// Properties steer how the token is made.
	Properties claims.Set
	Trace      Trace
}

// EvaluationError is an error in a rule: a function that got the wrong
// argument, an ordering of several values, too much work. It refuses the
// evidence like a denial.
type EvaluationError struct {
	Pos     Pos
	Section string
	Message string
}

// Error gives section, line and reason.
func (e *EvaluationError) Error() string {
	return fmt.Sprintf("policy: %s, line %d: %s", e.Section, e.Pos.Line, e.Message)
}

// Evaluate applies the policy's authorization and issuance rules to the
// incoming claims. Deny wins over permit whatever the order, and without a
// permit the answer is no. If an error occurs, the outcome holds the trace so
// far and is not permitted.
//
// The policy is not changed: any number of evaluations may run at once.
func (p *Policy) Evaluate(incoming claims.Set) (*Outcome, error) {
	e := &evaluation{in: incoming.Clone(), out: &Outcome{}}
	for _, name := range []string{Authorization, Issuance} {
		section := p.Section(name)
		if section == nil {
			continue
		}
		if err := e.section(section); err != nil {
			e.out.Permitted = false
			e.out.Trace.Reason = err.Error()
			return e.out, err
		}
		if name == Authorization {
			e.out.Permitted = e.permitted && !e.denied
			e.out.Trace.conclude(e.permitted, e.denied)
			if !e.out.Permitted {
				return e.out, nil
			}
		}
	}
	return e.out, nil
}

// Settings evaluates the configuration rules, which run before anything is
// known of the evidence, and returns the properties they set; a later one
// replaces an earlier.
func (p *Policy) Settings() (map[string]claims.Value, error) {
	set := map[string]claims.Value{}
	section := p.Section(Configuration)
	if section == nil {
		return set, nil
	}
	e := &evaluation{out: &Outcome{}}
	if err := e.section(section); err != nil {
		return nil, err
	}
	for _, c := range e.out.Properties.All() {
		set[c.Type] = c.Value
	}
	return set, nil
}

type evaluation struct {
	in                claims.Set
	out               *Outcome
	permitted, denied bool
	steps             int
	current           string // section
}

// bindings holds, by identifier, the claims that satisfied its condition.
type bindings map[string][]claims.Claim

func (e *evaluation) fail(at Pos, format string, args ...any) error {
	return &EvaluationError{Pos: at, Section: e.current, Message: fmt.Sprintf(format, args...)}
}

func (e *evaluation) section(s *Section) error {
	e.current = s.Name
	for i, r := range s.Rules {
		trace := RuleTrace{Section: s.Name, Rule: i + 1, Line: r.Pos.Line, Action: r.Action.Name}
		err := e.rule(r, &trace)
		e.out.Trace.Rules = append(e.out.Trace.Rules, trace)
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluation) rule(r *Rule, trace *RuleTrace) error {
	bound := bindings{}
	for i, c := range r.Conditions {
		matched, err := e.match(c, bound)
		if err != nil {
			return err
		}
		if (len(matched) > 0) == c.Negated {
			trace.fails(i, c, e.in, matched)
			return nil
		}
		if c.Name != "" {
			bound[c.Name] = matched
		}
	}
	trace.Matched = true
	return e.act(&r.Action, bound, trace)
}

// match returns the claims that satisfy all properties of c.
func (e *evaluation) match(c *Condition, bound bindings) ([]claims.Claim, error) {
	// Right-hand sides do not depend on the claim: evaluate them once.
	sides := make([][]claims.Value, len(c.Properties))
	for i, prop := range c.Properties {
		var err error
		if sides[i], err = e.eval(prop.Value, bound); err != nil {
			return nil, err
		}
	}
	var matched []claims.Claim
	for _, claim := range e.in.All() {
		if e.steps++; e.steps > maxSteps {
			return nil, e.fail(c.Pos, "the policy takes more than %d steps over these claims", maxSteps)
		}
		holds := true
		for i, prop := range c.Properties {
			ok, err := e.compare(&c.Properties[i], property(claim, prop.Name), sides[i])
			if err != nil {
				return nil, err
			}
			if holds = ok; !holds {
				break
			}
		}
		if holds {
			matched = append(matched, claim)
		}
	}
	return matched, nil
}

// property returns the named property of a claim as a value.
func property(c claims.Claim, name string) claims.Value {
	switch name {
	case "type":
		return claims.StringValue(c.Type)
	case "valueType":
		return claims.StringValue(string(c.Value.Type()))
	case "issuer":
		return claims.StringValue(string(c.Issuer))
	default:
		return c.Value
	}
}

// compare applies an operator. Values of different types are unequal and have
// no order. Against a set, == means equal to any and != different from all.
func (e *evaluation) compare(prop *Property, have claims.Value, side []claims.Value) (bool, error) {
	switch prop.Op {
	case "==":
		return slices.ContainsFunc(side, func(v claims.Value) bool { return equal(have, v) }), nil
	case "!=":
		return !slices.ContainsFunc(side, func(v claims.Value) bool { return equal(have, v) }), nil
	}
	if len(side) != 1 {
		return false, e.fail(prop.Pos, "%s needs one integer on its right, there are %d values", prop.Op, len(side))
	}
	a, isInt := have.Int()
	b, sideInt := side[0].Int()
	if !isInt || !sideInt {
		return false, nil
	}
	switch prop.Op {
	case "<":
		return a < b, nil
	case "<=":
		return a <= b, nil
	case ">":
		return a > b, nil
	default:
		return a >= b, nil
	}
}

// equal compares two values; whether a string is known to be JSON does not
// matter.
func equal(a, b claims.Value) bool {
	if a.Type() != b.Type() {
		return false
	}
	if s, ok := a.Text(); ok {
		t, _ := b.Text()
		return s == t
	}
	return a == b
}

func (e *evaluation) act(a *Action, bound bindings, trace *RuleTrace) error {
	switch a.Name {
	case "permit":
		e.permitted = true
		return nil
	case "deny":
		e.denied = true
		return nil
	}
	made, err := e.made(a, bound)
	if err != nil {
		return err
	}
	for _, c := range made {
		if e.in.Len() > maxClaims {
			return e.fail(a.Pos, "the policy makes more than %d claims", maxClaims)
		}
		// A copy of a claim that is there already is not a second one.
		if a.Arg("claim") == nil || a.Name == "add" {
			e.in.Add(c)
		}
		switch {
		case a.Name == "issueproperty":
			e.out.Properties.Add(c)
		case a.Name == "issue" && Reserved(c.Type):
			trace.Skipped = append(trace.Skipped, c.Type)
			continue
		case a.Name == "issue":
			e.out.Issued.Add(c)
		}
		trace.Made = append(trace.Made, c)
	}
	return nil
}

// made returns the claims that an action makes: one for each value.
func (e *evaluation) made(a *Action, bound bindings) ([]claims.Claim, error) {
	var list []claims.Claim
	if arg := a.Arg("claim"); arg != nil {
		for _, c := range bound[arg.Value.(*Ref).Name] {
			list = append(list, claims.Claim{Type: c.Type, Value: c.Value, Issuer: claims.AttestationPolicy})
		}
		return list, nil
	}
	types, err := e.eval(a.Arg("type").Value, bound)
	if err != nil {
		return nil, err
	}
	name, err := e.scalar(a.Arg("type").Pos, "type=", types)
	if err != nil {
		return nil, err
	}
	text, ok := name.Text()
	if !ok || text == "" {
		return nil, e.fail(a.Arg("type").Pos, "type= is %s, want a claim name", name)
	}
	values, err := e.eval(a.Arg("value").Value, bound)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		list = append(list, claims.Claim{Type: text, Value: v, Issuer: claims.AttestationPolicy})
	}
	return list, nil
}

// eval returns the values of an expression: one for a literal, one for each
// bound claim of a reference, in claim order.
func (e *evaluation) eval(x Expr, bound bindings) ([]claims.Value, error) {
	switch x := x.(type) {
	case *Literal:
		return []claims.Value{x.Value}, nil
	case *Ref:
		values := make([]claims.Value, 0, len(bound[x.Name]))
		for _, c := range bound[x.Name] {
			values = append(values, property(c, x.Property))
		}
		return values, nil
	case *Call:
		return e.call(x, bound)
	default:
		return nil, e.fail(x.Start(), "unknown expression")
	}
}

// scalar returns the only distinct member of a set.
func (e *evaluation) scalar(at Pos, what string, set []claims.Value) (claims.Value, error) {
	if len(set) == 0 {
		return claims.Value{}, e.fail(at, "%s needs one value, there is none", what)
	}
	for _, v := range set[1:] {
		if !equal(v, set[0]) {
			return claims.Value{}, e.fail(at, "%s needs one value, there are several: %s, %s", what, set[0], v)
		}
	}
	return set[0], nil
}
