package policy

import (
	"fmt"
	"slices"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/policy"
)

// testResults is what policy test prints with --format json.
type testResults struct {
	Passed int          `json:"passed"`
	Failed int          `json:"failed"`
	Files  []testResult `json:"files"`
}

type testResult struct {
	File     string        `json:"file"`
	Failures []testFailure `json:"failures"`
	// Covered of Points are covered: each condition true and false, each rule run. Gaps names the
	// others.
	Points  int      `json:"points"`
	Covered int      `json:"covered"`
	Gaps    []string `json:"gaps"`
	passed  int
}

type testFailure struct {
	Case    string `json:"case"`
	Problem string `json:"problem"`
}

func (r *testResult) print(e *term.Env) {
	for _, f := range r.Failures {
		fmt.Fprintf(e.Out, "%s %s: %s: %s\n", e.UI.Bad("FAILED"), r.File, f.Case, f.Problem)
	}
	if r.Points == 0 {
		return
	}
	fmt.Fprintf(e.Out, "%s: coverage %d %% (%d of %d: each condition true and false, each rule run)\n", r.File,
		100*r.Covered/r.Points, r.Covered, r.Points)
	for _, gap := range r.Gaps {
		fmt.Fprintln(e.Out, "  "+gap)
	}
}

// coverage counts how often each condition was true and false, by section and
// rule.
type coverage struct {
	rules []ruleCoverage
}

type ruleCoverage struct {
	section      string
	number, line int
	action       string
	ran          int
	held, failed []int // by condition
	matched      int
}

func newCoverage(p *policy.Policy) *coverage {
	c := &coverage{}
	for _, s := range p.Sections {
		if s.Name == policy.Configuration {
			continue
		}
		for i, r := range s.Rules {
			c.rules = append(c.rules,
				ruleCoverage{section: s.Name, number: i + 1, line: r.Pos.Line, action: r.Action.Name,
					held: make([]int, len(r.Conditions)), failed: make([]int, len(r.Conditions))})
		}
	}
	return c
}

func (c *coverage) add(trace *policy.Trace) {
	for i := range trace.Rules {
		r := &trace.Rules[i]
		at := slices.IndexFunc(c.rules,
			func(rule ruleCoverage) bool { return rule.section == r.Section() && rule.number == r.Number() })
		rule := &c.rules[at]
		rule.ran++
		if r.Matched {
			rule.matched++
		}
		for k := range rule.held {
			switch {
			case r.Failed() == k+1:
				rule.failed[k]++
			case r.Matched || k+1 < r.Failed():
				rule.held[k]++
			}
		}
	}
}

// report says what the cases covered.
func (c *coverage) report(to *testResult) {
	point := func(covered bool, format string, args ...any) {
		to.Points++
		if covered {
			to.Covered++
		} else {
			to.Gaps = append(to.Gaps, fmt.Sprintf(format, args...))
		}
	}
	for _, r := range c.rules {
		where := fmt.Sprintf("%s rule %d (line %d, %s)", r.section, r.number, r.line, r.action)
		if len(r.held) == 0 {
			point(r.matched > 0, "%s never ran", where)
		}
		for k := range r.held {
			point(r.held[k] > 0, "%s: condition %d was never true", where, k+1)
			point(r.failed[k] > 0, "%s: condition %d was never false", where, k+1)
		}
	}
}
