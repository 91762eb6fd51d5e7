// Package collateralcache keeps collateral alive: it fetches from the vendors' services,
// verifies before it keeps, remembers in memory and in a store, renews in the
// background, and says what it has.
//
// A [Plane] is a [collateral.Source]. Start with [New], call [Plane.Run] for the
// renewal, and give the plane to the appraiser. What is stored and current is
// answered from memory: once warm, no appraisal fetches anything. Many that ask
// for the same at once share one fetch, which goes on when the caller gives up.
//
// Fetched data are not to be trusted: they replace nothing before every
// signature in them was checked, and an older release never replaces a newer.
package collateralcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/probity-dev/probity/collateral"
)

// IntelService is where Intel's collateral is fetched.
type IntelService interface {
	Intel(ctx context.Context, q collateral.Query) (*collateral.Intel, error)
}

// AMDService is where AMD's collateral is fetched.
type AMDService interface {
	AMD(ctx context.Context, q collateral.AMDQuery) (*collateral.AMD, error)
	VCEK(ctx context.Context, q collateral.VCEKQuery) (*collateral.VCEK, error)
}

// Checks verify pieces before they are kept: the functions of the verifiers.
type Checks struct {
	Intel func(c *collateral.Intel, q collateral.Query, at time.Time) error
	AMD   func(c *collateral.AMD, at time.Time) (thisUpdate, nextUpdate time.Time, err error)
	VCEK  func(c *collateral.VCEK, q collateral.VCEKQuery, published *collateral.AMD, at time.Time) error
	PCK   func(chain []byte, at time.Time) (from, to time.Time, err error)
}

// Config configures a plane.
type Config struct {
	// Intel and AMD are asked for what is not stored; nil means that the service is not asked.
	Intel IntelService
	AMD   AMDService
	// Checks verify what is fetched and imported. All are needed.
	Checks Checks
	// Store keeps pieces over restarts; nil stands for memory alone.
	Store Store
	// Fallback is asked last: files of the operator, unverified. It may be nil.
	Fallback collateral.Source
	// Now is the clock, Jitter gives numbers in [0, 1).
	Now    func() time.Time
	Jitter func() float64
	// Refresh is how old a piece grows before it is renewed; 0 stands for a day.
	Refresh time.Duration
	// Warn is how long before its end a piece is warned of; 0 stands for three
	// days.
	Warn time.Duration
	// Ours, if not nil, reports whether this process renews collateral now, for all
	// that share the store; the others read what it fetched.
	Ours func(context.Context) bool
	// Outage is for how long after its end a piece is still given, marked as
	// stale, while the vendor's service fails. 0 stands for not at all.
	Outage time.Duration
	// Log takes warnings; nil discards them.
	Log *slog.Logger
}

// Plane is a source of collateral that keeps itself up to date.
type Plane struct {
	cfg     Config
	flights singleflight.Group
	vceks   *lru.Cache[string, *entry]
	// stop ends the fetches that are under way.
	base context.Context
	stop context.CancelFunc

	mu      sync.Mutex
	entries map[string]*entry // Intel's sets and PCK chains, and AMD's branches
	trouble map[string]trouble
	stats   map[string]*Stats
	warned  map[string]time.Time
	// pinned are the sets that were asked for by their evaluation number. Every
	// set is kept under its number too; those that were not asked for by number are not
	// renewed by themselves.
	pinned map[string]bool
}

// maxVCEKs and maxTrouble bound the memory of what clients can make grow.
const (
	maxVCEKs   = 16384
	maxTrouble = 4096
)

// entry is a piece that was verified.
type entry struct {
	collateral.Item
	intel      *collateral.Intel
	amd        *collateral.AMD
	vcek       *collateral.VCEK
	pck        []byte // a PCK certificate chain, PEM
	intelQuery collateral.Query
}

// trouble is a failed try, and until when none is made again.
type trouble struct {
	err       error
	at, until time.Time
	times     int
}

// New returns a plane with what the store contains.
func New(ctx context.Context, cfg Config) (*Plane, error) {
	defaults := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	defaults(&cfg.Refresh, 24*time.Hour)
	defaults(&cfg.Warn, 72*time.Hour)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	vceks, err := lru.New[string, *entry](maxVCEKs)
	if err != nil {
		return nil, err
	}
	p := &Plane{
		cfg: cfg, vceks: vceks, entries: map[string]*entry{}, trouble: map[string]trouble{},
		stats: map[string]*Stats{}, warned: map[string]time.Time{}, pinned: map[string]bool{},
	}
	p.base, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	return p, p.load(ctx)
}

