package agent

import (
	"os"

	"github.com/google/go-tpm/tpm2"

	"github.com/probity-dev/probity/evidence"
)

// Detect says which evidence a host has: that of an Azure guest, of the guest's
// hardware, or of its TPM.
func Detect(address string) evidence.Kind {
	if t, err := openTransport(address); err == nil {
		defer t.Close()
		if _, err := (tpm2.ReadPublic{ObjectHandle: azureAK}).Execute(t); err == nil {
			if _, err := (tpm2.NVReadPublic{NVIndex: azureAKCert}).Execute(t); err == nil {
				return evidence.AzureGuest
			}
		}
	}
	if _, err := os.Stat("/dev/tdx_guest"); err == nil {
		return evidence.TDXVM
	}
	if _, err := os.Stat(sevGuest); err == nil {
		return evidence.SEVSNPVM
	}
	return evidence.TPM
}

// CCEL reads the event log of a trust domain: the file, or the kernel's own. A host
// without one has none.
func CCEL(path string) []byte {
	if path == "" {
		path = defaultCCEL
	}
	b, _ := os.ReadFile(path) // the service says what is missing
	return b
}
