package policy

import (
	"context"
	"fmt"
	"slices"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy/jmespath"
)

// Limits of one evaluation, see [jmespath.Budget].
const (
	maxSteps  = 4_000_000 // values and pairs of values looked at
	maxBytes  = 16 << 20  // text read, compared and made
	maxClaims = 10_000    // claims in the set, and values of an expression
	maxIssued = 1 << 20   // JSON text of the claims that are issued
	// Configuration rules read no claims.
	maxSettingSteps = maxSteps / 16
	maxSettingBytes = maxBytes / 16
	maxSetting      = 1024 // text of a setting
)

// Outcome is what a policy says about a claim set.
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
// evidence like a denial. If a context ended the evaluation, it wraps that
// context's cause.
type EvaluationError struct {
	Pos     Pos
	Section string
	Message string

	cause error
}

// Error gives section, line and reason.
func (e *EvaluationError) Error() string {
	return fmt.Sprintf("policy: %s, line %d: %s", e.Section, e.Pos.Line, e.Message)
}

// Unwrap returns what ended the evaluation, if it is more than an error of the policy.
func (e *EvaluationError) Unwrap() error { return e.cause }

// Evaluate applies the policy's authorization and issuance rules to the
// incoming claims. Deny wins over permit whatever the order, and without a
// permit the answer is no. If an error occurs, the outcome contains the trace so
// far and is not permitted.
//
// The policy is not changed: any number of evaluations may run at once.
func (p *Policy) Evaluate(incoming claims.Set) (*Outcome, error) {
	return p.EvaluateContext(context.Background(), incoming)
}

// EvaluateContext is Evaluate, and ends with the context.
func (p *Policy) EvaluateContext(ctx context.Context, incoming claims.Set) (*Outcome, error) {
	e := newEvaluation(ctx, p.program, incoming, maxSteps, maxBytes)
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
	e := newEvaluation(context.Background(), p.program, claims.Set{}, maxSettingSteps, maxSettingBytes)
	if err := e.section(Configuration); err != nil {
		return nil, err
	}
	for _, c := range e.out.Properties.All() {
		if text, _ := c.Value.Text(); len(text) > maxSetting {
			return nil, fmt.Errorf("policy: %s: the value of %s has %d bytes, at most %d are allowed",
				Configuration, clip(c.Type), len(text), maxSetting)
		}
		set[c.Type] = c.Value
	}
	return set, nil
}

type evaluation struct {
	program           *program
	in                claims.Set
	out               Outcome
	permitted, denied bool
	budget            jmespath.Budget
	current           string // section
	issued            int    // JSON text of the claims issued so far
	// bound contains, by slot, which claims satisfied a condition of the rule.
	bound [][]int32
	read  *readBefore
}

// readBefore are the documents and queries of an evaluation, each decoded and compiled once.
type readBefore struct {
	documents []document
	queries   map[string]*jmespath.Query
}

type document struct {
	text string
	json *jmespath.Document
}

