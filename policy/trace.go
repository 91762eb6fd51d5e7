package policy

import (
	"fmt"
	"strings"

	"github.com/probity-dev/probity/claims"
)

// Trace tells how a verdict came about, rule by rule. Its texts are made when
// they are asked for: most verdicts are never explained.
type Trace struct {
	Rules []RuleTrace

	claims            *claims.Set
	permitted, denied bool
	err               error
}

// RuleTrace tells what one rule did.
type RuleTrace struct {
	rule    *compiledRule
	more    *ruleDetail // nil for a rule that made nothing
	failed  int32       // the condition that was not met, from 1; 0 if none
	Matched bool
}

type ruleDetail struct {
	made    []claims.Claim
	skipped []string
}

func (t *RuleTrace) detail() *ruleDetail {
	if t.more == nil {
		t.more = &ruleDetail{}
	}
	return t.more
}

// Made returns the claims that the rule's action made.
func (t *RuleTrace) Made() []claims.Claim {
	if t.more == nil {
		return nil
	}
	return t.more.made
}

// Skipped returns names that the action could not issue because they are the
// service's own.
func (t *RuleTrace) Skipped() []string {
	if t.more == nil {
		return nil
	}
	return t.more.skipped
}

// Section, Number (within the section, from 1), Line and Action say which rule
// it is.
func (t *RuleTrace) Section() string { return t.rule.section }

// Number is the rule's number within its section, from 1.
func (t *RuleTrace) Number() int { return t.rule.number }

// Line is the line on which the rule begins.
func (t *RuleTrace) Line() int { return t.rule.source.Pos.Line }

// Action is the name of the rule's action.
func (t *RuleTrace) Action() string { return t.rule.source.Action.Name }

// Failed returns the number of the condition that was not met, from 1, or 0.
func (t *RuleTrace) Failed() int { return int(t.failed) }

// Why says why the condition of a rule was not met: that no claim has the type
// it names, or which values those that have it hold. It is "" for a rule that
// matched.
func (t *Trace) Why(r *RuleTrace) string {
	if r.failed == 0 {
		return ""
	}
	c := r.rule.source.Conditions[r.failed-1]
	name := conditionType(c)
	var values []string
	if name != "" {
		for _, claim := range t.claims.All() {
			if claim.Type == name {
				values = append(values, clip(claim.Value.String()))
			}
		}
	}
	switch {
	case c.Negated:
		return fmt.Sprintf("condition %d: there is a claim that must not be there, %s", r.failed, formatCondition(c))
	case name == "":
		return fmt.Sprintf("condition %d: no claim satisfies %s", r.failed, formatCondition(c))
	case len(values) == 0:
		return fmt.Sprintf("condition %d: there is no claim %s", r.failed, name)
	case len(values) == 1:
		return fmt.Sprintf("condition %d: claim %s is %s", r.failed, name, values[0])
	default:
		return fmt.Sprintf("condition %d: the claims %s are %s", r.failed, name, strings.Join(values, ", "))
	}
}

// conditionType returns the claim type that a condition asks for, or "".
func conditionType(c *Condition) string {
	for _, prop := range c.Properties {
		if text, ok := literalText(prop.Value); ok && prop.Name == "type" && prop.Op == "==" {
			return text
		}
	}
	return ""
}

// Reason says in one line why the verdict is what it is. A denial names the
// rules that could have permitted, and the condition on which each one failed.
func (t *Trace) Reason() string {
	if t.err != nil {
		return t.err.Error()
	}
	var reasons []string
	for i := range t.Rules {
		r := &t.Rules[i]
		if r.Section() != Authorization {
			continue
		}
		switch action := r.Action(); {
		case t.denied && action == "deny" && r.Matched:
			reasons = append(reasons, fmt.Sprintf("rule %d (line %d) denies", r.Number(), r.Line()))
		case !t.denied && t.permitted && action == "permit" && r.Matched && len(reasons) == 0:
			reasons = append(reasons, fmt.Sprintf("rule %d (line %d) permits", r.Number(), r.Line()))
		case !t.denied && !t.permitted && action == "permit":
			reasons = append(reasons, fmt.Sprintf("rule %d (line %d) does not permit: %s", r.Number(), r.Line(), t.Why(r)))
		}
	}
	if len(reasons) == 0 {
		return "no rule can permit"
	}
	return strings.Join(reasons, "; ")
}

// Report is a trace for programs.
type Report struct {
	Permitted bool         `json:"permitted"`
	Reason    string       `json:"reason"`
	Rules     []RuleReport `json:"rules"`
}

// RuleReport is a rule's trace for programs.
type RuleReport struct {
	Section string   `json:"section"`
	Rule    int      `json:"rule"`
	Line    int      `json:"line"`
	Action  string   `json:"action"`
	Matched bool     `json:"matched"`
	Failed  string   `json:"failed,omitempty"`
	Made    []string `json:"made,omitempty"`
	Skipped []string `json:"skipped,omitempty"`
}

// Report writes the trace out.
func (t *Trace) Report() Report {
	report := Report{Permitted: t.permitted && !t.denied && t.err == nil, Reason: t.Reason(), Rules: []RuleReport{}}
	for i := range t.Rules {
		r := &t.Rules[i]
		line := RuleReport{Section: r.Section(), Rule: r.Number(), Line: r.Line(), Action: r.Action(), Matched: r.Matched,
			Failed: t.Why(r), Skipped: r.Skipped()}
		for _, c := range r.Made() {
			line.Made = append(line.Made, c.Type+" = "+clip(c.Value.String()))
		}
		report.Rules = append(report.Rules, line)
	}
	return report
}
