package collateralcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
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

// TestBadCollateralNeverReplacesGood makes the service alter every document.
func TestBadCollateralNeverReplacesGood(t *testing.T) {
	other := evidencetest.NewIntel(evidencetest.IntelConfig{Now: start})
	foreign := other.Collateral(other.Platform(evidencetest.HealthyPlatform()),
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(start)})
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
			return fmt.Appendf(nil, `{"enclaveIdentity":%s,"signature":"%x"}`, foreign.TCBInfo,
				foreign.TCBInfoSignature)
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
			if got.Digest() != good.Digest() && strings.Contains(name, "AMD") == false ||
				!strings.Contains(name, "AMD") && got != good ||
				strings.Contains(name, "AMD") && gotAMD != goodAMD {
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
	for name, edit := range map[string]func(*evidencetest.TCB){
		"an older number, issued later": func(tcb *evidencetest.TCB) {
			tcb.Number = 19
			tcb.Issued = tcb.Issued.Add(time.Hour)
		},
		"an earlier issue date": func(tcb *evidencetest.TCB) { tcb.Issued = start.AddDate(0, 0, -2) },
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
	l.vendor.Add(&collateral.Bundle{Intel: []*collateral.Intel{l.set(func(tcb *evidencetest.TCB) {
		tcb.Number = 19
	})}})
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
	old := &collateral.Bundle{Intel: []*collateral.Intel{l.set(func(tcb *evidencetest.TCB) { tcb.Number = 18 })}}
	out := l.plane.Import(t.Context(), old, false)
	if len(out) != 1 || !errors.Is(out[0].Err, collateralcache.ErrOlder) {
		t.Errorf("import = %+v", out)
	}
	if out := l.plane.Import(t.Context(), old, true); len(out) != 1 || out[0].Err != nil {
		t.Errorf("import, older allowed = %+v", out)
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

func TestThrottles(t *testing.T) {
	now := start
	throttle := collateralcache.NewThrottle("amd", 10*time.Second, time.Minute, nil,
		func() time.Time { return now })
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

func TestAServiceThatThrottlesIsAskedAgain(t *testing.T) {
	l := newLab(t, nil)
	l.cfg.AMD = kds.New(kds.Config{
		URL:      l.vendor.URL,
		Throttle: collateralcache.NewThrottle("amd", time.Millisecond, 0, nil, time.Now),
	})
	l.open(t)
	l.vendor.Set(fakevendor.Mood{Status: 429, RetryAfter: "0"})
	_, err := l.plane.AMD(t.Context(), collateral.AMDQuery{Line: "Milan"})
	if !errors.Is(err, collateral.ErrUnavailable) {
		t.Errorf("error = %v", err)
	}
	if got := len(l.vendor.Paths()); got != 3 {
		t.Errorf("%d requests, want three tries", got)
	}
}

func TestFalseCollateralGivesNoVerdict(t *testing.T) {
	l := newLab(t, nil)
	l.vendor.Set(fakevendor.Mood{Edit: func(path string, body []byte) []byte {
		if strings.Contains(path, "/tcb") {
			return bytes.ReplaceAll(body, []byte("UpToDate"), []byte("OutOfDat"))
		}
		return body
	}})
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	v, err := a.Appraise(t.Context(), appraisal.Request{
		Kind:     evidence.TDXVM,
		Evidence: l.m.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()}),
		Time:     start,
	}, appraisal.Provider{})
	if !errors.Is(err, collateral.ErrUnavailable) || !strings.Contains(err.Error(), "dcap.tcbinfo.signature") {
		t.Errorf("verdict = %+v, %v", v, err)
	}
}

// panicking is a service with a defect.
type panicking struct{}

func (panicking) Intel(context.Context, collateral.Query) (*collateral.Intel, error) { panic("defect") }

// TestADefectEndsOneFetch and not the process.
func TestADefectEndsOneFetch(t *testing.T) {
	l := newLab(t, func(c *collateralcache.Config) { c.Intel = panicking{} })
	_, err := l.plane.Intel(t.Context(), l.query)
	if !errors.Is(err, collateral.ErrUnavailable) || !strings.Contains(err.Error(), "defect") {
		t.Errorf("error = %v", err)
	}
	if l.plane.Stats()["intel"].Failures != 1 {
		t.Errorf("stats = %+v", l.plane.Stats())
	}
}

// TestFilesOfTheOperator are the last resort: while they are current, or, where no one
// could have fetched newer, so that the verifier says what has expired.
func TestFilesOfTheOperator(t *testing.T) {
	for name, tc := range map[string]struct {
		fetches, expired, found bool
	}{
		"current, no service to ask": {false, false, true},
		"current, the service fails": {true, false, true},
		"expired, no service to ask": {false, true, true},
		"expired, the service fails": {true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(c *collateralcache.Config) {
				if !tc.fetches {
					c.Intel = nil
				}
			})
			static, err := collateral.NewStatic(&collateral.Bundle{Intel: []*collateral.Intel{l.set(nil)}})
			if err != nil {
				t.Fatal(err)
			}
			l.cfg.Fallback = static
			l.open(t)
			l.vendor.Close()
			if tc.expired {
				l.turn(60 * 24 * time.Hour)
			}
			if _, err := l.plane.Intel(t.Context(), l.query); (err == nil) != tc.found {
				t.Errorf("error = %v", err)
			}
		})
	}
}