func newEvaluation(ctx context.Context, p *program, incoming claims.Set, steps, bytes int) *evaluation {
	e := &evaluation{program: p, in: incoming.Clone(), budget: jmespath.MakeBudget(ctx, steps, bytes)}
	if p.slots > 0 {
		e.bound = make([][]int32, p.slots)
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
		e.out.Trace.Rules = append(e.out.Trace.Rules,
			RuleTrace{rule: &rules[i], seen: int32(e.in.Len())}) // at most maxClaims
		if err := e.rule(&rules[i], &e.out.Trace.Rules[len(e.out.Trace.Rules)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluation) rule(r *compiledRule, trace *RuleTrace) error {
	for i := range r.conditions {
		c := &r.conditions[i]
		any, err := e.match(c)
		if err != nil {
			return err
		}
		if any == c.source.Negated {
			trace.failed = int32(i + 1)
			return nil
		}
	}
	trace.Matched = true
	return e.act(&r.action, trace)
}

// match reports whether any claim satisfies all properties of c, and, if the
// condition binds an identifier, keeps which ones do.
func (e *evaluation) match(c *compiledCondition) (any bool, err error) {
	var dynamic [][]claims.Value
	for i := range c.props {
		if c.props[i].side == nil {
			if dynamic == nil {
				dynamic = make([][]claims.Value, len(c.props))
			}
			if dynamic[i], err = c.props[i].expr.eval(e); err != nil {
				return false, err
			}
		}
	}
	all := e.in.All()
	if err := e.budget.Spend(len(all), len(dynamic)*sliceBytes); err != nil {
		return false, e.overspent(c.source.Pos, err)
	}
	var matched []int32
	if c.slot >= 0 {
		matched = e.bound[c.slot][:0]
	}
	for i := range all {
		holds, err := e.satisfies(&all[i], c, dynamic)
		if err != nil {
			return false, e.overspent(c.source.Pos, err)
		}
		if !holds {
			continue
		}
		if any = true; c.slot < 0 {
			return true, nil
		}
		matched = append(matched, int32(i)) // at most maxClaims
	}
	if c.slot >= 0 {
		e.bound[c.slot] = matched
	}
	return any, nil
}

// satisfies compares a claim with a condition. The first property is paid for.
func (e *evaluation) satisfies(
	claim *claims.Claim, c *compiledCondition, dynamic [][]claims.Value,
) (holds bool, err error) {
	for i := range c.props {
		p := &c.props[i]
		if i > 0 {
			if err := e.budget.Spend(1, 0); err != nil {
				return false, err
			}
		}
		side := p.side
		if side == nil {
			side = dynamic[i]
		}
		switch {
		case p.name == propType && p.op == opEqual && p.side != nil:
			// By far the most frequent comparison, and the one that fails.
			text, _ := side[0].Text()
			if len(text) != len(claim.Type) {
				return false, nil
			}
			if len(text) > 64 {
				if err = e.budget.Spend(0, comparing(text, claim.Type)); err != nil {
					return false, err
				}
			}
			holds = text == claim.Type
		case p.name == propValue && p.op == opEqual && p.side != nil:
			holds, err = e.same(&claim.Value, &side[0])
		default:
			holds, err = e.compare(p, property(claim, p.name), side)
		}
		if !holds || err != nil {
			return false, err
		}
	}
	return true, nil
}

// property returns the named property of a claim as a value, which is read-only if it
// tells something of one that is.
func property(c *claims.Claim, name propertyName) claims.Value {
	var v claims.Value
	readOnly := false
	switch name {
	case propType:
		v, readOnly = claims.StringValue(c.Type), c.ReadOnlyType
	case propValueType:
		v, readOnly = claims.StringValue(string(c.Value.Type())), c.Value.IsReadOnly()
	case propIssuer:
		v = claims.StringValue(string(c.Issuer))
	default:
		return c.Value
	}
	if readOnly {
		return v.ReadOnly()
	}
	return v
}

// compare applies an operator. Values of different types are unequal and have
// no order. Against a set, == means equal to any and != different from all.
func (e *evaluation) compare(p *compiledProperty, have claims.Value, side []claims.Value) (bool, error) {
	if p.op == opEqual || p.op == opNotEqual {
		among, err := e.contains(side, have)
		return among == (p.op == opEqual), err
	}
	if len(side) != 1 {
		return false, e.fail(p.source.Pos, "%s needs one integer on its right, there are %d values",
			p.source.Op, len(side))
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
	for _, c := range made {
		if a.source.Name != "add" && c.ReadOnlyType {
			return e.fail(a.source.Pos,
				"the type of a claim is a read-only value, which can be compared but not issued")
		}
		if a.source.Name != "add" && c.Value.IsReadOnly() {
			return e.fail(a.source.Pos,
				"claim %s has a read-only value, which can be compared but not issued", clip(c.Type))
		}
		if e.in.Len() >= maxClaims {
			return e.fail(a.source.Pos, "the policy makes more than %d claims", maxClaims)
		}
		if err := e.budget.Spend(e.adding(&c)); err != nil {
			return e.overspent(a.source.Pos, err)
		}
		// A copy of a claim that is there already is not a second one.
		if a.claim < 0 || a.source.Name == "add" {
			e.in.Add(c)
		}
		if a.source.Name == "issue" {
			may, err := e.mayIssue(a, &c)
			if err != nil {
				return e.overspent(a.source.Pos, err)
			}
			if !may {
				trace.detail().skipped = append(trace.detail().skipped, c.Type)
				continue
			}
		}
		if a.source.Name != "add" {
			if err := e.issue(a, c); err != nil {
				return err
			}
		}
		trace.detail().made = append(trace.detail().made, c)
	}
	return nil
}

// issue puts a claim into the outcome, within the bound of what a token can contain.
func (e *evaluation) issue(a *compiledAction, c claims.Claim) error {
	text, _ := c.Value.Text()
	if e.issued += jsonSize(c.Type) + jsonSize(text); e.issued > maxIssued {
		return e.fail(a.source.Pos, "the policy issues claims of more than %d bytes", maxIssued)
	}
	if a.source.Name == "issueproperty" {
		e.out.Properties.Add(c)
	} else {
		e.out.Issued.Add(c)
	}
	return nil
}

// made returns the claims that an action makes: one for each value.
func (e *evaluation) made(a *compiledAction) ([]claims.Claim, error) {
	var list []claims.Claim
	if a.claim >= 0 {
		bound := e.bound[a.claim]
		if err := e.budget.Spend(len(bound), len(bound)*claimBytes); err != nil {
			return nil, e.overspent(a.source.Pos, err)
		}
		list = make([]claims.Claim, 0, len(bound))
		for _, i := range bound {
			c := &e.in.All()[i]
			list = append(list, claims.Claim{
				Type:         c.Type,
				Value:        c.Value,
				Issuer:       claims.AttestationPolicy,
				ReadOnlyType: c.ReadOnlyType,
			})
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
		return nil, e.fail(at, "type= is %s, want a claim name", shown(name))
	}
	readOnly := slices.ContainsFunc(types, claims.Value.IsReadOnly)
	values, err := a.value.eval(e)
	if err != nil {
		return nil, err
	}
	if err := e.budget.Spend(len(values), len(values)*claimBytes); err != nil {
		return nil, e.overspent(a.source.Pos, err)
	}
	list = make([]claims.Claim, 0, len(values))
	for _, v := range values {
		list = append(list,
			claims.Claim{Type: text, Value: v, Issuer: claims.AttestationPolicy, ReadOnlyType: readOnly})
	}
	return list, nil
}

// scalar returns the only distinct member of a set.
func (e *evaluation) scalar(at Pos, what string, set []claims.Value) (claims.Value, error) {
	if len(set) == 0 {
		return claims.Value{}, e.fail(at, "%s needs one value, there is none", what)
	}
	for i := range set[1:] {
		same, err := e.same(&set[0], &set[i+1])
		if err != nil {
			return claims.Value{}, e.overspent(at, err)
		}
		if !same {
			return claims.Value{}, e.fail(at, "%s needs one value, there are several: %s, %s", what,
				shown(set[0]), shown(set[i+1]))
		}
	}
	return set[0], nil
}
