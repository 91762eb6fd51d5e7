// Package crl reads the revocation lists (RFC 5280, section 5) by which vendors of hardware take
// back certificates.
package crl

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxSize is the largest list in bytes: about 100,000 entries.
const MaxSize = 4 << 20

// List is a revocation list whose issuer and signature were verified.
type List struct {
	ThisUpdate, NextUpdate time.Time
	serials                map[string]struct{} // by the bytes of the number, which is not negative
}

// Has reports whether a serial number is revoked. When, and why, does not matter.
func (l *List) Has(serial *big.Int) bool {
	_, revoked := l.serials[string(serial.Bytes())]
	return revoked && serial.Sign() >= 0
}

// Len returns how many certificates are revoked.
func (l *List) Len() int { return len(l.serials) }

// Issuer is the CA that must have signed a list.
type Issuer struct {
	// Named reports whether a name, DER, is that of the CA.
	Named func(rawName []byte) bool
	// Algorithm is the one with which the CA signs, Signed verifies its signature.
	Algorithm x509.SignatureAlgorithm
	Signed    func(tbs, signature []byte) bool
}

// Read reads a DER encoded list, with nothing after any of its parts, and verifies that the issuer
// signed it. It refuses lists without nextUpdate, since they would never be stale, and lists with critical
// extensions, since those limit what a list covers (delta and indirect lists, RFC 5280, section 5.2).
func Read(der []byte, by Issuer) (*List, error) {
	if len(der) > MaxSize {
		return nil, fmt.Errorf("a list of %d bytes; at most %d are accepted", len(der), MaxSize)
	}
	parsed, err := x509.ParseRevocationList(der)
	switch {
	case err != nil:
		return nil, err
	case len(parsed.Raw) != len(der): // crypto/x509 ignores them
		return nil, errors.New("data after the list")
	case !exact(der):
		return nil, errors.New("data after a part of the list")
	case parsed.SignatureAlgorithm != by.Algorithm:
		return nil, fmt.Errorf("signed with an algorithm other than %s", by.Algorithm)
	case !by.Named(parsed.RawIssuer):
		return nil, errors.New("issued by a different CA")
	case !by.Signed(parsed.RawTBSRevocationList, parsed.Signature):
		return nil, errors.New("signature verification failed")
	case parsed.NextUpdate.IsZero():
		return nil, errors.New("no nextUpdate")
	}
	for _, extension := range parsed.Extensions {
		if extension.Critical {
			return nil, fmt.Errorf("critical extension %s is not understood", extension.Id)
		}
	}
	list := &List{parsed.ThisUpdate, parsed.NextUpdate, make(map[string]struct{}, len(parsed.RevokedCertificateEntries))}
	for i, entry := range parsed.RevokedCertificateEntries {
		if entry.SerialNumber.Sign() < 0 {
			return nil, fmt.Errorf("entry %d has a negative serial number", i+1)
		}
		list.serials[string(entry.SerialNumber.Bytes())] = struct{}{}
	}
	return list, nil
}

// exact reports whether a list that crypto/x509 accepts has nothing after its parts, which that
// package ignores. The signature covers neither what is after it, nor how many bits of its own BIT
// STRING are unused: without this check anyone could write one list in many ways.
func exact(der []byte) bool {
	in := cryptobyte.String(der)
	var list, tbs, extensions cryptobyte.String
	var signature []byte
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() || !list.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!list.SkipASN1(cbasn1.SEQUENCE) || !list.ReadASN1BitStringAsBytes(&signature) || !list.Empty() {
		return false
	}
	// Version, algorithm, issuer.
	for _, tag := range []cbasn1.Tag{cbasn1.INTEGER, cbasn1.SEQUENCE, cbasn1.SEQUENCE} {
		if !tbs.SkipASN1(tag) {
			return false
		}
	}
	for range 2 { // thisUpdate, nextUpdate
		tag := cbasn1.UTCTime
		if tbs.PeekASN1Tag(cbasn1.GeneralizedTime) {
			tag = cbasn1.GeneralizedTime
		}
		if !tbs.SkipOptionalASN1(tag) {
			return false
		}
	}
	present := false
	return tbs.SkipOptionalASN1(cbasn1.SEQUENCE) && // entries
		tbs.ReadOptionalASN1(&extensions, &present, cbasn1.Tag(0).Constructed().ContextSpecific()) && tbs.Empty() &&
		(!present || extensions.SkipASN1(cbasn1.SEQUENCE) && extensions.Empty())
}
