package collateralcache

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/probity-dev/probity/collateral"
)

// Outcome is what became of one piece of a bundle.
type Outcome struct {
	Item collateral.Item
	// File is where the piece was read, if that is known.
	File string
	// Err says why the piece was not taken over; nil if it was.
	Err error
}

// Import verifies every piece of a bundle and keeps those that verify. A piece
// that does not verify, or is older than what is stored, changes nothing; older
// allows the latter.
func (p *Plane) Import(ctx context.Context, b *collateral.Bundle, older bool) []Outcome {
	now := p.cfg.Now()
	var list []Outcome
	// AMD's branches come first: a VCEK may need their CA.
	for _, c := range b.AMD {
		e, err := p.keepAMD(ctx, c, now, older)
		list = append(list, outcome(e, c.Key(), "amd", c.File, err))
	}
	for _, chain := range b.PCK {
		e, err := p.keepPCK(ctx, chain, now)
		list = append(list, outcome(e, pckKey(chain), "intel", "", err))
	}
	for i, c := range b.Intel {
		// A renewal replaces the set: its chain, which is never fetched, is kept beside it.
		if chain := c.PCKCertificateChain; len(chain) > 0 {
			e, err := p.keepPCK(ctx, chain, now)
			list = append(list, outcome(e, pckKey(chain), "intel", c.File, err))
			without := *c
			without.PCKCertificateChain = nil
			c = &without
		}
		q, err := queryOf(c, false)
		if err != nil {
			list = append(list, outcome(nil, fmt.Sprintf("intel set %d", i+1), "intel", c.File, err))
			continue
		}
		e, err := p.keepIntel(ctx, c, q, now, older)
		list = append(list, outcome(e, q.Key(), "intel", c.File, err))
	}
	for _, c := range b.VCEK {
		q, err := collateral.ParseVCEKQuery(c.Path)
		if err != nil {
			list = append(list, outcome(nil, c.Path, "amd", c.File, err))
			continue
		}
		e, err := p.keepVCEK(ctx, c, q, now)
		list = append(list, outcome(e, q.Key(), "amd", c.File, err))
	}
	return list
}

func outcome(e *entry, key, vendor, file string, err error) Outcome {
	if err != nil || e == nil {
		return Outcome{collateral.Item{Key: key, Vendor: vendor}, file, err}
	}
	return Outcome{Item: e.Item, File: file}
}

// Export returns everything that is stored as a bundle, those of the store that
// were never asked for included.
func (p *Plane) Export(ctx context.Context) (*collateral.Bundle, error) {
	if err := p.adopt(ctx, ""); err != nil {
		return nil, err
	}
	b := &collateral.Bundle{Created: p.cfg.Now()}
	seen := map[[sha256.Size]byte]bool{}
	for _, e := range p.held() {
		if e.intel != nil {
			if seen[e.intel.Digest()] {
				continue // the same set under its number
			}
			seen[e.intel.Digest()] = true
		}
		b.Add(e.bundle())
	}
	return b, nil
}
