package policy

import (
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
	seen    int32       // how many claims there were when the rule ran
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

// Skipped returns names that the action could not issue because they are those of
// claims of the service and its verifiers.
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

// conditionType returns the claim type that a condition asks for, or "".
func conditionType(c *Condition) string {
	for _, prop := range c.Properties {
		if text, ok := literalText(prop.Value); ok && prop.Name == "type" && prop.Op == "==" {
			return text
		}
	}
	return ""
}

// Report is a trace for programs.
type Report struct {
	Permitted bool         `json:"permitted"`
	Reason    string       `json:"reason"`
	Rules     []RuleReport `json:"rules"`
}

// RuleReport is a rule's trace for programs.
type RuleReport struct {
	Section string `json:"section"`
	Rule    int    `json:"rule"`
	Line    int    `json:"line"`
	Action  string `json:"action"`
	Matched bool   `json:"matched"`
	Failed  string `json:"failed,omitempty"`
	// Because says which claims met the conditions of a rule that denies.
	Because string   `json:"because,omitempty"`
	Made    []string `json:"made,omitempty"`
	Skipped []string `json:"skipped,omitempty"`
}

// Report writes the trace out.
func (t *Trace) Report() Report {
	tell := teller{t, maxTelling}
	report := Report{
		Permitted: t.permitted && !t.denied && t.err == nil,
		Reason:    t.Reason(),
		Rules:     []RuleReport{},
	}
	for i := range t.Rules {
		r := &t.Rules[i]
		line := RuleReport{
			Section: r.Section(),
			Rule:    r.Number(),
			Line:    r.Line(),
			Action:  r.Action(),
			Matched: r.Matched,
			Failed:  tell.why(r, maxDepth),
			Skipped: r.Skipped(),
		}
		if r.Matched && r.Action() == "deny" {
			line.Because = tell.because(r)
		}
		for _, c := range r.Made() {
			line.Made = append(line.Made, cut(c.Type)+" = "+shown(c.Value))
		}
		report.Rules = append(report.Rules, line)
	}
	return report
}
