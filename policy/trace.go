package policy

import (
	"fmt"
	"strings"

	"github.com/probity-dev/probity/claims"
)

// Trace tells how a verdict came about, rule by rule.
type Trace struct {
	Rules  []RuleTrace `json:"rules"`
	Reason string      `json:"reason"`
}

// RuleTrace tells what one rule did.
type RuleTrace struct {
	Section string `json:"section"`
	Rule    int    `json:"rule"` // within its section, from 1
	Line    int    `json:"line"`
	Action  string `json:"action"`
	Matched bool   `json:"matched"`
	// Failed says which condition was not met, and why.
	Failed string `json:"failed,omitempty"`
	// Made are the claims that the action made; Skipped are names that it
	// could not issue because they are the service's own.
	Made    []claims.Claim `json:"-"`
	Skipped []string       `json:"skipped,omitempty"`
}

// fails records why a condition was not met: that no claim has the type it
// names, or which values those that have it hold.
func (t *RuleTrace) fails(i int, c *Condition, in claims.Set, matched []claims.Claim) {
	if c.Negated {
		t.Failed = fmt.Sprintf("condition %d: %d claims match what must not be there", i+1, len(matched))
		return
	}
	t.Failed = fmt.Sprintf("condition %d: no claim matches", i+1)
	for _, prop := range c.Properties {
		literal, ok := prop.Value.(*Literal)
		if !ok || prop.Name != "type" || prop.Op != "==" {
			continue
		}
		name, _ := literal.Value.Text()
		var values []string
		for _, claim := range in.All() {
			if claim.Type == name {
				values = append(values, clip(claim.Value.String()))
			}
		}
		if len(values) == 0 {
			t.Failed = fmt.Sprintf("condition %d: there is no claim %s", i+1, name)
		} else {
			t.Failed = fmt.Sprintf("condition %d: claim %s is %s", i+1, name, strings.Join(values, ", "))
		}
	}
}

// conclude writes the reason of the authorization verdict.
func (t *Trace) conclude(permitted, denied bool) {
	var reasons []string
	for _, r := range t.Rules {
		switch {
		case denied && r.Action == "deny" && r.Matched:
			reasons = append(reasons, fmt.Sprintf("rule %d (line %d) denies", r.Rule, r.Line))
		case !denied && permitted && r.Action == "permit" && r.Matched && len(reasons) == 0:
			reasons = append(reasons, fmt.Sprintf("rule %d (line %d) permits", r.Rule, r.Line))
		case !denied && !permitted && r.Action == "permit":
			reasons = append(reasons, fmt.Sprintf("rule %d (line %d) does not permit: %s", r.Rule, r.Line, r.Failed))
		}
	}
	if len(reasons) == 0 {
		reasons = []string{"no rule can permit"}
	}
	t.Reason = strings.Join(reasons, "; ")
}
