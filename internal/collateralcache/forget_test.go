package collateralcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// TestAFloodOfUnknownPlatformsDoesNotHideFailures: failures of made-up platforms push each
// other out, the oldest first, and not those of platforms that are served.
func TestAFloodOfUnknownPlatformsDoesNotHideFailures(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	vceks, err := lru.New[string, *entry](8)
	if err != nil {
		t.Fatal(err)
	}
	p := &Plane{
		cfg: Config{Now: func() time.Time {
			return at
		}, Jitter: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler)},
		base:    context.Background(),
		vceks:   vceks,
		entries: map[string]*entry{"served": {}},
		trouble: map[string]trouble{},
		stats:   map[string]*Stats{},
	}
	vceks.Add("served chip", &entry{})
	failure := errors.New("the vendor's service does not answer")
	p.settle("served", "intel", failure)
	p.settle("served chip", "amd", failure)
	for i := range 3 * maxTrouble {
		at = at.Add(time.Millisecond)
		p.settle(fmt.Sprint("made up ", i), "intel", failure)
		if len(p.trouble) > maxTrouble {
			t.Fatalf("%d failures are remembered", len(p.trouble))
		}
	}
	for _, key := range []string{"served", "served chip", fmt.Sprint("made up ",
		3*maxTrouble-1), fmt.Sprint("made up ", 2*maxTrouble+2)} {
		if p.troubleOf(key).err == nil {
			t.Errorf("the failure of %q is forgotten", key)
		}
	}
	if p.troubleOf("made up 0").err != nil {
		t.Error("the oldest failure is remembered still")
	}
	// A key that fails again takes no further room, and is not the oldest any more.
	p.settle(fmt.Sprint("made up ", 3*maxTrouble-1), "intel", failure)
	if len(p.trouble) != maxTrouble || p.troubleOf(fmt.Sprint("made up ", 3*maxTrouble-1)).times != 2 {
		t.Errorf("%d failures", len(p.trouble))
	}
}
