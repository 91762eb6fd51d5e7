package sgx_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/sgx"
)

// Verify a quote of an enclave against the collateral of its platform, and learn which enclave it is.
func Example() {
	// A test hierarchy replaces Intel's. In production, take dcap.Config{} and time.Now(), and
	// collateral from collateral.Load or from package collateral/pcs.
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}
	set := intel.Collateral(platform, healthy)
	enclave := evidencetest.Enclave{MRSigner: [32]byte{0x56, 0x78}, ProductID: 1, SVN: 3}
	quote := platform.Quote(evidencetest.QuoteConfig{Enclave: enclave})

	verifier := sgx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()}))
	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:        quote,
		Collateral: collateral.Fixed(set),
		Time:       now,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, _ := result.Claims.Text("x-ms-sgx-mrsigner")
	svn, _ := result.Claims.Get("x-ms-sgx-svn")
	fmt.Println("signer:", signer[:8])
	fmt.Println("version:", svn)
	fmt.Println("platform:", result.TCB.Status)
	// Output:
	// signer: 56780000
	// version: 3
	// platform: UpToDate
}

// An old platform is a fact and no refusal: a verifier proves the status, and you judge it.
// Package appraisal does so with a list of accepted statuses.
func ExampleVerifier_Verify_outOfDate() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	tcb := evidencetest.HealthyTCB(now)
	tcb.Levels[0].Status, tcb.Levels[0].Advisories = "OutOfDate", []string{"INTEL-SA-00615"}
	set := intel.Collateral(platform, evidencetest.CollateralConfig{TCB: tcb})

	verifier := sgx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()}))
	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:        platform.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()}),
		Collateral: collateral.Fixed(set),
		Time:       now,
	})
	fmt.Println("error:", err)
	fmt.Println(result.TCB.Status, result.TCB.Advisories)
	// Output:
	// error: <nil>
	// OutOfDate [INTEL-SA-00615]
}

// A debugger can read a debug enclave, so the enclave is refused unless you accept it by name.
func ExampleVerifier_Verify_debugEnclave() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}
	set := intel.Collateral(platform, healthy)
	verifier := sgx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()}))
	ev := evidence.Evidence{
		Raw:        platform.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.Enclave{Debug: true}}),
		Collateral: collateral.Fixed(set),
		Time:       now,
	}
	_, err := verifier.Verify(context.Background(), ev)
	fmt.Println("refused:", errors.Is(err, sgx.CheckDebug))

	ev.Accept = []string{evidence.DebugGuest}
	_, err = verifier.Verify(context.Background(), ev)
	fmt.Println("accepted:", err == nil)
	// Output:
	// refused: true
	// accepted: true
}
