package openenclave_test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/evidence/sgx"
)

// Verify a report of oe_get_report with the data that the enclave put in.
func Example() {
	// A test hierarchy replaces Intel's. In production, take dcap.Config{} and time.Now().
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}
	set := intel.Collateral(platform, healthy)
	data := []byte(`{"key":"the enclave's public key"}`)
	enclave := evidencetest.Enclave{ProductID: 7, ReportData: evidencetest.BindData(data)}
	report := evidencetest.OpenEnclaveReport(platform.Quote(evidencetest.QuoteConfig{Enclave: enclave}))

	verifier := openenclave.New(sgx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()})))
	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:         report,
		RuntimeData: &evidence.Data{Bytes: data, Type: evidence.JSON},
		Collateral:  collateral.Fixed(set),
		Time:        now,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	product, _ := result.Claims.Get("x-ms-sgx-product-id")
	bound, _ := result.Claims.Text("x-ms-runtime")
	fmt.Println("product:", product)
	fmt.Println("bound:", bound)
	// Output:
	// product: 7
	// bound: {"key":"the enclave's public key"}
}

// Read the custom claims of evidence (oe_get_evidence) after it was verified.
func ExampleParseCustomClaims() {
	buffer := evidencetest.CustomClaims("role", "database", "zone", "eu")
	list, err := openenclave.ParseCustomClaims(buffer)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, claim := range list {
		fmt.Printf("%s = %s\n", claim.Name, bytes.TrimRight(claim.Value, "\x00"))
	}
	// Output:
	// role = database
	// zone = eu
}
