package policy

import (
	"slices"
	"strings"

	"github.com/probity-dev/probity/claims"
)

// Term is a claim that evidence of an attestation type offers to policies.
type Term struct {
	Name    string
	Type    claims.Type
	Meaning string
	// Hex marks strings that are lower-case hex.
	Hex bool
	// PolicyOnly marks claims that policies see, and that tokens have only if a policy
	// passes them on.
	PolicyOnly bool
}

// Vocabulary returns the claims that an attestation type offers, sorted by
// name; nil for a type that is not known. Names of types are compared without
// case.
func Vocabulary(attestationType string) []Term {
	var terms []Term
	switch strings.ToLower(attestationType) {
	case "sgxenclave", "openenclave":
		terms = sgxTerms()
	case "sevsnpvm":
		terms = append(snpTerms(), containers())
	case "tdxvm":
		terms = append(tdxTerms(), containers())
	case "nitroenclave":
		terms = nitroTerms()
	case "armcca":
		terms = ccaTerms()
	case "azureguest":
		terms = append(guestTerms(), containers())
	case "tpm":
		terms = append(tpmTerms(), containers())
	case "vbsenclave":
		terms = slices.Concat(tpmTerms(), vbsTerms())
	default:
		return nil
	}
	for i := range terms {
		// Former names of SGX, and what Probity knows beyond the vendors' claims.
		if strings.HasPrefix(terms[i].Name, "$") || strings.HasPrefix(terms[i].Name, "x-probity-") {
			terms[i].PolicyOnly = true
		}
	}
	slices.SortStableFunc(terms, func(a, b Term) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(terms, func(a, b Term) bool { return a.Name == b.Name })
}

// policyOnly marks terms that tokens do not have of themselves.
func policyOnly(terms ...Term) []Term {
	for i := range terms {
		terms[i].PolicyOnly = true
	}
	return terms
}

func text(name, meaning string) Term { return Term{Name: name, Type: claims.String, Meaning: meaning} }
func hexed(name, meaning string) Term {
	return Term{Name: name, Type: claims.String, Meaning: meaning, Hex: true}
}
func count(name, meaning string) Term {
	return Term{Name: name, Type: claims.Integer, Meaning: meaning}
}
func truth(name, meaning string) Term {
	return Term{Name: name, Type: claims.Boolean, Meaning: meaning}
}

// common are the claims that every type with bound data offers.
func common() []Term {
	return []Term{
		text("x-ms-attestation-type", "the kind of evidence in the token's words, for instance sgx"),
		text("x-ms-runtime", "JSON text of the runtime data that the evidence binds (dataType JSON)"),
		text("x-ms-inittime", "JSON text of the init-time data that the evidence binds (dataType JSON)"),
		text("x-probity-collateral",
			"stale, if expired collateral was used as the vendor's service fails (outage mode)"),
		text("x-probity-tcb-status", "the platform's TCB status in its vendor's words, for instance UpToDate"),
		text("x-probity-tcb-date", "the date of the TCB level that the platform meets, YYYY-MM-DD"),
		text("x-probity-tcb-advisory", "a security advisory that is open on the platform; one claim for each"),
		count("x-probity-tcb-evaluation-number", "the TCB evaluation data number of the collateral that was used"),
	}
}

// containers is the claim about guests of Confidential Containers.
func containers() Term {
	return text("x-probity-kbs", "JSON text of what a guest of Confidential Containers was attested for: tee, nonce, "+
		"tee-pubkey and, if it sent init data, init-data-sha256")
}

func sgxTerms() []Term {
	terms := append(common(),
		truth("x-ms-sgx-is-debuggable", "the enclave's memory is open to a debugger"),
		hexed("x-ms-sgx-mrenclave", "the measurement of the enclave's code and initial data (MRENCLAVE)"),
		hexed("x-ms-sgx-mrsigner", "the hash of the key that signed the enclave (MRSIGNER)"),
		count("x-ms-sgx-product-id", "the product id that the signer gave the enclave (ISVPRODID)"),
		count("x-ms-sgx-svn", "the security version that the signer gave the enclave (ISVSVN)"),
		hexed("x-ms-sgx-report-data", "the 64 bytes that the enclave put into its report"),
		text("x-ms-sgx-ehd", "the bound runtime data in base64url (dataType Binary)"),
		text("x-ms-sgx-collateral", "JSON text with the hashes of the collateral that was used"),
		hexed("x-ms-sgx-config-id", "CONFIGID, with key separation and sharing"),
		count("x-ms-sgx-config-svn", "CONFIGSVN, with key separation and sharing"),
		hexed("x-ms-sgx-isv-extended-product-id", "ISVEXTPRODID, with key separation and sharing"),
		hexed("x-ms-sgx-isv-family-id", "ISVFAMILYID, with key separation and sharing"),
		text("maa-ehd", "former name of x-ms-sgx-ehd"), text("aas-ehd", "former name of x-ms-sgx-ehd"),
		text("maa-attestationcollateral", "former name of x-ms-sgx-collateral"),
		truth("x-probity-pck-smt-enabled", "simultaneous multithreading is on (PCK certificate, Platform CA)"),
		truth("x-probity-pck-cached-keys",
			"platform keys are cached by the registration service (PCK certificate, Platform CA)"),
		truth("x-probity-pck-dynamic-platform",
			"packages can be added to the platform (PCK certificate, Platform CA)"),
	)
	for alias, name := range map[string]string{
		"$is-debuggable": "x-ms-sgx-is-debuggable", "$product-id": "x-ms-sgx-product-id",
		"$sgx-mrsigner": "x-ms-sgx-mrsigner", "$sgx-mrenclave": "x-ms-sgx-mrenclave",
		"$svn": "x-ms-sgx-svn", "$tee": "x-ms-attestation-type",
		"$maa-ehd": "x-ms-sgx-ehd",
		"$aas-ehd": "x-ms-sgx-ehd", "$maa-attestationcollateral": "x-ms-sgx-collateral",
	} {
		at := slices.IndexFunc(terms, func(t Term) bool { return t.Name == name })
		term := terms[at]
		term.Name, term.Meaning = alias, "former name of "+name
		terms = append(terms, term)
	}
	return terms
}

func tdxTerms() []Term {
	terms := append(
		common(), text("dbgstat", "enabled for a debug TD, else disabled"),
		text("eat_profile", "the EAT profile of the token"), text("intuse", "generic"),
		text("x-probity-tcb-launch-status", "the TCB status when the TD was launched (TDX 1.5)"),
		text("x-probity-tcb-current-status", "the TCB status now (TDX 1.5)"),
		text("x-probity-tdx-event-log",
			"a register that the event log explains, for instance RTMR0; one claim for each"),
		hexed("x-probity-tdx-mrservicetd", "the measurement of bound service TDs (TDX 1.5)"),
		hexed("x-probity-tdx-tee-tcb-svn-2", "the security versions of the TEE that runs now (TDX 1.5)"),
		text("attester_tcb_status", "the platform's TCB status in Intel's words"),
		text("x-ms-compliance-status", "azure-compliant-cvm, if the firmware is a known one"),
		count("tdx_seamsvn", "the security version of the TDX module"),
	)
	for name, meaning := range map[string]string{
		"mrseam": "the measurement of the TDX module", "mrsignerseam": "the signer of the TDX module",
		"mrtd":  "the measurement of the TD's initial contents",
		"rtmr0": "runtime measurement register 0", "rtmr1": "runtime measurement register 1",
		"rtmr2": "runtime measurement register 2", "rtmr3": "runtime measurement register 3",
		"mrconfigid":      "the TD's configuration id",
		"mrowner":         "the TD's owner",
		"mrownerconfig":   "the owner's configuration",
		"report_data":     "the 64 bytes that the TD put into its report",
		"seam_attributes": "the attributes of the TDX module",
		"tee_tcb_svn":     "the security versions of the TEE", "td_attributes": "the TD's attributes",
		"xfam": "the TD's extended features",
	} {
		terms = append(terms, hexed("tdx_"+name, meaning))
	}
	for name, meaning := range map[string]string{
		"debug":           "the TD is open to a debugger",
		"key_locker":      "the TD may use Key Locker",
		"perfmon":         "the TD may use performance monitoring",
		"protection_keys": "the TD may use supervisor protection keys",
		"septve_disable":  "EPT violations do not become #VE",
	} {
		terms = append(terms, truth("tdx_td_attributes_"+name, meaning))
	}
	return terms
}
