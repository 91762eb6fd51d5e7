// Package sigverify checks the signatures that attestation is made of where the
// standard library is slower than other known methods: ECDSA on P-384, ECDSA on P-256
// with a vendor's root, and RSASSA-PSS with large keys.
//
// Everything here works on public data only and is not constant in time; it
// must never see a secret. Each fast way is tested against the standard
// library, whose verdict decides.
package sigverify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"math/big"
	"sync/atomic"

	"filippo.io/nistec"
	"github.com/cloudflare/circl/ecc/p384"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// P384Size is the length of a scalar or coordinate of P-384 in bytes.
const P384Size = 48

// P384 is a public key on P-384 (FIPS 186-5, section 6.4). It is safe for
// concurrent use. A key that is used again and again gets a precomputed table.
type P384 struct {
	pub   *ecdsa.PublicKey
	x, y  *big.Int
	point *nistec.P384Point
	uses  atomic.Int32
	table atomic.Pointer[comb[*nistec.P384Point]]
}

// tableAfter is how often a key is used before a table pays for itself: making
// one costs about as much as one signature check.
const tableAfter = 2

// ErrCurve is returned for public keys that are not points of the curve.
var ErrCurve = errors.New("not a public key on the curve")

// NewP384 returns the key for checking. It refuses other curves and points that
// are not on the curve.
func NewP384(pub *ecdsa.PublicKey) (*P384, error) {
	if pub == nil || pub.Curve != elliptic.P384() {
		return nil, ErrCurve
	}
	b, err := pub.Bytes()
	if err != nil {
		return nil, ErrCurve
	}
	point, err := nistec.NewP384Point().SetBytes(b)
	if err != nil {
		return nil, ErrCurve
	}
	return &P384{pub: pub, point: point,
		x: new(big.Int).SetBytes(b[1 : 1+P384Size]), y: new(big.Int).SetBytes(b[1+P384Size:])}, nil
}

// Verify reports whether r || s, 96 bytes big-endian, is an ECDSA signature of
// the digest. Digests longer than the curve's order are cut as the standard
// says.
func (k *P384) Verify(digest, signature []byte) bool {
	var u1, u2 [P384Size]byte
	r, ok := scalars(digest, signature, order, u1[:], u2[:])
	if !ok {
		return false
	}
	table := k.table.Load()
	if table == nil && k.uses.Add(1) >= tableAfter {
		table = newComb(k.point, P384Size, nistec.NewP384Point)
		k.table.Store(table)
	}
	if table != nil {
		return table.verify(generatorP384(), u1[:], u2[:], r, order)
	}
	return k.verifyCIRCL(u1[:], u2[:], r)
}

var order = elliptic.P384().Params().N

// scalars computes u1 = e/s and u2 = r/s modulo the order, after checking that
// r and s are in [1, n-1]. The length of u1 is the size of a scalar.
func scalars(digest, signature []byte, order *big.Int, u1, u2 []byte) (r *big.Int, ok bool) {
	size := len(u1)
	if len(signature) != 2*size || len(digest) == 0 {
		return nil, false
	}
	r = new(big.Int).SetBytes(signature[:size])
	s := new(big.Int).SetBytes(signature[size:])
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(order) >= 0 || s.Cmp(order) >= 0 {
		return nil, false
	}
	e := new(big.Int).SetBytes(digest[:min(len(digest), size)])
	w := s.ModInverse(s, order)
	e.Mul(e, w).Mod(e, order).FillBytes(u1)
	w.Mul(w, r).Mod(w, order).FillBytes(u2)
	return r, true
}

// verifyCIRCL is the way for keys that are seen for the first time.
func (k *P384) verifyCIRCL(u1, u2 []byte, r *big.Int) bool {
	curve := p384.P384()
	x, y := curve.CombinedMult(k.x, k.y, u1, u2)
	if curve.IsAtInfinity(x, y) {
		return false
	}
	return x.Mod(x, order).Cmp(r) == 0
}

// verifyStandard is the standard library's way, against which the others are
// tested.
func (k *P384) verifyStandard(digest, signature []byte) bool {
	if len(signature) != 2*P384Size {
		return false
	}
	return ecdsa.Verify(k.pub, digest, new(big.Int).SetBytes(signature[:P384Size]),
		new(big.Int).SetBytes(signature[P384Size:]))
}

// VerifyCertificate reports whether the key signed the certificate with ECDSA
// and SHA-384. Names, dates and constraints are the caller's to check.
func (k *P384) VerifyCertificate(cert *x509.Certificate) bool {
	if cert.SignatureAlgorithm != x509.ECDSAWithSHA384 {
		return false
	}
	raw, ok := rawSignature(cert.Signature, P384Size)
	digest := sha512.Sum384(cert.RawTBSCertificate)
	return ok && k.Verify(digest[:], raw)
}

// rawSignature turns a DER signature (RFC 3279, section 2.2.3) into r || s.
func rawSignature(der []byte, size int) ([]byte, bool) {
	input, inner := cryptobyte.String(der), cryptobyte.String(nil)
	var r, s []byte
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() || !inner.ReadASN1Integer(&r) ||
		!inner.ReadASN1Integer(&s) || !inner.Empty() ||
		len(r) > size || len(s) > size {
		return nil, false
	}
	raw := make([]byte, 2*size)
	copy(raw[size-len(r):], r)
	copy(raw[2*size-len(s):], s)
	return raw, true
}
