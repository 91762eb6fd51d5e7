// Package tpmca contains the certificate authorities of TPMs: those of vendors, who
// certify endorsement keys, and those of clouds and sites, who certify attestation
// keys.
//
// Start with [Parse], which reads certificates from PEM, and [Roots.Verify]. The operator
// chooses the authorities. [Vendors] is a list of what vendors publish, by fingerprint
// (nothing is trusted for being in it), so that an operator who fetched a root can see that
// it is the right one. [Named] knows the authorities of Azure's virtual TPMs. Revocation is
// checked for the issuers whose revocation lists are given.
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

	"github.com/probity-dev/probity/strict/pubkey"
)

// Roots are authorities that are trusted, with intermediates that lead to them.
type Roots struct {
	roots, intermediates *x509.CertPool
	list                 []*x509.Certificate
	lists                []*x509.RevocationList
}

// maxCertificates bounds how many certificates a set has.
const maxCertificates = 4096

// Parse reads certificates and revocation lists in PEM, or one of them in DER.
// Certificates that are their own issuer, or are in the list of vendors as roots, are
// trusted, others serve to lead there. Certificates that are not authorities are refused.
func Parse(files ...[]byte) (*Roots, error) {
	r := &Roots{roots: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	for _, file := range files {
		certs, lists, err := contents(file)
		if err != nil {
			return nil, err
		}
		for _, der := range lists {
			if err := r.addList(der); err != nil {
				return nil, err
			}
		}
		for _, cert := range certs {
			if err := r.add(cert); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// contents returns the certificates of a file, and the DER of its revocation lists.
func contents(file []byte) (list []*x509.Certificate, lists [][]byte, err error) {
	if len(file) > 0 && file[0] == 0x30 {
		cert, err := pubkey.ParseCertificate(file)
		if err == nil {
			return []*x509.Certificate{cert}, nil, nil
		}
		if _, listErr := x509.ParseRevocationList(file); listErr == nil {
			return nil, [][]byte{file}, nil
		}
		return nil, nil, errors.New("neither a certificate nor a revocation list in DER")
	}
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "X509 CRL":
			lists = append(lists, block.Bytes)
		case "CERTIFICATE":
			cert, err := pubkey.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, errors.New("a PEM certificate that cannot be read")
			}
			list = append(list, cert)
		default:
			return nil, nil, fmt.Errorf("a PEM block of type %s, want CERTIFICATE or X509 CRL", block.Type)
		}
		if len(list)+len(lists) > maxCertificates {
			return nil, nil, fmt.Errorf("more than %d certificates and lists", maxCertificates)
		}
	}
	if begins := bytes.Count(file, []byte("-----BEGIN ")); len(list)+len(lists) < begins {
		return nil, nil, fmt.Errorf("%d PEM blocks begin, and %d decode: one is cut off or damaged", begins,
			len(list)+len(lists))
	}
	if len(list)+len(lists) == 0 {
		return nil, nil, errors.New("no PEM certificates")
	}
	return list, lists, nil
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
	if v, published := VendorOf(cert); published && v.Issuer == "" || SelfIssued(cert) {
		r.roots.AddCert(cert)
	} else {
		r.intermediates.AddCert(cert)
	}
	return nil
}

// SelfIssued reports whether a certificate names itself as its issuer.
func SelfIssued(cert *x509.Certificate) bool { return bytes.Equal(cert.RawIssuer, cert.RawSubject) }

// Len is how many certificates the set contains; a nil set contains none.
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
	clone.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions),
		func(id asn1.ObjectIdentifier) bool {
			return id.Equal(subjectAltName) && namesTPM(leaf)
		})
	chains, err := clone.Verify(x509.VerifyOptions{
		Roots:         r.roots,
		Intermediates: r.intermediates,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		if missing := r.missing(leaf); missing != nil {
			return nil, missing
		}
		return nil, err
	}
	chain := slices.Clone(chains[0])
	chain[0] = leaf
	if err := r.unrevoked(chain, at); err != nil {
		return nil, err
	}
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

// Vendor is a root, or an intermediate, that a vendor of TPMs or a cloud publishes.
type Vendor struct {
	Vendor, Subject string
	// Fingerprint is the SHA-256 of the certificate, lower-case hex.
	Fingerprint string
	NotAfter    string
	// Issuer is the subject of the root above, for an intermediate.
	Issuer string
}

//go:embed vendors.txt
var vendors string

// Vendors returns the list of what is published.
func Vendors() []Vendor { return slices.Clone(published()) }

var published = sync.OnceValue(readVendors)

func readVendors() (list []Vendor) {
	for line := range strings.Lines(vendors) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		part := append(strings.Split(line, "\t"), "")
		list = append(list,
			Vendor{
				Fingerprint: part[0], NotAfter: part[1], Vendor: part[2], Subject: part[3],
				Issuer: part[4],
			})
	}
	return list
}

// VendorOf returns the entry of a certificate in the list of what is published.
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