// Close ends the fetches that are under way.
func (p *Plane) Close() { p.stop() }

// Intel implements [collateral.Source].
func (p *Plane) Intel(ctx context.Context, q collateral.Query) (*collateral.Intel, error) {
	var fetch func(context.Context) (*entry, error)
	if p.cfg.Intel != nil {
		fetch = func(ctx context.Context) (*entry, error) { return p.fetchIntel(ctx, q) }
	}
	e, stale, err := p.get(ctx, q.Key(), "intel", fetch)
	if err == nil && q.EvaluationNumber != 0 {
		p.mu.Lock()
		p.pinned[q.Key()] = true
		p.mu.Unlock()
	}
	if err != nil {
		if p.cfg.Fallback != nil {
			c, fallbackErr := p.cfg.Fallback.Intel(ctx, q)
			// What has expired is given if no one could have fetched newer: the
			// verifier then says what has expired.
			if fallbackErr == nil && (fetch == nil || p.current(c)) {
				return c, nil
			}
		}
		return nil, err
	}
	if stale {
		c := *e.intel
		c.Stale = true
		return &c, nil
	}
	return e.intel, nil
}

// current reports whether an unverified set says that it is still current.
func (p *Plane) current(c *collateral.Intel) bool {
	about, err := c.About()
	return err == nil && !p.cfg.Now().After(about.NextUpdate)
}

// AMD implements [collateral.Source].
func (p *Plane) AMD(ctx context.Context, q collateral.AMDQuery) (*collateral.AMD, error) {
	var fetch func(context.Context) (*entry, error)
	if p.cfg.AMD != nil {
		fetch = func(ctx context.Context) (*entry, error) { return p.fetchAMD(ctx, q) }
	}
	e, stale, err := p.get(ctx, q.Key(), "amd", fetch)
	if err != nil {
		if p.cfg.Fallback != nil {
			if c, fallbackErr := p.cfg.Fallback.AMD(ctx, q); fallbackErr == nil {
				return c, nil
			}
		}
		return nil, err
	}
	if stale {
		c := *e.amd
		c.Stale = true
		return &c, nil
	}
	return e.amd, nil
}

// VCEK implements [collateral.Source].
func (p *Plane) VCEK(ctx context.Context, q collateral.VCEKQuery) (*collateral.VCEK, error) {
	var fetch func(context.Context) (*entry, error)
	if p.cfg.AMD != nil {
		fetch = func(ctx context.Context) (*entry, error) { return p.fetchVCEK(ctx, q) }
	}
	e, _, err := p.get(ctx, q.Key(), "amd", fetch)
	if err != nil {
		if p.cfg.Fallback != nil {
			if c, fallbackErr := p.cfg.Fallback.VCEK(ctx, q); fallbackErr == nil {
				return c, nil
			}
		}
		return nil, err
	}
	return e.vcek, nil
}

// PCKs implements [collateral.Source]. Chains are imported; they are never fetched.
func (p *Plane) PCKs(ctx context.Context) ([][]byte, error) {
	var list [][]byte
	p.mu.Lock()
	for _, e := range p.entries {
		if e.pck != nil {
			list = append(list, e.pck)
		}
	}
	p.mu.Unlock()
	if p.cfg.Fallback != nil && len(list) < collateral.MaxPCKs {
		files, err := p.cfg.Fallback.PCKs(ctx)
		if err != nil && !errors.Is(err, collateral.ErrNotFound) {
			return nil, err
		}
		list = append(list, files...)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("PCK certificate chain: %w", collateral.ErrNotFound)
	}
	slices.SortFunc(list, bytes.Compare) // the same verdict each time
	return list[:min(len(list), collateral.MaxPCKs)], nil
}

