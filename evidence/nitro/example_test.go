package nitro_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/nitro"
)

// Verify an attestation document and read the measurement of the enclave's image.
func Example() {
	// A test hierarchy replaces AWS's. In production, take nitro.Config{} and time.Now().
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	aws := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	document := aws.Document(evidencetest.DocumentConfig{})

	verifier := nitro.New(nitro.Config{Root: aws.Root()})
	result, err := verifier.Verify(context.Background(), evidence.Evidence{Raw: document, Time: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	image, _ := result.Claims.Text("nitro_pcr0")
	fmt.Println("image:", image[:8])
	// Output: image: bec021b4
}

// A document is good for the three hours of its certificate.
func ExampleVerifier_Verify_refused() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	aws := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})

	_, err := nitro.New(nitro.Config{Root: aws.Root()}).Verify(context.Background(), evidence.Evidence{
		Raw:  aws.Document(evidencetest.DocumentConfig{}),
		Time: now.Add(24 * time.Hour),
	})
	if errors.Is(err, nitro.CheckValidity) {
		fmt.Println("ask the enclave for a new document")
	}
	// Output: ask the enclave for a new document
}
