// Package crl reads the revocation lists (RFC 5280, section 5) by which vendors of hardware take
// back certificates.
package crl

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// List is a revocation list whose issuer and signature were verified.
type List struct {
	ThisUpdate, NextUpdate time.Time
	serials                map[string]struct{}
}

// Has reports whether a serial number is revoked. When, and why, does not matter.
func (l *List) Has(serial *big.Int) bool {
	_, revoked := l.serials[serial.String()]
	return revoked
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

// Read reads a DER encoded list, with nothing after it, and verifies that the issuer signed it.
// It refuses lists without nextUpdate, since they would never be stale, and lists with critical
// extensions, since those limit what a list covers (delta and indirect lists, RFC 5280, section 5.2).
func Read(der []byte, by Issuer) (*List, error) {
	parsed, err := x509.ParseRevocationList(der)
	switch {
	case err != nil:
		return nil, err
	case len(parsed.Raw) != len(der): // crypto/x509 ignores them
		return nil, errors.New("data after the list")
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
	for _, entry := range parsed.RevokedCertificateEntries {
		list.serials[entry.SerialNumber.String()] = struct{}{}
	}
	return list, nil
}
