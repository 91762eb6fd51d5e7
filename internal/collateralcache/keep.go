package collateralcache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/strict/pubkey"
)

// unverified says why a piece was not kept. It hides its cause: a rejection of
// collateral must not be taken for one of evidence.
func unverified(err error) error { return errors.New("not kept: " + err.Error()) }

// ErrOlder is returned for a piece that is older than the one stored.
var ErrOlder = errors.New("older than what is stored")

func (p *Plane) fetchIntel(ctx context.Context, q collateral.Query) (*entry, error) {
	c, err := p.cfg.Intel.Intel(ctx, q)
	if err != nil {
		return nil, err
	}
	return p.keepIntel(ctx, c, q, p.cfg.Now(), false)
}

// keepIntel verifies a set and keeps it: under the query, and under its own
// evaluation number, so that a policy that pins the number finds it.
func (p *Plane) keepIntel(
	ctx context.Context, c *collateral.Intel, q collateral.Query, now time.Time, older bool,
) (*entry, error) {
	if err := p.cfg.Checks.Intel(c, q, now); err != nil {
		return nil, unverified(err)
	}
	sent := c
	if !older {
		var err error
		if c, err = p.forward(c, q, now); err != nil {
			return nil, err
		}
	}
	e, err := intelEntry(c, q, now)
	if err != nil {
		return nil, err
	}
	if about, err := c.About(); err != nil || about.Mixed {
		// Under a number it would hide the set of which both pieces have it.
		if err != nil || q.EvaluationNumber != 0 {
			return nil, fmt.Errorf("%s: TCB info and QE identity are of different releases", q)
		}
		return e, p.keep(ctx, e, older)
	}
	pinned := *e
	pinned.intelQuery.EvaluationNumber = e.EvaluationNumber
	pinned.Key = pinned.intelQuery.Key()
	if q.EvaluationNumber == 0 && !older {
		// The set under the number moves forward from what is stored there.
		moved, err := p.forward(sent, pinned.intelQuery, now)
		if err != nil {
			return nil, err
		}
		if about, err := moved.About(); err == nil && !about.Mixed && about.EvaluationNumber == e.EvaluationNumber {
			pinned.intel, pinned.Issued, pinned.NextUpdate = moved.Seal(), about.Issued, about.NextUpdate
		}
	}
	if err := p.keep(ctx, &pinned, older); err != nil && !errors.Is(err, ErrOlder) {
		return nil, err
	}
	if q.EvaluationNumber != 0 {
		return &pinned, nil
	}
	return e, p.keep(ctx, e, older)
}

// forward takes the newest of each piece of a verified set: its revocation lists from any
// set that is stored, its QE identity from the one under the same key. The sender of a set
// chose its pieces: an old list beside a new TCB info must not undo a revocation.
func (p *Plane) forward(c *collateral.Intel, q collateral.Query, now time.Time) (*collateral.Intel, error) {
	var lists []*collateral.Intel
	for _, e := range p.held() {
		switch {
		case e.intel == nil:
		case e.Key == q.Key():
			lists = append(lists, e.intel)
		default:
			lists = append(lists, &collateral.Intel{
				RootCRL:           e.intel.RootCRL,
				PCKCRL:            e.intel.PCKCRL,
				PCKCRLIssuerChain: e.intel.PCKCRLIssuerChain,
			})
		}
	}
	moved := c.Forward(lists...)
	if moved == c {
		return c, nil
	}
	if err := p.cfg.Checks.Intel(moved, q, now); err != nil {
		return nil, errors.New("some pieces are older than those stored, with which the others do not verify: " +
			err.Error())
	}
	return moved, nil
}

// intelEntry describes a set. It is current until the first of its pieces has
// expired.
func intelEntry(c *collateral.Intel, q collateral.Query, fetched time.Time) (*entry, error) {
	about, err := c.About()
	if err != nil {
		return nil, err
	}
	return &entry{
		intel:      c.Seal(),
		intelQuery: q,
		Item: collateral.Item{Key: q.Key(), Vendor: "intel", EvaluationNumber: about.EvaluationNumber,
			Issued: about.Issued, Fetched: fetched, NextUpdate: about.NextUpdate},
	}, nil
}

func (p *Plane) fetchAMD(ctx context.Context, q collateral.AMDQuery) (*entry, error) {
	c, err := p.cfg.AMD.AMD(ctx, q)
	if err != nil {
		return nil, err
	}
	c.AMDQuery = q
	return p.keepAMD(ctx, c, p.cfg.Now(), false)
}

