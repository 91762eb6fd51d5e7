package tdx_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tdx"
)

// Verify a quote of a trust domain against the collateral of its platform.
func Example() {
	// A test hierarchy replaces Intel's. In production, take dcap.Config{} and time.Now(), and
	// collateral from collateral.Load or from package collateral/pcs.
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)}
	set := intel.Collateral(platform, healthy)
	key := []byte("the domain's public key")
	td := evidencetest.HealthyTD()
	td.ReportData = evidencetest.BindData(key) // its SHA-256
	quote := platform.Quote(evidencetest.QuoteConfig{TD: td})

	verifier := tdx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()}))
	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:         quote,
		RuntimeData: &evidence.Data{Bytes: key},
		Collateral:  collateral.Fixed(set),
		Time:        now,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mrtd, _ := result.Claims.Text("tdx_mrtd")
	fmt.Println("MRTD:", mrtd[:8])
	fmt.Println("platform:", result.TCB.Status, "since", result.TCB.Date.Format(time.DateOnly))
	// Output:
	// MRTD: baa38c25
	// platform: UpToDate since 2025-12-01
}

// A quote that does not bind the data that came with it is refused: the key may be from another sender.
func ExampleVerifier_Verify_refused() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)}
	set := intel.Collateral(platform, healthy)

	verifier := tdx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()}))
	_, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:         platform.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()}),
		RuntimeData: &evidence.Data{Bytes: []byte("a key")},
		Collateral:  collateral.Fixed(set),
		Time:        now,
	})
	if errors.Is(err, tdx.CheckRuntimeData) {
		fmt.Println("the quote is not about this key")
	}
	// Output: the quote is not about this key
}
