package collateralcache_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/collateralcache"
)

// memoryStore is a store that two planes can share.
type memoryStore struct {
	mu      sync.Mutex
	records map[string]collateralcache.Record
	broken  error
}

func (s *memoryStore) Collateral(
	_ context.Context, prefix string,
) (list []collateralcache.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.records {
		if strings.HasPrefix(key, prefix) {
			list = append(list, r)
		}
	}
	return list, s.broken
}

func (s *memoryStore) PutCollateral(_ context.Context, r collateralcache.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[r.Key] = r
	return s.broken
}

func TestTheStore(t *testing.T) {
	store := &memoryStore{records: map[string]collateralcache.Record{}}
	l := newLab(t, func(c *collateralcache.Config) { c.Store = store })
	chip := l.amd.Chip(evidencetest.ChipConfig{})
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
		other, err := collateralcache.New(t.Context(), l.cfg)
		if err != nil {
			t.Fatal(err)
		}
		newer := l.set(func(tcb *evidencetest.TCB) { tcb.Number = 30 })
		out := other.Import(t.Context(), &collateral.Bundle{Intel: []*collateral.Intel{newer}}, false)
		if out[0].Err != nil {
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
	t.Run("a broken store does not stop requests for cached collateral", func(t *testing.T) {
		l := newLab(t, func(c *collateralcache.Config) { c.Store = store })
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
	chip := l.amd.Chip(evidencetest.ChipConfig{})
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
	offline := func() *lab { return newLab(t, func(c *collateralcache.Config) { c.Intel, c.AMD = nil, nil }) }
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
