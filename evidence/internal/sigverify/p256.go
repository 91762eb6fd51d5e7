package sigverify

import (
	"crypto/ecdsa"
	"crypto/elliptic"

	"filippo.io/nistec"
)

// P256Size is the length of a scalar or coordinate of P-256 in bytes.
const P256Size = 32

var orderP256 = elliptic.P256().Params().N

// P256 is a public key on P-256 with a precomputed table: for keys that check
// many signatures, such as a vendor's root. It is safe for concurrent use.
type P256 struct {
	pub   *ecdsa.PublicKey
	table *comb[*nistec.P256Point]
}

// NewP256 returns the key for checking. It refuses other curves and points that
// are not on the curve. Making it costs about two signature checks.
func NewP256(pub *ecdsa.PublicKey) (*P256, error) {
	if pub == nil || pub.Curve != elliptic.P256() {
		return nil, ErrCurve
	}
	b, err := pub.Bytes()
	if err != nil {
		return nil, ErrCurve
	}
	q, err := nistec.NewP256Point().SetBytes(b)
	if err != nil {
		return nil, ErrCurve
	}
	return &P256{pub, newComb(q, P256Size, nistec.NewP256Point)}, nil
}

// Of reports whether it checks for this key.
func (k *P256) Of(pub *ecdsa.PublicKey) bool { return k.pub.Equal(pub) }

// VerifyASN1 reports whether a DER signature (RFC 3279, section 2.2.3) is one of
// the digest.
func (k *P256) VerifyASN1(digest, der []byte) bool {
	raw, ok := rawSignature(der, P256Size)
	return ok && k.Verify(digest, raw)
}

// Verify reports whether r || s, 64 bytes big-endian, is an ECDSA signature of
// the digest. Digests longer than the curve's order are cut as the standard
// says.
func (k *P256) Verify(digest, signature []byte) bool {
	var u1, u2 [P256Size]byte
	r, ok := scalars(digest, signature, orderP256, u1[:], u2[:])
	return ok && k.table.verify(generatorP256(), u1[:], u2[:], r, orderP256)
}
