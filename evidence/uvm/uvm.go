// Package uvm verifies endorsements of utility VMs: statements signed by the
// maker of the small VM in which confidential containers run on SEV-SNP, that
// name its launch measurement, a feed and a security version number.
//
// Start with [New] and [Verifier.Verify]. The form is COSE_Sign1 (RFC 9052) whose issuer
// is a did:x509 identifier. Two contents are in use: JSON text with headers
// iss, feed and signingtime, and the bare measurement with CWT claims (RFC 9597).
//
// The certificate chain is judged at the signing time that the signer states,
// not now: leaf certificates live a year, endorsements are in use for longer.
// Time stamps of third parties (RFC 3161, SCITT) are not looked at.
package uvm

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/cose"
	"github.com/probity-dev/probity/strict/pubkey"
)

type pkixExtension = pkix.Extension

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckFormat = checks.Define("uvm.format",
		"the endorsement is a COSE_Sign1 with issuer, feed, signing time, svn and measurement in one of "+
			"the two known forms",
		"send reference_info.cose (reference-info-base64) of the security context as it is")
	CheckChain = checks.Define("uvm.chain",
		"each certificate of x5chain is signed by the next, CAs are CAs, and all were valid at the signing time",
		"send the endorsement as it was published")
	CheckIssuer = checks.Define("uvm.issuer",
		"the did:x509 issuer resolves against the chain and is one that is trusted",
		"compare the issuer with the trusted list; add it to snp.uvm in the configuration if you trust it")
	CheckSignature = checks.Define("uvm.signature",
		"the leaf of the chain signed the endorsement",
		"send the endorsement as it was published")
	CheckMeasurement = checks.Define("uvm.measurement",
		"the endorsed measurement is the report's MEASUREMENT",
		"send the endorsement of the utility VM that is running: its release differs")
)

// Catalogue lists the checks of this package.
func Catalogue() []*evidence.Definition { return checks.All() }

// Trust is who may endorse, what, from which version on, and what the token
// then says.
type Trust struct {
	Issuer string `json:"issuer"` // did:x509
	Feed   string `json:"feed"`
	MinSVN uint64 `json:"minSvn"`
	// Status is the value of the claim x-ms-compliance-status.
	Status string `json:"status"`
}

// DefaultTrust returns the two publishers of Azure's confidential containers.
func DefaultTrust() []Trust {
	const root = "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1."
	return []Trust{
		{Issuer: root + "2", Feed: "ContainerPlat-AMD-UVM", MinSVN: 100, Status: "azure-compliant-uvm"},
		{Issuer: root + "5", Feed: "ConfAKS-AMD-UVM", MinSVN: 1, Status: "azure-signed-katacc-uvm"},
	}
}

// Endorsement is what a verified endorsement says.
type Endorsement struct {
	Issuer, Feed string
	SVN          uint64
	Measurement  []byte // 48 bytes, SHA-384
	Signed       time.Time
	// Status is what the trusted list says about it, or empty: another feed, or an
	// svn below the minimum.
	Status string
}

// MaxSize bounds an endorsement, in bytes.
const MaxSize = 64 << 10

// memory is how many endorsements are remembered.
const memory = 64

// Verifier verifies endorsements. It is safe for concurrent use.
type Verifier struct {
	trust []Trust
	seen  *lru.Cache[[sha256.Size]byte, *Endorsement]
}

// New returns a verifier that trusts the given publishers; nil stands for
// [DefaultTrust].
func New(trust []Trust) *Verifier {
	if trust == nil {
		trust = DefaultTrust()
	}
	seen, err := lru.New[[sha256.Size]byte, *Endorsement](memory)
	if err != nil {
		panic(err) // the size is constant
	}
	return &Verifier{trust: trust, seen: seen}
}

