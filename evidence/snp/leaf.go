package snp

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/probity-dev/probity/evidence/internal/sigverify"
)

// leafCert is a VCEK or VLEK certificate (AMD publications 57230 and 58369).
type leafCert struct {
	Cert *x509.Certificate
	VLEK bool
	// Product is the product name of the certificate, such as "Milan-B0".
	Product string
	Line    Line
	TCB     RawTCB
	// HWID is the chip's id, of a VCEK; 64 bytes, on Turin 8.
	HWID []byte
	// CSP names the cloud provider that a VLEK was lent to.
	CSP string
	key *sigverify.P384
}

// amdArc is the arc of AMD's certificate extensions, 1.3.6.1.4.1.3704.1.
var amdArc = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}

const (
	subjectVCEK = "SEV-VCEK"
	subjectVLEK = "SEV-VLEK"
)

// isLeaf reports whether the certificate is a VCEK or VLEK by its subject.
func isLeaf(cert *x509.Certificate) bool {
	return cert.Subject.CommonName == subjectVCEK || cert.Subject.CommonName == subjectVLEK
}

// parseLeaf reads the extensions of a VCEK or VLEK. Every one is looked up by
// its identifier; missing and repeated ones are refused.
func parseLeaf(cert *x509.Certificate) (*leafCert, error) {
	l := &leafCert{Cert: cert, VLEK: cert.Subject.CommonName == subjectVLEK}
	if !isLeaf(cert) {
		return nil, fmt.Errorf("subject %q is neither %s nor %s", cert.Subject.CommonName, subjectVCEK, subjectVLEK)
	}
	if cert.IsCA {
		return nil, errors.New("the certificate is a CA")
	}
	if len(cert.UnhandledCriticalExtensions) > 0 {
		return nil, fmt.Errorf("critical extension %s is not understood", cert.UnhandledCriticalExtensions[0])
	}
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, sigverify.ErrCurve
	}
	var err error
	if l.key, err = sigverify.NewP384(pub); err != nil {
		return nil, err
	}
	var fields extensions
	if err := fields.read(cert.Extensions); err != nil {
		return nil, err
	}
	if l.Product, err = fields.text("product name", 2); err != nil {
		return nil, err
	}
	if l.Line, ok = lineOfName(l.Product); !ok {
		return nil, fmt.Errorf("unknown product %q", l.Product)
	}
	for _, c := range l.Line.layout() {
		if l.TCB[c.at], err = fields.spl(c.name, c.arc); err != nil {
			return nil, err
		}
	}
	return l, l.identity(fields)
}

// identity reads who the key belongs to: a chip or a cloud provider.
func (l *leafCert) identity(fields extensions) (err error) {
	hwid, hasHWID := fields.get(4)
	if l.VLEK {
		if hasHWID {
			return errors.New("a VLEK with the id of a chip")
		}
		l.CSP, err = fields.text("CSP id", 5)
		return err
	}
	// AMD puts the bare octets into the extension; older tools wrap them.
	var inner []byte
	if rest, err := asn1.Unmarshal(hwid, &inner); err == nil && len(rest) == 0 &&
		len(inner) == l.Line.hwidSize() {
		hwid = inner
	}
	if len(hwid) != l.Line.hwidSize() {
		return fmt.Errorf("a chip id of %d bytes, want %d", len(hwid), l.Line.hwidSize())
	}
	l.HWID = hwid
	return nil
}

// extensions are those below AMD's arc, by the rest of their identifiers.
type extensions map[string][]byte

func (e *extensions) read(list []pkix.Extension) error {
	*e = extensions{}
	for _, x := range list {
		if len(x.Id) <= len(amdArc) || !slices.Equal(x.Id[:len(amdArc)], amdArc) {
			continue
		}
		key := x.Id[len(amdArc):].String()
		if _, repeated := (*e)[key]; repeated {
			return fmt.Errorf("extension %s is repeated", x.Id)
		}
		(*e)[key] = x.Value
	}
	return nil
}

func (e extensions) get(arcs ...int) ([]byte, bool) {
	b, ok := e[asn1.ObjectIdentifier(arcs).String()]
	return b, ok
}

func (e extensions) text(what string, arc int) (string, error) {
	b, ok := e.get(arc)
	if !ok {
		return "", fmt.Errorf("no %s", what)
	}
	var text string
	rest, err := asn1.UnmarshalWithParams(b, &text, "ia5")
	if err != nil || len(rest) > 0 || text == "" || len(text) > 256 {
		return "", fmt.Errorf("the %s is not IA5 text", what)
	}
	return text, nil
}

func (e extensions) spl(what string, arc int) (uint8, error) {
	b, ok := e.get(3, arc)
	if !ok {
		return 0, fmt.Errorf("no patch level of the %s", what)
	}
	var n int
	rest, err := asn1.Unmarshal(b, &n)
	if err != nil || len(rest) > 0 || n < 0 || n > 255 {
		return 0, fmt.Errorf("the patch level of the %s is not a number of one byte", what)
	}
	return uint8(n), nil
}

// validAt reports whether a certificate is valid at the time, and if not, what
// its window is.
func validAt(cert *x509.Certificate, at time.Time) (string, bool) {
	window := fmt.Sprintf("%s is valid from %s to %s", cert.Subject.CommonName,
		cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	return window, !at.Before(cert.NotBefore) && !at.After(cert.NotAfter)
}
