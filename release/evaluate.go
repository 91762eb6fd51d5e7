package release

// Evaluate decides whether a token with the given issuer and claims satisfies the policy. Every
// condition is evaluated, those of other authorities too, so that the decision shows all that is
// missing. The caller has verified the token, and issuer is its iss.
func (p *Policy) Evaluate(issuer string, claims Claims) *Decision {
	d := &Decision{Issuer: issuer}
	for i := range p.Authorities {
		a := &p.Authorities[i]
		conditions := claims.evaluate(a.Conditions)
		step := Step{Pos: a.Pos, Kind: StepAuthority, Authority: a.URL, Steps: []Step{conditions}}
		step.Issued = SameAuthority(a.URL, issuer)
		step.Met = step.Issued && conditions.Met
		d.Satisfied = d.Satisfied || step.Met
		d.Authorities = append(d.Authorities, step)
	}
	d.Reason = d.reason()
	return d
}

func (c Claims) evaluate(condition Condition) Step {
	switch condition := condition.(type) {
	case *Group:
		return c.group(condition)
	case *Comparison:
		return c.compare(condition)
	default:
		return Step{}
	}
}

func (c Claims) group(g *Group) Step {
	if g == nil { // of an Authority that Parse did not make
		return Step{Kind: StepAllOf}
	}
	met := 0
	step := Step{Pos: g.Pos, Kind: StepKind(g.Name())}
	for _, condition := range g.Conditions {
		one := c.evaluate(condition)
		if one.Met {
			met++
		}
		step.Steps = append(step.Steps, one)
	}
	// Security: an empty group, which Parse refuses, is not met.
	if g.All {
		step.Met = met > 0 && met == len(g.Conditions)
	} else {
		step.Met = met > 0
	}
	return step
}

func (c Claims) compare(condition *Comparison) Step {
	n := c.find(condition.Claim)
	step := Step{
		Pos: condition.Pos, Kind: StepClaim, Claim: condition.Claim, Operator: condition.Operator,
		Expected: condition.Value.String(), Met: meets(n, condition.Operator, condition.Value.scalar),
	}
	if n != nil {
		step.Found = n.String()
	}
	if !step.Met {
		step.Hint = c.hint(condition, n)
	}
	return step
}

// meets compares a claim, or nil for a missing one.
func meets(n *node, o Operator, want scalar) bool {
	if o == Exists {
		return (n != nil) == (want.kind == 't')
	}
	if n == nil {
		return false
	}
	switch o {
	case Equals:
		return equals(n, want)
	case NotEquals:
		return !equals(n, want)
	case Less, LessOrEquals, Greater, GreaterOrEquals:
		return n.kind == '0' && want.kind == '0' && ordered(o, n.number.compare(want.number))
	case Exists:
	}
	return false
}

// ordered reports whether the outcome of a comparison of numbers meets the operator.
func ordered(o Operator, outcome int) bool {
	switch o {
	case Less:
		return outcome < 0
	case LessOrEquals:
		return outcome <= 0
	case Greater:
		return outcome > 0
	case GreaterOrEquals:
		return outcome >= 0
	case Equals, NotEquals, Exists:
		return false
	default:
		return false
	}
}

func equals(n *node, want scalar) bool {
	if n.kind != '[' {
		return n.equals(want)
	}
	for _, item := range n.items {
		if item.equals(want) {
			return true
		}
	}
	return false
}

// equals compares a claim with a value of the policy. A string of the policy also equals the boolean or
// whole number with this text; a string claim never equals a number or boolean of the policy.
func (s scalar) equals(want scalar) bool {
	switch {
	case s.kind == want.kind && s.kind == '"':
		return s.text == want.text
	case s.kind == want.kind && s.kind == '0':
		return s.number.compare(want.number) == 0
	case s.kind == want.kind:
		return s.kind == 't' || s.kind == 'f'
	case want.kind != '"':
		return false
	case s.kind == 't':
		return want.text == "true"
	case s.kind == 'f':
		return want.text == "false"
	case s.kind == '0':
		return want.whole && want.number.compare(s.number) == 0
	default:
		return false
	}
}