func (p *Plane) keepAMD(ctx context.Context, c *collateral.AMD, now time.Time, older bool) (*entry, error) {
	issued, next, err := p.cfg.Checks.AMD(c, now)
	if err != nil {
		return nil, unverified(err)
	}
	if held := p.lookup(c.Key()); held != nil && !older && collateral.NewerCRL(held.amd.CRL, c.CRL) {
		return nil, fmt.Errorf("%s: the revocation list: %w", c.Key(), ErrOlder)
	}
	e := &entry{
		amd:  c,
		Item: collateral.Item{Key: c.Key(), Vendor: "amd", Issued: issued, Fetched: now, NextUpdate: next},
	}
	return e, p.keep(ctx, e, older)
}

func (p *Plane) fetchVCEK(ctx context.Context, q collateral.VCEKQuery) (*entry, error) {
	c, err := p.cfg.AMD.VCEK(ctx, q)
	if err != nil {
		return nil, err
	}
	return p.keepVCEK(ctx, c, q, p.cfg.Now())
}

func (p *Plane) keepVCEK(
	ctx context.Context, c *collateral.VCEK, q collateral.VCEKQuery, now time.Time,
) (*entry, error) {
	e, err := p.vcekEntry(c, q, now)
	if err != nil {
		return nil, err
	}
	return e, p.keep(ctx, e, true)
}

// vcekEntry verifies a VCEK.
func (p *Plane) vcekEntry(c *collateral.VCEK, q collateral.VCEKQuery, now time.Time) (*entry, error) {
	var published *collateral.AMD
	if held := p.lookup(collateral.AMDQuery{Line: q.Line}.Key()); held != nil {
		published = held.amd
	}
	if err := p.cfg.Checks.VCEK(c, q, published, now); err != nil {
		return nil, unverified(err)
	}
	cert, err := pubkey.ParseCertificate(c.Certificate)
	if err != nil {
		return nil, err
	}
	return &entry{vcek: c, Item: collateral.Item{
		Key: q.Key(), Vendor: "amd", Issued: cert.NotBefore, Fetched: now, NextUpdate: cert.NotAfter,
	}}, nil
}

// keepPCK verifies a PCK certificate chain and keeps it.
func (p *Plane) keepPCK(ctx context.Context, chain []byte, now time.Time) (*entry, error) {
	e, err := p.pckEntry(chain, now)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	held := 0
	for key, other := range p.entries {
		if other.pck != nil && key != e.Key {
			held++
		}
	}
	p.mu.Unlock()
	if held >= collateral.MaxPCKs {
		return nil, fmt.Errorf("not kept: %d PCK certificate chains are stored, the most allowed", held)
	}
	return e, p.keep(ctx, e, true)
}

func (p *Plane) pckEntry(chain []byte, now time.Time) (*entry, error) {
	from, to, err := p.cfg.Checks.PCK(chain, now)
	if err != nil {
		return nil, unverified(err)
	}
	return &entry{pck: chain, Item: collateral.Item{
		Key: pckKey(chain), Vendor: "intel", Issued: from, Fetched: now, NextUpdate: to,
	}}, nil
}

// pckKey names a chain by its digest: a platform has one for each of its TCB levels.
func pckKey(chain []byte) string {
	sum := sha256.Sum256(chain)
	return pckPrefix + hex.EncodeToString(sum[:16])
}

const pckPrefix = "intel/PCK/"

// behind reports whether a piece is older than another of its key.
func behind(e, held *entry) bool {
	switch {
	case e.EvaluationNumber != held.EvaluationNumber:
		return e.EvaluationNumber < held.EvaluationNumber
	case e.amd != nil && held.amd != nil && collateral.NewerCRL(held.amd.CRL, e.amd.CRL):
		return true
	}
	return e.Issued.Before(held.Issued)
}

// keep puts a verified piece into memory and store, unless an older one would
// replace a newer one unasked. A store that fails is logged: what is in memory
// goes on.
func (p *Plane) keep(ctx context.Context, e *entry, older bool) error {
	p.mu.Lock()
	if held := p.entries[e.Key]; held != nil && !older && behind(e, held) {
		p.mu.Unlock()
		return fmt.Errorf("%s: evaluation %d of %s, stored is %d of %s: %w", e.Key, e.EvaluationNumber,
			e.Issued.UTC().Format(time.RFC3339),
			held.EvaluationNumber, held.Issued.UTC().Format(time.RFC3339), ErrOlder)
	}
	if e.vcek == nil {
		p.entries[e.Key] = e
	}
	delete(p.trouble, e.Key)
	delete(p.warned, e.Key)
	p.mu.Unlock()
	if e.vcek != nil {
		p.vceks.Add(e.Key, e)
	}
	if err := p.toStore(ctx, e); err != nil {
		p.cfg.Log.Error("collateral could not be stored", "key", e.Key, "err", err.Error())
	}
	return nil
}
