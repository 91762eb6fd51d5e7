package sigverify

import (
	"math/big"
	"sync"

	"filippo.io/nistec"
)

// The comb of Lim and Lee: a scalar's bits are laid out in teeth rows of
// columns bits, and one table entry serves a whole column. Two scalars share
// the doublings. The point arithmetic has complete formulas, so that there are
// no special cases to get wrong.
const (
	teeth   = 7
	columns = (8*P384Size + teeth - 1) / teeth
)

// comb is the table of a point: entry i is the sum of 2^(columns·t)·Q over the
// bits t of i. It takes about 25 KB.
type comb [1 << teeth]*nistec.P384Point

func newComb(q *nistec.P384Point) *comb {
	var c comb
	c[0] = nistec.NewP384Point()
	base := nistec.NewP384Point().Set(q)
	for t := range teeth {
		if t > 0 {
			for range columns {
				base.Double(base)
			}
		}
		for i := range 1 << t {
			c[1<<t|i] = nistec.NewP384Point().Add(base, c[i])
		}
	}
	return &c
}

// generatorComb is the table of the generator, made at the first use.
var generatorComb = sync.OnceValue(func() *comb {
	return newComb(nistec.NewP384Point().SetGenerator())
})

// column gathers the bits of column j of a big-endian scalar.
func column(scalar *[P384Size]byte, j int) (index int) {
	for t := range teeth {
		bit := t*columns + j
		if bit >= 8*P384Size {
			break // the last row is shorter
		}
		index |= int(scalar[P384Size-1-bit/8]>>(bit%8)&1) << t
	}
	return index
}

// verifyComb compares the x-coordinate of u1·G + u2·Q with r.
func verifyComb(q *comb, u1, u2 [P384Size]byte, r *big.Int) bool {
	g := generatorComb()
	sum := nistec.NewP384Point()
	for j := columns - 1; j >= 0; j-- {
		sum.Double(sum)
		if i := column(&u1, j); i != 0 {
			sum.Add(sum, g[i])
		}
		if i := column(&u2, j); i != 0 {
			sum.Add(sum, q[i])
		}
	}
	b, err := sum.BytesX()
	if err != nil { // the point at infinity
		return false
	}
	x := new(big.Int).SetBytes(b)
	return x.Mod(x, order).Cmp(r) == 0
}
