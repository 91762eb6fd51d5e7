package provider

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// quota bounds what one provider may use of a node. It outlives changes of the provider:
// what was used before a change is not given again, and what runs is still counted.
type quota struct {
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

// TakeRead takes a place for reading the ledger.
func (t *Provider) TakeRead() (free func(), ok bool) {
	select {
	case t.quota.reads <- struct{}{}:
		return func() { <-t.quota.reads }, true
	default:
		return nil, false
	}
}

// Take takes a place for an attestation, or says after how long to come again.
func (t *Provider) Take(now time.Time) (free func(), wait time.Duration, ok bool) {
	return t.quota.take(now)
}

func (q *quota) take(now time.Time) (free func(), wait time.Duration, ok bool) {
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

// atMost is what a provider asks for within what the service gives; zero asks for
// all of it, and gives without bound.
func atMost[T int | float64 | time.Duration](asked, given T) T {
	if asked == 0 || given > 0 && asked > given {
		return given
	}
	return asked
}

// quotas are those of all providers by lower-case name, and of removed ones until they are
// at rest: to remove a provider and make it again gives nothing back.
type quotas map[string]*quota

// of returns the quota of a provider with the bounds of its settings.
func (all quotas) of(name string, s Settings, d Defaults, now time.Time) *quota {
	// Security: a provider may ask for less than the service gives, never for more.
	perSecond, burst, concurrent := atMost(s.Rate, d.Rate), atMost(s.Burst, d.Burst),
		atMost(s.Concurrent, d.Concurrent)
	limit, burst := rate.Inf, max(burst, int(perSecond), 1)
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	q := all[name]
	if q == nil {
		q = &quota{rate: rate.NewLimiter(limit, burst), reads: make(chan struct{}, maxReads)}
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

// forget drops the quotas of removed providers that are at rest.
func (all quotas) forget(there map[string]*Provider, now time.Time) {
	for name, q := range all {
		if there[name] == nil && q.rest(now) {
			delete(all, name)
		}
	}
}

func (q *quota) rest(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running == 0 && len(q.reads) == 0 &&
		(q.rate.Limit() == rate.Inf || q.rate.TokensAt(now) >= float64(q.rate.Burst()))
}
