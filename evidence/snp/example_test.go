package snp_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
)

// Verify a report that a guest sent with its public key, and read what it proves.
func Example() {
	// A test hierarchy replaces AMD's. In production, take snp.Config{} and time.Now().
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Genoa})
	chip := amd.Chip(evidencetest.ChipConfig{})
	key := []byte("the guest's public key")
	report := chip.Evidence(amd, chip.Report(evidencetest.ReportConfig{
		Measurement: [48]byte{0xa1, 0xb2},
		ReportData:  evidencetest.BindData(key), // its SHA-256
	}))

	verifier := snp.New(snp.Config{Roots: amd.Roots()})
	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:         report,
		RuntimeData: &evidence.Data{Bytes: key},
		Time:        now,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	measurement, _ := result.Claims.Text("x-ms-sevsnpvm-launchmeasurement")
	debug, _ := result.Claims.Get("x-ms-sevsnpvm-is-debuggable")
	fmt.Println("measurement:", measurement[:8])
	fmt.Println("debug:", debug)
	fmt.Println("firmware:", result.TCB.Status)
	// Output:
	// measurement: a1b20000
	// debug: false
	// firmware: UpToDate
}

// A refusal says which check failed. Compare it with the values of the package.
func ExampleVerifier_Verify_refused() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := amd.Chip(evidencetest.ChipConfig{})
	report := chip.Report(evidencetest.ReportConfig{})
	report[0x90] ^= 1 // the host changes one bit of the measurement

	_, err := snp.New(snp.Config{Roots: amd.Roots()}).Verify(context.Background(), evidence.Evidence{
		Raw:  chip.Evidence(amd, report),
		Time: now,
	})
	var rejection *evidence.Rejection
	switch {
	case errors.Is(err, snp.CheckSignature):
		fmt.Println("the report was forged or changed")
	case errors.As(err, &rejection):
		fmt.Println("refused by", rejection.Check.ID, "-", rejection.Check.Remedy)
	case err != nil:
		fmt.Println("no verdict:", err)
	}
	// Output: the report was forged or changed
}

// The host can read the memory of a debug guest, so the guest is refused unless you accept it by name.
func ExampleVerifier_Verify_debugGuest() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := amd.Chip(evidencetest.ChipConfig{})
	const debug = 1 << 19 // of the guest policy
	report := chip.Evidence(amd, chip.Report(evidencetest.ReportConfig{Policy: 0x30000 | debug}))

	verifier := snp.New(snp.Config{Roots: amd.Roots()})
	ev := evidence.Evidence{Raw: report, Time: now}
	_, err := verifier.Verify(context.Background(), ev)
	fmt.Println("refused:", errors.Is(err, snp.CheckDebug))

	ev.Accept = []string{evidence.DebugGuest}
	result, err := verifier.Verify(context.Background(), ev)
	fmt.Println("error:", err)
	fmt.Println("accepted:", result.Reservations[0].Accept)
	// Output:
	// refused: true
	// error: <nil>
	// accepted: DebugGuest
}
