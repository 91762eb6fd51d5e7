// Package nitro verifies attestation documents of AWS Nitro Enclaves and states
// their claims.
//
// Start with [New] and [Verifier.Verify]. The document carries its own chain, from AWS's
// root G1, which is pinned by its SHA-256, to a certificate of the enclave that
// lives three hours; everything is judged at the evaluation time. AWS publishes
// no revocation for these chains that it wants checked. Documents of NitroTPM
// have another shape and are refused.
package nitro

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/sigverify"
	"github.com/probity-dev/probity/evidence/internal/simulated"
	"github.com/probity-dev/probity/evidence/internal/statement"
	"github.com/probity-dev/probity/strict/pubkey"
)

// rootG1 is the SHA-256 of AWS's root certificate aws.nitro-enclaves, G1.
const rootG1 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

// IsRoot reports whether a DER certificate is AWS's root G1.
func IsRoot(der []byte) bool {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]) == rootG1
}

// skew is how far the document's clock may run ahead of the evaluation time.
const skew = time.Minute

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckFormat = checks.Define("nitro.format",
		"the evidence is an attestation document with exactly the members that AWS documents, within their bounds",
		"send the document as the Nitro Secure Module returned it; documents of NitroTPM are another kind")
	CheckRoot = checks.Define("nitro.root",
		"the first certificate of cabundle is AWS's root G1",
		"send the document of an enclave that runs on AWS; simulated evidence (probity simulate, "+
			"probity demo) needs its own root: --root FILE, or development.nitroRoot of a service")
	CheckChain = checks.Define("nitro.chain",
		"each certificate is signed by the one before with ECDSA P-384, and CAs are CAs",
		"send the document as the Nitro Secure Module returned it")
	CheckValidity = checks.Define("nitro.validity",
		"every certificate is valid at the evaluation time",
		"make a new document: the enclave's certificate is valid for three hours")
	CheckSignature = checks.Define("nitro.signature",
		"the enclave's certificate signed the document",
		"send the document as the Nitro Secure Module returned it")
	CheckTimestamp = checks.Define("nitro.timestamp",
		"the timestamp is within the validity of the enclave's certificate and not in the future",
		"compare the clocks, and make a new document")
	CheckRuntimeData = checks.Define("nitro.user-data.runtime-data",
		"SHA-256 of the runtime data is at the start of user_data, with only zeros after it",
		"ask the module for a document with the hash of exactly these bytes as user_data")
	CheckInitTimeData = checks.Define("nitro.init-time-data",
		"no init-time data are sent: a document cannot bind them",
		"measure what matters into a PCR and compare it in the policy")
	CheckJSON = checks.Define("nitro.runtime-data.json",
		"data of type JSON are one JSON object without duplicate members",
		"send a JSON object, or dataType Binary")
	CheckDebug = checks.Define("nitro.pcrs.debug",
		"PCR 0, 1 and 2 are not all zero, or the provider accepts DebugGuest",
		"start the enclave without --debug-mode: its console shows everything, and its PCRs prove nothing")
)

// Catalogue lists the checks of this package.
func Catalogue() []*evidence.Definition { return checks.All() }

// Config says what the verifier trusts. Its zero value is for production.
type Config struct {
	// Root replaces the SHA-256 of AWS's root certificate, for tests.
	Root []byte
	// Memory is how many certificate chains are remembered; 0 stands for 1024,
	// -1 for none.
	Memory int
}

// Verifier verifies Nitro documents. It is safe for concurrent use.
type Verifier struct {
	root []byte
	seen *lru.Cache[[sha256.Size]byte, *chain]
}

// chain is a chain whose signatures verify, the root first.
type chain struct {
	certs []*x509.Certificate
	leaf  *sigverify.P384
}

