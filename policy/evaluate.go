package policy

import (
	"fmt"
	"slices"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy/jmespath"
)

// Limits of one evaluation.
const (
	maxSteps      = 5_000_000 // claims looked at
	maxQuerySteps = 5_000_000 // work of all JMESPath queries together
	maxClaims     = 10_000    // claims in the set
)

const tooManySteps = "the policy takes more than %d steps over these claims"

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
	e := newEvaluation(p.program, incoming)
	for _, name := range []string{Authorization, Issuance} {
		if err := e.section(name); err != nil {
			e.out.Permitted = false
			e.out.Trace.err = err
			return &e.out, err
		}
		if name == Authorization {
			e.out.Permitted = e.permitted && !e.denied
			e.out.Trace.permitted, e.out.Trace.denied = e.permitted, e.denied
			if !e.out.Permitted {
				return &e.out, nil
			}
		}
	}
	return &e.out, nil
}

// Settings evaluates the configuration rules, which run before anything is
// known of the evidence, and returns the properties they set; a later one
// replaces an earlier.
func (p *Policy) Settings() (map[string]claims.Value, error) {
	set := map[string]claims.Value{}
	if len(p.program.sections[Configuration]) == 0 {
		return set, nil
	}
	e := newEvaluation(p.program, claims.Set{})
	if err := e.section(Configuration); err != nil {
		return nil, err
	}
	for _, c := range e.out.Properties.All() {
		set[c.Type] = c.Value
	}
	return set, nil
}

type evaluation struct {
	program           *program
	in                claims.Set
	out               Outcome
	permitted, denied bool
	steps, querySteps int
	current           string // section
	// bound holds, by slot, the claims that satisfied a condition of the rule.
	bound [][]claims.Claim
	// documents and queries are decoded and compiled once for an evaluation.
	documents []document
	queries   map[string]*jmespath.Query
}

type document struct {
	text string
	json *jmespath.Document
}

func newEvaluation(p *program, incoming claims.Set) *evaluation {
	e := &evaluation{program: p, in: incoming.Clone(), steps: maxSteps, querySteps: maxQuerySteps}
	if p.slots > 0 {
		e.bound = make([][]claims.Claim, p.slots)
	}
	e.out.Trace.Rules = make([]RuleTrace, 0, p.rules)
	e.out.Trace.claims = &e.in
	return e
}

func (e *evaluation) fail(at Pos, format string, args ...any) error {
	return &EvaluationError{Pos: at, Section: e.current, Message: fmt.Sprintf(format, args...)}
}

