package snp_test

import (
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hierarchies are made once: RSA keys take their time.
var hierarchies = map[snp.Line]func() *evidencetest.AMD{
	snp.Milan: sync.OnceValue(func() *evidencetest.AMD {
		return evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Milan})
	}),
	snp.Genoa: sync.OnceValue(func() *evidencetest.AMD {
		return evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Genoa})
	}),
	snp.Turin: sync.OnceValue(func() *evidencetest.AMD {
		return evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Turin})
	}),
}

var publisher = sync.OnceValue(func() *evidencetest.UVM {
	return evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
})

// cloud is the CSP id of the healthy VLEKs.
const cloud = "CN=cc-eu-central-1.amazonaws.com"

// lab is a chip with a verifier that trusts its maker.
type lab struct {
	*evidencetest.AMD
	chip *evidencetest.Chip
	cfg  snp.Config
	ev   evidence.Evidence
}

func newLab(t testing.TB, line snp.Line, chip evidencetest.ChipConfig) *lab {
	t.Helper()
	a := hierarchies[line]()
	return &lab{AMD: a, chip: a.Chip(chip), cfg: snp.Config{Roots: a.Roots()}, ev: evidence.Evidence{Time: now}}
}

// verify makes a report, frames it, and verifies it.
func (l *lab) verify(t testing.TB, report evidencetest.ReportConfig) (*evidence.Result, error) {
	t.Helper()
	l.ev.Raw = l.chip.Evidence(l.AMD, l.chip.Report(report))
	return l.run(t)
}

func (l *lab) run(t testing.TB) (*evidence.Result, error) {
	t.Helper()
	return snp.New(l.cfg).Verify(t.Context(), l.ev)
}

// refusal returns the id of the check that refused, or "".
func refusal(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var r *evidence.Rejection
	if !errors.As(err, &r) {
		t.Fatalf("no verdict: %v", err)
	}
	if r.Check.Expected == "" || r.Check.Found == "" || r.Check.Remedy == "" {
		t.Errorf("%s does not explain itself: %+v", r.Check.ID, r.Check)
	}
	return r.Check.ID
}

// bound puts the SHA-256 of data in front of zeros.
func bound(data []byte) (field [64]byte) {
	sum := sha256.Sum256(data)
	copy(field[:], sum[:])
	return field
}

func source(t testing.TB, b *collateral.Bundle) collateral.Source {
	t.Helper()
	s, err := collateral.NewStatic(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trust() []uvm.Trust {
	return []uvm.Trust{{
		Issuer: publisher().DID(),
		Feed:   "ContainerPlat-AMD-UVM",
		MinSVN: 100,
		Status: "azure-compliant-uvm",
	}}
}
