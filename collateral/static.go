package collateral

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Fixed is a source that answers every query for Intel platforms with one set,
// so that a mismatch is reported by the verifier that finds it. PCK certificate chains may
// are beside it.
func Fixed(c *Intel, pcks ...[]byte) Source {
	b := Bundle{Intel: []*Intel{c}, PCK: pcks}
	return fixed{c.Seal(), b.pckChains()}
}

type fixed struct {
	c    *Intel
	pcks [][]byte
}

func (f fixed) Intel(context.Context, Query) (*Intel, error) { return f.c, nil }

func (f fixed) AMD(_ context.Context, q AMDQuery) (*AMD, error) {
	return nil, fmt.Errorf("%s: %w", q, ErrNotFound)
}

func (f fixed) VCEK(_ context.Context, q VCEKQuery) (*VCEK, error) {
	return nil, fmt.Errorf("%s: %w", q, ErrNotFound)
}

// Items describes the stored sets of Intel, for people and metrics.
func (s *Static) Items() []Item {
	var list []Item
	for _, e := range s.entries {
		q := Query{
			TEE:              e.about.TEE,
			FMSPC:            e.about.FMSPC,
			CA:               e.about.CA,
			EvaluationNumber: e.about.EvaluationNumber,
		}
		list = append(list, Item{
			Key: q.Key(), Vendor: "intel", EvaluationNumber: e.about.EvaluationNumber,
			Issued: e.about.Issued, NextUpdate: e.about.NextUpdate,
		})
	}
	return list
}

func (f fixed) PCKs(context.Context) ([][]byte, error) { return heldPCKs(f.pcks) }

func heldPCKs(list [][]byte) ([][]byte, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("PCK certificate chain: %w", ErrNotFound)
	}
	return list, nil
}

// Static is a source over a fixed bundle.
type Static struct {
	entries []entry
	amd     map[AMDQuery]*AMD
	vceks   map[string]*VCEK
	pcks    [][]byte
}

type entry struct {
	about About
	c     *Intel
}

// NewStatic returns a source over a bundle. It refuses sets whose TCB info does
// not say what it is for, and pieces that contradict each other.
func NewStatic(b *Bundle) (*Static, error) {
	s := &Static{amd: map[AMDQuery]*AMD{}, vceks: map[string]*VCEK{}}
	copied := *b
	b = &copied
	all := b.Intel // with those that are older as a whole: one of their lists may be the newest
	if err := b.Settle(); err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	for i, c := range b.Intel {
		c = c.Forward(all...)
		about, err := c.About()
		if err != nil {
			return nil, fmt.Errorf("collateral: set %d: %w", i+1, err)
		}
		s.entries = append(s.entries, entry{about, c.Seal()})
	}
	for _, c := range b.AMD {
		s.amd[c.AMDQuery] = c
	}
	for _, c := range b.VCEK {
		s.vceks[c.Path] = c
	}
	if s.pcks = b.pckChains(); len(s.pcks) > MaxPCKs {
		return nil, fmt.Errorf("collateral: %d PCK certificate chains, at most %d are read", len(s.pcks), MaxPCKs)
	}
	return s, nil
}

// issued is when a list was issued; zero if there is none.
func issued(der []byte) time.Time {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return time.Time{}
	}
	return list.ThisUpdate
}

// Intel returns the newest set that matches q: the highest evaluation number,
// then the latest issue date.
func (s *Static) Intel(_ context.Context, q Query) (*Intel, error) {
	var best *entry
	for i := range s.entries {
		e := &s.entries[i]
		if !e.about.Matches(q) {
			continue
		}
		if best == nil || e.about.NewerThan(best.about) || !best.about.NewerThan(e.about) && best.about.CA == "" {
			best = e
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%s: %w%s", q, ErrNotFound, s.have())
	}
	return best.c, nil
}

// have lists what is stored, for those whose query was not found.
func (s *Static) have() string {
	var names []string
	for _, e := range s.entries {
		names = append(names, Query{TEE: e.about.TEE, FMSPC: e.about.FMSPC, CA: e.about.CA}.String())
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > 0 {
		return "; there is " + strings.Join(names[:min(len(names), 6)], ", ")
	}
	return ""
}

// AMD returns the chain and CRL of the branch.
func (s *Static) AMD(_ context.Context, q AMDQuery) (*AMD, error) {
	if c, ok := s.amd[q]; ok {
		return c, nil
	}
	return nil, fmt.Errorf("%s: %w", q, ErrNotFound)
}

// VCEK returns the certificate of the chip at that TCB.
func (s *Static) VCEK(_ context.Context, q VCEKQuery) (*VCEK, error) {
	if c, ok := s.vceks[q.String()]; ok {
		return c, nil
	}
	return nil, fmt.Errorf("VCEK %s: %w", q, ErrNotFound)
}

// PCKs returns all chains of the bundle and of its sets.
func (s *Static) PCKs(context.Context) ([][]byte, error) { return heldPCKs(s.pcks) }

// List describes the Intel sets stored, in the order given.
func (s *Static) List() []About {
	list := make([]About, len(s.entries))
	for i, e := range s.entries {
		list[i] = e.about
	}
	return list
}