// New returns a verifier.
func New(cfg Config) *Verifier {
	v := &Verifier{root: cfg.Root}
	if v.root == nil {
		v.root, _ = hex.DecodeString(rootG1) // a constant
	}
	if cfg.Memory == 0 {
		cfg.Memory = 1024
	}
	if cfg.Memory > 0 {
		var err error
		if v.seen, err = lru.New[[sha256.Size]byte, *chain](cfg.Memory); err != nil {
			panic(err) // the size is positive
		}
	}
	return v
}

// Kind returns NitroEnclave.
func (v *Verifier) Kind() evidence.Kind { return evidence.NitroEnclave }

// Verify verifies ev.Raw as an attestation document. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(_ context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	return result, result.Conclude(ev, v.verify(result, ev))
}

// otherRoot says what the first certificate of cabundle is that is not the trusted root.
func otherRoot(der []byte, sum [sha256.Size]byte) string {
	text := fmt.Sprintf("a root with SHA-256 %x", sum)
	if cert, err := pubkey.ParseCertificate(der); err == nil {
		text = fmt.Sprintf("a root named %q with SHA-256 %x", cert.Subject.CommonName, sum)
		if simulated.Root(cert) {
			text = "a simulated root: " + text
		}
	}
	return text
}

func (v *Verifier) verify(result *evidence.Result, ev evidence.Evidence) error {
	d, err := Parse(ev.Raw)
	if err != nil {
		return result.FailErr(CheckFormat, "a Nitro attestation document", err)
	}
	result.Pass(CheckFormat, "a Nitro attestation document", fmt.Sprintf("%d PCRs", len(d.PCRs)))
	root := sha256.Sum256(d.Bundle[0])
	if !bytes.Equal(root[:], v.root) {
		return result.Fail(CheckRoot, fmt.Sprintf("a root with SHA-256 %x", v.root), otherRoot(d.Bundle[0], root))
	}
	result.Pass(CheckRoot, "the pinned root", fmt.Sprintf("SHA-256 %x", root))
	c, err := v.chain(d)
	if err != nil {
		return result.FailErr(CheckChain, "a chain from the root to the enclave", err)
	}
	leaf := c.certs[len(c.certs)-1]
	result.Pass(CheckChain, "a chain from the root to the enclave",
		fmt.Sprintf("%d certificates to %s", len(c.certs), leaf.Subject.CommonName))
	for _, cert := range c.certs {
		if ev.Time.Before(cert.NotBefore) || ev.Time.After(cert.NotAfter) {
			return result.Fail(CheckValidity, "certificates that are valid at "+stamp(ev.Time),
				fmt.Sprintf("%s valid from %s to %s", cert.Subject.CommonName, stamp(cert.NotBefore),
					stamp(cert.NotAfter)))
		}
	}
	result.Pass(CheckValidity, "valid at "+stamp(ev.Time), "the enclave's until "+stamp(leaf.NotAfter))
	if !d.message.VerifyP384(c.leaf) {
		return result.Fail(CheckSignature, "a signature of the enclave's certificate",
			"signature verification failed")
	}
	result.Pass(CheckSignature, "ES384 by the enclave's certificate", "verified")
	made := time.UnixMilli(int64(min(d.Timestamp, 1<<52)))
	if made.After(ev.Time.Add(skew)) || made.After(leaf.NotAfter) || made.Before(leaf.NotBefore.Add(-skew)) {
		return result.Fail(CheckTimestamp,
			"a timestamp within the validity of the enclave's certificate, not after "+stamp(ev.Time),
			stamp(made))
	}
	result.Pass(CheckTimestamp, "a timestamp within the validity of the enclave's certificate", stamp(made))
	if err := v.bind(result, d, ev); err != nil {
		return err
	}
	if d.Debug() {
		result.Reserve(evidence.DebugGuest, CheckDebug, "measurements in PCR 0, 1 and 2",
			"zeros: the enclave runs in debug mode")
	}
	result.Claims, err = v.claims(result, d, ev)
	return err
}

