package appraisal_test

import (
	"crypto/rand"
	"slices"
	"testing"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// certificationData names a platform as quotes with certification data of types 1 to 3 do.
func certificationData(m *evidencetest.Platform, typ uint16) []byte {
	ppid := m.Cfg.PPID[:]
	if typ != 1 {
		ppid = make([]byte, map[uint16]int{2: 256, 3: 384}[typ]) // encrypted for Intel
	}
	return slices.Concat(ppid, m.Cfg.CPUSVN[:],
		[]byte{byte(m.Cfg.PCESVN), byte(m.Cfg.PCESVN >> 8), m.Cfg.PCEID[1], m.Cfg.PCEID[0]})
}

func TestQuotesThatNameTheirPlatformAreVerifiedWithAChainOfTheCollateral(t *testing.T) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	cfg := evidencetest.HealthyPlatform()
	cfg.PPID[0] ^= 1
	other := pki.Platform(cfg)
	set := func(chain []byte) *collateral.Intel {
		c := pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)})
		c.PCKCertificateChain = chain
		return c
	}
	static := func(b *collateral.Bundle) collateral.Source {
		s, err := collateral.NewStatic(b)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	foreign := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	for name, tc := range map[string]struct {
		source  collateral.Source
		refused string
	}{
		"chain in the set":     {collateral.Fixed(set(m.Chain)), ""},
		"chain beside the set": {collateral.Fixed(set(nil), m.Chain), ""},
		"chain in a set of many": {
			static(&collateral.Bundle{Intel: []*collateral.Intel{set(m.Chain)}}), "",
		},
		"two machines, this one first": {static(&collateral.Bundle{
			Intel: []*collateral.Intel{set(nil)},
			PCK:   [][]byte{m.Chain, other.Chain},
		}), ""},
		"two machines, this one last": {static(&collateral.Bundle{
			Intel: []*collateral.Intel{set(nil)},
			PCK:   [][]byte{other.Chain, m.Chain},
		}), ""},
		"no chain":                     {collateral.Fixed(set(nil)), "dcap.pck.certificates"},
		"only that of another machine": {collateral.Fixed(set(other.Chain)), "dcap.pck.certificates"},
		"a chain under another root": {
			collateral.Fixed(set(nil), foreign.Platform(evidencetest.HealthyPlatform()).Chain),
			"dcap.pck.root",
		},
		"a chain that cannot be read":    {collateral.Fixed(set(nil), []byte("chain")), "dcap.pck.certificates"},
		"one that cannot be read and it": {collateral.Fixed(set(nil), []byte("chain"), m.Chain), ""},
	} {
		for _, typ := range []uint16{1, 2, 3} {
			quote := m.Quote(evidencetest.QuoteConfig{
				Enclave:  evidencetest.DemoEnclave(),
				CertType: typ,
				CertData: certificationData(m, typ),
			})
			a := &appraisal.Appraiser{
				Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
				Collateral: tc.source,
				Random:     rand.Reader,
			}
			v, err := a.Appraise(t.Context(),
				appraisal.Request{Kind: evidence.SGXEnclave, Evidence: quote, Time: now},
				appraisal.Provider{})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if v.Rejection != nil {
				got = v.Rejection.Check.ID
			}
			want := tc.refused
			if name == "only that of another machine" && typ != 1 {
				want = "dcap.qe-report.signature" // the PPID is encrypted: the key tells
			}
			if got != want {
				t.Errorf("%s, type %d: refused by %q, expected %q: %v", name, typ, got, want, v.Rejection)
			}
		}
	}
}
