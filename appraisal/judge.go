package appraisal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/wording/spelling"
)

// The checks of this package, in the order in which they are made.
var (
	checks evidence.Checks

	CheckTCBIdentifier = checks.Define("policy.tcb-identifier",
		"the policy's x-ms-sgx-tcbidentifier names a TCB baseline",
		`set x-ms-sgx-tcbidentifier to "azuredefault" or to a TCB evaluation data number such as "17"`)
	CheckSettings = checks.Define("policy.settings",
		"the policy's configuration rules give values of the right types",
		"set require_valid_aik_cert to true or false and required_pcr_mask to a number, bit n for PCR n")
	CheckSNPStatus = checks.Define("snp.tcb.status",
		"the SNP firmware in REPORTED_TCB is at the floor of its line, or the provider accepts OutOfDate",
		"update the firmware of the host for the advisories named, or widen the statuses that the provider accepts")
	CheckTCBStatus = checks.Define("dcap.tcb.status",
		"the TCB status is one that the provider accepts",
		"update the BIOS and microcode for the advisories named, or widen the statuses that the provider accepts")
	CheckPolicy = checks.Define("policy",
		"the policy permits, no rule denies, and no rule ends in an error",
		"compare the claims with the policy; read the trace, or send a draft policy to try another")
)

// Catalogue lists the checks of this package.
func Catalogue() []*evidence.Definition { return checks.All() }

// TCBPolicy says which TCB statuses and which reservations (BoundServiceTD,
// DebugGuest) are accepted. Its zero value accepts the statuses of [DefaultTCB]
// and no reservation.
type TCBPolicy struct {
	// Any accepts every status but Revoked, which no verifier lets pass. It accepts no
	// reservation: old microcode is one risk, a guest that its host can read is another.
	Any bool
	// Accept lists the accepted statuses and reservations. Without a status it
	// means DefaultTCB too.
	Accept []string
	// EnclaveDebugByPolicy leaves the debug flag of SGX enclaves to the policy, which reads
	// x-ms-sgx-is-debuggable, as Azure Attestation does.
	EnclaveDebugByPolicy bool
}

// DefaultTCB returns the statuses that are accepted unless a provider says
// otherwise: the platform is patched, or needs work that its vendor leaves to
// the operator's judgement.
func DefaultTCB() []string {
	return []string{string(dcap.UpToDate), string(dcap.SWHardeningNeeded),
		string(dcap.ConfigurationNeeded), string(dcap.ConfigurationAndSWHardeningNeeded)}
}

// acceptable are the statuses that a provider may accept.
func acceptable() []string {
	return append(DefaultTCB(), string(dcap.OutOfDate), string(dcap.OutOfDateConfigurationNeeded),
		string(dcap.TDRelaunchAdvised), string(dcap.TDRelaunchAdvisedConfigurationNeeded),
		evidence.BoundServiceTD, evidence.DebugGuest)
}

// ParseTCBPolicy reads a comma-separated list of statuses and reservations. "any" accepts
// all statuses but Revoked, "default" or nothing gives the default. Reservations are
// accepted by name only: any does not include it.
func ParseTCBPolicy(text string) (TCBPolicy, error) {
	if text = strings.TrimSpace(text); text == "" || text == "default" {
		return TCBPolicy{}, nil
	}
	var p TCBPolicy
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name == "any" {
			p.Any = true
			continue
		}
		at := slices.IndexFunc(acceptable(), func(s string) bool { return strings.EqualFold(s, name) })
		if at < 0 {
			if strings.EqualFold(name, string(dcap.Revoked)) {
				return TCBPolicy{}, fmt.Errorf("status Revoked cannot be accepted")
			}
			return TCBPolicy{}, fmt.Errorf("unknown TCB status %q%s (statuses: any, %s)",
				name, spelling.After("; ", name, acceptable()), strings.Join(acceptable(), ", "))
		}
		p.Accept = append(p.Accept, acceptable()[at])
	}
	if p.Any && slices.ContainsFunc(p.Accept, func(s string) bool { return !reservation(s) }) {
		return TCBPolicy{}, fmt.Errorf(
			"any stands for all statuses but Revoked; beside it name only reservations (%s, %s)",
			evidence.BoundServiceTD, evidence.DebugGuest,
		)
	}
	return p, nil
}

func reservation(name string) bool {
	return name == evidence.BoundServiceTD || name == evidence.DebugGuest
}

// statuses are those accepted; a list that contains only reservations adds
// them to the default.
func (p TCBPolicy) statuses() []string {
	named := slices.DeleteFunc(slices.Clone(p.Accept), reservation)
	if len(named) == 0 {
		return DefaultTCB()
	}
	return named
}

// judge returns the check of the TCB status; none for evidence without one and
// for callers who asked for the facts alone.
func (p TCBPolicy) judge(kind evidence.Kind, tcb *evidence.TCB) []evidence.Check {
	if tcb == nil || p.Any {
		return nil
	}
	definition := CheckTCBStatus
	if kind == evidence.SEVSNPVM || kind == evidence.AzureGuest && tcb.QEStatus == "" {
		definition = CheckSNPStatus
	}
	expected := strings.Join(p.statuses(), ", ")
	if slices.Contains(p.statuses(), tcb.Status) {
		return []evidence.Check{definition.Passed(expected, tcb.Status)}
	}
	check := definition.Failed(expected, tcb.Summary())
	check.Remedy = "update the BIOS and microcode"
	if len(tcb.Shortfall) > 0 {
		needs, has := tcb.Shortfall.Compare()
		check.Found += ": " + has + ", where the newest level needs " + needs
		check.Remedy = tcb.Shortfall.Remedy()
	}
	if strings.Contains(tcb.Status, "Configuration") {
		check.Remedy += ", and change the configuration that the advisories name"
	}
	if len(tcb.Advisories) > 0 {
		check.Remedy += "; see " + strings.Join(tcb.Advisories, ", ")
	}
	return []evidence.Check{check}
}

// asked is what a policy asks of evidence before it is verified.
type asked struct {
	// tcb is a TCB baseline; zero means the newest one stored.
	tcb uint32
	tpm evidence.TPMDemands
}

// demands reads the configuration rules of a policy.
func demands(rules *policy.Policy) (asked, *evidence.Rejection) {
	var out asked
	if rules == nil {
		return out, nil
	}
	reject := func(check *evidence.Definition, expected, found string, err error) (asked, *evidence.Rejection) {
		return asked{}, &evidence.Rejection{Cause: err, Check: check.Failed(expected, found)}
	}
	out.tpm.NoEvents = !rules.Reads("events") && !rules.Reads("bootEvents")
	out.tpm.NoPCRs = !rules.Reads("pcrs")
	settings, err := rules.Settings()
	if err != nil {
		return reject(CheckSettings, "configuration rules that can be evaluated", err.Error(), err)
	}
	number, refused := TCBBaseline(settings)
	if refused != nil {
		return asked{}, refused
	}
	out.tcb = number
	if value, ok := settings["require_valid_aik_cert"]; ok {
		required, isBool := value.Bool()
		if !isBool {
			return reject(CheckSettings, "a boolean as require_valid_aik_cert", value.String(), nil)
		}
		out.tpm.AnyKey = !required
	}
	if value, ok := settings["required_pcr_mask"]; ok {
		n, isInt := value.Int()
		if !isInt || n < 0 || n > 0xffffff {
			return reject(CheckSettings, "a number of 0 to 16777215 as required_pcr_mask", value.String(), nil)
		}
		mask := uint32(n)
		out.tpm.Mask = &mask
	}
	return out, nil
}
