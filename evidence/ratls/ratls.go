// Package ratls reads certificates of attested TLS (RA-TLS): certificates whose key a TEE
// made, with the evidence for that key in an extension.
//
// Start with [Parse]. The evidence inside is verified by the package of its kind, which
// then calls [Certificate.CheckKey]: only that check ties the evidence to the certificate.
// Nothing else in the certificate is proven: names, dates and issuer are the sender's words.
package ratls

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/strict/pubkey"
)

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckCertificate = checks.Define("ratls.certificate",
		"the certificate is well-formed, carries evidence in one extension that is known",
		"send the certificate as the TEE made it, in DER or PEM, or take the evidence out of its "+
			"extension and send that")
	CheckKey = checks.Define("ratls.certificate.key",
		"the evidence binds the certificate's own key in a way that is known: "+
			"SHA-256 of the PEM public key with its NUL (Open Enclave), a hash of the DER "+
			"SubjectPublicKeyInfo (EGo, Gramine), or the claims of TCG DICE tagged evidence; "+
			"and a certificate that names itself as its issuer is signed by this key",
		"ask the TEE for a new certificate; if its key is still not bound, the certificate belongs to "+
			"someone else, or the software binds the key in a way that is not known here: "+
			"then send the evidence alone, with the bound bytes as runtime data")
)

// Catalogue lists the checks of this package, which the packages of the evidence make.
func Catalogue() []*evidence.Definition { return checks.All() }

// Form says which convention a certificate follows.
type Form string

// The conventions, by the extension that carries the evidence.
const (
	OpenEnclave    Form = "Open Enclave"         // 1.3.6.1.4.1.311.105.1: report or evidence; EGo uses it too
	OpenEnclaveOld Form = "Open Enclave (old)"   // 1.2.840.113556.10.1.1: report or quote
	Gramine        Form = "Gramine RA-TLS"       // 1.2.840.113741.1337.6: quote
	DICE           Form = "TCG DICE tagged data" // 2.23.133.5.4.9: CBOR of the interoperable RA-TLS
)

var extensions = []struct {
	oid  asn1.ObjectIdentifier
	form Form
}{
	{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 105, 1}, OpenEnclave},
	{asn1.ObjectIdentifier{1, 2, 840, 113556, 10, 1, 1}, OpenEnclaveOld},
	{asn1.ObjectIdentifier{1, 2, 840, 113741, 1337, 6}, Gramine},
	{asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}, DICE},
}

// Certificate is a certificate with evidence. Nothing of it is proven.
type Certificate struct {
	Form Form
	// Evidence is what the extension carries: for Open Enclave a report, evidence or a
	// quote, for the others a quote or a SEV-SNP report.
	Evidence []byte
	// SNP says that the tag of DICE evidence names a SEV-SNP report.
	SNP bool
	// Claims is, for DICE, the serialised claims whose hash the evidence binds, else nil.
	Claims []byte
	// PublicKey is the DER SubjectPublicKeyInfo.
	PublicKey []byte
	// Issuer is how the certificate is signed, for people.
	Issuer string

	self *x509.Certificate // where it names itself as its issuer
}

// Is reports whether b looks like a certificate in DER or PEM.
func Is(b []byte) bool {
	return len(b) > 2 && b[0] == 0x30 && b[1]&0x80 != 0 && b[1] != 0x80 || isPEM(b)
}

func isPEM(b []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("-----BEGIN CERTIFICATE-----"))
}

// Parse reads a certificate in DER or PEM; of a PEM chain the first one. Certificates that
// an authority issued are read too: what vouches for their key is the evidence, so that the
// authority's signature is not needed, and not checked.
func Parse(b []byte) (*Certificate, error) {
	if isPEM(b) {
		block, _ := pem.Decode(bytes.TrimLeft(b, " \t\r\n"))
		if block == nil {
			return nil, errors.New("PEM that cannot be read")
		}
		b = block.Bytes
	}
	cert, err := pubkey.ParseCertificate(b)
	if err != nil {
		return nil, fmt.Errorf("not a certificate that can be read: %s", strings.TrimPrefix(err.Error(), "x509: "))
	}
	c := &Certificate{PublicKey: cert.RawSubjectPublicKeyInfo}
	value, err := c.extension(cert)
	if err != nil {
		return nil, err
	}
	if c.Issuer = "self-issued"; bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		c.self = cert
	} else {
		c.Issuer = fmt.Sprintf("issued by %q, whose signature is not needed", cert.Issuer)
	}
	if c.Form == DICE {
		return c, c.dice(value)
	}
	// Some issuers wrap the evidence in a further OCTET STRING.
	var inner []byte
	if rest, err := asn1.Unmarshal(value, &inner); err == nil && len(rest) == 0 {
		value = inner
	}
	if Is(value) {
		return nil, errInside
	}
	c.Evidence = value
	return c, nil
}

