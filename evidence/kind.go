package evidence

import (
	"fmt"
	"strings"

	"github.com/probity-dev/probity/internal/spelling"
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
)

// Kinds returns every attestation type that the wire protocol names, whether
// or not this build has a verifier for it.
func Kinds() []Kind {
	return []Kind{SGXEnclave, OpenEnclave, SEVSNPVM, TDXVM, AzureGuest, TPM, VBSEnclave}
}

// ParseKind returns the attestation type with the given name, compared without
// case. The error names the nearest type.
func ParseKind(name string) (Kind, error) {
	for _, k := range Kinds() {
		if strings.EqualFold(string(k), name) {
			return k, nil
		}
	}
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return "", fmt.Errorf("unknown attestation type %q; did you mean %s? (types: %s)",
		name, spelling.Nearest(name, names), strings.Join(names, ", "))
}
