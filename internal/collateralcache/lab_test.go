package collateralcache_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/kds"
	"github.com/probity-dev/probity/collateral/pcs"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/test/kit/fakevendor"
)

// lab is a plane in front of fake vendors, with a clock that tests turn.
type lab struct {
	vendor *fakevendor.Server
	plane  *collateralcache.Plane
	cfg    collateralcache.Config
	intel  *evidencetest.Intel
	amd    *evidencetest.AMD
	m      *evidencetest.Platform
	query  collateral.Query
	trust  appraisal.Trust
	logged *bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

var amd = sync.OnceValue(func() *evidencetest.AMD {
	return evidencetest.NewAMD(evidencetest.AMDConfig{Now: start})
})

var start = time.Now().Truncate(time.Second)

func newLab(t *testing.T, edit func(*collateralcache.Config)) *lab {
	t.Helper()
	l := &lab{vendor: fakevendor.New(), now: start, amd: amd(), logged: &bytes.Buffer{}}
	t.Cleanup(l.vendor.Close)
	l.intel = evidencetest.NewIntel(evidencetest.IntelConfig{Now: start})
	l.m = l.intel.Platform(evidencetest.HealthyPlatform())
	l.query = collateral.Query{TEE: collateral.TDX, FMSPC: evidencetest.HealthyPlatform().FMSPC, CA: "platform"}
	l.vendor.Add(&collateral.Bundle{
		Intel: []*collateral.Intel{l.set(nil)},
		AMD:   []*collateral.AMD{l.amd.Collateral(false)},
	})
	intel, err := pcs.New(pcs.Config{URL: l.vendor.URL, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l.trust = appraisal.Trust{
		Intel: dcap.Config{Anchor: l.intel.Anchor()},
		AMD:   snp.Config{Roots: l.amd.Roots()},
	}
	engine, chips := dcap.New(l.trust.Intel), snp.New(l.trust.AMD)
	l.cfg = collateralcache.Config{
		Intel: intel, AMD: kds.New(kds.Config{URL: l.vendor.URL, Timeout: 2 * time.Second}),
		Checks: collateralcache.Checks{
			Intel: engine.CheckCollateral,
			AMD:   chips.CheckPublished,
			VCEK:  chips.CheckVCEK,
			PCK:   engine.CheckPCK,
		},
		Now: l.clock, Jitter: func() float64 { return 0.5 },
		Log: slog.New(slog.NewTextHandler(l.logged, nil)),
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
	if l.plane, err = collateralcache.New(t.Context(), l.cfg); err != nil {
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
func (l *lab) set(edit func(*evidencetest.TCB)) *collateral.Intel {
	tcb := evidencetest.HealthyTDXTCB(l.clock())
	if edit != nil {
		edit(&tcb)
	}
	return l.intel.Collateral(l.m, evidencetest.CollateralConfig{TCB: tcb})
}

func (l *lab) requests(prefix string) (n int) {
	for _, path := range l.vendor.Paths() {
		if strings.HasPrefix(path, prefix) {
			n++
		}
	}
	return n
}
