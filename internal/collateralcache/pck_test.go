package collateralcache_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/collateralcache"
)

func TestPCKChainsAreKeptBesideSets(t *testing.T) {
	store := &memoryStore{records: map[string]collateralcache.Record{}}
	l := newLab(t, func(c *collateralcache.Config) { c.Store = store })
	if list, err := l.plane.PCKs(t.Context()); !errors.Is(err, collateral.ErrNotFound) {
		t.Fatalf("%d chains, %v", len(list), err)
	}
	cfg := evidencetest.HealthyPlatform()
	cfg.PPID[0] ^= 1
	second := l.intel.Platform(cfg)
	set := l.set(nil)
	set.PCKCertificateChain = l.m.Chain
	foreign := evidencetest.NewIntel(evidencetest.IntelConfig{Now: l.clock()}).Platform(cfg)
	failed := 0
	bundle := &collateral.Bundle{
		Intel: []*collateral.Intel{set},
		PCK:   [][]byte{second.Chain, foreign.Chain, []byte("no chain")},
	}
	for _, out := range l.plane.Import(t.Context(), bundle, false) {
		if out.Err != nil {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d pieces refused, expected the chain under another root and the text", failed)
	}
	held := func(p collateral.Source) int {
		t.Helper()
		list, err := p.PCKs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, want := range [][]byte{l.m.Chain, second.Chain} {
			for _, chain := range list {
				if bytes.Equal(chain, want) {
					found++
				}
			}
		}
		if found != len(list) {
			t.Errorf("%d chains, of which %d were imported", len(list), found)
		}
		return found
	}
	if n := held(l.plane); n != 2 {
		t.Errorf("%d chains stored", n)
	}
	// The set is fetched again; the chain, which no service is asked for, stays.
	l.turn(25 * time.Hour)
	l.plane.Renew(t.Context())
	if n := held(l.plane); n != 2 {
		t.Errorf("%d chains stored after the renewal", n)
	}
	exported, err := l.plane.Export(t.Context())
	if err != nil || len(exported.PCK) != 2 {
		t.Errorf("%d chains exported, %v", len(exported.PCK), err)
	}
	text, err := exported.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := collateral.ParseBundle(text); err != nil || len(again.PCK) != 2 {
		t.Errorf("the bundle file: %v", err)
	}
	l.open(t)
	if n := held(l.plane); n != 2 {
		t.Errorf("%d chains stored after a restart", n)
	}
	fallback := l.cfg
	fallback.Store = nil
	fallback.Fallback = collateral.Fixed(l.set(nil), second.Chain)
	files, err := collateralcache.New(t.Context(), fallback)
	if err != nil {
		t.Fatal(err)
	}
	if n := held(files); n != 1 {
		t.Errorf("%d chains from files", n)
	}
}
