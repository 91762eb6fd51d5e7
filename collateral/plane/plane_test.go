package plane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/kds"
	"github.com/probity-dev/probity/collateral/pcs"
	"github.com/probity-dev/probity/collateral/plane"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/fakevendor"
	"github.com/probity-dev/probity/internal/testtee"
)

// lab is a plane in front of fake vendors, with a clock that tests turn.
type lab struct {
	vendor *fakevendor.Server
	plane  *plane.Plane
	cfg    plane.Config
	intel  *testtee.Intel
	amd    *testtee.AMD
	m      *testtee.Platform
	query  collateral.Query
	trust  appraisal.Trust
	logged *bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

var amd = sync.OnceValue(func() *testtee.AMD { return testtee.NewAMD(testtee.AMDConfig{Now: start}) })

var start = time.Now().Truncate(time.Second)

func newLab(t *testing.T, edit func(*plane.Config)) *lab {
	t.Helper()
	l := &lab{vendor: fakevendor.New(), now: start, amd: amd(), logged: &bytes.Buffer{}}
	t.Cleanup(l.vendor.Close)
	l.intel = testtee.NewIntel(testtee.IntelConfig{Now: start})
	l.m = l.intel.Platform(testtee.HealthyPlatform())
	l.query = collateral.Query{TEE: collateral.TDX, FMSPC: testtee.HealthyPlatform().FMSPC, CA: "platform"}
	l.vendor.Add(&collateral.Bundle{Intel: []*collateral.Intel{l.set(nil)}, AMD: []*collateral.AMD{l.amd.Collateral(false)}})
	intel, err := pcs.New(pcs.Config{URL: l.vendor.URL, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l.trust = appraisal.Trust{Intel: dcap.Config{Anchor: l.intel.Anchor()}, AMD: snp.Config{Roots: l.amd.Roots()}}
	engine, chips := dcap.New(l.trust.Intel), snp.New(l.trust.AMD)
	l.cfg = plane.Config{
		Intel: intel, AMD: kds.New(kds.Config{URL: l.vendor.URL, Timeout: 2 * time.Second}),
		Checks: plane.Checks{Intel: engine.CheckCollateral, AMD: chips.CheckPublished, VCEK: chips.CheckVCEK},
		Now:    l.clock, Jitter: func() float64 { return 0.5 }, Log: slog.New(slog.NewTextHandler(l.logged, nil)),
	}
	if edit != nil {
		edit(&l.cfg)
	}
	l.open(t)
	return l
}

// open starts the plane, or starts it again.
func (l *lab) open(t *testing.T) {
	t.Helper()
	var err error
	if l.plane, err = plane.New(t.Context(), l.cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.plane.Close)
}

func (l *lab) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *lab) turn(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// set makes TDX collateral.
func (l *lab) set(edit func(*testtee.TCB)) *collateral.Intel {
	tcb := testtee.HealthyTDXTCB(l.clock())
	if edit != nil {
		edit(&tcb)
	}
	return l.intel.Collateral(l.m, testtee.CollateralConfig{TCB: tcb})
}

func (l *lab) requests(prefix string) (n int) {
	for _, path := range l.vendor.Paths() {
		if strings.HasPrefix(path, prefix) {
			n++
		}
	}
	return n
}

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

func TestThoseWhoAskAtOnceShareOneFetch(t *testing.T) {
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
	l := newLab(t, func(c *plane.Config) {})
	l.cfg.AMD = kds.New(kds.Config{URL: l.vendor.URL, Throttle: plane.NewThrottle("amd", spacing, 0, nil, time.Now)})
	l.open(t)
	l.vendor.Set(fakevendor.Mood{Spacing: spacing})
	var reports [][]byte
	for range 100 {
		chip := l.amd.Chip(testtee.ChipConfig{})
		l.vendor.Add(&collateral.Bundle{VCEK: []*collateral.VCEK{chip.VCEK()}})
		reports = append(reports, chip.Report(testtee.ReportConfig{}))
	}
	if _, err := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"}); err != nil {
		t.Fatal(err)
	}
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			v, err := a.Appraise(t.Context(), appraisal.Request{Kind: evidence.SEVSNPVM, Evidence: reports[i%100], Time: start}, appraisal.Provider{})
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
		t.Errorf("%d chips were asked for, at most %d times each; want 100, once", len(asked), slices.Max(slices.Collect(maps.Values(asked))))
	}
	t.Logf("1000 appraisals of 100 new chips: %d fetches, %d requests to AMD in all", len(asked), l.requests("v"))
}

// TestADeadServiceHurtsNobodyBeforeNextUpdate appraises while Intel's service is
// dead and the cache is warm.
func TestADeadServiceHurtsNobodyBeforeNextUpdate(t *testing.T) {
	l := newLab(t, nil)
	quote := l.m.Quote(testtee.QuoteConfig{TD: testtee.HealthyTD()})
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	appraise := func() error {
		v, err := a.Appraise(t.Context(), appraisal.Request{Kind: evidence.TDXVM, Evidence: quote, Time: l.clock()}, appraisal.Provider{})
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
	next := testtee.HealthyTDXTCB(start).Next
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
	if err := appraise(); !errors.Is(err, collateral.ErrUnavailable) || !strings.Contains(err.Error(), "expired on "+next.UTC().Format(time.RFC3339)) {
		t.Errorf("after nextUpdate: %v", err)
	}
	if !strings.Contains(l.logged.String(), "collateral is about to expire") {
		t.Error("nobody was warned")
	}
	t.Logf("%d appraisals with a dead service: 0 failed until nextUpdate", appraisals)
}

func TestOutageMode(t *testing.T) {
	l := newLab(t, func(c *plane.Config) { c.Outage = 6 * time.Hour })
	quote := l.m.Quote(testtee.QuoteConfig{TD: testtee.HealthyTD()})
	report := l.amd.Chip(testtee.ChipConfig{})
	raw := report.Evidence(l.amd, report.Report(testtee.ReportConfig{}))
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	appraise := func(kind evidence.Kind, raw []byte) (*appraisal.Verdict, error) {
		return a.Appraise(t.Context(), appraisal.Request{Kind: kind, Evidence: raw, Time: l.clock()}, appraisal.Provider{})
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
	l.turn(testtee.HealthyTDXTCB(start).Next.Sub(start) + time.Hour)
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

// TestPoisonNeverDisplacesTheGood lets the service lie in every document.
func TestPoisonNeverDisplacesTheGood(t *testing.T) {
	other := testtee.NewIntel(testtee.IntelConfig{Now: start})
	foreign := other.Collateral(other.Platform(testtee.HealthyPlatform()), testtee.CollateralConfig{TCB: testtee.HealthyTDXTCB(start)})
	in := func(part string, edit func([]byte) []byte) func(string, []byte) []byte {
		return func(path string, body []byte) []byte {
			if strings.Contains(path, part) {
				return edit(body)
			}
			return body
		}
	}
	flip := func(b []byte) []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c }
	for name, edit := range map[string]func(string, []byte) []byte{
		"TCB info altered": in("/tcb", flip),
		"TCB info of another root": in("/tcb", func([]byte) []byte {
			return fmt.Appendf(nil, `{"tcbInfo":%s,"signature":"%x"}`, foreign.TCBInfo, foreign.TCBInfoSignature)
		}),
		"TCB info in QE identity": in("qe/identity", func([]byte) []byte {
			return fmt.Appendf(nil, `{"enclaveIdentity":%s,"signature":"%x"}`, foreign.TCBInfo, foreign.TCBInfoSignature)
		}),
		"QE identity altered":      in("qe/identity", flip),
		"PCK CRL altered":          in("pckcrl", flip),
		"PCK CRL of another root":  in("pckcrl", func([]byte) []byte { return foreign.PCKCRL }),
		"root CRL for the PCK CRL": in("pckcrl", func([]byte) []byte { return foreign.RootCRL }),
		"root CRL altered":         in("rootcacrl", func(b []byte) []byte { return b[:len(b)-2] }),
		"an answer without end":    in("/tcb", func([]byte) []byte { return make([]byte, 5<<20) }),
		"an empty answer":          in("/tcb", func([]byte) []byte { return []byte{} }),
		"AMD's chain altered":      in("cert_chain", flip),
		"AMD's CRL altered":        in("/crl", flip),
		"AMD's CRL empty":          in("/crl", func([]byte) []byte { return nil }),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			good, err := l.plane.Intel(t.Context(), l.query)
			if err != nil {
				t.Fatal(err)
			}
			goodAMD, err := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"})
			if err != nil {
				t.Fatal(err)
			}
			l.vendor.Set(fakevendor.Mood{Edit: edit})
			l.turn(25 * time.Hour)
			l.plane.Renew(t.Context())
			got, err := l.plane.Intel(t.Context(), l.query)
			gotAMD, errAMD := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"})
			if err != nil || errAMD != nil {
				t.Fatalf("%v, %v", err, errAMD)
			}
			if got.Digest() != good.Digest() && strings.Contains(name, "AMD") == false || !strings.Contains(name, "AMD") && got != good || strings.Contains(name, "AMD") && gotAMD != goodAMD {
				t.Error("the good one was displaced")
			}
			stats := l.plane.Stats()
			if stats["intel"].Failures+stats["amd"].Failures == 0 {
				t.Errorf("the lie was not noticed: %+v", stats)
			}
			// Cold, the lie gives nothing.
			l.open(t)
			_, err = l.plane.Intel(t.Context(), l.query)
			_, errAMD = l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"})
			if err == nil && errAMD == nil {
				t.Error("a lie was kept")
			}
		})
	}
}

func TestNoRollback(t *testing.T) {
	l := newLab(t, nil)
	first, err := l.plane.Intel(t.Context(), l.query)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*testtee.TCB){
		"an older number, issued later": func(tcb *testtee.TCB) { tcb.Number = 19; tcb.Issued = tcb.Issued.Add(time.Hour) },
		"an earlier issue date":         func(tcb *testtee.TCB) { tcb.Issued = start.AddDate(0, 0, -2) },
	} {
		l.vendor.Add(&collateral.Bundle{Intel: []*collateral.Intel{l.set(edit)}})
		l.turn(25 * time.Hour)
		l.plane.Renew(t.Context())
		if got, err := l.plane.Intel(t.Context(), l.query); err != nil || got != first {
			t.Errorf("%s: replaced, %v", name, err)
		}
		l.turn(time.Hour)
	}
	// Asked for by its number, the older one is had.
	q := l.query
	q.EvaluationNumber = 19
	l.vendor.Add(&collateral.Bundle{Intel: []*collateral.Intel{l.set(func(tcb *testtee.TCB) { tcb.Number = 19 })}})
	c, err := l.plane.Intel(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if about, err := c.About(); err != nil || about.EvaluationNumber != 19 {
		t.Errorf("about = %+v, %v", about, err)
	}
	if got, err := l.plane.Intel(t.Context(), l.query); err != nil || got != first {
		t.Errorf("the pinned one replaced the newest: %v", err)
	}
	// And imported unasked it is refused, asked for it is taken.
	old := &collateral.Bundle{Intel: []*collateral.Intel{l.set(func(tcb *testtee.TCB) { tcb.Number = 18 })}}
	if out := l.plane.Import(t.Context(), old, false); len(out) != 1 || !errors.Is(out[0].Err, plane.ErrOlder) {
		t.Errorf("import = %+v", out)
	}
	if out := l.plane.Import(t.Context(), old, true); len(out) != 1 || out[0].Err != nil {
		t.Errorf("import, older allowed = %+v", out)
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
	l.vendor.Add(&collateral.Bundle{Intel: []*collateral.Intel{l.set(func(tcb *testtee.TCB) { tcb.Number = 21 })}})
	l.plane.Renew(t.Context())
	got, err := l.plane.Intel(t.Context(), l.query)
	if err != nil || got == first {
		t.Errorf("not renewed: %v", err)
	}
	if list := l.plane.List(); len(list) != 3 || list[0].EvaluationNumber != 21 {
		t.Errorf("list = %+v", list)
	}
}

func TestFailuresAreNotRepeatedAtOnce(t *testing.T) {
	l := newLab(t, nil)
	l.vendor.Set(fakevendor.Mood{Status: 500})
	for range 50 {
		if _, err := l.plane.Intel(t.Context(), l.query); !errors.Is(err, collateral.ErrUnavailable) {
			t.Fatalf("error = %v", err)
		}
	}
	if got := len(l.vendor.Paths()); got != 1 {
		t.Errorf("%d requests to a service that fails", got)
	}
	pauses := 0
	for range 40 {
		l.turn(time.Second)
		l.plane.Intel(t.Context(), l.query)
	}
	pauses = len(l.vendor.Paths())
	if pauses < 4 || pauses > 8 {
		t.Errorf("%d requests in 40 seconds, want a pause that doubles", pauses)
	}
	unknown := l.query
	unknown.FMSPC[0] = 9
	l.vendor.Set(fakevendor.Mood{})
	for range 10 {
		if _, err := l.plane.Intel(t.Context(), unknown); !errors.Is(err, collateral.ErrNotFound) {
			t.Errorf("unknown platform: %v", err)
		}
	}
	if got := len(l.vendor.Paths()) - pauses; got != 1 {
		t.Errorf("%d requests for a platform that Intel does not know", got)
	}
}

func TestATimeoutLeavesTheFetchRunning(t *testing.T) {
	l := newLab(t, nil)
	l.vendor.Set(fakevendor.Mood{Delay: 50 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := l.plane.Intel(ctx, l.query); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error = %v", err)
	}
	if _, err := l.plane.Intel(t.Context(), l.query); err != nil {
		t.Fatal(err)
	}
	if got := l.requests("tdx/certification/v4/tcb"); got != 1 {
		t.Errorf("%d fetches, want that of the caller who gave up", got)
	}
}

// memoryStore is a store that two planes can share.
type memoryStore struct {
	mu      sync.Mutex
	records map[string]plane.Record
	broken  error
}

func (s *memoryStore) Collateral(_ context.Context, prefix string) (list []plane.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.records {
		if strings.HasPrefix(key, prefix) {
			list = append(list, r)
		}
	}
	return list, s.broken
}

func (s *memoryStore) PutCollateral(_ context.Context, r plane.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[r.Key] = r
	return s.broken
}

func TestTheStore(t *testing.T) {
	store := &memoryStore{records: map[string]plane.Record{}}
	l := newLab(t, func(c *plane.Config) { c.Store = store })
	chip := l.amd.Chip(testtee.ChipConfig{})
	l.vendor.Add(&collateral.Bundle{VCEK: []*collateral.VCEK{chip.VCEK()}})
	vcek, err := collateral.ParseVCEKQuery(chip.VCEK().Path)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		_, err := l.plane.Intel(t.Context(), l.query)
		_, errAMD := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"})
		_, errVCEK := l.plane.VCEK(t.Context(), vcek)
		return errors.Join(err, errAMD, errVCEK)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	before := len(l.vendor.Paths())
	t.Run("a restart fetches nothing", func(t *testing.T) {
		l.open(t)
		if err := ask(); err != nil || len(l.vendor.Paths()) != before {
			t.Errorf("%d requests, %v", len(l.vendor.Paths())-before, err)
		}
	})
	t.Run("without a service it is enough", func(t *testing.T) {
		l.cfg.Intel, l.cfg.AMD = nil, nil
		l.open(t)
		if err := ask(); err != nil {
			t.Error(err)
		}
	})
	t.Run("what another process stored is adopted", func(t *testing.T) {
		l.open(t)
		l.turn(time.Hour)
		other, err := plane.New(t.Context(), l.cfg)
		if err != nil {
			t.Fatal(err)
		}
		newer := l.set(func(tcb *testtee.TCB) { tcb.Number = 30 })
		if out := other.Import(t.Context(), &collateral.Bundle{Intel: []*collateral.Intel{newer}}, false); out[0].Err != nil {
			t.Fatal(out[0].Err)
		}
		l.plane.Renew(t.Context())
		c, err := l.plane.Intel(t.Context(), l.query)
		if err != nil {
			t.Fatal(err)
		}
		if about, _ := c.About(); about.EvaluationNumber != 30 {
			t.Errorf("evaluation number %d", about.EvaluationNumber)
		}
	})
	t.Run("altered records are not used", func(t *testing.T) {
		for key, r := range store.records {
			r.Data = bytes.ReplaceAll(r.Data, []byte(`UpToDate`), []byte(`UpToDatE`))
			r.Data = bytes.ReplaceAll(r.Data, []byte(`CERTIFICATE-----\nMI`), []byte(`CERTIFICATE-----\nMJ`))
			store.records[key] = r
		}
		l.open(t)
		_, err := l.plane.Intel(t.Context(), l.query)
		_, errVCEK := l.plane.VCEK(t.Context(), vcek)
		if err == nil || errVCEK == nil || !strings.Contains(l.logged.String(), "stored collateral is not used") {
			t.Errorf("%v, %v", err, errVCEK)
		}
	})
	t.Run("a broken store stops nobody who is warm", func(t *testing.T) {
		l := newLab(t, func(c *plane.Config) { c.Store = store })
		store.broken = errors.New("disk full")
		if _, err := l.plane.Intel(t.Context(), l.query); err != nil {
			t.Error(err)
		}
		if !strings.Contains(l.logged.String(), "disk full") {
			t.Error("the failure is not logged")
		}
	})
}

func TestExportAndImport(t *testing.T) {
	l := newLab(t, nil)
	chip := l.amd.Chip(testtee.ChipConfig{})
	l.vendor.Add(&collateral.Bundle{VCEK: []*collateral.VCEK{chip.VCEK()}})
	vcek, err := collateral.ParseVCEKQuery(chip.VCEK().Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		func() error { _, err := l.plane.Intel(t.Context(), l.query); return err }(),
		func() error { _, err := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"}); return err }(),
		func() error { _, err := l.plane.VCEK(t.Context(), vcek); return err }(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := l.plane.Export(t.Context())
	if err != nil || b.Len() != 3 {
		t.Fatalf("export: %d pieces, %v", b.Len(), err)
	}
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	offline := func() *lab { return newLab(t, func(c *plane.Config) { c.Intel, c.AMD = nil, nil }) }
	parse := func(text []byte) *collateral.Bundle {
		got, err := collateral.ParseBundle(text)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	t.Run("whole", func(t *testing.T) {
		far := offline()
		far.cfg.Checks = l.cfg.Checks
		far.open(t)
		for _, out := range far.plane.Import(t.Context(), parse(text), false) {
			if out.Err != nil {
				t.Errorf("%s: %v", out.Item.Key, out.Err)
			}
		}
		if _, err := far.plane.Intel(t.Context(), l.query); err != nil {
			t.Error(err)
		}
		if _, err := far.plane.VCEK(t.Context(), vcek); err != nil {
			t.Error(err)
		}
	})
	t.Run("of another root", func(t *testing.T) {
		far := offline()
		bad := 0
		for _, out := range far.plane.Import(t.Context(), parse(text), false) {
			if out.Err != nil {
				bad++
			}
		}
		if bad != 1 { // AMD's hierarchy is the same here, Intel's is not
			t.Errorf("%d pieces were refused", bad)
		}
	})
	t.Run("expired", func(t *testing.T) {
		far := offline()
		far.cfg.Checks = l.cfg.Checks
		far.turn(400 * 24 * time.Hour)
		far.open(t)
		refused := 0
		for _, out := range far.plane.Import(t.Context(), parse(text), false) {
			if out.Err != nil {
				refused++
			}
		}
		if refused != 2 { // the VCEK lives seven years
			t.Errorf("%d pieces were refused", refused)
		}
	})
}

func TestThrottles(t *testing.T) {
	now := start
	throttle := plane.NewThrottle("amd", 10*time.Second, time.Minute, nil, func() time.Time { return now })
	done, err := throttle.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := throttle.Wait(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("while another request is under way: %v", err)
	}
	done()
	if _, err := throttle.Wait(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("too early: %v", err)
	}
	now = now.Add(time.Minute)
	if done, err = throttle.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	throttle.Hold(t.Context(), time.Hour)
	if _, err := throttle.Wait(t.Context()); !errors.Is(err, collateral.ErrUnavailable) {
		t.Errorf("while the service asked for patience: %v", err)
	}
	now = now.Add(2 * time.Hour)
	if _, err := throttle.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAServiceThatThrottlesIsAskedAgain holds back as it asks, then goes on.
func TestAServiceThatThrottlesIsAskedAgain(t *testing.T) {
	l := newLab(t, nil)
	l.cfg.AMD = kds.New(kds.Config{URL: l.vendor.URL, Throttle: plane.NewThrottle("amd", time.Millisecond, 0, nil, time.Now)})
	l.open(t)
	l.vendor.Set(fakevendor.Mood{Status: 429, RetryAfter: "0"})
	if _, err := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"}); !errors.Is(err, collateral.ErrUnavailable) {
		t.Errorf("error = %v", err)
	}
	if got := len(l.vendor.Paths()); got != 3 {
		t.Errorf("%d requests, want three tries", got)
	}
}

// TestALieIsNoVerdict: evidence is not refused for what a service sent.
func TestALieIsNoVerdict(t *testing.T) {
	l := newLab(t, nil)
	l.vendor.Set(fakevendor.Mood{Edit: func(path string, body []byte) []byte {
		if strings.Contains(path, "/tcb") {
			return bytes.ReplaceAll(body, []byte("UpToDate"), []byte("OutOfDat"))
		}
		return body
	}})
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	v, err := a.Appraise(t.Context(), appraisal.Request{Kind: evidence.TDXVM, Evidence: l.m.Quote(testtee.QuoteConfig{TD: testtee.HealthyTD()}), Time: start}, appraisal.Provider{})
	if !errors.Is(err, collateral.ErrUnavailable) || !strings.Contains(err.Error(), "dcap.tcbinfo.signature") {
		t.Errorf("verdict = %+v, %v", v, err)
	}
}