// get answers from memory, or fetches. Without anyone to ask it gives what it
// has, current or not: the verifier then says what has expired.
func (p *Plane) get(
	ctx context.Context, key, vendor string, fetch func(context.Context) (*entry, error),
) (e *entry, stale bool, err error) {
	now := p.cfg.Now()
	e = p.lookup(key)
	if e != nil && !now.After(e.NextUpdate) {
		p.count(vendor, func(s *Stats) { s.Hits++ })
		return e, false, nil
	}
	if stored := p.fromStore(ctx, key); stored != nil && !now.After(stored.NextUpdate) {
		p.count(vendor, func(s *Stats) { s.Hits++ })
		return stored, false, nil
	}
	if fetch == nil {
		if e != nil {
			return e, false, nil
		}
		return nil, false, fmt.Errorf("%s is not stored, and no service is configured to fetch it from: %w",
			key, collateral.ErrNotFound)
	}
	fetched, err := p.fetch(ctx, key, vendor, fetch, false)
	if err == nil {
		return fetched, false, nil
	}
	if errors.Is(err, collateral.ErrNotFound) {
		// Where it was looked for stays in the log: refusals go to clients.
		return nil, false, fmt.Errorf("%s: not found at the vendor's service: %w", key,
			collateral.ErrNotFound)
	}
	if ctx.Err() != nil {
		return nil, false, err
	}
	if e != nil && now.Before(e.NextUpdate.Add(p.cfg.Outage)) {
		p.count(vendor, func(s *Stats) { s.Stale++ })
		return e, true, nil
	}
	if e != nil {
		return nil, false, fmt.Errorf("%s expired on %s, and fetching it again failed: %w: %w", key,
			e.NextUpdate.UTC().Format(time.RFC3339), collateral.ErrUnavailable, err)
	}
	return nil, false, fmt.Errorf("%s: %w: %w", key, collateral.ErrUnavailable, err)
}

// lookup returns what is in memory.
func (p *Plane) lookup(key string) *entry {
	if e, ok := p.vceks.Get(key); ok {
		return e
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries[key]
}

// fetch runs one fetch for all that ask for the key. It is not bound to the
// caller's context: what was begun is worth finishing for the next one.
func (p *Plane) fetch(
	ctx context.Context, key, vendor string, fetch func(context.Context) (*entry, error), renew bool,
) (*entry, error) {
	if t := p.troubleOf(key); t.err != nil && p.cfg.Now().Before(t.until) {
		return nil, fmt.Errorf("no new attempt before %s: %w", t.until.UTC().Format(time.RFC3339), t.err)
	}
	done := p.flights.DoChan(key, func() (result any, err error) {
		// A panic here would end the process: no one waits on this stack.
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
				p.settle(key, vendor, err)
			}
		}()
		// Another flight may have landed between lookup and start.
		if e := p.lookup(key); e != nil && !renew && !p.cfg.Now().After(e.NextUpdate) {
			return e, nil
		}
		p.count(vendor, func(s *Stats) { s.Fetches++ })
		e, err := fetch(p.base)
		p.settle(key, vendor, err)
		return e, err
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*entry), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s is being fetched: %w", key, ctx.Err())
	}
}

// Bounds of the pause after failures, and after "there is none".
const (
	firstPause    = time.Second
	longestPause  = 5 * time.Minute
	notFoundPause = 10 * time.Minute
)

// settle remembers how a try ended, so that failures are not repeated at once:
// the pause doubles, with jitter so that many nodes do not come back together.
func (p *Plane) settle(key, vendor string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.trouble, key)
		return
	}
	if p.base.Err() != nil {
		return // stopped, not failed
	}
	p.statsOf(vendor).Failures++
	t := trouble{err: err, times: p.trouble[key].times + 1}
	pause := min(firstPause<<min(t.times-1, 16), longestPause)
	if errors.Is(err, collateral.ErrNotFound) {
		pause = notFoundPause
	}
	t.until = p.cfg.Now().Add(time.Duration(float64(pause) * (0.5 + p.cfg.Jitter())))
	t.at = p.cfg.Now()
	if _, known := p.trouble[key]; !known && len(p.trouble) >= maxTrouble {
		p.forgetTrouble()
	}
	p.trouble[key] = t
	p.cfg.Log.Warn("collateral could not be fetched", "key", key, "err", err.Error(), "nextTry",
		t.until.UTC().Format(time.RFC3339))
}

// forgetTrouble makes room for one more failure: the oldest one goes, first of those of
// which nothing is stored. Clients choose many keys, also of platforms that do not exist, and
// must not make the plane forget the failures of those that it serves.
func (p *Plane) forgetTrouble() {
	var oldest string
	var at time.Time
	var served bool
	for key, t := range p.trouble {
		_, held := p.entries[key]
		held = held || p.vceks.Contains(key)
		if oldest == "" || served && !held || served == held && t.at.Before(at) {
			oldest, at, served = key, t.at, held
		}
	}
	delete(p.trouble, oldest)
}

func (p *Plane) troubleOf(key string) trouble {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble[key]
}
