package dcap

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// revocationList is a CRL whose issuer and signature were verified.
type revocationList struct {
	window  window
	revoked map[string]struct{} // by the serial number's bytes
}

func (l *revocationList) has(serial *big.Int) bool {
	_, revoked := l.revoked[string(serial.Bytes())]
	return revoked
}

// openCRL reads a DER encoded CRL and verifies that the named CA signed it. It
// refuses lists without nextUpdate, since they would never grow stale, and
// lists with critical extensions, since those limit what a list covers (delta
// and indirect CRLs, RFC 5280, 5.2).
//
// The list is read here and not by crypto/x509: that spends more on the dates
// of a hundred entries than the signature check costs.
func openCRL(der []byte, issuer func(rawName []byte) bool, by signer) (*revocationList, error) {
	list, err := parseCRL(der)
	if err != nil {
		return nil, err
	}
	if !issuer(list.issuer) {
		return nil, errors.New("issued by a different CA")
	}
	sum := sha256.Sum256(list.tbs)
	if !by(sum[:], list.signature) {
		return nil, errors.New("signature does not verify")
	}
	return &revocationList{list.window, list.revoked}, nil
}

// parsedCRL are the parts of a CRL. Slices point into the input.
type parsedCRL struct {
	tbs, issuer, signature []byte
	window                 window
	revoked                map[string]struct{}
}

// ecdsaSHA256 is the encoding of the AlgorithmIdentifier ecdsa-with-SHA256
// (RFC 5758, 3.2).
var ecdsaSHA256 = []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}

var errCRL = errors.New("not a DER encoded CRL of version 2")

// parseCRL reads a CertificateList (RFC 5280, 5.1).
func parseCRL(der []byte) (*parsedCRL, error) {
	l := &parsedCRL{}
	in := cryptobyte.String(der)
	var list, whole, tbs, outer, issuer cryptobyte.String
	var bits []byte
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() ||
		!list.ReadASN1Element(&whole, cbasn1.SEQUENCE) || !list.ReadASN1Element(&outer, cbasn1.SEQUENCE) ||
		!list.ReadASN1BitStringAsBytes(&bits) || !list.Empty() {
		return nil, errCRL
	}
	l.tbs, l.signature = whole, bits
	var version int
	var inner cryptobyte.String
	if !whole.ReadASN1(&tbs, cbasn1.SEQUENCE) || !tbs.ReadASN1Integer(&version) || version != 1 ||
		!tbs.ReadASN1Element(&inner, cbasn1.SEQUENCE) || !tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) {
		return nil, errCRL
	}
	if string(inner) != string(ecdsaSHA256) || string(outer) != string(ecdsaSHA256) {
		return nil, errors.New("signed with an algorithm other than ECDSA-SHA256")
	}
	l.issuer = issuer
	var ok bool
	if l.window.from, ok = readTime(&tbs); !ok {
		return nil, errCRL
	}
	if l.window.to, ok = readTime(&tbs); !ok {
		return nil, errors.New("no nextUpdate")
	}
	if err := l.readEntries(&tbs); err != nil {
		return nil, err
	}
	return l, readExtensions(&tbs)
}

func readTime(s *cryptobyte.String) (t time.Time, ok bool) {
	switch {
	case s.PeekASN1Tag(cbasn1.UTCTime):
		ok = s.ReadASN1UTCTime(&t)
	case s.PeekASN1Tag(cbasn1.GeneralizedTime):
		ok = s.ReadASN1GeneralizedTime(&t)
	}
	return t, ok
}

// readEntries collects the serial numbers. What else an entry says (when, why)
// does not matter: revoked is revoked.
func (l *parsedCRL) readEntries(tbs *cryptobyte.String) error {
	l.revoked = map[string]struct{}{}
	if !tbs.PeekASN1Tag(cbasn1.SEQUENCE) {
		return nil // the list is optional
	}
	var entries cryptobyte.String
	if !tbs.ReadASN1(&entries, cbasn1.SEQUENCE) {
		return errCRL
	}
	for !entries.Empty() {
		var entry cryptobyte.String
		var serial []byte
		if !entries.ReadASN1(&entry, cbasn1.SEQUENCE) || !entry.ReadASN1Integer(&serial) {
			return fmt.Errorf("entry %d is malformed", len(l.revoked)+1)
		}
		l.revoked[string(serial)] = struct{}{}
	}
	return nil
}

// readExtensions refuses critical extensions.
func readExtensions(tbs *cryptobyte.String) error {
	if tbs.Empty() {
		return nil
	}
	var wrapped, list cryptobyte.String
	if !tbs.ReadASN1(&wrapped, cbasn1.Tag(0).Constructed().ContextSpecific()) || !tbs.Empty() ||
		!wrapped.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapped.Empty() {
		return errCRL
	}
	for !list.Empty() {
		var extension, id, value cryptobyte.String
		critical := false
		if !list.ReadASN1(&extension, cbasn1.SEQUENCE) || !extension.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) ||
			!extension.ReadOptionalASN1Boolean(&critical, cbasn1.BOOLEAN, false) ||
			!extension.ReadASN1(&value, cbasn1.OCTET_STRING) || !extension.Empty() {
			return errCRL
		}
		if critical {
			return fmt.Errorf("critical extension (identifier %x)", []byte(id))
		}
	}
	return nil
}
