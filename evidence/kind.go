package evidence

import (
	"fmt"
	"strings"

	"github.com/probity-dev/probity/strict/ascii"
	"github.com/probity-dev/probity/wording/spelling"
)

// Kind is an attestation type, spelt as in the service's URLs.
type Kind string

// The attestation types.
const (
	SGXEnclave  Kind = "SgxEnclave"
	OpenEnclave Kind = "OpenEnclave"
	SEVSNPVM    Kind = "SevSnpVm"
	TDXVM       Kind = "TdxVm"
	AzureGuest  Kind = "AzureGuest"
	TPM         Kind = "Tpm"
	VBSEnclave  Kind = "VbsEnclave"
	// NitroEnclave and ArmCCA are Probity's own: Azure Attestation has neither.
	NitroEnclave Kind = "NitroEnclave"
	ArmCCA       Kind = "ArmCca"
)

// Kinds returns every attestation type that the service has a name for, whether
// or not this build has a verifier for it.
func Kinds() []Kind {
	return []Kind{SGXEnclave, OpenEnclave, SEVSNPVM, TDXVM, AzureGuest, TPM, VBSEnclave, NitroEnclave, ArmCCA}
}

// Member returns the name under which a request carries evidence of the kind.
func (k Kind) Member() string {
	switch k {
	case SGXEnclave, TDXVM:
		return "quote"
	case NitroEnclave:
		return "document"
	case ArmCCA:
		return "token"
	case AzureGuest:
		return "AttestationInfo"
	case TPM, VBSEnclave:
		return "data"
	default:
		return "report"
	}
}

// ParseKind returns the attestation type with the given name, compared without
// case. The error names the nearest type.
func ParseKind(name string) (Kind, error) {
	for _, k := range Kinds() {
		if ascii.EqualFold(string(k), name) {
			return k, nil
		}
	}
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return "", fmt.Errorf("unknown attestation type %q%s (types: %s)",
		name, spelling.After("; ", name, names), strings.Join(names, ", "))
}
