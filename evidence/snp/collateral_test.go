package snp_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
)

func leafOf(t *testing.T, c *evidencetest.Chip) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(c.VCEK().Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestAVCEKNamesItsChipAndTCB(t *testing.T) {
	for line, hierarchy := range hierarchies {
		chip := hierarchy().Chip(evidencetest.ChipConfig{})
		got, err := snp.VCEKOf(leafOf(t, chip))
		if err != nil || got.Path != chip.VCEK().Path || !bytes.Equal(got.Certificate, chip.VCEK().Certificate) {
			t.Errorf("%s: %v %v", line, got, err)
		}
	}
	a := hierarchies[snp.Milan]()
	lent := a.Chip(evidencetest.ChipConfig{CSP: cloud})
	if _, err := snp.VCEKOf(leafOf(t, lent)); err == nil || !strings.Contains(err.Error(), "VLEK") {
		t.Errorf("a VLEK: %v", err)
	}
	root, _ := pem.Decode(a.RootsPEM())
	cert, err := x509.ParseCertificate(root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snp.VCEKOf(cert); err == nil {
		t.Error("a root is taken for a VCEK")
	}
}

func TestOnlyTheVCEKThatWasAskedForIsKept(t *testing.T) {
	a := hierarchies[snp.Milan]()
	chip := a.Chip(evidencetest.ChipConfig{})
	report, err := snp.ParseReport(chip.Report(evidencetest.ReportConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	asked := snp.Milan.Query(report.ChipID, report.ReportedTCB)
	v := snp.New(snp.Config{Roots: a.Roots()})
	if err := v.CheckVCEK(chip.VCEK(), asked, a.Collateral(false), now); err != nil {
		t.Fatal(err)
	}

	bare, err := snp.ParseRoots(pemOfRoots(t, a.RootsPEM()))
	if err != nil {
		t.Fatal(err)
	}
	withoutCA := snp.New(snp.Config{Roots: bare})
	if err := withoutCA.CheckVCEK(chip.VCEK(), asked, a.Collateral(false), now); err != nil {
		t.Errorf("the published chain is not used: %v", err)
	}
	stranger := hierarchies[snp.Genoa]()
	other := a.Chip(evidencetest.ChipConfig{}).VCEK()
	moved := *other
	moved.Path = asked.String()
	lent := *a.Chip(evidencetest.ChipConfig{CSP: cloud}).VCEK()
	lent.Path = asked.String()
	forged := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now}).Chip(evidencetest.ChipConfig{
		HWID: report.ChipID, TCB: report.ReportedTCB})
	for name, tc := range map[string]struct {
		v         *snp.Verifier
		vcek      *collateral.VCEK
		published *collateral.AMD
		at        time.Time
		want      string
	}{
		"another chip's":           {v, other, nil, now, "asked for"},
		"another chip's, renamed":  {v, &moved, nil, now, "asked for"},
		"a VLEK":                   {v, &lent, nil, now, "asked for"},
		"not a certificate":        {v, &collateral.VCEK{Path: asked.String(), Certificate: []byte("x")}, nil, now, ""},
		"expired":                  {v, chip.VCEK(), nil, now.AddDate(8, 0, 0), "not valid at"},
		"not valid yet":            {v, chip.VCEK(), nil, now.AddDate(-1, 0, 0), "not valid at"},
		"of an unknown CA":         {v, forged.VCEK(), nil, now, "not signed by"},
		"without its CA":           {withoutCA, chip.VCEK(), nil, now, "not signed by"},
		"with a CA of other chips": {withoutCA, chip.VCEK(), stranger.Collateral(false), now, "not signed by"},
		"with a broken chain":      {v, chip.VCEK(), &collateral.AMD{Chain: []byte("x")}, now, ""},
		"of a line without a root": {snp.New(snp.Config{Roots: stranger.Roots()}), chip.VCEK(), nil, now, "no root"},
	} {
		err := tc.v.CheckVCEK(tc.vcek, asked, tc.published, tc.at)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pemOfRoots leaves the self-signed certificates.
func pemOfRoots(t *testing.T, all []byte) (roots []byte) {
	t.Helper()
	for block, rest := pem.Decode(all); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			roots = append(roots, pem.EncodeToMemory(block)...)
		}
	}
	return roots
}

func TestWhatAMDPublishesIsVerifiedBeforeItIsKept(t *testing.T) {
	a, stranger := hierarchies[snp.Milan](), hierarchies[snp.Genoa]()
	v := snp.New(snp.Config{Roots: a.Roots()})
	for _, vlek := range []bool{false, true} {
		from, to, err := v.CheckPublished(a.Collateral(vlek), now)
		if err != nil || now.Before(from) || now.After(to) {
			t.Errorf("vlek %v: %s to %s, %v", vlek, from, to, err)
		}
	}
	edited := func(edit func(*collateral.AMD)) *collateral.AMD {
		c := *a.Collateral(false)
		edit(&c)
		return &c
	}
	for name, tc := range map[string]struct {
		c    *collateral.AMD
		at   time.Time
		want string
	}{
		"a line without a root": {stranger.Collateral(false), now, "no root"},
		"a list of other chips": {edited(func(c *collateral.AMD) { c.CRL = stranger.Collateral(false).CRL }), now,
			"revocation list"},
		"a list that expired":   {a.Collateral(false), now.AddDate(5, 0, 0), "window"},
		"a list of later":       {a.Collateral(false), now.AddDate(-5, 0, 0), "window"},
		"not a list":            {edited(func(c *collateral.AMD) { c.CRL = []byte("x") }), now, "revocation list"},
		"data after the list":   {edited(func(c *collateral.AMD) { c.CRL = append(bytes.Clone(c.CRL), 0) }), now, ""},
		"no chain":              {edited(func(c *collateral.AMD) { c.Chain = nil }), now, "chain"},
		"a broken chain":        {edited(func(c *collateral.AMD) { c.Chain = []byte("x") }), now, "chain"},
		"the CA of other chips": {edited(func(c *collateral.AMD) { c.Chain = stranger.Chain(false) }), now, "chain"},
		"the CA of VLEKs":       {edited(func(c *collateral.AMD) { c.Chain = a.Chain(true) }), now, "chain"},
	} {
		if _, _, err := v.CheckPublished(tc.c, tc.at); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEvidenceSaysWhatMustBeFetched(t *testing.T) {
	a := hierarchies[snp.Milan]()
	vcek, vlek := a.Chip(evidencetest.ChipConfig{}), a.Chip(evidencetest.ChipConfig{CSP: cloud})
	for name, tc := range map[string]struct {
		chip   *evidencetest.Chip
		report evidencetest.ReportConfig
		certs  bool
		lines  int
		vceks  int
	}{
		"a report alone":                {vcek, evidencetest.ReportConfig{}, false, 1, 1},
		"a report of version 2":         {vcek, evidencetest.ReportConfig{Version: 2}, false, 2, 2},
		"version 2 with its VCEK":       {vcek, evidencetest.ReportConfig{Version: 2}, true, 1, 0},
		"a report with its VCEK":        {vcek, evidencetest.ReportConfig{}, true, 1, 0},
		"a report without a chip id":    {vcek, evidencetest.ReportConfig{MaskChip: true}, false, 1, 0},
		"a report signed by a VLEK":     {vlek, evidencetest.ReportConfig{}, false, 1, 0},
		"a VLEK report with its VLEK":   {vlek, evidencetest.ReportConfig{}, true, 1, 0},
		"version 2 signed by some VLEK": {vlek, evidencetest.ReportConfig{Version: 2}, false, 2, 0},
	} {
		f := &snp.Framed{Report: tc.chip.Report(tc.report)}
		if tc.certs {
			f.Certificates = tc.chip.VCEK().Certificate
		}
		n, err := snp.Needs(f)
		if err != nil || len(n.Published) != tc.lines || len(n.VCEK) != tc.vceks {
			t.Errorf("%s: %+v, %v", name, n, err)
			continue
		}
		if tc.vceks == 1 && n.VCEK[0].String() != tc.chip.VCEK().Path {
			t.Errorf("%s: %s, want %s", name, n.VCEK[0], tc.chip.VCEK().Path)
		}
		for _, p := range n.Published {
			if p.VLEK != (tc.chip == vlek) {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
	for name, f := range map[string]*snp.Framed{
		"no report": {},
		"certificates that do not parse": {Report: vcek.Report(evidencetest.ReportConfig{}),
			Certificates: []byte("x")},
		"an unknown CPU": {Report: vcek.Report(evidencetest.ReportConfig{Family: 0x7f, Model: 1})},
	} {
		if n, err := snp.Needs(f); err == nil {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

func TestAReportNamesItsLineFromVersion3(t *testing.T) {
	for line, hierarchy := range hierarchies {
		chip := hierarchy().Chip(evidencetest.ChipConfig{})
		r, err := snp.ParseReport(chip.Report(evidencetest.ReportConfig{}))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := snp.LineOf(r); !ok || got != line {
			t.Errorf("%s: %s %v", line, got, ok)
		}
		r.Version = 2
		if got, ok := snp.LineOf(r); ok {
			t.Errorf("version 2 of %s: %s", line, got)
		}
	}
}

func TestRootsSayWhatTheyContain(t *testing.T) {
	a := hierarchies[snp.Milan]()
	roots := a.Roots()
	for block, rest := pem.Decode(a.RootsPEM()); block != nil; block, rest = pem.Decode(rest) {
		if !roots.Holds(block.Bytes) {
			t.Error("a root or intermediate of the file is not found")
		}
	}
	if roots.Holds(a.Chip(evidencetest.ChipConfig{}).VCEK().Certificate) {
		t.Error("a VCEK is taken for a root")
	}
	for _, vlek := range []bool{false, true} {
		q := collateral.AMDQuery{Line: string(snp.Milan), VLEK: vlek}
		block, rest := pem.Decode(roots.Intermediates(q))
		if block == nil || len(rest) > 0 || !bytes.Contains(a.Chain(vlek), pem.EncodeToMemory(block)) {
			t.Errorf("vlek %v: not the CA of the branch", vlek)
		}
	}
	if roots.Intermediates(collateral.AMDQuery{Line: "Genoa"}) != nil {
		t.Error("a CA of an unknown line")
	}
}
