// Package oracle compares this module's verifiers with those of Google, go-sev-guest and
// go-tdx-guest: over recorded evidence, and over inputs that are altered at
// random. We may refuse more than they do, and say why; we must never accept
// what they refuse, except for their defects, which are listed with each test.
//
// It is a module of its own, so that the oracles never enter the main one.
//
//	go test .                          a short run
//	ORACLE_INPUTS=100000 go test .     the whole
//	PROBITY_CORPUS=folder go test .    with recorded evidence
package oracle

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// inputs is how many altered inputs each test makes.
func inputs(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("ORACLE_INPUTS"))
	if err != nil {
		return 4000
	}
	return n
}

// alter returns b with a few random changes: bits flipped, bytes set, cut,
// repeated or put in. The same seed gives the same change.
func alter(b []byte, random *rand.Rand) []byte {
	out := append([]byte(nil), b...)
	for range 1 + random.IntN(3) {
		if len(out) == 0 {
			return out
		}
		at := random.IntN(len(out))
		switch random.IntN(12) {
		default:
			out[at] ^= 1 << random.IntN(8)
		case 0:
			out[at] = byte(random.IntN(256))
		case 1:
			out[at] = 0
		case 2:
			out = out[:at]
		case 3:
			out = append(out, byte(random.IntN(256)))
		case 4:
			out = append(out[:at:at], append([]byte{byte(random.IntN(256))}, out[at:]...)...)
		}
	}
	return out
}
