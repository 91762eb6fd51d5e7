package term

import (
	"fmt"

	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/wording/phrase"
)

// PrintTrace shows what each rule did, and why not.
func PrintTrace(e *Env, t *policy.Trace) {
	for i := range t.Rules {
		r := &t.Rules[i]
		mark, why := e.UI.Good("yes"), ""
		if !r.Matched {
			mark, why = "no ", t.Why(r)
		}
		for _, c := range r.Made() {
			why += fmt.Sprintf("%s = %s  ", c.Type, phrase.Shorten(c.Value.String(), 60))
		}
		for _, name := range r.Skipped() {
			why += fmt.Sprintf("(%s is the service's own claim, left out)  ", name)
		}
		fmt.Fprintf(e.Out, "  %-18s rule %-3d line %-4d %-14s %s  %s\n", r.Section(), r.Number(), r.Line(),
			r.Action(), mark, why)
	}
}
