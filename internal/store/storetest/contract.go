// Package storetest holds the contract that every store engine passes.
package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/internal/store"
)

var created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Contract runs the contract. open returns a fresh empty store; reopen closes
// it and opens the same data again.
func Contract(t *testing.T, open func(*testing.T) (s store.Store, reopen func() store.Store)) {
	ctx := t.Context()
	t.Run("what was put comes back after reopening", func(t *testing.T) {
		s, reopen := open(t)
		provider := store.Provider{Name: "default", TCB: "UpToDate", Created: created}
		policy := store.Policy{Provider: "default", Kind: "SgxEnclave", JWS: "eyJhbGciOiJub25lIn0..", Updated: created}
		key := store.SigningKey{ID: "a", Sealed: []byte{1, 0, 2}, Certificate: []byte{3}, Created: created}
		must(t, s.PutProvider(ctx, provider), s.PutPolicy(ctx, policy), s.PutSigningKey(ctx, key))
		s = reopen()
		gotProvider, err := s.Provider(ctx, "default")
		must(t, err)
		policies, err := s.Policies(ctx, "default")
		must(t, err)
		keys, err := s.SigningKeys(ctx)
		must(t, err)
		if diff := cmp.Diff(provider, gotProvider) + cmp.Diff([]store.Policy{policy}, policies) + cmp.Diff([]store.SigningKey{key}, keys); diff != "" {
			t.Errorf("(-put +got):\n%s", diff)
		}
	})
	t.Run("collateral is found by the beginning of its key", func(t *testing.T) {
		s, reopen := open(t)
		a := store.Collateral{Key: "amd/vcek/v1/Milan/%_a?blSPL=1", Data: []byte{1}, Fetched: created.Add(time.Nanosecond), NextUpdate: created.AddDate(0, 1, 0)}
		b := store.Collateral{Key: "intel/TDX/00", Data: []byte{2}, Fetched: created, NextUpdate: created}
		must(t, s.PutCollateral(ctx, a), s.PutCollateral(ctx, b))
		b.Data = []byte{3}
		must(t, s.PutCollateral(ctx, b))
		s = reopen()
		for prefix, want := range map[string][]store.Collateral{"": {a, b}, "intel/": {b}, "amd/vcek/v1/Milan/%": {a}, "amd/vcek/v1/Milan/_": nil, a.Key: {a}, "x": nil} {
			got, err := s.Collateral(ctx, prefix)
			must(t, err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", prefix, diff)
			}
		}
	})
	t.Run("keys of TPMs stay with their TPM", func(t *testing.T) {
		s, reopen := open(t)
		must(t, s.PutProvider(ctx, store.Provider{Name: "default", Created: created}))
		a := store.TPMKey{Provider: "default", Key: "k1", EndorsementKey: "e1", Name: "host", Created: created}
		second := store.TPMKey{Provider: "default", Key: "k2", EndorsementKey: "e1", Name: "host", Created: created.Add(time.Hour)}
		must(t, s.PutTPMKey(ctx, a), s.PutTPMKey(ctx, second), s.PutTPMKey(ctx, a))
		for name, k := range map[string]store.TPMKey{"a taken name": {Provider: "default", Key: "k3", EndorsementKey: "e2", Name: "host", Created: created},
			"a taken key": {Provider: "default", Key: "k1", EndorsementKey: "e2", Name: "other", Created: created}} {
			if err := s.PutTPMKey(ctx, k); !errors.Is(err, store.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		s = reopen()
		got, err := s.TPMKeys(ctx, "default")
		must(t, err)
		if diff := cmp.Diff([]store.TPMKey{a, second}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		must(t, s.DeleteTPMKeys(ctx, "default", "host"))
		if err := s.DeleteTPMKeys(ctx, "default", "host"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
	})
	t.Run("a word is taken once, whoever asks", func(t *testing.T) {
		s, _ := open(t)
		var wg sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for range 100 {
			wg.Go(func() {
				free, err := s.UseOnce(ctx, "word", created, created.Add(time.Minute))
				if err != nil {
					t.Error(err)
				}
				if free {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		later, err := s.UseOnce(ctx, "word", created.Add(time.Hour), created.Add(2*time.Hour))
		must(t, err)
		if taken != 1 || !later {
			t.Errorf("taken %d times; after it expired %v", taken, later)
		}
	})
	t.Run("slots never overlap", func(t *testing.T) {
		s, _ := open(t)
		const every = time.Second
		var mu sync.Mutex
		var slots []time.Time
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				at, err := s.NextSlot(ctx, "amd", created, every)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				slots = append(slots, at.UTC())
			})
		}
		wg.Wait()
		slices.SortFunc(slots, time.Time.Compare)
		for i, at := range slots {
			if !at.Equal(created.Add(time.Duration(i) * every)) {
				t.Errorf("slot %d is at %s", i, at)
			}
		}
		must(t, s.HoldSlots(ctx, "amd", created.Add(time.Hour)), s.HoldSlots(ctx, "amd", created))
		at, err := s.NextSlot(ctx, "amd", created, every)
		must(t, err)
		other, err := s.NextSlot(ctx, "intel", created, every)
		must(t, err)
		if !at.Equal(created.Add(time.Hour)) || !other.Equal(created) {
			t.Errorf("after the hold: %s, of another vendor: %s", at, other)
		}
	})
	t.Run("an unknown provider is not found", func(t *testing.T) {
		s, _ := open(t)
		if _, err := s.Provider(ctx, "nobody"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("error = %v, want ErrNotFound", err)
		}
	})
	t.Run("a policy needs its provider", func(t *testing.T) {
		s, _ := open(t)
		if err := s.PutPolicy(ctx, store.Policy{Provider: "nobody", Kind: "Tpm", Updated: created}); err == nil {
			t.Error("a policy of nobody was stored")
		}
	})
	t.Run("policies are replaced and deleted", func(t *testing.T) {
		s, _ := open(t)
		must(t, s.PutProvider(ctx, store.Provider{Name: "default", Created: created}))
		for _, jws := range []string{"one", "two"} {
			must(t, s.PutPolicy(ctx, store.Policy{Provider: "default", Kind: "Tpm", JWS: jws, Updated: created}))
		}
		list, err := s.Policies(ctx, "default")
		must(t, err)
		if len(list) != 1 || list[0].JWS != "two" {
			t.Errorf("policies = %+v", list)
		}
		must(t, s.DeletePolicy(ctx, "default", "Tpm"))
		if err := s.DeletePolicy(ctx, "default", "Tpm"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("error = %v, want ErrNotFound", err)
		}
	})
	t.Run("keys come newest first, and only their certificate changes", func(t *testing.T) {
		s, _ := open(t)
		must(t,
			s.PutSigningKey(ctx, store.SigningKey{ID: "old", Sealed: []byte{1}, Certificate: []byte{1}, Created: created}),
			s.PutSigningKey(ctx, store.SigningKey{ID: "new", Sealed: []byte{2}, Certificate: []byte{2}, Created: created.Add(time.Hour)}),
			s.PutSigningKey(ctx, store.SigningKey{ID: "old", Sealed: []byte{9}, Certificate: []byte{9}, Created: created.Add(2 * time.Hour)}))
		keys, err := s.SigningKeys(ctx)
		must(t, err)
		if len(keys) != 2 || keys[0].ID != "new" || keys[1].Sealed[0] != 1 || keys[1].Certificate[0] != 9 {
			t.Errorf("keys = %+v", keys)
		}
	})
	t.Run("it answers", func(t *testing.T) {
		s, _ := open(t)
		must(t, s.Ping(ctx))
	})
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
