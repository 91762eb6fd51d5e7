// Package evidencetest makes evidence in the form of real hardware under test roots: complete
// certificate hierarchies, platforms, quotes and collateral that pass every
// check of the verifiers except the one for the vendor's root key.
//
// Start with [NewIntel], then [Intel.Platform], [Platform.Quote] and
// [Intel.Collateral]. Each takes a configuration whose zero value gives a
// healthy result and whose fields and hooks make it fail in one chosen way.
//
// Nothing here proves anything about real hardware. The demonstration and the
// tests use it; a production service never trusts its roots.
package evidencetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/internal/simulated"
)

// Identity is a certificate with its key.
type Identity struct {
	Key  *ecdsa.PrivateKey
	Cert *x509.Certificate
}

// PEM returns the certificate in PEM, with a final newline.
func (i Identity) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Cert.Raw})
}

// Intel is a hierarchy shaped like Intel's: a root, the two CAs that issue PCK
// certificates, and the TCB signer.
type Intel struct {
	Root, PlatformCA, ProcessorCA, TCBSigner Identity

	now    time.Time
	serial int64
}

// IntelConfig makes a hierarchy differ from a healthy one.
type IntelConfig struct {
	// Now is the time around which everything is valid.
	Now time.Time
	// Edit may change the template of any certificate, told by its subject.
	Edit func(*x509.Certificate)
}

// simulatedMark is the extension by which messages name a simulated root.
var simulatedMark = pkix.Extension{Id: simulated.OID(), Value: []byte{0x05, 0x00}}

// intelName returns a subject in the manner of Intel's.
func intelName(cn string) pkix.Name {
	return pkix.Name{
		CommonName:   cn,
		Organization: []string{"Intel Corporation"},
		Locality:     []string{"Santa Clara"},
		Province:     []string{"CA"},
		Country:      []string{"US"},
	}
}

// NewIntel makes a hierarchy with fresh keys. It panics if the system's
// randomness fails.
func NewIntel(cfg IntelConfig) *Intel {
	p := &Intel{now: cfg.Now}
	edit := cfg.Edit
	if edit == nil {
		edit = func(*x509.Certificate) {}
	}
	ca := func(cn string, pathLen int, parent *Identity) Identity {
		t := p.template(intelName(cn))
		t.IsCA, t.MaxPathLen, t.MaxPathLenZero = true, pathLen, pathLen == 0
		if parent == nil {
			t.ExtraExtensions = []pkix.Extension{simulatedMark}
		}
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		edit(t)
		return p.issue(t, parent)
	}
	p.Root = ca("Intel SGX Root CA", 1, nil)
	p.PlatformCA = ca("Intel SGX PCK Platform CA", 0, &p.Root)
	p.ProcessorCA = ca("Intel SGX PCK Processor CA", 0, &p.Root)
	signer := p.template(intelName("Intel SGX TCB Signing"))
	signer.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	edit(signer)
	p.TCBSigner = p.issue(signer, &p.Root)
	return p
}

// Anchor returns the root as a root of trust.
func (p *Intel) Anchor() *dcap.Anchor {
	a, err := dcap.AnchorFromCertificate(p.Root.Cert)
	if err != nil {
		panic(err)
	}
	return &a
}

func (p *Intel) template(subject pkix.Name) *x509.Certificate {
	p.serial++
	return &x509.Certificate{
		SerialNumber:          new(big.Int).Add(big.NewInt(p.serial), new(big.Int).Lsh(big.NewInt(0x5a), 64)),
		Subject:               subject,
		NotBefore:             p.now.AddDate(-1, 0, 0),
		NotAfter:              p.now.AddDate(7, 0, 0),
		BasicConstraintsValid: true,
		SignatureAlgorithm:    x509.ECDSAWithSHA256,
	}
}

// issue signs a template with the parent's key, or with its own.
func (p *Intel) issue(template *x509.Certificate, parent *Identity) Identity {
	key := newKey()
	signer, issuer := key, template
	if parent != nil {
		signer, issuer = parent.Key, parent.Cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
	return Identity{Key: key, Cert: cert}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
	return key
}

// SignRaw signs the SHA-256 of message and returns r || s.
func SignRaw(key *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature
}

// rawPoint returns a public key as x || y.
func rawPoint(key *ecdsa.PrivateKey) []byte {
	b, err := key.PublicKey.Bytes()
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
	return b[1:]
}
