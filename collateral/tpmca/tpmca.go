// Package tpmca holds the certificate authorities of TPMs: those of vendors, who
// certify endorsement keys, and those of clouds and sites, who certify attestation
// keys.
//
// Start with [Parse], which reads certificates from PEM, and [Roots.Verify]. Which
// authorities count is the operator's choice. [Vendors] is a list of the roots
// that vendors publish, by fingerprint (nothing is trusted for being in it), so that an operator who fetched one can
// see that it is the right one. Revocation is not looked for.
package tpmca

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Roots are authorities that are trusted, with intermediates that lead to them.
type Roots struct {
	roots, intermediates *x509.CertPool
	list                 []*x509.Certificate
}

// maxCertificates bounds how many certificates a set has.
const maxCertificates = 4096

// Parse reads certificates in PEM, or one in DER. Those that are their own issuer
// or stand in the list of vendors are trusted, others serve to lead there. Certificates that are not authorities
// are refused.
func Parse(files ...[]byte) (*Roots, error) {
	r := &Roots{roots: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	for _, file := range files {
		certs, err := certificates(file)
		if err != nil {
			return nil, err
		}
		for _, cert := range certs {
			if err := r.add(cert); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func certificates(file []byte) (list []*x509.Certificate, err error) {
	if len(file) > 0 && file[0] == 0x30 {
		cert, err := x509.ParseCertificate(file)
		if err != nil {
			return nil, err
		}
		return []*x509.Certificate{cert}, nil
	}
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block of type %s, want CERTIFICATE", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if list = append(list, cert); len(list) > maxCertificates {
			return nil, fmt.Errorf("more than %d certificates", maxCertificates)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no PEM certificates")
	}
	return list, nil
}

func (r *Roots) add(cert *x509.Certificate) error {
	if !cert.IsCA || !cert.BasicConstraintsValid {
		return fmt.Errorf("%s is not the certificate of an authority", Name(cert))
	}
	for _, other := range r.list {
		if other.Equal(cert) {
			return nil
		}
	}
	r.list = append(r.list, cert)
	if _, published := VendorOf(cert); published || SelfIssued(cert) {
		r.roots.AddCert(cert)
	} else {
		r.intermediates.AddCert(cert)
	}
	return nil
}

// SelfIssued reports whether a certificate names itself as its issuer.
func SelfIssued(cert *x509.Certificate) bool { return bytes.Equal(cert.RawIssuer, cert.RawSubject) }

// Len is how many certificates the set holds; a nil set holds none.
func (r *Roots) Len() int {
	if r == nil {
		return 0
	}
	return len(r.list)
}

// All returns the certificates in the order in which they were read.
func (r *Roots) All() []*x509.Certificate {
	if r == nil {
		return nil
	}
	return slices.Clone(r.list)
}

// Verify returns the chain from a leaf to a root, as it is valid at the given
// time. What the leaf may be used for is the caller's to check.
func (r *Roots) Verify(leaf *x509.Certificate, at time.Time) ([]*x509.Certificate, error) {
	if r.Len() == 0 {
		return nil, errors.New("no authority is trusted")
	}
	if leaf.IsCA {
		return nil, errors.New("the certificate is that of an authority")
	}
	// The directory name of a TPM is a critical extension that the standard
	// library does not read (TCG EK Credential Profile, section 3.2.9).
	clone := *leaf
	clone.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), func(id asn1.ObjectIdentifier) bool {
		return id.Equal(subjectAltName) && namesTPM(leaf)
	})
	chains, err := clone.Verify(x509.VerifyOptions{Roots: r.roots, Intermediates: r.intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, err
	}
	chain := slices.Clone(chains[0])
	chain[0] = leaf
	return chain, nil
}

var (
	subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	// tcgAttributes is the arc of a TPM's manufacturer, model and version.
	tcgAttributes = []byte{0x06, 0x05, 0x67, 0x81, 0x05, 0x02} // 2.23.133.2
)

// namesTPM reports whether the alternative name is that of a TPM.
func namesTPM(cert *x509.Certificate) bool {
	for _, e := range cert.Extensions {
		if e.Id.Equal(subjectAltName) {
			for part := byte(1); part <= 3; part++ {
				if !bytes.Contains(e.Value, append(slices.Clone(tcgAttributes), part)) {
					return false
				}
			}
			return true
		}
	}
	return false
}

// Vendor is a root that a vendor of TPMs publishes.
type Vendor struct {
	Vendor, Subject string
	// Fingerprint is the SHA-256 of the certificate, lower-case hex.
	Fingerprint string
	NotAfter    string
}

//go:embed vendors.txt
var vendors string

// Vendors returns the list of published roots.
func Vendors() []Vendor { return slices.Clone(published()) }

var published = sync.OnceValue(readVendors)

func readVendors() (list []Vendor) {
	for line := range strings.Lines(vendors) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		part := strings.SplitN(line, "\t", 4)
		list = append(list, Vendor{Fingerprint: part[0], NotAfter: part[1], Vendor: part[2], Subject: part[3]})
	}
	return list
}

// VendorOf returns the entry of a certificate in the list of published roots.
func VendorOf(cert *x509.Certificate) (Vendor, bool) {
	fingerprint := Fingerprint(cert)
	for _, v := range published() {
		if v.Fingerprint == fingerprint {
			return v, true
		}
	}
	return Vendor{}, false
}

// Fingerprint is the SHA-256 of a certificate, lower-case hex.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Name is the common name of a certificate, or its whole subject.
func Name(cert *x509.Certificate) string {
	if cn := cert.Subject.CommonName; cn != "" {
		return cn
	}
	return cert.Subject.String()
}