// Verify checks the endorsement b for a report with the given measurement. A
// failure is a *[evidence.Rejection].
func (v *Verifier) Verify(result *evidence.Result, b, measurement []byte) (*Endorsement, error) {
	// What is proven of an endorsement does not depend on the time at which it
	// is judged.
	key := sha256.Sum256(b)
	e, known := v.seen.Get(key)
	if known {
		result.Pass(CheckSignature, "an endorsement signed by a trusted issuer", "verified before")
	} else {
		var err error
		if e, err = v.verify(result, b); err != nil {
			return nil, err
		}
		v.seen.Add(key, e)
	}
	if !bytes.Equal(e.Measurement, measurement) {
		return nil, result.Fail(CheckMeasurement, hex.EncodeToString(measurement)+" in the report",
			hex.EncodeToString(e.Measurement)+" in the endorsement")
	}
	result.Pass(CheckMeasurement, "the endorsed measurement",
		fmt.Sprintf("endorsed by feed %s, svn %d", e.Feed, e.SVN))
	return e, nil
}

func (v *Verifier) verify(result *evidence.Result, b []byte) (*Endorsement, error) {
	m, err := parse(b)
	if err != nil {
		return nil, result.FailErr(CheckFormat, "a UVM endorsement", err)
	}
	e, chain := m.says, m.chain
	result.Pass(CheckFormat, "a UVM endorsement", fmt.Sprintf("feed %s, svn %d", e.Feed, e.SVN))
	if err := checkCertificates(chain, e.Signed); err != nil {
		return nil, result.FailErr(CheckChain,
			"a chain that was valid at "+e.Signed.UTC().Format(time.RFC3339), err)
	}
	result.Pass(CheckChain, "a chain that was valid at the signing time",
		fmt.Sprintf("%d certificates, at %s", len(chain), e.Signed.UTC().Format(time.RFC3339)))
	did, err := ParseDID(e.Issuer)
	if err == nil {
		err = did.Resolve(chain)
	}
	if err != nil {
		return nil, result.FailErr(CheckIssuer, "an issuer that the chain proves", err)
	}
	if err := m.signed.Verify(chain[0].PublicKey); err != nil {
		return nil, result.FailErr(CheckSignature, "the signature of "+chain[0].Subject.CommonName, err)
	}
	result.Pass(CheckSignature, "the signature of the leaf", chain[0].Subject.CommonName)
	trusted := false
	for _, t := range v.trust {
		if t.Issuer != e.Issuer {
			continue
		}
		trusted = true
		if t.Feed == e.Feed && e.SVN >= t.MinSVN {
			e.Status = t.Status
		}
	}
	if !trusted {
		return nil, result.Fail(CheckIssuer, "a trusted issuer", e.Issuer)
	}
	result.Pass(CheckIssuer, "a trusted issuer", e.Issuer)
	return e, nil
}

// Inspect reads an endorsement without verifying it.
func Inspect(b []byte) (*Endorsement, error) {
	m, err := parse(b)
	if err != nil {
		return nil, err
	}
	return m.says, nil
}

// message is an endorsement as it was sent: signed, with what it says and the chain that it
// names. Nothing of it is verified.
type message struct {
	signed *cose.Sign1
	says   *Endorsement
	chain  []*x509.Certificate
}

func parse(b []byte) (m message, err error) {
	if len(b) > MaxSize {
		return m, fmt.Errorf("%d bytes, at most %d are read", len(b), MaxSize)
	}
	if m.signed, err = cose.Parse(b); err != nil {
		return m, err
	}
	if m.chain, err = certificates(m.signed.Protected); err != nil {
		return m, err
	}
	m.says = &Endorsement{}
	if _, envelope := m.signed.Protected[cose.LabelCWTClaims]; envelope {
		err = m.says.fromEnvelope(m.signed)
	} else {
		err = m.says.fromJSON(m.signed)
	}
	if err == nil && len(m.says.Measurement) != 48 {
		err = fmt.Errorf("a measurement of %d bytes, want 48", len(m.says.Measurement))
	}
	return m, err
}

