package tpm

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Purposes of certificates (TCG, 2.23.133.8).
var (
	purposeEK = asn1.ObjectIdentifier{2, 23, 133, 8, 1}
	purposeAK = asn1.ObjectIdentifier{2, 23, 133, 8, 3}
)

// ParseCertificate reads a DER certificate. What a TPM's index contains after it is
// cut off: the area is larger than the certificate.
func ParseCertificate(b []byte) (*x509.Certificate, error) {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(b, &outer)
	if err != nil {
		return nil, errors.New("not a DER certificate")
	}
	return pubkey.ParseCertificate(b[:len(b)-len(rest)])
}

// Authorities verify certificates of attestation keys and remember the chains that
// they verified. They are safe for concurrent use.
type Authorities struct {
	roots *tpmca.Roots
	seen  *lru.Cache[[sha256.Size]byte, *chain]
}

// chain is a chain whose signatures verify, with the window in which all of it is
// valid.
type chain struct {
	leaf      *x509.Certificate
	length    int
	root      string
	from, end time.Time
}

// NewAuthorities returns authorities that remember up to memory chains; 0 stands
// for 4096, -1 for none.
func NewAuthorities(roots *tpmca.Roots, memory int) *Authorities {
	a := &Authorities{roots: roots}
	if memory == 0 {
		memory = 4096
	}
	if memory > 0 {
		var err error
		if a.seen, err = lru.New[[sha256.Size]byte, *chain](memory); err != nil {
			panic(err) // the size is positive
		}
	}
	return a
}

// Verify checks the DER certificate of an attestation key, and returns it.
func (a *Authorities) Verify(der []byte, at time.Time) (*x509.Certificate, error) {
	c, err := a.verify(der, at)
	if err != nil {
		return nil, err
	}
	return c.leaf, nil
}

// verify returns the chain of the DER certificate of an attestation key.
func (a *Authorities) verify(der []byte, at time.Time) (*chain, error) {
	id := sha256.Sum256(der)
	if a.seen != nil {
		// A time outside the window may have another chain: look again.
		if c, ok := a.seen.Get(id); ok && !at.Before(c.from) && !at.After(c.end) {
			return c, nil
		}
	}
	leaf, err := ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := attests(leaf); err != nil {
		return nil, err
	}
	certs, err := a.roots.Verify(leaf, at)
	if err != nil {
		return nil, err
	}
	c := &chain{
		leaf: leaf, length: len(certs), root: tpmca.Name(certs[len(certs)-1]), from: leaf.NotBefore,
		end: leaf.NotAfter,
	}
	for _, cert := range certs {
		if cert.NotBefore.After(c.from) {
			c.from = cert.NotBefore
		}
		if cert.NotAfter.Before(c.end) {
			c.end = cert.NotAfter
		}
	}
	if until := a.roots.ValidUntil(certs); !until.IsZero() && until.Before(c.end) {
		c.end = until
	}
	if a.seen != nil {
		a.seen.Add(id, c)
	}
	return c, nil
}

// attests checks that a certificate is for a key that signs attestations: one for
// an endorsement key, or for anything else, is not. Some clouds give no purpose;
// Google's first AKs have the purpose of endorsement keys, and a usage that no
// endorsement key has: signatures alone.
func attests(cert *x509.Certificate) error {
	if cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("the certificate's key is not for signatures")
	}
	named := len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0
	signsAlone := cert.KeyUsage == x509.KeyUsageDigitalSignature && hasPurpose(cert, purposeEK)
	if named && !hasPurpose(cert, purposeAK) && !signsAlone {
		return fmt.Errorf("the certificate is not for attestation keys (purpose %v)", purposeAK)
	}
	return checkKey(cert.PublicKey)
}

func hasPurpose(cert *x509.Certificate, purpose asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(cert.UnknownExtKeyUsage, purpose.Equal)
}

// VerifyEK checks the certificate of an endorsement key: its chain, and that it is
// one (TCG EK Credential Profile 2.5, section 3.2).
func VerifyEK(roots *tpmca.Roots, der []byte, at time.Time) (*x509.Certificate, error) {
	cert, err := ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	named := len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0
	switch {
	case named && !hasPurpose(cert, purposeEK):
		return nil, fmt.Errorf("the certificate is not for endorsement keys (purpose %v)", purposeEK)
	case cert.KeyUsage != 0 && cert.KeyUsage&(x509.KeyUsageKeyEncipherment|x509.KeyUsageKeyAgreement) == 0:
		return nil, errors.New("the certificate's key is not for encryption")
	}
	if err := checkKey(cert.PublicKey); err != nil {
		return nil, err
	}
	_, err = roots.Verify(cert, at)
	return cert, err
}
