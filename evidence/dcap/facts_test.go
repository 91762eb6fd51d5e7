package dcap_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func TestTCBStatusIsAFact(t *testing.T) {
	l := newLab()
	older := func(s *scene) { s.platform.Components[0]-- }
	oldQE := func(s *scene) { s.quote.QE = evidencetest.HealthyQE(); s.quote.QE.SVN = 4 }
	newest := func(status string) func(*scene) {
		return func(s *scene) { s.collateral.TCB.Levels[0].Status = status }
	}
	for name, tc := range map[string]struct {
		edits      []func(*scene)
		status     string
		advisories []string
	}{
		"newest level":             {nil, "UpToDate", []string{}},
		"one component older":      {[]func(*scene){older}, "OutOfDate", []string{"INTEL-SA-00001"}},
		"old QE on a new platform": {[]func(*scene){oldQE}, "OutOfDate", []string{"INTEL-SA-00003"}},
		"old QE on an old platform": {
			[]func(*scene){older, oldQE}, "OutOfDate", []string{"INTEL-SA-00001", "INTEL-SA-00003"},
		},
		"software hardening": {
			[]func(*scene){newest("SWHardeningNeeded")}, "SWHardeningNeeded", []string{},
		},
		"software hardening and an old QE": {
			[]func(*scene){newest("SWHardeningNeeded"), oldQE},
			"OutOfDate",
			[]string{"INTEL-SA-00003"},
		},
		"configuration": {
			[]func(*scene){newest("ConfigurationNeeded")}, "ConfigurationNeeded", []string{},
		},
		"configuration and an old QE": {
			[]func(*scene){newest("ConfigurationNeeded"), oldQE},
			"OutOfDateConfigurationNeeded",
			[]string{"INTEL-SA-00003"},
		},
		"both needed and an old QE": {
			[]func(*scene){newest("ConfigurationAndSWHardeningNeeded"), oldQE},
			"OutOfDateConfigurationNeeded",
			[]string{"INTEL-SA-00003"},
		},
		"out of date configuration": {
			[]func(*scene){newest("OutOfDateConfigurationNeeded"), oldQE},
			"OutOfDateConfigurationNeeded",
			[]string{"INTEL-SA-00003"},
		},
		"02 PCESVN below the newest level": {
			[]func(*scene){func(s *scene) { s.platform.PCESVN = 12; s.collateral.TCB.Levels[1].PCESVN = 12 }},
			"OutOfDate",
			[]string{"INTEL-SA-00001"},
		},
		"19 CPUSVN of the report is no proof": {[]func(*scene){older, func(s *scene) {
			s.quote.Enclave.CPUSVN = [16]byte{255, 255, 255, 255, 255, 255}
		}}, "OutOfDate", []string{"INTEL-SA-00001"}},
		"19 SVNs of the header are no proof": {[]func(*scene){older, func(s *scene) {
			s.quote.Header = func(h []byte) { copy(h[8:], "\xff\xff\xff\xff") }
		}}, "OutOfDate", []string{"INTEL-SA-00001"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			for _, edit := range tc.edits {
				edit(&s)
			}
			proof, _, err := l.verify(t, s)
			if err != nil {
				t.Fatal(err)
			}
			if proof.TCB.Status != tc.status {
				t.Errorf("status = %s, want %s", proof.TCB.Status, tc.status)
			}
			if diff := cmp.Diff(tc.advisories, proof.TCB.Advisories); diff != "" {
				t.Errorf("advisories (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTCBDateIsTheEarliest(t *testing.T) {
	s := healthy()
	s.quote.QE = evidencetest.HealthyQE()
	s.quote.QE.SVN = 4
	proof, _, err := newLab().verify(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if want := s.collateral.TCB.QELevels[1].Date; !proof.TCB.Date.Equal(want) {
		t.Errorf("date = %s, want that of the QE's level, %s", proof.TCB.Date, want)
	}
}

func TestShortfallNamesWhatIsTooOld(t *testing.T) {
	s := healthy()
	s.platform.Components[0]--
	proof, _, err := newLab().verify(t, s)
	if err != nil {
		t.Fatal(err)
	}
	want := evidence.Components{{Name: "SGX TCB component 1", Number: 1, Needs: 12, Has: 11}}
	if diff := cmp.Diff(want, proof.TCB.Shortfall); diff != "" {
		t.Errorf("shortfall (-want +got):\n%s", diff)
	}
}

func TestSuppliedPCKServesQuotesThatOnlyNameIt(t *testing.T) {
	l := newLab()
	m := l.pki.Platform(evidencetest.HealthyPlatform())
	ppid := m.Cfg.PPID[:]
	tail := make([]byte, 20)
	for name, tc := range map[string]struct {
		typ   uint16
		data  []byte
		chain []byte
		check string
	}{
		"type 1, clear PPID":         {1, slices.Concat(ppid, tail), m.Chain, ""},
		"type 2, encrypted PPID":     {2, make([]byte, 276), m.Chain, ""},
		"type 3, encrypted PPID":     {3, make([]byte, 404), m.Chain, ""},
		"type 1 of another platform": {1, make([]byte, 36), m.Chain, "dcap.pck.certificates"},
		"type 3 of another PCE":      {3, append(make([]byte, 402), 1, 0), m.Chain, "dcap.pck.certificates"},
		"type 3 of the wrong size":   {3, make([]byte, 403), m.Chain, "dcap.pck.certificates"},
		"another platform's PCK": {3, make([]byte,
			404), l.pki.Platform(evidencetest.HealthyPlatform()).Chain, "dcap.qe-report.signature"},
		"a chain of another hierarchy": {
			3, make([]byte, 404),
			evidencetest.NewIntel(evidencetest.IntelConfig{Now: now}).Platform(m.Cfg).Chain,
			"dcap.pck.root",
		},
		"no PCK supplied":                {3, make([]byte, 404), nil, "dcap.pck.certificates"},
		"type 4, a leaf without a chain": {4, m.PCK.PEM(), m.Chain, "dcap.pck.certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := m.Quote(evidencetest.QuoteConfig{
				Enclave:  evidencetest.DemoEnclave(),
				CertType: tc.typ,
				CertData: tc.data,
			})
			set := l.pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)})
			set.PCKCertificateChain = tc.chain
			result := &evidence.Result{}
			_, err := dcap.New(dcap.Config{Anchor: l.anchor}).Verify(context.Background(), result, raw, collateral.SGX,
				evidence.Evidence{Time: now, Collateral: collateral.Fixed(set)})
			if got := rejectedBy(err); got != tc.check {
				t.Errorf("refused by %q (%v), want %q", got, err, tc.check)
			}
		})
	}
}

