package evidence_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/nitro"
)

// Print every check that a verifier made, up to the one that refused.
func ExampleRejection() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	aws := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	verifier := nitro.New(nitro.Config{}) // AWS's own root, which did not make this document

	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:  aws.Document(evidencetest.DocumentConfig{}),
		Time: now,
	})
	for _, check := range result.Checks {
		fmt.Printf("%-14s ok %t\n", check.ID, check.OK)
	}
	var rejection *evidence.Rejection
	if errors.As(err, &rejection) {
		fmt.Println("refused by", rejection.Check.ID)
	}
	// Output:
	// nitro.format   ok true
	// nitro.root     ok false
	// refused by nitro.root
}

// Debug machines are refused, in every kind of evidence, unless you accept them by name.
func ExampleEvidence() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	aws := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	_, err := nitro.New(nitro.Config{Root: aws.Root()}).Verify(context.Background(), evidence.Evidence{
		Raw:    aws.Document(evidencetest.DocumentConfig{Debug: true}),
		Accept: []string{evidence.DebugGuest},
		Time:   now,
	})
	fmt.Println("accepted:", err == nil)
	// Output: accepted: true
}
