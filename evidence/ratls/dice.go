package ratls

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/probity-dev/probity/evidence/internal/cose"
)

// CBOR tags of evidence (IANA's registry of CBOR tags and the interoperable RA-TLS of the
// Confidential Computing Consortium; those beginning with 0x1a75 are of librats).
const (
	tagIntelQuote        = 60000
	tagIntelQuoteLibrats = 0x1a7501
	tagSNPLibrats        = 0x1a7504
)

// claimKeyHash is the claim with the hash of the key: a CBOR array of hash algorithm and
// value, encoded once more as a byte string.
const claimKeyHash = "pubkey-hash"

// dice reads TCG DICE tagged evidence: a tag around evidence and serialised claims. The
// claims must contain the hash of the certificate's own key.
func (c *Certificate) dice(value []byte) error {
	var tag cbor.RawTag
	if err := cose.Decode(value, &tag); err != nil {
		return fmt.Errorf("TCG DICE tagged evidence: not one tagged CBOR item")
	}
	switch tag.Number {
	case tagIntelQuote, tagIntelQuoteLibrats:
	case tagSNPLibrats:
		c.SNP = true
	default:
		return fmt.Errorf("TCG DICE tagged evidence: tag %d is not known; expected %d or %d for an Intel "+
			"quote, %d for a SEV-SNP report",
			tag.Number, tagIntelQuote, tagIntelQuoteLibrats, tagSNPLibrats)
	}
	var parts [][]byte
	if err := cose.Decode(tag.Content, &parts); err != nil || len(parts) != 2 {
		return errors.New("TCG DICE tagged evidence: not an array of evidence and claims, two byte strings")
	}
	c.Evidence, c.Claims = parts[0], parts[1]
	if Is(c.Evidence) {
		return errInside
	}
	var claims map[string]cbor.RawMessage
	if err := cose.Decode(c.Claims, &claims); err != nil {
		return errors.New("TCG DICE tagged evidence: the claims are not a CBOR map with text as keys")
	}
	return c.keyHash(claims[claimKeyHash])
}

// keyHash compares the claim with the certificate's key.
func (c *Certificate) keyHash(claim []byte) error {
	if claim == nil {
		return errors.New("TCG DICE tagged evidence: the claims have no " + claimKeyHash)
	}
	var encoded []byte
	if cose.Decode(claim, &encoded) == nil {
		claim = encoded
	}
	var entry []cbor.RawMessage
	var algorithm int64
	var value []byte
	if cose.Decode(claim, &entry) != nil || len(entry) != 2 || cose.Decode(entry[0], &algorithm) != nil ||
		cose.Decode(entry[1], &value) != nil {
		return errors.New(
			"TCG DICE tagged evidence: " + claimKeyHash + " is not an array of hash algorithm and hash",
		)
	}
	var want []byte
	switch algorithm { // IANA, Named Information Hash Algorithm Registry
	case 1:
		sum := sha256.Sum256(c.PublicKey)
		want = sum[:]
	case 7:
		sum := sha512.Sum384(c.PublicKey)
		want = sum[:]
	case 8:
		sum := sha512.Sum512(c.PublicKey)
		want = sum[:]
	default:
		return fmt.Errorf("TCG DICE tagged evidence: hash algorithm %d is not known; "+
			"expected 1 (SHA-256), 7 (SHA-384) or 8 (SHA-512)", algorithm)
	}
	if subtle.ConstantTimeCompare(want, value) != 1 || bytes.Equal(value, nil) {
		return fmt.Errorf("TCG DICE tagged evidence: %s is %x, the certificate's key has %x", claimKeyHash,
			value, want)
	}
	return nil
}