// certificates reads x5chain from the protected header, leaf first.
func certificates(h cose.Header) ([]*x509.Certificate, error) {
	var list [][]byte
	if !h.Get(cose.LabelX5Chain, &list) {
		return nil, errors.New("no x5chain in the protected header")
	}
	if len(list) < 2 || len(list) > 6 {
		return nil, fmt.Errorf("an x5chain of %d certificates, want 2 to 6", len(list))
	}
	chain := make([]*x509.Certificate, 0, len(list))
	for i, der := range list {
		cert, err := pubkey.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// fromEnvelope reads the newer form (ContainerPlat 0.2.10 and later): a COSE
// hash envelope around the measurement.
func (e *Endorsement) fromEnvelope(m *cose.Sign1) error {
	var hash int64
	if !m.Protected.Get(int64(258), &hash) || hash != -43 {
		return errors.New("header 258 does not name SHA-384 as the payload's hash")
	}
	var content string
	if !m.Protected.Get(int64(259), &content) || content != "application/octet-stream" {
		return errors.New("header 259 is not application/octet-stream")
	}
	var raw map[any]cbor.RawMessage
	if err := cose.Decode(m.Protected[cose.LabelCWTClaims], &raw); err != nil {
		return fmt.Errorf("CWT claims: %w", err)
	}
	h := cose.Header(raw)
	if !h.Get(int64(1), &e.Issuer) || !h.Get(int64(2), &e.Feed) || !h.Get(int64(6), &e.Signed) {
		return errors.New("iss, sub or iat is missing in the CWT claims")
	}
	e.Measurement = m.Payload
	var number uint64
	var text string
	switch {
	case h.Get("svn", &number):
		e.SVN = number
	case h.Get("svn", &text):
		return e.setSVN(text)
	default:
		return errors.New("svn is missing in the CWT claims")
	}
	return nil
}

// fromJSON reads the form up to ContainerPlat 0.2.9.
func (e *Endorsement) fromJSON(m *cose.Sign1) error {
	var content string
	if !m.Protected.Get(cose.LabelContentType, &content) || content != "application/json" {
		return errors.New("the content type is not application/json")
	}
	if !m.Protected.Get("iss", &e.Issuer) || !m.Protected.Get("feed", &e.Feed) ||
		!m.Protected.Get("signingtime", &e.Signed) {
		return errors.New("iss, feed or signingtime is missing in the protected header")
	}
	var payload struct {
		Measurement string         `json:"x-ms-sevsnpvm-launchmeasurement"`
		SVN         jsontext.Value `json:"x-ms-sevsnpvm-guestsvn"`
	}
	if err := json.Unmarshal(m.Payload, &payload); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	var err error
	if e.Measurement, err = hex.DecodeString(payload.Measurement); err != nil {
		return fmt.Errorf("payload: launch measurement: %w", err)
	}
	text := string(payload.SVN)
	if payload.SVN.Kind() == '"' {
		if err := json.Unmarshal(payload.SVN, &text); err != nil {
			return fmt.Errorf("payload: svn: %w", err)
		}
	}
	return e.setSVN(text)
}

func (e *Endorsement) setSVN(text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("svn %q is not a number", text)
	}
	e.SVN = n
	return nil
}

// checkCertificates checks the path from the leaf to the last certificate at
// the given time (RFC 5280, section 6). The last one is anchored by the issuer's
// fingerprint, not here.
func checkCertificates(chain []*x509.Certificate, at time.Time) error {
	for i, cert := range chain {
		if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
			return fmt.Errorf("%s is valid from %s to %s", cert.Subject.CommonName,
				cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
		}
		if i == 0 {
			if cert.IsCA || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
				return fmt.Errorf("%s may not sign statements", cert.Subject.CommonName)
			}
			continue
		}
		if !cert.IsCA || !cert.BasicConstraintsValid ||
			cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
			return fmt.Errorf("%s is not a CA", cert.Subject.CommonName)
		}
		if (cert.MaxPathLen > 0 || cert.MaxPathLenZero) && i-1 > cert.MaxPathLen {
			return fmt.Errorf("the path below %s is longer than it allows", cert.Subject.CommonName)
		}
		if len(cert.UnhandledCriticalExtensions) > 0 {
			return fmt.Errorf("%s has a critical extension that is not understood", cert.Subject.CommonName)
		}
		if !bytes.Equal(chain[i-1].RawIssuer, cert.RawSubject) {
			return fmt.Errorf("%s was not issued by %s", chain[i-1].Subject.CommonName, cert.Subject.CommonName)
		}
		if err := chain[i-1].CheckSignatureFrom(cert); err != nil {
			return fmt.Errorf("%s: %w", chain[i-1].Subject.CommonName, err)
		}
	}
	return nil
}
