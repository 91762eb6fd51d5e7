package sigverify

import (
	"math/big"
	"sync"

	"filippo.io/nistec"
)

// The comb of Lim and Lee: a scalar's bits are laid out in teeth rows, and one
// table entry serves a whole column of them. Two scalars share the doublings.
// The point arithmetic has complete formulas, so that there are no special
// cases to get wrong.
const teeth = 7

// point is what the points of all curves can do.
type point[P any] interface {
	Add(P, P) P
	Double(P) P
	Set(P) P
	BytesX() ([]byte, error)
}

// comb is the table of a point: entry i is the sum of 2^(columns·t)·Q over the
// bits t of i. For P-384 it takes about 25 KB.
type comb[P point[P]] struct {
	entries [1 << teeth]P
	columns int
	zero    func() P
}

// newComb makes the table of q for scalars of the given size in bytes; zero
// returns the point at infinity.
func newComb[P point[P]](q P, size int, zero func() P) *comb[P] {
	c := &comb[P]{columns: (8*size + teeth - 1) / teeth, zero: zero}
	c.entries[0] = zero()
	base := zero().Set(q)
	for t := range teeth {
		if t > 0 {
			for range c.columns {
				base.Double(base)
			}
		}
		for i := range 1 << t {
			c.entries[1<<t|i] = zero().Add(base, c.entries[i])
		}
	}
	return c
}

// The tables of the generators, made at the first use.
var (
	generatorP384 = sync.OnceValue(func() *comb[*nistec.P384Point] {
		return newComb(nistec.NewP384Point().SetGenerator(), P384Size, nistec.NewP384Point)
	})
	generatorP256 = sync.OnceValue(func() *comb[*nistec.P256Point] {
		return newComb(nistec.NewP256Point().SetGenerator(), P256Size, nistec.NewP256Point)
	})
)

// column gathers the bits of column j of a big-endian scalar.
func (c *comb[P]) column(scalar []byte, j int) (index int) {
	for t := range teeth {
		bit := t*c.columns + j
		if bit >= 8*len(scalar) {
			break // the last row is shorter
		}
		index |= int(scalar[len(scalar)-1-bit/8]>>(bit%8)&1) << t
	}
	return index
}

// verify compares the x-coordinate of u1·G + u2·Q, modulo the order, with r.
func (c *comb[P]) verify(g *comb[P], u1, u2 []byte, r, order *big.Int) bool {
	sum := c.zero()
	for j := c.columns - 1; j >= 0; j-- {
		sum.Double(sum)
		if i := c.column(u1, j); i != 0 {
			sum.Add(sum, g.entries[i])
		}
		if i := c.column(u2, j); i != 0 {
			sum.Add(sum, c.entries[i])
		}
	}
	b, err := sum.BytesX()
	if err != nil { // the point at infinity
		return false
	}
	x := new(big.Int).SetBytes(b)
	return x.Mod(x, order).Cmp(r) == 0
}
