package dcap_test

import (
	"context"
	"testing"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func BenchmarkVerify(b *testing.B) {
	l := newLab()
	m := l.pki.Platform(evidencetest.HealthyPlatform())
	quote := m.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()})
	source := collateral.Fixed(l.pki.Collateral(m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}))
	for name, cfg := range map[string]dcap.Config{
		"seen before":       {Anchor: l.anchor},
		"chain is new":      {Anchor: l.anchor, Chains: -1},
		"everything is new": {Anchor: l.anchor, Chains: -1, Collateral: -1},
	} {
		b.Run(name, func(b *testing.B) {
			v := dcap.New(cfg)
			b.ReportAllocs()
			for b.Loop() {
				_, err := v.Verify(context.Background(), &evidence.Result{}, quote, collateral.SGX,
					evidence.Evidence{Time: now, Collateral: source})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
