package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/simulated"
	"github.com/probity-dev/probity/strict/pubkey"
)

// maxChain bounds the certificates read from one PEM text.
const maxChain = 8

const (
	pckLeafName    = "Intel SGX PCK Certificate"
	tcbSigningName = "Intel SGX TCB Signing"
)

var (
	pemBegin = []byte("-----BEGIN CERTIFICATE-----")
	pemEnd   = []byte("-----END CERTIFICATE-----")
)

// parsePEM reads certificates from PEM text. Unlike encoding/pem it also reads
// texts without a line break between two certificates, which real quotes have;
// anything but white space and NULs between or after them is refused.
func parsePEM(text []byte, known *caCache) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	rest := bytes.Trim(text, " \t\r\n\x00")
	for len(rest) > 0 {
		if len(list) == maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
		body, ok := bytes.CutPrefix(rest, pemBegin)
		if !ok {
			return nil, errors.New("not a PEM certificate chain")
		}
		end := bytes.Index(body, pemEnd)
		if end < 0 {
			return nil, fmt.Errorf("certificate %d has no end line", len(list)+1)
		}
		der, err := decodeBase64Lines(body[:end])
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(list)+1, err)
		}
		cert, err := known.parse(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(list)+1, err)
		}
		list = append(list, cert)
		rest = bytes.TrimLeft(body[end+len(pemEnd):], " \t\r\n\x00")
	}
	if len(list) == 0 {
		return nil, errors.New("no certificates")
	}
	return list, nil
}

// caCache remembers parsed CA certificates by their bytes, because all machines
// share a few. It only saves the parsing: the caller who takes a
// certificate from it verifies it. A nil cache remembers nothing.
type caCache struct {
	byDER *lru.Cache[string, *x509.Certificate]
}

func newCACache() *caCache { return &caCache{newCache[string, *x509.Certificate](16, 16)} }

func (c *caCache) parse(der []byte) (*x509.Certificate, error) {
	if c == nil {
		return pubkey.ParseCertificate(der)
	}
	if cert, ok := c.byDER.Get(string(der)); ok {
		return cert, nil
	}
	cert, err := pubkey.ParseCertificate(der)
	if err == nil && cert.IsCA {
		c.byDER.Add(string(der), cert)
	}
	return cert, err
}

func decodeBase64Lines(b []byte) ([]byte, error) {
	packed := make([]byte, 0, len(b))
	for _, c := range b {
		if c != '\n' && c != '\r' && c != ' ' && c != '\t' {
			packed = append(packed, c)
		}
	}
	// Decoding in place is safe: the output is never ahead of the input.
	n, err := base64.StdEncoding.Strict().Decode(packed, packed)
	return packed[:n], err
}

// otherRoot says what a root is that is not the trusted one.
func otherRoot(root *x509.Certificate) string {
	text := fmt.Sprintf("a root named %q, whose key is not that of the trusted root", root.Subject.CommonName)
	if simulated.Root(root) {
		return "a simulated root: " + text
	}
	return text
}

// pckChain is a PCK certificate chain whose signatures were verified up to the
// anchor. Its validity in time and its revocation are checked for each use.
type pckChain struct {
	pck    *PCK
	leaf   *x509.Certificate
	ca     *x509.Certificate
	key    *ecdsa.PublicKey // of the leaf
	caKey  *ecdsa.PublicKey
	caType string // "processor" or "platform"
}

