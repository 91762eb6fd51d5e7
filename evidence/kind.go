package evidence

import (
	"fmt"
	"slices"
	"strings"
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
		name, Nearest(name, names), strings.Join(names, ", "))
}

// Nearest returns the candidate with the smallest edit distance to name,
// compared without case; the first one of equals. It returns "" if there are
// no candidates.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", -1
	for _, c := range candidates {
		d := distance(strings.ToLower(name), strings.ToLower(c))
		if bestDistance < 0 || d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance. Names longer than 64 bytes are cut:
// the text may come from a request.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(previous[j+1]+1, row[j]+1, previous[j]+cost)
		}
	}
	return row[len(b)]
}
