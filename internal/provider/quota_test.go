package provider_test

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/provider"
)

// quotaBench is a registry whose clock stands still, with one provider.
type quotaBench struct {
	*provider.Registry
	t  *testing.T
	at time.Time
}

func newQuotaBench(t *testing.T, settings string) *quotaBench {
	b := &quotaBench{t: t, at: now}
	cfg := config(t, open(t))
	cfg.Now = func() time.Time { return b.at }
	cfg.Defaults = provider.Defaults{Rate: 100, Burst: 100, Concurrent: 8}
	r, err := provider.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Registry = r
	b.set(settings)
	return b
}

func (b *quotaBench) set(settings string) {
	b.t.Helper()
	if _, _, err := b.PutProvider(b.t.Context(), provider.ProviderChange{
		Name: "quiet", Subscription: "s", Group: "g", Settings: jsontext.Value(settings),
	}, true); err != nil {
		b.t.Fatal(err)
	}
}

// take takes up to n places, gives them back at the end of the test, and returns how many
// there were.
func (b *quotaBench) take(n int) (got int, free []func()) {
	b.t.Helper()
	for range n {
		p, ok := b.Get("quiet")
		if !ok {
			b.t.Fatal("no provider")
		}
		if f, _, ok := p.Take(b.at); ok {
			got, free = got+1, append(free, f)
		}
	}
	return got, free
}

func release(free []func()) {
	for _, f := range free {
		f()
	}
}

// TestQuotasSurviveChangesOfSettings: an owner could otherwise change a setting to and fro
// and attest without bound.
func TestQuotasSurviveChangesOfSettings(t *testing.T) {
	b := newQuotaBench(t, `{"requestsPerSecond":1,"burst":4}`)
	got, free := b.take(30)
	release(free)
	if got != 4 {
		t.Fatalf("%d places, want 4", got)
	}
	for i, settings := range []string{
		`{"requestsPerSecond":1,"burst":5}`, `{"requestsPerSecond":1,"burst":4}`,
		`{"requestsPerSecond":2,"burst":4}`, `{"requestsPerSecond":1,"burst":4,"concurrent":2}`,
		`{"requestsPerSecond":1,"burst":4,"tcb":"any"}`, `{"requestsPerSecond":1,"burst":4}`,
	} {
		b.set(settings)
		got, free := b.take(30)
		release(free)
		if got != 0 {
			t.Errorf("change %d, %s: %d places more", i, settings, got)
		}
	}
	// Time gives places, at the rate in force.
	b.at = b.at.Add(3 * time.Second)
	if got, free := b.take(30); got != 3 {
		t.Errorf("%d places after 3 s at 1/s", got)
	} else {
		release(free)
	}
	b.set(`{"requestsPerSecond":1,"burst":2}`)
	b.at = b.at.Add(time.Hour)
	if got, free := b.take(30); got != 2 {
		t.Errorf("%d places, the burst is 2 now", got)
	} else {
		release(free)
	}
}

func TestWhatRunsIsCountedAcrossChanges(t *testing.T) {
	b := newQuotaBench(t, `{"concurrent":3}`)
	got, free := b.take(5)
	if got != 3 {
		t.Fatalf("%d places, want 3", got)
	}
	for _, settings := range []string{`{"concurrent":2}`, `{"concurrent":3}`, `{"concurrent":1,"tcb":"any"}`} {
		b.set(settings)
		if got, _ := b.take(5); got != 0 {
			t.Errorf("%s: %d places while 3 run", settings, got)
		}
	}
	free[0]()
	free[0]() // twice is once
	if got, _ := b.take(5); got != 0 {
		t.Error("2 run, and 1 may")
	}
	release(free)
	if got, _ := b.take(5); got != 1 {
		t.Errorf("%d places, want 1", got)
	}
}

func TestAProviderMadeAgainHasItsQuota(t *testing.T) {
	b := newQuotaBench(t, `{"requestsPerSecond":1,"burst":4}`)
	_, free := b.take(30)
	for range 3 {
		if err := b.DeleteProvider(t.Context(), "quiet", provider.By{Caller: "owner"}); err != nil {
			t.Fatal(err)
		}
		b.set(`{"requestsPerSecond":1,"burst":4}`)
		if got, _ := b.take(30); got != 0 {
			t.Fatalf("%d places after the provider was made again", got)
		}
	}
	release(free)
	b.at = b.at.Add(time.Minute)
	if got, _ := b.take(30); got != 4 {
		t.Errorf("%d places after a minute", got)
	}
}

// TestNoProviderExceedsTheServicesBounds: a provider asks for less than the service
// gives, never for more.
func TestNoProviderExceedsTheServicesBounds(t *testing.T) {
	b := newQuotaBench(t, `{"requestsPerSecond":100000,"burst":100000,"concurrent":50000}`)
	if got, _ := b.take(50); got != 8 {
		t.Errorf("%d places at once, want 8", got)
	}
}
