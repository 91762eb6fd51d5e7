package kds_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/kds"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/test/kit/fakevendor"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestPathsOfEachGeneration(t *testing.T) {
	for line, want := range map[snp.Line]string{
		snp.Milan: "?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219",
		snp.Genoa: "?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219",
		snp.Turin: "?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81",
	} {
		a := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: line})
		chip := a.Chip(evidencetest.ChipConfig{})
		s := fakevendor.New()
		s.Add(&collateral.Bundle{
			VCEK: []*collateral.VCEK{chip.VCEK()},
			AMD:  []*collateral.AMD{a.Collateral(false), a.Collateral(true)},
		})
		client := kds.New(kds.Config{URL: s.URL + "/"})
		q := line.Query(chip.HWID, chip.TCB)
		c, err := client.VCEK(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		v := snp.New(snp.Config{Roots: a.Roots()})
		if err := v.CheckVCEK(c, q, nil, now); err != nil {
			t.Error(err)
		}
		if back, err := collateral.ParseVCEKQuery(c.Path); err != nil || back.String() != q.String() ||
			!strings.HasSuffix(c.Path, want) {
			t.Errorf("%s: %s, %v", line, c.Path, err)
		}
		for _, vlek := range []bool{false, true} {
			published, err := client.AMD(t.Context(), collateral.AMDQuery{Line: string(line), VLEK: vlek})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := v.CheckPublished(published, now); err != nil {
				t.Error(err)
			}
		}
		s.Close()
	}
}

func TestFailures(t *testing.T) {
	a := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := a.Chip(evidencetest.ChipConfig{})
	s := fakevendor.New()
	defer s.Close()
	client := kds.New(kds.Config{URL: s.URL})
	q := snp.Milan.Query(chip.HWID, chip.TCB)
	if _, err := client.VCEK(t.Context(), q); !errors.Is(err, collateral.ErrNotFound) {
		t.Errorf("an unknown chip: %v", err)
	}
	_, err := client.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"})
	if !errors.Is(err, collateral.ErrNotFound) {
		t.Errorf("an unknown line: %v", err)
	}
	s.Add(&collateral.Bundle{VCEK: []*collateral.VCEK{{Path: q.String(), Certificate: []byte("hello")}}})
	if _, err := client.VCEK(t.Context(), q); err == nil || errors.Is(err, collateral.ErrNotFound) {
		t.Errorf("no certificate: %v", err)
	}
	s.Set(fakevendor.Mood{Status: 429, RetryAfter: "7"})
	if _, err := client.VCEK(t.Context(), q); err == nil || !strings.Contains(err.Error(), "try again later") {
		t.Errorf("throttled: %v", err)
	}
}

// TestFalseAnswersAboutChips: what the service sends is checked against what was asked.
func TestFalseAnswersAboutChips(t *testing.T) {
	a := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	foreign := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	v := snp.New(snp.Config{Roots: a.Roots()})
	chip, other, vlek := a.Chip(evidencetest.ChipConfig{}), a.Chip(evidencetest.ChipConfig{}),
		a.Chip(evidencetest.ChipConfig{CSP: "CN=cc-x.amazonaws.com"})
	stranger := foreign.Chip(evidencetest.ChipConfig{HWID: chip.HWID})
	q := snp.Milan.Query(chip.HWID, chip.TCB)
	for name, der := range map[string][]byte{
		"another chip": other.Cert.Raw, "a VLEK": vlek.Cert.Raw, "a stranger": stranger.Cert.Raw,
		"a CA": a.ASK.Cert.Raw, "nothing": nil,
	} {
		if err := v.CheckVCEK(&collateral.VCEK{Path: q.String(), Certificate: der}, q, nil, now); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	good := &collateral.VCEK{Path: q.String(), Certificate: chip.Cert.Raw}
	if err := v.CheckVCEK(good, q, nil, now); err != nil {
		t.Error(err)
	}
	if err := v.CheckVCEK(good, q, nil, now.AddDate(8, 0, 0)); err == nil {
		t.Error("an expired one was taken")
	}
	for name, c := range map[string]*collateral.AMD{
		"a foreign chain": {
			AMDQuery: collateral.AMDQuery{Line: "Milan"},
			Chain:    foreign.Chain(false),
			CRL:      a.CRL(evidencetest.CRLConfig{}),
		},
		"a foreign list": {
			AMDQuery: collateral.AMDQuery{Line: "Milan"},
			Chain:    a.Chain(false),
			CRL:      foreign.CRL(evidencetest.CRLConfig{}),
		},
		"another branch": {
			AMDQuery: collateral.AMDQuery{Line: "Milan", VLEK: true},
			Chain:    a.Chain(false),
			CRL:      a.CRL(evidencetest.CRLConfig{}),
		},
		"another line": {
			AMDQuery: collateral.AMDQuery{Line: "Genoa"},
			Chain:    a.Chain(false),
			CRL:      a.CRL(evidencetest.CRLConfig{}),
		},
		"a stale list": {
			AMDQuery: collateral.AMDQuery{Line: "Milan"},
			Chain:    a.Chain(false),
			CRL:      a.CRL(evidencetest.CRLConfig{NextUpdate: now.Add(-time.Hour)}),
		},
		"no list":  {AMDQuery: collateral.AMDQuery{Line: "Milan"}, Chain: a.Chain(false)},
		"no chain": {AMDQuery: collateral.AMDQuery{Line: "Milan"}, CRL: a.CRL(evidencetest.CRLConfig{})},
	} {
		if _, _, err := v.CheckPublished(c, now); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
