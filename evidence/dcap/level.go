package dcap

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/collateral"
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

// label is what a TCB info says a component is.
type label struct{ typ, category string }

// standardLabels are what Intel's TCB infos for TDX call the components, for documents
// that leave the names out.
var standardLabels = map[bool]map[int]label{
	false: {
		1: {"Early Microcode Update", "BIOS"}, 2: {"SGX Late Microcode Update", "OS/VMM"},
		3: {"TXT SINIT", "OS/VMM"}, 4: {"", "BIOS"}, 5: {"", "BIOS"}, 6: {"", "BIOS"},
		8: {"SEAMLDR ACM", "OS/VMM"},
	},
	true: {
		1: {"TDX Module", "OS/VMM"},
		2: {"TDX Module", "OS/VMM"},
		3: {"TDX Late Microcode Update", "OS/VMM"},
	},
}

// component describes the component i, from 0, of the SGX or the TDX components.
func (info *TCBInfo) component(tdx bool, i int, needs, has uint8) evidence.Component {
	l, tee := info.labels.sgx[i], "SGX"
	if tdx {
		l, tee = info.labels.tdx[i], "TDX"
	}
	if l == (label{}) && info.TEE == collateral.TDX {
		l = standardLabels[tdx][i+1]
	}
	name := fmt.Sprintf("%s TCB component %d", tee, i+1)
	words := slices.DeleteFunc([]string{l.typ, l.category}, func(s string) bool { return s == "" })
	if len(words) > 0 {
		name += " (" + strings.Join(words, ", ") + ")"
	}
	return evidence.Component{
		Name: name, Number: i + 1, Type: l.typ, Category: l.category, Needs: int(needs), Has: int(has),
	}
}

// shortfall lists what keeps the platform from a level.
func (info *TCBInfo) shortfall(level *Level, pck *PCK) evidence.Components {
	var list evidence.Components
	for i, needs := range level.SGX {
		if pck.Components[i] < needs {
			list = append(list, info.component(false, i, needs, pck.Components[i]))
		}
	}
	if pck.PCESVN < level.PCESVN {
		list = append(list,
			evidence.Component{Name: "PCE SVN", Type: "PCE", Needs: int(level.PCESVN), Has: int(pck.PCESVN)})
	}
	return list
}

// shortfallTD lists what keeps a TD's module and loader from a level.
func (info *TCBInfo) shortfallTD(level *Level, svn *[16]byte) evidence.Components {
	var list evidence.Components
	for i := moduleSVNs(svn); i < len(svn); i++ {
		if svn[i] < level.TDX[i] {
			list = append(list, info.component(true, i, level.TDX[i], svn[i]))
		}
	}
	return list
}

// moduleSVNs is how many of the first SVNs are rated by the identity of the module
// instead of by the platform's levels.
func moduleSVNs(svn *[16]byte) int {
	if svn[1] > 0 {
		return 2
	}
	return 0
}

// failLevel refuses a platform that is below every level: it names the components
// that are below the lowest one, and how they are updated.
func (v *Verifier) failLevel(
	result *evidence.Result, info *TCBInfo, pck *PCK, svn *[16]byte, when string,
) (*evidence.TCB, error) {
	lowest := &info.Levels[len(info.Levels)-1]
	below, newest := info.shortfall(lowest, pck), info.shortfall(&info.Levels[0], pck)
	if svn != nil {
		below = append(below, info.shortfallTD(lowest, svn)...)
		newest = append(newest, info.shortfallTD(&info.Levels[0], svn)...)
	}
	needs, has := below.Compare()
	remedy := below.Remedy() + "; then fetch a new PCK certificate for the platform. Accepting more " +
		"statuses does not help: Intel supports no lower level"
	err := result.FailWith(CheckTCBLevel,
		fmt.Sprintf("at least the lowest level of the TCB info (%s, of %s): %s",
			lowest.Status, day(lowest.Date), needs), has+when, remedy)
	return &evidence.TCB{
		Status: evidence.NotSupported, EvaluationDataNumber: info.EvaluationNumber,
		Advisories: []string{}, Shortfall: newest, BelowLowest: below,
	}, err
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
		Shortfall:            info.shortfall(&info.Levels[0], pck),
	}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
