package collateralcache_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/kds"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/test/kit/fakevendor"
)

func TestOnceWarmNothingIsFetched(t *testing.T) {
	l := newLab(t, nil)
	for range 100 {
		if _, err := l.plane.Intel(t.Context(), l.query); err != nil {
			t.Fatal(err)
		}
		if _, err := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(l.vendor.Paths()); got != 6 {
		t.Errorf("%d requests, want 4 to Intel and 2 to AMD: %v", got, l.vendor.Paths())
	}
	stats := l.plane.Stats()
	if stats["intel"].Hits != 99 || stats["intel"].Fetches != 1 || stats["amd"].Fetches != 1 {
		t.Errorf("stats = %+v", stats)
	}
}

func TestSimultaneousRequestsShareOneFetch(t *testing.T) {
	l := newLab(t, nil)
	l.vendor.Set(fakevendor.Mood{Delay: 20 * time.Millisecond})
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := l.plane.Intel(t.Context(), l.query); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(l.vendor.Paths()); got != 4 {
		t.Errorf("%d requests, want 4", got)
	}
}

// TestNewChipsAgainstAThrottledService appraises 1,000 reports of 100 chips at
// once. The service allows one request in 10 ms.
func TestNewChipsAgainstAThrottledService(t *testing.T) {
	const spacing = 10 * time.Millisecond
	l := newLab(t, func(c *collateralcache.Config) {})
	l.cfg.AMD = kds.New(kds.Config{
		URL:      l.vendor.URL,
		Throttle: collateralcache.NewThrottle("amd", spacing, 0, nil, time.Now),
	})
	l.open(t)
	l.vendor.Set(fakevendor.Mood{Spacing: spacing})
	var reports [][]byte
	for range 100 {
		chip := l.amd.Chip(evidencetest.ChipConfig{})
		l.vendor.Add(&collateral.Bundle{VCEK: []*collateral.VCEK{chip.VCEK()}})
		reports = append(reports, chip.Report(evidencetest.ReportConfig{}))
	}
	if _, err := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"}); err != nil {
		t.Fatal(err)
	}
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			v, err := a.Appraise(t.Context(),
				appraisal.Request{Kind: evidence.SEVSNPVM, Evidence: reports[i%100], Time: start},
				appraisal.Provider{})
			if err != nil || !v.Accepted {
				t.Errorf("report %d: %+v, %v", i, v, err)
			}
		})
	}
	wg.Wait()
	asked := map[string]int{}
	for _, path := range l.vendor.Paths() {
		if strings.HasPrefix(path, "vcek/v1/Milan/") && strings.Contains(path, "?") {
			asked[path]++
		}
	}
	if len(asked) != 100 || slices.Max(slices.Collect(maps.Values(asked))) != 1 {
		t.Errorf("%d chips were asked for, at most %d times each; want 100, once", len(asked),
			slices.Max(slices.Collect(maps.Values(asked))))
	}
	t.Logf("1000 appraisals of 100 new chips: %d fetches, %d requests to AMD in all", len(asked),
		l.requests("v"))
}

// TestADeadServiceHasNoEffectBeforeNextUpdate appraises while Intel's service is
// dead and the cache is warm.
func TestADeadServiceHasNoEffectBeforeNextUpdate(t *testing.T) {
	l := newLab(t, nil)
	quote := l.m.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()})
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	appraise := func() error {
		v, err := a.Appraise(t.Context(),
			appraisal.Request{Kind: evidence.TDXVM, Evidence: quote, Time: l.clock()}, appraisal.Provider{})
		if err == nil && !v.Accepted {
			err = v.Rejection
		}
		return err
	}
	if err := appraise(); err != nil {
		t.Fatal(err)
	}
	l.vendor.Close()
	appraisals := 0
	next := evidencetest.HealthyTDXTCB(start).Next
	for l.clock().Before(next) {
		l.plane.Renew(t.Context())
		for range 10 {
			if err := appraise(); err != nil {
				t.Fatalf("at %s: %v", l.clock(), err)
			}
			appraisals++
		}
		l.turn(min(12*time.Hour, next.Sub(l.clock())))
	}
	l.turn(time.Second)
	if err := appraise(); !errors.Is(err, collateral.ErrUnavailable) ||
		!strings.Contains(err.Error(), "expired on "+next.UTC().Format(time.RFC3339)) {
		t.Errorf("after nextUpdate: %v", err)
	}
	if !strings.Contains(l.logged.String(), "collateral is about to expire") {
		t.Error("there was no warning")
	}
	t.Logf("%d appraisals with a dead service: 0 failed until nextUpdate", appraisals)
}

