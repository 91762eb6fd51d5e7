package dcap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence"
)

// ModuleIdentity says which TDX module is Intel's, and how its versions rate.
type ModuleIdentity struct {
	ID             string // "TDX_01" and so on; "" for the module of TDX 1.0
	MRSigner       [48]byte
	Attributes     [8]byte
	AttributesMask [8]byte
	Levels         []IdentityLevel // none for TDX 1.0, which the platform's level covers
}

type moduleJSON struct {
	ID             string              `json:"id"`
	MRSigner       string              `json:"mrsigner"`
	Attributes     string              `json:"attributes"`
	AttributesMask string              `json:"attributesMask"`
	Levels         []identityLevelJSON `json:"tcbLevels"`
}

func (j *moduleJSON) read(needsLevels bool) (*ModuleIdentity, error) {
	m := &ModuleIdentity{ID: strings.ToUpper(j.ID)}
	if err := decodeHex(m.MRSigner[:], j.MRSigner); err != nil {
		return nil, fmt.Errorf("mrsigner: %w", err)
	}
	if err := decodeHex(m.Attributes[:], j.Attributes); err != nil {
		return nil, fmt.Errorf("attributes: %w", err)
	}
	if err := decodeHex(m.AttributesMask[:], j.AttributesMask); err != nil {
		return nil, fmt.Errorf("attributesMask: %w", err)
	}
	if !needsLevels {
		return m, nil
	}
	var err error
	m.Levels, err = readIdentityLevels(j.Levels)
	return m, err
}

// module returns the identity for the module version that svn names: byte 1 is
// the version, 0 stands for TDX 1.0.
func (info *TCBInfo) module(svn *[16]byte) (*ModuleIdentity, bool) {
	if svn[1] == 0 {
		return info.Module, info.Module != nil
	}
	id := fmt.Sprintf("TDX_%02X", svn[1])
	at := slices.IndexFunc(info.Modules, func(m *ModuleIdentity) bool { return m.ID == id })
	if at < 0 {
		return nil, false
	}
	return info.Modules[at], true
}

// tdLevel returns the first level that platform and TD meet. For module
// versions above 0 the first two SVNs are the module's own and are rated by its
// identity.
func (info *TCBInfo) tdLevel(pck *PCK, svn *[16]byte) (*Level, bool) {
	from := moduleSVNs(svn)
	for i := range info.Levels {
		l := &info.Levels[i]
		if atLeast(&pck.Components, &l.SGX, 0) && pck.PCESVN >= l.PCESVN && atLeast(svn, &l.TDX, from) {
			return l, true
		}
	}
	return nil, false
}

// relaunch says what the launch-time and the current TCB of a TD mean together:
// a TD that was launched on an old TCB of a platform that is patched by now
// should be launched again (Intel QVL, TD relaunch).
func relaunch(launch, current Status) Status {
	old := launch == OutOfDate || launch == OutOfDateConfigurationNeeded
	good := slices.Contains([]Status{
		UpToDate, SWHardeningNeeded, ConfigurationNeeded, ConfigurationAndSWHardeningNeeded,
	}, current)
	switch {
	case current == Revoked:
		return Revoked // no launch, however good, outweighs that
	case !old || !good:
		return launch
	case strings.Contains(string(launch), "Configuration") || strings.Contains(string(current), "Configuration"):
		return TDRelaunchAdvisedConfigurationNeeded
	default:
		return TDRelaunchAdvised
	}
}

// appraiseTD rates a TD: at launch and, where the quote tells, as it runs now.
func (v *Verifier) appraiseTD(
	result *evidence.Result, q *Quote, pck *PCK, info *TCBInfo, qe IdentityLevel,
) (*evidence.TCB, error) {
	td, err := ParseTDReport(q.Body)
	if err != nil {
		return nil, result.FailErr(CheckQuoteFormat, "a TD report", err)
	}
	launch, err := v.rateTD(result, "launch", td, &td.TEETCBSVN, pck, info, qe)
	if err != nil {
		return launch, err
	}
	launch.LaunchStatus = launch.Status
	if !td.V15 {
		return launch, nil
	}
	current, err := v.rateTD(result, "now", td, &td.TEETCBSVN2, pck, info, qe)
	if err != nil {
		return current, err
	}
	launch.CurrentStatus = current.Status
	launch.Status = string(relaunch(Status(launch.Status), Status(current.Status)))
	return launch, nil
}

func (v *Verifier) rateTD(
	result *evidence.Result, when string, td *TDReport, svn *[16]byte, pck *PCK, info *TCBInfo,
	qe IdentityLevel,
) (*evidence.TCB, error) {
	module, ok := info.module(svn)
	if !ok {
		return nil, result.Fail(CheckTDXModule, "a TDX module that the TCB info lists",
			fmt.Sprintf("module version %d (%s)", svn[1], when))
	}
	var attributes [8]byte
	for i := range attributes {
		attributes[i] = td.SEAMAttributes[i] & module.AttributesMask[i]
	}
	switch {
	case td.MRSignerSEAM != module.MRSigner:
		return nil, result.Fail(CheckTDXModule, fmt.Sprintf("MRSIGNERSEAM %x", module.MRSigner),
			fmt.Sprintf("MRSIGNERSEAM %x", td.MRSignerSEAM))
	case attributes != module.Attributes || td.SEAMAttributes != [8]byte{}:
		return nil, result.Fail(CheckTDXModule, "SEAMATTRIBUTES of zero",
			fmt.Sprintf("SEAMATTRIBUTES %x", td.SEAMAttributes))
	}
	result.Pass(CheckTDXModule, "Intel's TDX module",
		fmt.Sprintf("version %d, SVN %d (%s)", svn[1], svn[0], when))
	level, ok := info.tdLevel(pck, svn)
	if !ok {
		return v.failLevel(result, info, pck, svn, " ("+when+")")
	}
	result.Pass(CheckTCBLevel, "a level of the TCB info",
		fmt.Sprintf("%s (level of %s, %s)", level.Status, day(level.Date), when))
	tcb := info.state(pck, level, qe)
	if svn[1] > 0 {
		moduleLevel, ok := meets(module.Levels, uint16(svn[0]))
		if !ok {
			return nil, result.Fail(CheckTDXModuleTCB, fmt.Sprintf(
				"a TDX module %s with an SVN of at least %d, that of its lowest level", module.ID,
				module.Levels[len(module.Levels)-1].ISVSVN,
			), fmt.Sprintf("SVN %d (%s)", svn[0], when))
		}
		result.Pass(CheckTDXModuleTCB, "a level of the module's identity",
			fmt.Sprintf("%s (level of %s, %s)", moduleLevel.Status, day(moduleLevel.Date), when))
		tcb.Status = string(converge(level.Status, qe.Status, moduleLevel.Status))
		tcb.ModuleStatus = string(moduleLevel.Status)
		tcb.Date = earliest(tcb.Date, moduleLevel.Date)
		tcb.Advisories = append(tcb.Advisories, moduleLevel.Advisories...)
		slices.Sort(tcb.Advisories)
		tcb.Advisories = slices.Compact(tcb.Advisories)
	}
	tcb.Shortfall = append(tcb.Shortfall, info.shortfallTD(&info.Levels[0], svn)...)
	return tcb, nil
}
