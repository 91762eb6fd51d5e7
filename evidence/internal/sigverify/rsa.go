package sigverify

import (
	"crypto/rsa"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"math/big"
)

// PSS384 is an RSA public key for RSASSA-PSS with SHA-384, MGF1 with SHA-384 and
// a salt of 48 bytes (RFC 8017, section 8.1.2): what AMD's certificates and
// Microsoft's endorsements are signed with. It is safe for concurrent use.
type PSS384 struct {
	n, e *big.Int
	size int
}

// Bounds of RSA keys in bits: smaller ones are weak, larger ones are slow.
const (
	minRSA = 2048
	maxRSA = 4096
)

// ErrRSA is returned for keys of unusual size or exponent.
var ErrRSA = errors.New("not an RSA key of 2048 to 4096 bits with an odd exponent below 2^31")

// NewPSS384 returns the key for checking.
func NewPSS384(pub *rsa.PublicKey) (*PSS384, error) {
	if pub == nil || pub.N == nil || pub.N.BitLen() < minRSA || pub.N.BitLen() > maxRSA ||
		pub.N.Bit(0) == 0 || pub.E < 3 || pub.E&1 == 0 || pub.E >= 1<<31 {
		return nil, ErrRSA
	}
	return &PSS384{n: pub.N, e: big.NewInt(int64(pub.E)), size: (pub.N.BitLen() + 7) / 8}, nil
}

// VerifyMessage reports whether signature is one of message.
func (k *PSS384) VerifyMessage(message, signature []byte) bool {
	sum := sha512.Sum384(message)
	return k.Verify(sum[:], signature)
}

// Verify reports whether signature is one of the SHA-384 digest.
//
// The public operation of math/big is three times as fast as the standard
// library's for keys above 2048 bits, as that has no fast path there; all data
// are public.
func (k *PSS384) Verify(digest, signature []byte) bool {
	if len(digest) != sha512.Size384 || len(signature) != k.size {
		return false
	}
	s := new(big.Int).SetBytes(signature)
	if s.Cmp(k.n) >= 0 {
		return false
	}
	bits := k.n.BitLen() - 1
	size := (bits + 7) / 8
	s.Exp(s, k.e, k.n)
	if s.BitLen() > 8*size {
		return false
	}
	return pssEncoded(digest, s.FillBytes(make([]byte, size)), bits)
}

// pssEncoded is EMSA-PSS-VERIFY (RFC 8017, section 9.1.2) with a salt of the
// hash's length; em is overwritten.
func pssEncoded(digest, em []byte, bits int) bool {
	const hash, salt = sha512.Size384, sha512.Size384
	if len(em) < hash+salt+2 || em[len(em)-1] != 0xbc {
		return false
	}
	db, h := em[:len(em)-hash-1], em[len(em)-hash-1:len(em)-1]
	unused := byte(0xff >> (8*len(em) - bits))
	if db[0]&^unused != 0 {
		return false
	}
	mask(db, h)
	db[0] &= unused
	for _, b := range db[:len(db)-salt-1] {
		if b != 0 {
			return false
		}
	}
	if db[len(db)-salt-1] != 1 {
		return false
	}
	block := make([]byte, 8, 8+hash+salt)
	block = append(append(block, digest...), db[len(db)-salt:]...)
	return sha512.Sum384(block) == [hash]byte(h)
}

// mask applies MGF1 with SHA-384 (RFC 8017, appendix B.2.1).
func mask(db, seed []byte) {
	block := make([]byte, len(seed)+4)
	copy(block, seed)
	for counter := uint32(0); len(db) > 0; counter++ {
		binary.BigEndian.PutUint32(block[len(seed):], counter)
		sum := sha512.Sum384(block)
		n := min(len(sum), len(db))
		for i := range n {
			db[i] ^= sum[i]
		}
		db = db[n:]
	}
}