func TestOutageMode(t *testing.T) {
	l := newLab(t, func(c *collateralcache.Config) { c.Outage = 6 * time.Hour })
	quote := l.m.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()})
	report := l.amd.Chip(evidencetest.ChipConfig{})
	raw := report.Evidence(l.amd, report.Report(evidencetest.ReportConfig{}))
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	appraise := func(kind evidence.Kind, raw []byte) (*appraisal.Verdict, error) {
		return a.Appraise(t.Context(), appraisal.Request{Kind: kind, Evidence: raw, Time: l.clock()},
			appraisal.Provider{})
	}
	marked := func(v *appraisal.Verdict) bool {
		claim, _ := v.Claims.Get("x-probity-collateral")
		text, _ := claim.Text()
		return text == "stale"
	}
	if v, err := appraise(evidence.TDXVM, quote); err != nil || !v.Accepted || marked(v) {
		t.Fatalf("warm: %+v, %v", v, err)
	}
	l.vendor.Set(fakevendor.Mood{Status: 500})
	l.turn(evidencetest.HealthyTDXTCB(start).Next.Sub(start) + time.Hour)
	v, err := appraise(evidence.TDXVM, quote)
	if err != nil || !v.Accepted || !marked(v) {
		t.Errorf("within the outage: %+v, %v", v, err)
	}
	if l.plane.Stats()["intel"].Stale != 1 {
		t.Errorf("stats = %+v", l.plane.Stats())
	}
	l.turn(6 * time.Hour)
	if v, err := appraise(evidence.TDXVM, quote); !errors.Is(err, collateral.ErrUnavailable) {
		t.Errorf("after the outage: %+v, %v", v, err)
	}
	l.vendor.Set(fakevendor.Mood{})
	l.vendor.Add(&collateral.Bundle{Intel: []*collateral.Intel{l.set(nil)}})
	l.turn(10 * time.Minute) // the pause after failures
	if v, err := appraise(evidence.TDXVM, quote); err != nil || !v.Accepted || marked(v) {
		t.Errorf("when the service is back: %+v, %v", v, err)
	}
	if v, err := appraise(evidence.SEVSNPVM, raw); err != nil || !v.Accepted || marked(v) {
		t.Errorf("SNP: %+v, %v", v, err)
	}
}

func TestRenewal(t *testing.T) {
	l := newLab(t, nil)
	first, err := l.plane.Intel(t.Context(), l.query)
	if err != nil {
		t.Fatal(err)
	}
	before := len(l.vendor.Paths())
	l.plane.Renew(t.Context())
	if got := len(l.vendor.Paths()); got != before {
		t.Errorf("%d requests for what is fresh", got-before)
	}
	l.turn(25 * time.Hour)
	l.vendor.Add(&collateral.Bundle{Intel: []*collateral.Intel{l.set(func(tcb *evidencetest.TCB) {
		tcb.Number = 21
	})}})
	l.plane.Renew(t.Context())
	got, err := l.plane.Intel(t.Context(), l.query)
	if err != nil || got == first {
		t.Errorf("not renewed: %v", err)
	}
	if list := l.plane.List(); len(list) != 1 || list[0].EvaluationNumber != 21 {
		t.Errorf("list = %+v", list)
	}
}

// TestAServiceThatThrottlesIsAskedAgain holds back as it asks, then goes on.
// TestFalseCollateralGivesNoVerdict: evidence is not refused for what a service sent.
