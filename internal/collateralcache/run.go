package collateralcache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/probity-dev/probity/collateral"
)

// tick is how often the plane looks for what is due.
const tick = time.Minute

// Run renews what is stored until ctx ends: what has grown old or comes near its
// end is fetched again, what another process stored is adopted, and what is about
// to expire is warned of. A renewal that fails changes nothing.
func (p *Plane) Run(ctx context.Context) {
	for sleep(ctx, time.Duration(float64(tick)*(0.75+p.cfg.Jitter()/2))) == nil {
		p.Renew(ctx)
	}
}

// Renew does one round of what [Plane.Run] does.
func (p *Plane) Renew(ctx context.Context) {
	if err := p.load(ctx); err != nil {
		p.cfg.Log.Error("collateral could not be read from the store", "err", err.Error())
	}
	ours := p.cfg.Ours == nil || p.cfg.Ours(ctx)
	for _, e := range p.held() {
		if ctx.Err() != nil {
			return
		}
		if p.idle(e) {
			p.forget(e)
			continue
		}
		if ours && p.due(e) {
			p.renew(ctx, e)
		}
		p.warn(e)
	}
}

// idle reports whether a set is the copy under its number, and no one asked for
// that number.
func (p *Plane) idle(e *entry) bool {
	if e.intelQuery.EvaluationNumber == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.pinned[e.Key]
}

// forget drops an idle set that has expired.
func (p *Plane) forget(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cfg.Now().After(e.NextUpdate) && p.entries[e.Key] == e {
		delete(p.entries, e.Key)
	}
}

// due reports whether a piece should be fetched again: it is older than the
// refresh time, or less than a quarter of its life is left.
func (p *Plane) due(e *entry) bool {
	if e.vcek != nil {
		return false
	}
	now := p.cfg.Now()
	return now.After(e.Fetched.Add(p.cfg.Refresh)) ||
		now.After(e.NextUpdate.Add(-e.NextUpdate.Sub(e.Issued)/4)) &&
			now.After(e.Fetched.Add(p.cfg.Refresh/8))
}

func (p *Plane) renew(ctx context.Context, e *entry) {
	var fetch func(context.Context) (*entry, error)
	switch {
	case e.intel != nil && p.cfg.Intel != nil:
		fetch = func(ctx context.Context) (*entry, error) { return p.fetchIntel(ctx, e.intelQuery) }
	case e.amd != nil && p.cfg.AMD != nil:
		fetch = func(ctx context.Context) (*entry, error) { return p.fetchAMD(ctx, e.amd.AMDQuery) }
	default:
		return
	}
	if _, err := p.fetch(ctx, e.Key, e.Vendor, fetch, true); err != nil && !errors.Is(err, context.Canceled) {
		p.cfg.Log.Debug("collateral was not renewed", "key", e.Key, "err", err.Error())
	}
}

// warn logs, once a day, that a piece is about to expire.
func (p *Plane) warn(e *entry) {
	now := p.cfg.Now()
	if now.Before(e.NextUpdate.Add(-p.cfg.Warn)) {
		return
	}
	p.mu.Lock()
	last := p.warned[e.Key]
	due := now.Sub(last) >= 24*time.Hour
	if due {
		p.warned[e.Key] = now
	}
	problem := p.trouble[e.Key].err
	p.mu.Unlock()
	if !due {
		return
	}
	attrs := []any{"key", e.Key, "nextUpdate", e.NextUpdate.UTC().Format(time.RFC3339)}
	if problem != nil {
		attrs = append(attrs, "err", problem.Error())
	}
	if now.After(e.NextUpdate) {
		p.cfg.Log.Error("collateral has expired", attrs...)
		return
	}
	p.cfg.Log.Warn("collateral is about to expire", attrs...)
}

// held returns what is in memory, by key.
func (p *Plane) held() []*entry {
	p.mu.Lock()
	list := make([]*entry, 0, len(p.entries))
	for _, e := range p.entries {
		list = append(list, e)
	}
	p.mu.Unlock()
	list = append(list, p.vceks.Values()...)
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.Key, b.Key) })
	return list
}

// List describes what is stored, by key.
func (p *Plane) List() []collateral.Item {
	var list []collateral.Item
	for _, e := range p.held() {
		if p.idle(e) {
			continue
		}
		item := e.Item
		if t := p.troubleOf(e.Key); t.err != nil {
			item.Problem = t.err.Error()
		}
		list = append(list, item)
	}
	return list
}

// Baselines describes Intel's sets that are stored.
func (p *Plane) Baselines() []collateral.About {
	var list []collateral.About
	for _, e := range p.held() {
		if e.intel != nil && e.intelQuery.EvaluationNumber != 0 {
			if about, err := e.intel.About(); err == nil {
				list = append(list, about)
			}
		}
	}
	return list
}

// Stats count what happened with a vendor's collateral.
type Stats struct {
	Hits, Fetches, Failures, Stale uint64
}

// Stats returns the counts by vendor.
func (p *Plane) Stats() map[string]Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]Stats{}
	for vendor, s := range p.stats {
		out[vendor] = *s
	}
	return out
}

func (p *Plane) count(vendor string, f func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p.statsOf(vendor))
}

func (p *Plane) statsOf(vendor string) *Stats {
	s := p.stats[vendor]
	if s == nil {
		s = &Stats{}
		p.stats[vendor] = s
	}
	return s
}
