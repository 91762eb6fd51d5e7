package vbs_test

import (
	"context"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/vbs"
)

// Verify an enclave of Windows, from the TPM's quote to the report of the enclave.
func Example() {
	// A simulated machine replaces a real one. In production, the PEM text is that of the authority
	// that certifies your attestation keys, such as tpmca.Named(tpmca.Azure).
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	machine := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
	kernel := evidencetest.NewSecureKernel()
	challenge := []byte("16 random bytes.")
	windows := evidencetest.HealthyWindows(kernel.Measured())
	answer := machine.Evidence(evidencetest.TPMEvidence{
		Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: windows}),
		Challenge: challenge,
		Enclave: func(signed []byte) []byte {
			return kernel.Report(signed, evidencetest.EnclaveReport{SVN: 9})
		},
	})

	authorities, err := tpmca.Parse(machine.Root.PEM())
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier := vbs.New(tpm.New(tpm.Config{Authorities: authorities}))
	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:       answer,
		Challenge: challenge,
		Time:      now,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// What is proven of the enclave are claims for policies, beside those of the token.
	author, _ := result.Aliases.Text("enclaveAuthorId")
	svn, _ := result.Aliases.Get("enclaveSvn")
	fmt.Println("author:", author[:8])
	fmt.Println("version:", svn)
	// Output:
	// author: 28G0yQD_
	// version: 9
}
