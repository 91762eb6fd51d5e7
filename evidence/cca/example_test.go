package cca_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// Verify a token of a realm with the key that the platform's maker vouches for.
func Example() {
	// A test platform replaces a real one. In production, the key comes from its maker, and the
	// anchor names the ids of the platform.
	platform := evidencetest.NewArm()
	key := []byte("the realm's public key")
	token := platform.CCA(evidencetest.CCAConfig{Challenge: evidencetest.BindData(key)})

	verifier := cca.New(cca.Config{Anchors: []cca.Anchor{{Key: platform.CPAK.Public()}}})
	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:         token,
		RuntimeData: &evidence.Data{Bytes: key},
		Time:        time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	rim, _ := result.Claims.Text("cca-realm-initial-measurement")
	fmt.Println("realm:", rim[:8])
	// Output: realm: 7d4e02d3
}

// A token of a platform that no anchor names is refused.
func ExampleVerifier_Verify_refused() {
	known, other := evidencetest.NewArm(), evidencetest.NewArm()
	verifier := cca.New(cca.Config{Anchors: []cca.Anchor{{Key: known.CPAK.Public()}}})
	_, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:  other.CCA(evidencetest.CCAConfig{}),
		Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	})
	if errors.Is(err, cca.CheckPlatformSignature) {
		fmt.Println("the platform is not one that we know")
	}
	// Output: the platform is not one that we know
}