func (e *evaluation) section(name string) error {
	e.current = name
	rules := e.program.sections[name]
	for i := range rules {
		e.out.Trace.Rules = append(e.out.Trace.Rules, RuleTrace{rule: &rules[i], seen: int32(e.in.Len())}) // at most maxClaims
		if err := e.rule(&rules[i], &e.out.Trace.Rules[len(e.out.Trace.Rules)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluation) rule(r *compiledRule, trace *RuleTrace) error {
	for i := range r.conditions {
		c := &r.conditions[i]
		matched, any, err := e.match(c)
		if err != nil {
			return err
		}
		if any == c.source.Negated {
			trace.failed = int32(i + 1)
			return nil
		}
		if c.slot >= 0 {
			e.bound[c.slot] = matched
		}
	}
	trace.Matched = true
	return e.act(&r.action, trace)
}

// match reports whether any claim satisfies all properties of c, and, if the
// condition binds an identifier, returns all that do.
func (e *evaluation) match(c *compiledCondition) (matched []claims.Claim, any bool, err error) {
	var dynamic [][]claims.Value
	for i := range c.props {
		if c.props[i].side == nil {
			if dynamic == nil {
				dynamic = make([][]claims.Value, len(c.props))
			}
			if dynamic[i], err = c.props[i].expr.eval(e); err != nil {
				return nil, false, err
			}
		}
	}
	all := e.in.All()
	if e.steps -= len(all); e.steps < 0 {
		return nil, false, e.fail(c.source.Pos, tooManySteps, maxSteps)
	}
	for i := range all {
		holds, err := e.satisfies(&all[i], c, dynamic)
		if err != nil {
			return nil, false, err
		}
		if !holds {
			continue
		}
		if any = true; c.slot < 0 {
			return nil, true, nil
		}
		matched = append(matched, all[i])
	}
	return matched, any, nil
}

func (e *evaluation) satisfies(claim *claims.Claim, c *compiledCondition, dynamic [][]claims.Value) (bool, error) {
	for i := range c.props {
		p := &c.props[i]
		side := p.side
		if side == nil {
			side = dynamic[i]
		}
		var holds bool
		switch {
		case p.name == propType && p.op == opEqual && p.side != nil:
			// By far the most frequent comparison, and the one that fails.
			text, _ := side[0].Text()
			holds = text == claim.Type
		case p.name == propValue && p.op == opEqual && p.side != nil:
			holds = e.same(&claim.Value, &side[0])
		default:
			var err error
			if holds, err = e.compare(p, property(claim, p.name), side); err != nil {
				return false, err
			}
		}
		if !holds {
			return false, nil
		}
	}
	return true, nil
}

// property returns the named property of a claim as a value.
func property(c *claims.Claim, name propertyName) claims.Value {
	switch name {
	case propType:
		return claims.StringValue(c.Type)
	case propValueType:
		return claims.StringValue(string(c.Value.Type()))
	case propIssuer:
		return claims.StringValue(string(c.Issuer))
	default:
		return c.Value
	}
}

// compare applies an operator. Values of different types are unequal and have
// no order. Against a set, == means equal to any and != different from all.
func (e *evaluation) compare(p *compiledProperty, have claims.Value, side []claims.Value) (bool, error) {
	switch p.op {
	case opEqual:
		return e.contains(side, have), nil
	case opNotEqual:
		return !e.contains(side, have), nil
	}
	if len(side) != 1 {
		return false, e.fail(p.source.Pos, "%s needs one integer on its right, there are %d values", p.source.Op, len(side))
	}
	a, isInt := have.Int()
	b, sideInt := side[0].Int()
	if !isInt || !sideInt {
		return false, nil
	}
	switch p.op {
	case opLess:
		return a < b, nil
	case opAtMost:
		return a <= b, nil
	case opGreater:
		return a > b, nil
	default:
		return a >= b, nil
	}
}

func (e *evaluation) contains(set []claims.Value, v claims.Value) bool {
	for i := range set {
		if e.same(&set[i], &v) {
			return true
		}
	}
	return false
}

// same compares two values, and counts long texts as the work that they are.
// The budget is looked at before each condition.
func (e *evaluation) same(a, b *claims.Value) bool {
	if text, ok := a.Text(); ok && len(text) > 256 {
		if other, ok := b.Text(); ok && len(other) == len(text) {
			e.steps -= len(text) / 64
		}
	}
	return a.Equal(b)
}

func (e *evaluation) act(a *compiledAction, trace *RuleTrace) error {
	switch a.source.Name {
	case "permit":
		e.permitted = true
		return nil
	case "deny":
		e.denied = true
		return nil
	}
	made, err := e.made(a)
	if err != nil {
		return err
	}
	if e.in.Len()+len(made) > maxClaims {
		return e.fail(a.source.Pos, "the policy makes more than %d claims", maxClaims)
	}
	// Each claim is compared with all that are there.
	if e.steps -= len(made) * e.in.Len(); e.steps < 0 {
		return e.fail(a.source.Pos, tooManySteps, maxSteps)
	}
	for _, c := range made {
		if c.Value.IsReadOnly() && a.source.Name != "add" {
			return e.fail(a.source.Pos, "claim %s holds a read-only value, which can be compared but not issued", c.Type)
		}
		// A copy of a claim that is there already is not a second one.
		if a.claim < 0 || a.source.Name == "add" {
			e.in.Add(c)
		}
		switch {
		case a.source.Name == "issueproperty":
			e.out.Properties.Add(c)
		case a.source.Name == "issue" && Reserved(c.Type):
			trace.detail().skipped = append(trace.detail().skipped, c.Type)
			continue
		case a.source.Name == "issue":
			e.out.Issued.Add(c)
		}
		trace.detail().made = append(trace.detail().made, c)
	}
	return nil
}

// made returns the claims that an action makes: one for each value.
func (e *evaluation) made(a *compiledAction) ([]claims.Claim, error) {
	var list []claims.Claim
	if a.claim >= 0 {
		for _, c := range e.bound[a.claim] {
			list = append(list, claims.Claim{Type: c.Type, Value: c.Value, Issuer: claims.AttestationPolicy})
		}
		return list, nil
	}
	types, err := a.typ.eval(e)
	if err != nil {
		return nil, err
	}
	at := a.source.Arg("type").Pos
	name, err := e.scalar(at, "type=", types)
	if err != nil {
		return nil, err
	}
	text, ok := name.Text()
	if !ok || text == "" {
		return nil, e.fail(at, "type= is %s, want a claim name", name)
	}
	values, err := a.value.eval(e)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		list = append(list, claims.Claim{Type: text, Value: v, Issuer: claims.AttestationPolicy})
	}
	return list, nil
}

// scalar returns the only distinct member of a set.
func (e *evaluation) scalar(at Pos, what string, set []claims.Value) (claims.Value, error) {
	if len(set) == 0 {
		return claims.Value{}, e.fail(at, "%s needs one value, there is none", what)
	}
	if i := slices.IndexFunc(set[1:], func(v claims.Value) bool { return !v.Equal(&set[0]) }); i >= 0 {
		return claims.Value{}, e.fail(at, "%s needs one value, there are several: %s, %s", what, clip(set[0].String()), clip(set[i+1].String()))
	}
	return set[0], nil
}
