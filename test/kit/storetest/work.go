package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

func collateral(t *testing.T, open Open) {
	s, reopen := open(t)
	ctx := t.Context()
	a := store.Collateral{
		Key:        "amd/vcek/v1/Milan/%_a?blSPL=1",
		Data:       []byte{1},
		Fetched:    created.Add(time.Microsecond),
		NextUpdate: created.AddDate(0, 1, 0),
	}
	b := store.Collateral{Key: "intel/TDX/00", Data: []byte{2}, Fetched: created, NextUpdate: created}
	must(t, s.PutCollateral(ctx, a), s.PutCollateral(ctx, b))
	b.Data = []byte{3}
	must(t, s.PutCollateral(ctx, b))
	s = reopen()
	for prefix, want := range map[string][]store.Collateral{
		"":                    {a, b},
		"intel/":              {b},
		"amd/vcek/v1/Milan/%": {a},
		"amd/vcek/v1/Milan/_": nil,
		a.Key:                 {a},
		"x":                   nil,
	} {
		got, err := s.Collateral(ctx, prefix)
		must(t, err)
		same(t, want, got)
	}
}

// count runs f many times at once and returns how often it said yes.
func count(t *testing.T, n int, f func(i int) (bool, error)) (yes int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		wg.Go(func() {
			ok, err := f(i)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ok {
				yes++
			}
		})
	}
	wg.Wait()
	return yes
}

func once(t *testing.T, open Open) {
	s, _ := open(t)
	taken := count(t, 100,
		func(int) (bool, error) { return s.UseOnce(t.Context(), "word", created, created.Add(time.Minute)) })
	later, err := s.UseOnce(t.Context(), "word", created.Add(time.Hour), created.Add(2*time.Hour))
	must(t, err)
	if taken != 1 || !later {
		t.Errorf("taken %d times; after it expired %v", taken, later)
	}
}

func leases(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	if got := count(t, 20, func(i int) (bool, error) {
		return s.Lease(ctx, "rotation", fmt.Sprint(i), created, created.Add(time.Minute))
	}); got != 1 {
		t.Errorf("%d holders", got)
	}
	for _, step := range []struct {
		holder string
		at     time.Duration
		want   bool
	}{
		{"a", 2 * time.Minute, true}, {"a", 150 * time.Second, true}, {"b", 3 * time.Minute, false},
		{"b", 4 * time.Minute, true}, {"a", 4 * time.Minute, false},
	} {
		now := created.Add(step.at)
		got, err := s.Lease(ctx, "rotation", step.holder, now, now.Add(time.Minute))
		if err != nil || got != step.want {
			t.Errorf("%s after %s: %t, %v", step.holder, step.at, got, err)
		}
	}
	if got, err := s.Lease(ctx, "refresh", "a", created, created.Add(time.Minute)); err != nil || !got {
		t.Errorf("other work: %t, %v", got, err)
	}
}

func slots(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	const every = time.Second
	var mu sync.Mutex
	var slots []time.Time
	count(t, 20, func(int) (bool, error) {
		at, err := s.NextSlot(ctx, "amd", created, every)
		mu.Lock()
		defer mu.Unlock()
		slots = append(slots, at.UTC())
		return true, err
	})
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
}