// rejectedBy returns the id of the check that refused, or "".
func rejectedBy(err error) string {
	var r *evidence.Rejection
	if errors.As(err, &r) {
		return r.Check.ID
	}
	return ""
}

func TestIntelRootIsTheProductionKey(t *testing.T) {
	a := dcap.IntelRoot()
	if a.Key == nil || !strings.HasPrefix(a.Subject, "CN=Intel SGX Root CA,") {
		t.Fatalf("anchor = %+v", a)
	}
	// A hierarchy of the same names is refused by the production root.
	l := newLab()
	l.anchor = nil
	if _, _, err := l.verify(t, healthy()); rejectedBy(err) != "dcap.pck.root" {
		t.Errorf("refused by %q, want dcap.pck.root", rejectedBy(err))
	}
}

// TestAnchorWithItsKeyExchanged: what was prepared for one key must not judge
// for another.
func TestAnchorWithItsKeyExchanged(t *testing.T) {
	other := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now}).Anchor().Key
	l := newLab()
	if _, _, err := l.verify(t, healthy()); err != nil {
		t.Fatal(err)
	}
	exchanged := *l.anchor
	exchanged.Key = other
	l.anchor = &exchanged
	if _, _, err := l.verify(t, healthy()); rejectedBy(err) == "" {
		t.Error("a chain of the key that was exchanged is accepted")
	}
	l = newLab()
	l.anchor = &dcap.Anchor{
		Key:       l.anchor.Key,
		Subject:   l.anchor.Subject,
		NotBefore: l.anchor.NotBefore,
		NotAfter:  l.anchor.NotAfter,
	}
	if _, _, err := l.verify(t, healthy()); err != nil {
		t.Errorf("an anchor made by hand refuses: %v", err)
	}
}

