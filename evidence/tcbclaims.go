package evidence

import (
	"time"

	"github.com/probity-dev/probity/claims"
)

// TCBClaims returns what policies may read of a platform's TCB. These claims
// are ours: the wire protocol has none for them.
func TCBClaims(tcb *TCB) claims.Set {
	var set claims.Set
	add := func(name string, v claims.Value) {
		set.Add(claims.Claim{Type: name, Value: v, Issuer: claims.AttestationService})
	}
	add("x-probity-tcb-status", claims.StringValue(tcb.Status))
	add("x-probity-tcb-date", claims.StringValue(tcb.Date.UTC().Format(time.DateOnly)))
	add("x-probity-tcb-evaluation-number", claims.IntegerValue(int64(tcb.EvaluationDataNumber)))
	for _, advisory := range tcb.Advisories {
		add("x-probity-tcb-advisory", claims.StringValue(advisory))
	}
	if tcb.CurrentStatus != "" {
		add("x-probity-tcb-launch-status", claims.StringValue(tcb.LaunchStatus))
		add("x-probity-tcb-current-status", claims.StringValue(tcb.CurrentStatus))
	}
	return set
}