var errInside = errors.New("a certificate inside the certificate's extension")

func (c *Certificate) extension(cert *x509.Certificate) (value []byte, err error) {
	for _, e := range cert.Extensions {
		for _, known := range extensions {
			if !e.Id.Equal(known.oid) {
				continue
			}
			switch {
			case value == nil:
				value, c.Form = e.Value, known.form
			case c.Form == Gramine && known.form == DICE, c.Form == DICE && known.form == Gramine:
				// Gramine writes both, so that old and new verifiers find one that they know.
				// The tagged one says what is bound.
				if known.form == DICE {
					value, c.Form = e.Value, DICE
				}
			default:
				return nil, errors.New("the certificate carries evidence twice")
			}
		}
	}
	if value == nil {
		return nil, errors.New("the certificate carries no evidence in an extension that is known")
	}
	return value, nil
}

// binding is one way in which evidence can bind a key.
type binding struct {
	name string
	hash []byte
	// whole says that the field contains the hash and zeros.
	whole bool
}

func (c *Certificate) bindings() []binding {
	if c.Form == DICE {
		sum := sha256.Sum256(c.Claims)
		return []binding{{"SHA-256 of the claims, which contain a hash of the DER public key", sum[:], true}}
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: c.PublicKey}), 0)
	ofText, der := sha256.Sum256(text), sha256.Sum256(c.PublicKey)
	der384, der512 := sha512.Sum384(c.PublicKey), sha512.Sum512(c.PublicKey)
	return []binding{
		{"SHA-256 of the PEM public key with its NUL", ofText[:], false},
		{"SHA-256 of the DER public key", der[:], false},
		{"SHA-384 of the DER public key", der384[:], true},
		{"SHA-512 of the DER public key", der512[:], true},
	}
}

// CheckKey records whether the 64 bytes of report data bind the certificate's key, in
// which of the known ways, and whether a certificate that names itself as its issuer is
// signed by that key: if it is not, it was changed. check is the definition to record, mostly
// [CheckKey]. A failure is a [*evidence.Rejection].
//
// The caller has verified the evidence before. So the work of the signature check, with a
// key that the sender chose, is done only for the keys of genuine TEEs.
func (c *Certificate) CheckKey(
	result *evidence.Result, check *evidence.Definition, field string, reportData []byte,
) error {
	var tried []string
	for _, way := range c.bindings() {
		n := len(way.hash)
		rest := reportData[min(n, len(reportData)):]
		if len(reportData) >= n && subtle.ConstantTimeCompare(reportData[:n], way.hash) == 1 &&
			(!way.whole || len(bytes.TrimLeft(rest, "\x00")) == 0) {
			c := c.self
			if c != nil && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
				return result.Fail(check, "a certificate signed by its own key, as it names itself as its issuer",
					"a certificate whose key the evidence binds, but which another key signed")
			}
			result.Pass(check, "the certificate's key in "+field, way.name)
			return nil
		}
		tried = append(tried, way.name+" "+hex.EncodeToString(way.hash))
	}
	return result.Fail(check, "in "+field+": "+strings.Join(tried, ", or "), hex.EncodeToString(reportData))
}

// Malformed records a certificate that cannot be read.
func Malformed(result *evidence.Result, err error) error {
	return result.FailErr(CheckCertificate, "a certificate with evidence in an extension", err)
}

// Pass records a certificate that was read.
func (c *Certificate) Pass(result *evidence.Result) {
	result.Pass(CheckCertificate, "a certificate with evidence in an extension",
		fmt.Sprintf("%s, %s", c.Form, c.Issuer))
}
