package evidencetest_test

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

// Test a program against evidence that fails in one chosen way: here, against an enclave whose
// platform's certificate was revoked.
func Example() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	quote := platform.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()})
	verifier := sgx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()}))

	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}
	revoked := healthy
	revoked.Revoked = append(revoked.Revoked, platform.PCK.Cert)
	for _, cfg := range []evidencetest.CollateralConfig{healthy, revoked} {
		_, err := verifier.Verify(context.Background(), evidence.Evidence{
			Raw:        quote,
			Collateral: collateral.Fixed(intel.Collateral(platform, cfg)),
			Time:       now,
		})
		fmt.Println("accepted:", err == nil, "revoked:", errors.Is(err, dcap.CheckPCKRevocation))
	}
	// Output:
	// accepted: true revoked: false
	// accepted: false revoked: true
}
