// Package quota bounds what each provider may use of a node: attestations a second and at the
// same time, and readers of its ledger.
package quota

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Quota bounds what one provider may use of a node. It outlives changes of the provider:
// what was used before a change is not given again, and what runs is still counted.
type Quota struct {
	// rate is without a bound where its limit is rate.Inf.
	rate *rate.Limiter

	mu            sync.Mutex
	running, most int

	// reads are readers of the ledger at the same time.
	reads chan struct{}
}

// maxReads is how many requests of one provider read its ledger at once: they may
// read many rows each.
const maxReads = 4

// Limits are how many attestations a second are taken, how many at once above that, and how
// many run at the same time. Zero asks for all that is given, and gives without bound.
type Limits struct {
	Rate              float64
	Burst, Concurrent int
}

// TakeRead takes a place for reading the ledger.
func (q *Quota) TakeRead() (free func(), ok bool) {
	select {
	case q.reads <- struct{}{}:
		return func() { <-q.reads }, true
	default:
		return nil, false
	}
}

// Take takes a place for an attestation, or says after how long to come again.
func (q *Quota) Take(now time.Time) (free func(), wait time.Duration, ok bool) {
	r := q.rate.ReserveN(now, 1)
	if wait := r.DelayFrom(now); !r.OK() || wait > 0 {
		r.CancelAt(now)
		return nil, max(wait, time.Second), false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running >= q.most {
		return nil, time.Second, false
	}
	q.running++
	return sync.OnceFunc(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.running--
	}), 0, true
}

// AtMost is what a provider asks for within what the service gives; zero asks for
// all of it, and gives without bound.
func AtMost[T int | float64 | time.Duration](asked, given T) T {
	if asked == 0 || given > 0 && asked > given {
		return given
	}
	return asked
}

// Quotas are those of all providers by lower-case name, and of removed ones until they are
// at rest: to remove a provider and make it again gives nothing back.
type Quotas map[string]*Quota

// Of returns the quota of a provider that asks for some limits, where the service gives others.
func (all Quotas) Of(name string, asked, given Limits, now time.Time) *Quota {
	// Security: a provider may ask for less than the service gives, never for more.
	perSecond, burst, concurrent := AtMost(asked.Rate, given.Rate), AtMost(asked.Burst, given.Burst),
		AtMost(asked.Concurrent, given.Concurrent)
	limit, burst := rate.Inf, max(burst, int(perSecond), 1)
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	q := all[name]
	if q == nil {
		q = &Quota{rate: rate.NewLimiter(limit, burst), reads: make(chan struct{}, maxReads)}
		all[name] = q
	}
	// Only what is different: each change settles what has come in since the last one.
	if q.rate.Limit() != limit {
		q.rate.SetLimitAt(now, limit)
	}
	if q.rate.Burst() != burst {
		q.rate.SetBurstAt(now, burst)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.most = max(concurrent, 1)
	return q
}

// Forget drops the quotas of removed providers that are at rest.
func (all Quotas) Forget(there func(name string) bool, now time.Time) {
	for name, q := range all {
		if !there(name) && q.rest(now) {
			delete(all, name)
		}
	}
}

func (q *Quota) rest(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running == 0 && len(q.reads) == 0 &&
		(q.rate.Limit() == rate.Inf || q.rate.TokensAt(now) >= float64(q.rate.Burst()))
}
