package collateralcache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/test/kit/fakevendor"
)

// counted is Intel's service without a network.
type counted struct {
	calls atomic.Int64
	set   func() *collateral.Intel
}

func (c *counted) Intel(context.Context, collateral.Query) (*collateral.Intel, error) {
	c.calls.Add(1)
	return c.set(), nil
}

// TestRunRenewsBeforeTheEnd lets ten weeks pass: no request ever waits for a fetch,
// and each day has one.
func TestRunRenewsBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: time.Now()})
		m := pki.Platform(evidencetest.HealthyPlatform())
		service := &counted{set: func() *collateral.Intel {
			return pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(time.Now())})
		}}
		engine := dcap.New(dcap.Config{Anchor: pki.Anchor()})
		p, err := collateralcache.New(t.Context(), collateralcache.Config{
			Intel:  service,
			Checks: collateralcache.Checks{Intel: engine.CheckCollateral},
			Now:    time.Now,
			Jitter: func() float64 { return 0.3 },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		ctx, stop := context.WithCancel(t.Context())
		go p.Run(ctx)
		q := collateral.Query{TEE: collateral.TDX, FMSPC: evidencetest.HealthyPlatform().FMSPC, CA: "platform"}
		for range 70 {
			before := service.calls.Load()
			if _, err := p.Intel(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			if asked := service.calls.Load() - before; asked > 0 && before > 0 {
				t.Errorf("an appraisal had to fetch at %s", time.Now())
			}
			time.Sleep(24 * time.Hour)
		}
		if calls := service.calls.Load(); calls < 60 || calls > 80 {
			t.Errorf("%d fetches in 70 days, want one a day", calls)
		}
		stop()
		synctest.Wait()
	})
}

// TestOutageModeOfAMD has a revocation list that is required, has expired, and
// cannot be fetched again.
func TestOutageModeOfAMD(t *testing.T) {
	for name, tc := range map[string]struct {
		outage   time.Duration
		accepted bool
	}{"on": {48 * time.Hour, true}, "off": {0, false}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(c *collateralcache.Config) { c.Outage = tc.outage })
			chip := l.amd.Chip(evidencetest.ChipConfig{})
			raw := chip.Evidence(l.amd, chip.Report(evidencetest.ReportConfig{}))
			l.trust.AMD = snp.Config{Roots: l.amd.Roots(), RequireCRL: true}
			a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
			appraise := func() (*appraisal.Verdict, error) {
				return a.Appraise(t.Context(),
					appraisal.Request{Kind: evidence.SEVSNPVM, Evidence: raw, Time: l.clock()},
					appraisal.Provider{})
			}
			if v, err := appraise(); err != nil || !v.Accepted || v.Claims.Has("x-probity-collateral") {
				t.Fatalf("warm: %+v, %v", v, err)
			}
			l.vendor.Set(fakevendor.Mood{Status: 500})
			l.turn(start.AddDate(1, 0, 1).Sub(start))
			v, err := appraise()
			if accepted := err == nil && v.Accepted; accepted != tc.accepted {
				t.Fatalf("in the outage: %+v, %v", v, err)
			}
			if tc.accepted {
				if claim, _ := v.Claims.Get("x-probity-collateral"); claim.String() != `"stale"` {
					t.Errorf("the claim says %v", claim)
				}
			}
		})
	}
}
