package collateral_test

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func dated(at time.Time, number int64) func(string, *x509.RevocationList) {
	return func(_ string, c *x509.RevocationList) {
		c.ThisUpdate, c.NextUpdate, c.Number = at, at.AddDate(0, 1, 0), big.NewInt(number)
	}
}

// TestPiecesMoveForward: of the sets of a bundle each piece is used in its newest form.
func TestPiecesMoveForward(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	set := func(issued time.Time, edit func(string, *x509.RevocationList)) *collateral.Intel {
		tcb := evidencetest.HealthyTCB(now)
		tcb.Issued = issued
		return pki.Collateral(m, evidencetest.CollateralConfig{TCB: tcb, EditCRL: edit})
	}
	newLists := set(now.AddDate(0, 0, -5), dated(now.AddDate(0, 0, -1), 9))
	newInfo := set(now.AddDate(0, 0, -2), dated(now.AddDate(0, 0, -9), 1))
	for name, order := range map[string][]*collateral.Intel{
		"first": {newLists, newInfo}, "last": {newInfo, newLists},
	} {
		s, err := collateral.NewStatic(&collateral.Bundle{Intel: order})
		if err != nil {
			t.Fatal(err)
		}
		about, err := newInfo.About()
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Intel(t.Context(), collateral.Query{TEE: about.TEE, FMSPC: about.FMSPC, CA: about.CA})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.TCBInfo, newInfo.TCBInfo) || !bytes.Equal(got.PCKCRL, newLists.PCKCRL) ||
			!bytes.Equal(got.RootCRL, newLists.RootCRL) {
			t.Errorf("the newer lists %s: a piece is not the newest", name)
		}
		if got.Digest() == newInfo.Digest() || got.Digest() == newLists.Digest() || got.Digest() == ([32]byte{}) {
			t.Errorf("the newer lists %s: the set has the digest of another, which caches would take it for", name)
		}
	}
}

func TestWhichListIsNewer(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	list := func(days int, number int64) *collateral.Intel {
		return pki.Collateral(m, evidencetest.CollateralConfig{
			TCB:     evidencetest.HealthyTCB(now),
			EditCRL: dated(now.AddDate(0, 0, days), number),
		})
	}
	base := list(0, 5)
	for name, tc := range map[string]struct {
		other []byte
		newer bool
	}{
		"the same":                      {base.PCKCRL, false},
		"a higher number":               {list(0, 6).PCKCRL, true},
		"a higher number, earlier":      {list(-1, 6).PCKCRL, true},
		"a lower number, later":         {list(1, 4).PCKCRL, false},
		"the same number, later":        {list(1, 5).PCKCRL, true},
		"the same number, earlier":      {list(-1, 5).PCKCRL, false},
		"of the root":                   {list(1, 9).RootCRL, false},
		"no list":                       {nil, false},
		"what cannot be read as a list": {[]byte("0\x82"), false},
	} {
		if got := collateral.NewerCRL(tc.other, base.PCKCRL); got != tc.newer {
			t.Errorf("%s: newer %v", name, got)
		}
	}
	if collateral.NewerCRL(base.PCKCRL, nil) {
		t.Error("a list replaces none")
	}
}