// openChain reads and verifies a PCK chain of exactly three certificates, in
// any order: leaf, intermediate CA, root. Roles are told by name and checked
// by signature and constraints.
func openChain(text []byte, anchor Anchor, known *caCache) (*pckChain, *chainError) {
	certs, err := parsePEM(text, known)
	if err != nil {
		return nil, &chainError{CheckPCKCertificates, err}
	}
	if len(certs) != 3 {
		return nil, &chainError{
			CheckPCKCertificates, fmt.Errorf("%d certificates, want leaf, CA and root", len(certs)),
		}
	}
	c := &pckChain{}
	var root *x509.Certificate
	for _, cert := range certs {
		name := cert.Subject.CommonName
		switch {
		case name == pckLeafName && c.leaf == nil:
			c.leaf = cert
		case collateral.CAType(name) != "" && c.ca == nil:
			c.ca, c.caType = cert, collateral.CAType(name)
		case root == nil:
			root = cert
		}
	}
	if c.leaf == nil || c.ca == nil || root == nil {
		return nil, &chainError{
			CheckPCKChain,
			errors.New("not one PCK certificate, one PCK CA and one root: " + names(certs)),
		}
	}
	if !anchor.is(root) {
		return nil, &chainError{CheckPCKRoot, errors.New(otherRoot(root))}
	}
	if err := c.verifyLinks(anchor); err != nil {
		return nil, &chainError{CheckPCKChain, err}
	}
	if c.pck, err = parsePCK(c.leaf, c.caType); err != nil {
		return nil, &chainError{CheckPCKExtension, err}
	}
	return c, nil
}

type chainError struct {
	check *evidence.Definition
	err   error
}

func names(certs []*x509.Certificate) string {
	list := make([]string, len(certs))
	for i, c := range certs {
		list[i] = fmt.Sprintf("%q", c.Subject.CommonName)
	}
	return strings.Join(list, ", ")
}

func (c *pckChain) verifyLinks(anchor Anchor) error {
	if !bytes.Equal(c.leaf.RawIssuer, c.ca.RawSubject) {
		return fmt.Errorf("PCK certificate was issued by %q, the chain contains %q", c.leaf.Issuer.CommonName,
			c.ca.Subject.CommonName)
	}
	if !anchor.named(c.ca.RawIssuer) {
		return fmt.Errorf("%q was issued by %q, want %q", c.ca.Subject.CommonName, c.ca.Issuer, anchor.Subject)
	}
	var err error
	if c.caKey, err = p256Key(c.ca); err != nil {
		return err
	}
	if c.key, err = p256Key(c.leaf); err != nil {
		return err
	}
	if err := checkCA(c.ca); err != nil {
		return err
	}
	if err := checkEndEntity(c.leaf); err != nil {
		return err
	}
	if err := verifyCertificate(anchor.signed, c.ca); err != nil {
		return err
	}
	return verifyCertificate(signedBy(c.caKey), c.leaf)
}

func checkCA(cert *x509.Certificate) error {
	if cert.Version != 3 || !cert.BasicConstraintsValid || !cert.IsCA {
		return fmt.Errorf("%q is not a CA certificate", cert.Subject.CommonName)
	}
	if cert.MaxPathLen != 0 || !cert.MaxPathLenZero {
		// The PCK CAs carry path length 0: they issue leaves only.
		return fmt.Errorf("%q may issue further CAs", cert.Subject.CommonName)
	}
	if cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		return fmt.Errorf("%q may not sign certificates and CRLs", cert.Subject.CommonName)
	}
	return checkCritical(cert)
}

func checkEndEntity(cert *x509.Certificate) error {
	if cert.IsCA {
		return fmt.Errorf("%q is a CA certificate, want an end entity", cert.Subject.CommonName)
	}
	if cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fmt.Errorf("%q may not sign data", cert.Subject.CommonName)
	}
	return checkCritical(cert)
}

func checkCritical(cert *x509.Certificate) error {
	if len(cert.UnhandledCriticalExtensions) > 0 {
		return fmt.Errorf("%q has an unknown critical extension %s", cert.Subject.CommonName,
			cert.UnhandledCriticalExtensions[0])
	}
	return nil
}

// window is a span of time with both ends included.
type window struct{ from, to time.Time }

func (w window) contains(t time.Time) bool { return !t.Before(w.from) && !t.After(w.to) }

func (w window) String() string {
	return w.from.UTC().Format(time.RFC3339) + " to " + w.to.UTC().Format(time.RFC3339)
}

func (w window) and(from, to time.Time) window {
	if from.After(w.from) {
		w.from = from
	}
	if to.Before(w.to) {
		w.to = to
	}
	return w
}

// validity is the span in which every certificate of the chain is valid.
func (c *pckChain) validity(anchor Anchor) window {
	return window{anchor.NotBefore, anchor.NotAfter}.and(c.ca.NotBefore, c.ca.NotAfter).and(c.leaf.NotBefore,
		c.leaf.NotAfter)
}
