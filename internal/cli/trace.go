package cli

import (
	"fmt"

	"github.com/probity-dev/probity/policy"
)

// printTrace shows what each rule did, and why not.
func printTrace(e *env, t *policy.Trace) {
	for i := range t.Rules {
		r := &t.Rules[i]
		mark, why := e.ui.good("yes"), ""
		if !r.Matched {
			mark, why = "no ", t.Why(r)
		}
		for _, c := range r.Made() {
			why += fmt.Sprintf("%s = %s  ", c.Type, shorten(c.Value.String(), 60))
		}
		for _, name := range r.Skipped() {
			why += fmt.Sprintf("(%s is the service's own claim, left out)  ", name)
		}
		fmt.Fprintf(e.Out, "  %-18s rule %-3d line %-4d %-14s %s  %s\n", r.Section(), r.Number(), r.Line(), r.Action(), mark, why)
	}
}
