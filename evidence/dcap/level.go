package dcap

import (
	"fmt"
	"slices"
	"time"

	"github.com/probity-dev/probity/evidence"
)

// platformLevel returns the first level in the order of the list that the
// platform meets. The SVNs are those of the PCK certificate: the header of the
// quote and CPUSVN of the report are the attester's word.
func (info *TCBInfo) platformLevel(pck *PCK) (*Level, bool) {
	for i := range info.Levels {
		l := &info.Levels[i]
		if atLeast(&pck.Components, &l.SGX, 0) && pck.PCESVN >= l.PCESVN {
			return l, true
		}
	}
	return nil, false
}

// shortfall lists what keeps the platform from the newest level.
func (info *TCBInfo) shortfall(pck *PCK) []evidence.Component {
	newest := &info.Levels[0]
	var list []evidence.Component
	for i, needs := range newest.SGX {
		if pck.Components[i] < needs {
			name := fmt.Sprintf("SGX TCB component %d", i+1)
			if info.names[i] != "" {
				name += " (" + info.names[i] + ")"
			}
			list = append(list, evidence.Component{Name: name, Needs: int(needs), Has: int(pck.Components[i])})
		}
	}
	if pck.PCESVN < newest.PCESVN {
		list = append(list, evidence.Component{Name: "PCE SVN", Needs: int(newest.PCESVN), Has: int(pck.PCESVN)})
	}
	return list
}

// state merges the platform's level with that of its quoting enclave.
func (info *TCBInfo) state(pck *PCK, level *Level, qe IdentityLevel) *evidence.TCB {
	advisories := slices.Concat(level.Advisories, qe.Advisories)
	slices.Sort(advisories)
	advisories = slices.Compact(advisories)
	if advisories == nil {
		advisories = []string{}
	}
	return &evidence.TCB{
		Status:               string(converge(level.Status, qe.Status)),
		Date:                 earliest(level.Date, qe.Date),
		Advisories:           advisories,
		EvaluationDataNumber: info.EvaluationNumber,
		PlatformStatus:       string(level.Status),
		PlatformDate:         level.Date,
		QEStatus:             string(qe.Status),
		Shortfall:            info.shortfall(pck),
	}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
