package collateral

import (
	"bytes"
	"crypto/x509"
	"time"

	"github.com/go-json-experiment/json"
)

// Forward returns c with each revocation list replaced by the newest list of the same issuer
// in the other sets, and the QE identity by a newer one of the same release for the platform.
// A set is put together by its sender: what is signed is each piece, not their
// combination, so that a new TCB info may come with an old list. The caller verifies the
// result; c itself does not change.
func (c *Intel) Forward(others ...*Intel) *Intel {
	out := *c
	for _, o := range others {
		if o == nil {
			continue
		}
		if NewerCRL(o.RootCRL, out.RootCRL) {
			out.RootCRL = o.RootCRL
		}
		if NewerCRL(o.PCKCRL, out.PCKCRL) {
			out.PCKCRL, out.PCKCRLIssuerChain = o.PCKCRL, o.PCKCRLIssuerChain
		}
		if newerIdentity(o, &out) {
			out.QEIdentity, out.QEIdentitySignature, out.QEIdentityIssuerChain = o.QEIdentity,
				o.QEIdentitySignature, o.QEIdentityIssuerChain
		}
	}
	if bytes.Equal(out.RootCRL, c.RootCRL) && bytes.Equal(out.PCKCRL, c.PCKCRL) &&
		bytes.Equal(out.QEIdentity, c.QEIdentity) {
		return c
	}
	return out.Seal()
}

// NewerCRL reports whether a replaces b: both are lists of one issuer and key identifier, and a has
// the higher number (RFC 5280, 5.2.3), or the same number and a later date.
func NewerCRL(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 || bytes.Equal(a, b) {
		return false
	}
	x, err := x509.ParseRevocationList(a)
	if err != nil {
		return false
	}
	y, err := x509.ParseRevocationList(b)
	if err != nil || !bytes.Equal(x.RawIssuer, y.RawIssuer) || !bytes.Equal(x.AuthorityKeyId, y.AuthorityKeyId) {
		return false
	}
	if x.Number != nil && y.Number != nil {
		if order := x.Number.Cmp(y.Number); order != 0 {
			return order > 0
		}
	}
	return x.ThisUpdate.After(y.ThisUpdate)
}

// newerIdentity reports whether the QE identity of o replaces that of c: both sets are for
// one platform, and o's is of the same release and was issued later. Releases are side by
// side: a policy may ask for one.
func newerIdentity(o, c *Intel) bool {
	a, err := o.About()
	if err != nil {
		return false
	}
	b, err := c.About()
	if err != nil || a.TEE != b.TEE || a.FMSPC != b.FMSPC || a.CA != b.CA {
		return false
	}
	var x, y struct {
		ID     string    `json:"id"`
		Number uint32    `json:"tcbEvaluationDataNumber"`
		Issued time.Time `json:"issueDate"`
	}
	if json.Unmarshal(o.QEIdentity, &x) != nil || json.Unmarshal(c.QEIdentity, &y) != nil {
		return false
	}
	return x.ID == y.ID && x.Number == y.Number && x.Issued.After(y.Issued)
}