// chain checks the signatures of the document's certificates, once for each
// chain.
func (v *Verifier) chain(d *Document) (*chain, error) {
	h := sha256.New()
	for _, der := range append(slices.Clone(d.Bundle), d.Certificate) {
		sum := sha256.Sum256(der)
		h.Write(sum[:])
	}
	key := [sha256.Size]byte(h.Sum(nil))
	if v.seen != nil {
		if c, ok := v.seen.Get(key); ok {
			return c, nil
		}
	}
	c, err := verifyPath(append(slices.Clone(d.Bundle), d.Certificate))
	if err == nil && v.seen != nil {
		v.seen.Add(key, c)
	}
	return c, err
}

// verifyPath checks a path, the root first (RFC 5280, section 6), but for
// dates.
func verifyPath(ders [][]byte) (*chain, error) {
	c := &chain{}
	var parent *sigverify.P384
	for i, der := range ders {
		cert, err := pubkey.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		name := cert.Subject.CommonName
		pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("%s: %w", name, sigverify.ErrCurve)
		}
		key, err := sigverify.NewP384(pub)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if i > 0 {
			above := c.certs[i-1]
			if !bytes.Equal(cert.RawIssuer, above.RawSubject) {
				return nil, fmt.Errorf("%s was not issued by %s", name, above.Subject.CommonName)
			}
			if !parent.VerifyCertificate(cert) {
				return nil, fmt.Errorf("signature verification failed for %s", name)
			}
		}
		if len(cert.UnhandledCriticalExtensions) > 0 {
			return nil, fmt.Errorf("%s has a critical extension that is not understood", name)
		}
		if last := i == len(ders)-1; last {
			if cert.IsCA || cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
				return nil, fmt.Errorf("%s may not sign documents", name)
			}
		} else if !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, fmt.Errorf("%s is not a CA", name)
		} else if below := len(ders) - 2 - i; (cert.MaxPathLen > 0 || cert.MaxPathLenZero) &&
			below > cert.MaxPathLen {
			return nil, fmt.Errorf("the path below %s is longer than it allows", name)
		}
		c.certs = append(c.certs, cert)
		parent = key
	}
	c.leaf = parent
	return c, nil
}

func (v *Verifier) bind(result *evidence.Result, d *Document, ev evidence.Evidence) error {
	if ev.InitTimeData != nil {
		return result.FailErr(CheckInitTimeData, "no init-time data",
			errors.New("init-time data, which a document cannot bind"))
	}
	data := ev.RuntimeData
	if data == nil {
		return nil
	}
	return statement.BoundAlone(result, CheckRuntimeData, data, "runtime data", "user_data", d.UserData)
}

// claims states what the token says about an enclave, in the names of AWS's
// document.
func (v *Verifier) claims(result *evidence.Result, d *Document, ev evidence.Evidence) (claims.Set, error) {
	s := statement.List{}
	s.Text("x-ms-attestation-type", "nitroenclave")
	s.Text("dbgstat", map[bool]string{false: "disabled", true: "enabled"}[d.Debug()])
	s.Text("nitro_module_id", d.ModuleID)
	s.Integer("nitro_timestamp", int64(min(d.Timestamp, 1<<52)))
	s.Text("nitro_digest", "SHA384")
	s.Boolean("nitro_debug", d.Debug())
	for _, i := range slices.Sorted(maps.Keys(d.PCRs)) {
		s.Hex(fmt.Sprintf("nitro_pcr%d", i), d.PCRs[i])
	}
	for _, field := range []struct {
		name  string
		value []byte
	}{{"nitro_public_key", d.PublicKey}, {"nitro_user_data", d.UserData}, {"nitro_nonce", d.Nonce}} {
		if field.value != nil {
			s.Hex(field.name, field.value)
		}
	}
	if err := s.BoundJSON(result, CheckJSON, ev); err != nil {
		return claims.Set{}, err
	}
	return s.Set, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
