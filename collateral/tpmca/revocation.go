package tpmca

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral"
)

// addList keeps a revocation list. Its signature is checked when its issuer is known.
func (r *Roots) addList(der []byte) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("a revocation list that cannot be read")
	}
	if len(r.lists) == maxCertificates {
		return fmt.Errorf("more than %d revocation lists", maxCertificates)
	}
	r.lists = append(r.lists, list)
	return nil
}

// Lists returns the revocation lists, DER, in the order in which they were read.
func (r *Roots) Lists() [][]byte {
	if r == nil {
		return nil
	}
	var out [][]byte
	for _, list := range r.lists {
		out = append(out, list.Raw)
	}
	return out
}

// listsOf returns the newest list that the issuer signed, by its number and then its date:
// several, if they differ and neither is newer, so that none of them hides what the other revokes.
func (r *Roots) listsOf(issuer *x509.Certificate) (newest []*x509.RevocationList) {
	for _, list := range r.lists {
		if !bytes.Equal(list.RawIssuer, issuer.RawSubject) || list.CheckSignatureFrom(issuer) != nil {
			continue
		}
		switch {
		case len(newest) == 0 || collateral.NewerCRL(list.Raw, newest[0].Raw):
			newest = []*x509.RevocationList{list}
		case !collateral.NewerCRL(newest[0].Raw, list.Raw):
			newest = append(newest, list)
		}
	}
	return newest
}

// unrevoked checks a chain against the lists that the operator gave: where there is a list
// of an issuer, it must be current, and the certificate not on it.
func (r *Roots) unrevoked(chain []*x509.Certificate, at time.Time) error {
	for i, cert := range chain[:max(len(chain)-1, 0)] {
		issuer := chain[i+1]
		for _, list := range r.listsOf(issuer) {
			if at.Before(list.ThisUpdate) || !list.NextUpdate.IsZero() && at.After(list.NextUpdate) {
				return fmt.Errorf("the revocation list of %q is valid from %s to %s: get a new one%s and import it",
					Name(issuer), list.ThisUpdate.UTC().Format(time.RFC3339),
					list.NextUpdate.UTC().Format(time.RFC3339), from(cert.CRLDistributionPoints))
			}
			for _, entry := range list.RevokedCertificateEntries {
				if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
					return fmt.Errorf("the certificate %q (serial number %x) was revoked by %q on %s",
						Name(cert), cert.SerialNumber, Name(issuer), entry.RevocationTime.UTC().Format(time.DateOnly))
				}
			}
		}
	}
	return nil
}

// ValidUntil returns when the first revocation list of a verified chain needs an update, or
// the zero time.
func (r *Roots) ValidUntil(chain []*x509.Certificate) (first time.Time) {
	if r == nil {
		return first
	}
	for i := range chain[:max(len(chain)-1, 0)] {
		for _, list := range r.listsOf(chain[i+1]) {
			if !list.NextUpdate.IsZero() && (first.IsZero() || list.NextUpdate.Before(first)) {
				first = list.NextUpdate
			}
		}
	}
	return first
}

// maxDepth bounds the chains that are followed to say what is missing.
const maxDepth = 8

// missing says which authority is between a certificate and the trusted roots, or
// returns nil where none is missing.
func (r *Roots) missing(cert *x509.Certificate) error {
	for range maxDepth {
		issuer := r.issuerOf(cert)
		switch {
		case issuer == nil && SelfIssued(cert):
			return fmt.Errorf("the root %q (SHA-256 %s) is not trusted", Name(cert), Fingerprint(cert))
		case issuer == nil:
			text := fmt.Sprintf("the certificate of %q, which issued %q, is missing: get it%s, "+
				"compare its fingerprint with its owner's, and import it",
				issuerName(cert), Name(cert), from(cert.IssuingCertificateURL))
			if azureIssuer(issuerName(cert)) {
				text += `; the roots of Azure's virtual TPMs are known under the name "azure"`
			}
			return fmt.Errorf("%s", text)
		case issuer.Equal(cert):
			return nil
		}
		cert = issuer
	}
	return nil
}

func (r *Roots) issuerOf(cert *x509.Certificate) *x509.Certificate {
	for _, c := range r.All() {
		if bytes.Equal(c.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

func issuerName(cert *x509.Certificate) string {
	if cn := cert.Issuer.CommonName; cn != "" {
		return cn
	}
	return cert.Issuer.String()
}

// azureIssuer reports whether a name is one under which Azure issues certificates of virtual
// TPMs. It is for messages alone.
func azureIssuer(name string) bool {
	for _, part := range []string{"Virtual TPM CA", "Virtual TPM Root", "Microsoft RSA Devices Root"} {
		if bytes.Contains([]byte(name), []byte(part)) {
			return true
		}
	}
	return false
}

// from writes where something can be got, as the certificate says.
func from(addresses []string) string {
	if len(addresses) == 0 {
		return " (the certificate does not say where)"
	}
	return fmt.Sprintf(" from %q", addresses[0])
}
