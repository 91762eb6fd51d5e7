package evidence

import (
	"time"

	"github.com/probity-dev/probity/claims"
)

// TCBClaims returns what policies may read of a platform's TCB. These claims
// are Probity's own: the wire protocol has none for them.
func TCBClaims(tcb *TCB) claims.Set {
	var s Statements
	s.Text("x-probity-tcb-status", tcb.Status)
	s.Text("x-probity-tcb-date", tcb.Date.UTC().Format(time.DateOnly))
	if tcb.EvaluationDataNumber != 0 {
		s.Integer("x-probity-tcb-evaluation-number", int64(tcb.EvaluationDataNumber))
	}
	for _, advisory := range tcb.Advisories {
		s.Text("x-probity-tcb-advisory", advisory)
	}
	if tcb.CurrentStatus != "" {
		s.Text("x-probity-tcb-launch-status", tcb.LaunchStatus)
		s.Text("x-probity-tcb-current-status", tcb.CurrentStatus)
	}
	return s.Set
}
