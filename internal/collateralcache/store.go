package collateralcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/collateral"
)

// Record is a piece in a store.
type Record struct {
	Key string
	// Data is a bundle of the one piece.
	Data                []byte
	Fetched, NextUpdate time.Time
}

// Store keeps pieces. Implementations are safe for concurrent use.
type Store interface {
	// Collateral returns the records whose keys begin with the prefix.
	Collateral(ctx context.Context, prefix string) ([]Record, error)
	// PutCollateral creates or replaces a record.
	PutCollateral(ctx context.Context, r Record) error
}

// bundle wraps the piece.
func (e *entry) bundle() *collateral.Bundle {
	b := &collateral.Bundle{Created: e.Fetched}
	switch {
	case e.intel != nil:
		b.Intel = []*collateral.Intel{e.intel}
	case e.pck != nil:
		b.PCK = [][]byte{e.pck}
	case e.amd != nil:
		b.AMD = []*collateral.AMD{e.amd}
	default:
		b.VCEK = []*collateral.VCEK{e.vcek}
	}
	return b
}

func (p *Plane) toStore(ctx context.Context, e *entry) error {
	if p.cfg.Store == nil {
		return nil
	}
	data, err := e.bundle().Marshal()
	if err != nil {
		return err
	}
	return p.cfg.Store.PutCollateral(context.WithoutCancel(ctx),
		Record{Key: e.Key, Data: data, Fetched: e.Fetched, NextUpdate: e.NextUpdate})
}

// load reads Intel's sets and AMD's branches from the store. VCEKs are read when
// they are asked for: there may be many.
func (p *Plane) load(ctx context.Context) error {
	for _, prefix := range []string{"intel/", "amd/vcek/M", "amd/vcek/G", "amd/vcek/T", "amd/vlek/"} {
		if err := p.adopt(ctx, prefix); err != nil {
			return fmt.Errorf("collateral: %w", err)
		}
	}
	return nil
}

// adopt takes over what the store contains and is newer than what is in memory:
// another process may have put it there.
func (p *Plane) adopt(ctx context.Context, prefix string) error {
	if p.cfg.Store == nil {
		return nil
	}
	records, err := p.cfg.Store.Collateral(ctx, prefix)
	if err != nil {
		return err
	}
	for _, r := range records {
		if isPinned(r.Key) && p.cfg.Now().After(r.NextUpdate) {
			continue
		}
		if held := p.lookup(r.Key); held != nil && !r.Fetched.After(held.Fetched) {
			continue
		}
		if _, err := p.open(r); err != nil {
			p.cfg.Log.Warn("stored collateral is not used", "key", r.Key, "err", err.Error())
		}
	}
	return nil
}

// fromStore looks for a single piece.
func (p *Plane) fromStore(ctx context.Context, key string) *entry {
	if p.cfg.Store == nil {
		return nil
	}
	records, err := p.cfg.Store.Collateral(ctx, key)
	if err != nil {
		p.cfg.Log.Error("collateral could not be read from the store", "key", key, "err", err.Error())
		return nil
	}
	at := slices.IndexFunc(records, func(r Record) bool { return r.Key == key })
	if at < 0 {
		return nil
	}
	if held := p.lookup(key); held != nil && !records[at].Fetched.After(held.Fetched) {
		return nil
	}
	e, err := p.open(records[at])
	if err != nil {
		p.cfg.Log.Warn("stored collateral is not used", "key", key, "err", err.Error())
		return nil
	}
	return e
}

// open verifies a record, at the time at which it came, and puts it into
// memory. Its windows are looked at when it is used.
func (p *Plane) open(r Record) (*entry, error) {
	b, err := collateral.ParseBundle(r.Data)
	if err != nil {
		return nil, err
	}
	if b.Len() != 1 {
		return nil, fmt.Errorf("a record of %d pieces", b.Len())
	}
	e := &entry{}
	switch {
	case len(b.Intel) == 1:
		q, err := queryOf(b.Intel[0], isPinned(r.Key))
		if err != nil {
			return nil, err
		}
		if err := p.cfg.Checks.Intel(b.Intel[0], q, r.Fetched); err != nil {
			return nil, err
		}
		c, err := p.forward(b.Intel[0], q, r.Fetched)
		if err != nil {
			return nil, err
		}
		if e, err = intelEntry(c, q, r.Fetched); err != nil {
			return nil, err
		}
	case len(b.AMD) == 1:
		issued, next, err := p.cfg.Checks.AMD(b.AMD[0], r.Fetched)
		if err != nil {
			return nil, err
		}
		e = &entry{amd: b.AMD[0], Item: collateral.Item{
			Key: b.AMD[0].Key(), Vendor: "amd", Issued: issued, Fetched: r.Fetched, NextUpdate: next,
		}}
	case len(b.PCK) == 1:
		if e, err = p.pckEntry(b.PCK[0], r.Fetched); err != nil {
			return nil, err
		}
	default:
		q, err := collateral.ParseVCEKQuery(b.VCEK[0].Path)
		if err != nil {
			return nil, err
		}
		if e, err = p.vcekEntry(b.VCEK[0], q, r.Fetched); err != nil {
			return nil, err
		}
	}
	if e.Key != r.Key {
		return nil, errors.New("the record contains " + e.Key)
	}
	if e.vcek != nil {
		p.vceks.Add(e.Key, e)
		return e, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if held := p.entries[e.Key]; held != nil && behind(e, held) {
		return nil, fmt.Errorf("the record of %s: %w", e.Key, ErrOlder)
	}
	p.entries[e.Key] = e
	delete(p.warned, e.Key)
	return e, nil
}

// isPinned reports whether a key is that of a set under its evaluation number.
func isPinned(key string) bool {
	return strings.HasPrefix(key, "intel/") && strings.Count(key, "/") == 4
}

// queryOf returns the query that a set answers.
func queryOf(c *collateral.Intel, pinned bool) (collateral.Query, error) {
	about, err := c.About()
	if err != nil {
		return collateral.Query{}, err
	}
	q := collateral.Query{TEE: about.TEE, FMSPC: about.FMSPC, CA: about.CA}
	if pinned {
		q.EvaluationNumber = about.EvaluationNumber
	}
	return q, nil
}
