package uvm_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
)

// Verify confidential containers: a SEV-SNP report whose measurement a publisher of utility VMs
// endorses, and whose host data are the hash of the policy of the containers.
func Example() {
	// Test hierarchies replace AMD's and Microsoft's. In production, take snp.Config{}, which
	// trusts uvm.DefaultTrust, and time.Now().
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := amd.Chip(evidencetest.ChipConfig{})
	publisher := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
	measurement := [48]byte{0xa1, 0xb2}
	report := chip.Report(evidencetest.ReportConfig{Measurement: measurement})
	endorsement := publisher.Endorse(measurement[:], evidencetest.EndorsementConfig{SVN: "104"})
	raw := chip.Evidence(amd, report, endorsement)

	verifier := snp.New(snp.Config{
		Roots: amd.Roots(),
		UVM: []uvm.Trust{{
			Issuer: publisher.DID(),
			Feed:   "ContainerPlat-AMD-UVM",
			MinSVN: 100,
			Status: "azure-compliant-uvm",
		}},
	})
	result, err := verifier.Verify(context.Background(), evidence.Evidence{Raw: raw, Time: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	status, _ := result.Claims.Text("x-ms-compliance-status")
	fmt.Println("utility VM:", status)
	// Output: utility VM: azure-compliant-uvm
}

// An endorsement of another measurement is refused.
func ExampleVerifier_Verify_refused() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	publisher := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
	endorsement := publisher.Endorse(make([]byte, 48), evidencetest.EndorsementConfig{})

	verifier := uvm.New([]uvm.Trust{{Issuer: publisher.DID(), Feed: "ContainerPlat-AMD-UVM"}})
	measurement := [48]byte{0xa1, 0xb2} // of the report
	_, err := verifier.Verify(&evidence.Result{}, endorsement, measurement[:])
	if errors.Is(err, uvm.CheckMeasurement) {
		fmt.Println("the endorsement is about another utility VM")
	}
	// Output: the endorsement is about another utility VM
}

// Read what an endorsement says before anything is verified, for people.
func ExampleInspect() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	publisher := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
	raw := publisher.Endorse(make([]byte, 48), evidencetest.EndorsementConfig{SVN: "104"})

	endorsement, err := uvm.Inspect(raw)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(endorsement.Feed, "version", endorsement.SVN)
	// Output: ContainerPlat-AMD-UVM version 104
}
