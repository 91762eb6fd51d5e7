package collateral_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
)

// Carry collateral to a site without a network: write a bundle, and read it there as a source.
func ExampleBundle() {
	// Test hierarchies replace the vendors'. In production, packages collateral/pcs and
	// collateral/kds fetch collateral, and probity collateral export writes a bundle.
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Genoa})
	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}
	bundle := collateral.Bundle{
		Created: now,
		Intel:   []*collateral.Intel{intel.Collateral(platform, healthy)},
		AMD:     []*collateral.AMD{amd.Collateral(false)},
	}
	text, err := bundle.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}

	carried, err := collateral.ParseBundle(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	source, err := collateral.NewStatic(carried)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, about := range source.List() {
		fmt.Printf("Intel: %s, FMSPC %x\n", about.TEE, about.FMSPC)
	}
	for _, line := range []string{"Genoa", "Turin"} {
		_, err := source.AMD(context.Background(), collateral.AMDQuery{Line: line})
		fmt.Printf("AMD: %s, absent %t\n", line, errors.Is(err, collateral.ErrNotFound))
	}
	// Output:
	// Intel: SGX, FMSPC 00906ed50000
	// AMD: Genoa, absent false
	// AMD: Turin, absent true
}

// Read what is in a folder: bundles, responses of the vendors' services, lists and certificates.
func ExampleLoad() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}
	set, err := intel.Collateral(platform, healthy).Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}
	folder, err := os.MkdirTemp("", "collateral")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "set.json"), set, 0o644); err != nil {
		fmt.Println(err)
		return
	}

	bundle, err := collateral.Load(os.DirFS(folder), ".")
	if err != nil {
		fmt.Println(err)
		return
	}
	about, err := bundle.Intel[0].About()
	if err != nil {
		fmt.Println(err)
		return
	}
	renew := about.NextUpdate.Format(time.DateOnly)
	fmt.Printf("%s, FMSPC %x, to be renewed by %s\n", about.TEE, about.FMSPC, renew)
	// Output: SGX, FMSPC 00906ed50000, to be renewed by 2026-03-30
}
