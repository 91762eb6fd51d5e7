package tpmca

import (
	_ "embed"
	"strings"
)

// azure contains the roots of Azure's virtual TPMs, those of 2021 and 2023, and the
// intermediate that issues leaves without the address of its certificate. Its fingerprints
// are in the list of vendors, which a test compares.
//
//go:embed azure.pem
var azure []byte

// Azure is the name under which [Named] knows the authorities of Azure's virtual TPMs.
const Azure = "azure"

// Named returns the authorities, in PEM, that are known under a name, or nil: they stand for
// a file wherever files of authorities are named.
func Named(name string) []byte {
	if strings.EqualFold(name, Azure) {
		return azure
	}
	return nil
}
