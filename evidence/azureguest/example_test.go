package azureguest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tdx"
)

// Verify a confidential machine of Azure on SEV-SNP: its hardware, its paravisor, its TPM and its boot.
func Example() {
	// A simulated machine replaces a real one. In production, take snp.Config{}, dcap.Config{} and
	// tpmca.Named(tpmca.Azure).
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := amd.Chip(evidencetest.ChipConfig{})
	guest := evidencetest.NewGuest(evidencetest.TPMConfig{Now: now})
	info := guest.Info(evidencetest.GuestConfig{
		Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{}),
		Isolation: azureguest.SEVSNP,
		Proof: func(runtime []byte) []byte {
			report := chip.Report(evidencetest.ReportConfig{ReportData: evidencetest.BindData(runtime)})
			return chip.Evidence(amd, report)
		},
	})

	authorities, err := tpmca.Parse(guest.Root.PEM())
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier := azureguest.New(
		snp.New(snp.Config{Roots: amd.Roots()}),
		tdx.New(dcap.New(dcap.Config{})),
		azureguest.Config{Authorities: authorities},
	)
	result, err := verifier.Verify(context.Background(), evidence.Evidence{Raw: info, Time: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	isolation, _ := result.Aliases.Text("x-probity-azurevm-isolation")
	secureBoot, _ := result.Claims.Get("secureboot")
	fmt.Println("isolation:", isolation)
	fmt.Println("secure boot:", secureBoot)
	fmt.Println("firmware:", result.TCB.Status)
	// Output:
	// isolation: SevSnp
	// secure boot: true
	// firmware: UpToDate
}
