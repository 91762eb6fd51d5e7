// Package jwstest makes the texts next to a compact JSON Web Signature, none of which a
// reader may accept, for the tests of all that read such signatures.
package jwstest

import (
	"crypto/rsa"
	"iter"
	"math/big"
	"slices"
	"strings"
)

const (
	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	foreign  = ".= \n\r\t+/%~\x00\xff"
)

// Neighbours returns what differs from a compact JWS in one character: another one, one more or
// one less at each place of a text of up to 2000 characters, and at 300 places of a longer one,
// the ends of its parts among them. Then come those with padding or white space.
func Neighbours(compact string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, i := range places(compact) {
			before, after := compact[:i], compact[min(i+1, len(compact)):]
			for _, c := range []byte(alphabet + foreign) {
				if i < len(compact) && c != compact[i] && !yield(before+string([]byte{c})+after) {
					return
				}
			}
			for _, c := range []byte("A" + foreign) {
				if !yield(before + string([]byte{c}) + compact[i:]) {
					return
				}
			}
			if i < len(compact) && !yield(before+after) {
				return
			}
		}
		parts := strings.Split(compact, ".")
		for i, part := range parts {
			for _, more := range []string{"=", "==", "===", "====", "\n", "\r\n", "AAAA"} {
				changed := slices.Clone(parts)
				changed[i] = part + more
				if !yield(strings.Join(changed, ".")) {
					return
				}
			}
		}
		for _, text := range []string{" " + compact, "\ufeff" + compact, compact + "..", strings.Join(parts,
			".\n"), strings.ReplaceAll(compact, "e", "%65")} {
			if !yield(text) {
				return
			}
		}
	}
}

// places are the indices at which a text is changed.
// KeysOutOfBounds are keys whose signatures take long to check, by what must be said about them.
func KeysOutOfBounds() map[string]*rsa.PublicKey {
	n := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1)
	}
	return map[string]*rsa.PublicKey{
		"RSA key of 65536 bits": {N: n(65536), E: 65537}, "RSA key of 8193 bits": {N: n(8193), E: 3},
		"exponent 2147483647": {N: n(2048), E: 1<<31 - 1},
	}
}

func places(compact string) (list []int) {
	step := 1
	if len(compact) > 2000 {
		step = len(compact) / 280
		for i, c := range compact {
			if c == '.' {
				list = append(list, i-2, i-1, i, i+1)
			}
		}
		list = append(list, len(compact)-2, len(compact)-1)
	}
	for i := 0; i < len(compact); i += step {
		list = append(list, i)
	}
	list = append(list, len(compact))
	slices.Sort(list)
	return slices.Compact(list)
}