func TestTDXQuoteIsNotSGXEvidence(t *testing.T) {
	raw := tdxShaped(t)
	result := &evidence.Result{}
	_, err := dcap.New(dcap.Config{}).Verify(context.Background(), result, raw, collateral.SGX,
		evidence.Evidence{Time: now})
	if got := rejectedBy(err); got != "dcap.quote.tee" {
		t.Errorf("refused by %q, want dcap.quote.tee", got)
	}
}

// tdxShaped returns a v4 quote whose header and body have the TDX layout.
func tdxShaped(t *testing.T) []byte {
	t.Helper()
	m := newLab().pki.Platform(evidencetest.HealthyPlatform())
	raw := m.Quote(evidencetest.QuoteConfig{Version: 4})
	raw[4] = 0x81
	raw = slices.Insert(raw, 48, make([]byte, 200)...)
	q, err := dcap.ParseQuote(raw)
	if err != nil || q.BodyType != dcap.BodyTDX10 || len(q.Body) != 584 {
		t.Fatalf("ParseQuote = %+v, %v", q, err)
	}
	return raw
}

func TestASetIsNotReusedForAnotherCA(t *testing.T) {
	l := newLab()
	v := dcap.New(dcap.Config{Anchor: l.anchor})
	platform := l.pki.Platform(evidencetest.HealthyPlatform())
	cfg := evidencetest.HealthyPlatform()
	cfg.Processor = true
	processor := l.pki.Platform(cfg)
	source := collateral.Fixed(l.pki.Collateral(platform,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}))
	for _, tc := range []struct {
		m    *evidencetest.Platform
		want string
	}{{platform, ""}, {processor, "dcap.pck-crl.signature"}, {platform, ""}} {
		_, err := v.Verify(context.Background(), &evidence.Result{}, tc.m.Quote(evidencetest.QuoteConfig{}),
			collateral.SGX,
			evidence.Evidence{Time: now, Collateral: source})
		if got := rejectedBy(err); got != tc.want {
			t.Errorf("refused by %q, want %q", got, tc.want)
		}
	}
}

func TestWhatIsRememberedStillExpires(t *testing.T) {
	l := newLab()
	v := dcap.New(dcap.Config{Anchor: l.anchor})
	m := l.pki.Platform(evidencetest.HealthyPlatform())
	raw := m.Quote(evidencetest.QuoteConfig{})
	source := collateral.Fixed(l.pki.Collateral(m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}))
	for _, tc := range []struct {
		months int
		want   string
	}{{0, ""}, {2, "dcap.root-crl.freshness"}, {120, "dcap.pck.validity"}, {0, ""}} {
		_, err := v.Verify(context.Background(), &evidence.Result{}, raw, collateral.SGX,
			evidence.Evidence{Time: now.AddDate(0, tc.months, 0), Collateral: source})
		if got := rejectedBy(err); got != tc.want {
			t.Errorf("after %d months: refused by %q, want %q", tc.months, got, tc.want)
		}
	}
}

func TestEveryCheckIsDocumentedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range dcap.Catalogue() {
		if seen[d.ID] || d.Meaning == "" || d.Remedy == "" {
			t.Errorf("check %q is repeated or lacks its meaning or remedy", d.ID)
		}
		seen[d.ID] = true
	}
	_, checks, err := newLab().verify(t, healthy())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !seen[c.ID] {
			t.Errorf("check %q is not documented", c.ID)
		}
	}
}
