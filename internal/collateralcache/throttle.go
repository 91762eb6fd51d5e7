package collateralcache

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/probity-dev/probity/collateral"
)

// Slots hands out the times at which requests to a vendor may be made, so that
// all processes that share it keep the vendor's limit together.
type Slots interface {
	// NextSlot returns the first time, not before now, that is at least every
	// after the slot handed out last, and takes it.
	NextSlot(ctx context.Context, vendor string, now time.Time, every time.Duration) (time.Time, error)
	// HoldSlots keeps slots back until the given time.
	HoldSlots(ctx context.Context, vendor string, until time.Time) error
}

// Throttle spaces the requests to a vendor: one at a time, and the next one not
// before a pause after the answer, so that the vendor never sees them closer
// than that.
type Throttle struct {
	vendor  string
	every   time.Duration
	most    time.Duration
	slots   Slots
	now     func() time.Time
	turn    chan struct{}
	waiting atomic.Int64
}

// NewThrottle returns a throttle with the given spacing. A request that would
// have to wait longer than most is refused at once; 0 stands for an hour. Nil
// slots are those of this process alone.
func NewThrottle(vendor string, every, most time.Duration, slots Slots, now func() time.Time) *Throttle {
	if most == 0 {
		most = time.Hour
	}
	if slots == nil {
		slots = &localSlots{next: map[string]time.Time{}}
	}
	return &Throttle{
		vendor: vendor, every: every, most: most, slots: slots, now: now, turn: make(chan struct{}, 1),
	}
}

// Wait returns when the next request may be made. Call done when it was
// answered.
func (t *Throttle) Wait(ctx context.Context) (done func(), err error) {
	defer t.waiting.Add(-1)
	if ahead := time.Duration(t.waiting.Add(1)-1) * t.every; ahead > t.most {
		return nil, fmt.Errorf("%s: %s of requests are waiting: %w", t.vendor, ahead.Round(time.Second),
			collateral.ErrUnavailable)
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := t.now()
	at, err := t.slots.NextSlot(ctx, t.vendor, now, t.every)
	if err == nil && at.Sub(now) > t.most {
		err = fmt.Errorf("%s: the next request may be made at %s: %w", t.vendor,
			at.UTC().Format(time.RFC3339), collateral.ErrUnavailable)
	}
	if err == nil {
		err = sleep(ctx, at.Sub(now))
	}
	if err != nil {
		<-t.turn
		return nil, err
	}
	return func() {
		t.Hold(context.WithoutCancel(ctx), t.every)
		<-t.turn
	}, nil
}

// Hold keeps requests back, as the vendor's service asked.
func (t *Throttle) Hold(ctx context.Context, d time.Duration) {
	// A hold that cannot be stored costs another refusal, no more.
	_ = t.slots.HoldSlots(ctx, t.vendor, t.now().Add(d))
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type localSlots struct {
	mu   sync.Mutex
	next map[string]time.Time
}

// NextSlot implements Slots.
func (s *localSlots) NextSlot(
	_ context.Context, vendor string, now time.Time, every time.Duration,
) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.next[vendor]
	if at.Before(now) {
		at = now
	}
	s.next[vendor] = at.Add(every)
	return at, nil
}

// HoldSlots implements Slots.
func (s *localSlots) HoldSlots(_ context.Context, vendor string, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.next[vendor]) {
		s.next[vendor] = until
	}
	return nil
}
