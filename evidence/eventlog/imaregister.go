package eventlog

import (
	"bytes"
	"crypto/sha1"
)

// IMARegister extends all measurements of a list that went into a register, and returns
// what the register of the bank then is, if it began with zeros. padded says that the bank
// extends the SHA-1 digest with zeros after it (kernels before 5.8). It returns nil if no
// measurement went into the register, or if a digest is not that of its data: the data of
// templates of other sites are not always in a list.
func IMARegister(list []Measurement, register uint32, bank Algorithm, padded bool) []byte {
	value, digest := make([]byte, bank.Size()), make([]byte, bank.Size())
	found := false
	for i := range list {
		m := &list[i]
		if m.Register != register {
			continue
		}
		found = true
		sum := sha1.Sum(m.Data)
		switch {
		case m.Violation():
			for j := range digest {
				digest[j] = 0xff
			}
		case !bytes.Equal(sum[:], m.Digest):
			return nil
		case padded || bank == SHA1:
			clear(digest)
			copy(digest, m.Digest)
		default:
			bank.Sum(digest[:0], m.Data)
		}
		extend(bank, value, digest)
	}
	if !found {
		return nil
	}
	return value
}
