package snp

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	_ "embed" // roots.pem
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/internal/sigverify"
	"github.com/probity-dev/probity/strict/pubkey"
)

// rootsPEM contains AMD's root (ARK) and intermediate certificates (ASK, ASVK) of
// each line, as its key distribution service publishes them.
//
//go:embed roots.pem
var rootsPEM []byte

// Roots is a set of trusted roots with the intermediates that are known
// beforehand.
type Roots struct {
	roots         map[Line]*ca
	intermediates []*x509.Certificate
}

// ca is a certificate authority with its key ready for checking.
type ca struct {
	cert *x509.Certificate
	key  *sigverify.PSS384
}

func newCA(cert *x509.Certificate) (*ca, error) {
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("a CA without an RSA key")
	}
	key, err := sigverify.NewPSS384(pub)
	return &ca{cert: cert, key: key}, err
}

// signed reports whether the CA signed the certificate: RSASSA-PSS with SHA-384
// and a matching issuer.
func (c *ca) signed(cert *x509.Certificate) bool {
	return cert.SignatureAlgorithm == x509.SHA384WithRSAPSS && bytes.Equal(cert.RawIssuer, c.cert.RawSubject) &&
		c.key.VerifyMessage(cert.RawTBSCertificate, cert.Signature)
}

// ParseRoots reads roots and intermediates from PEM. Self-signed certificates
// with a subject like ARK-Milan become the root of that line; they are trusted
// for what they are, so only give what came over a trusted way.
func ParseRoots(b []byte) (*Roots, error) {
	r := &Roots{roots: map[Line]*ca{}}
	for rest := b; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no PEM certificate")
		}
		cert, err := pubkey.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		line, isRoot := strings.CutPrefix(cert.Subject.CommonName, "ARK-")
		if !isRoot {
			r.intermediates = append(r.intermediates, cert)
			continue
		}
		if !slices.Contains(Lines(), Line(line)) || r.roots[Line(line)] != nil {
			return nil, fmt.Errorf("%s: an unknown line, or one with two roots", cert.Subject.CommonName)
		}
		root, err := newCA(cert)
		if err != nil || !root.signed(cert) || !cert.IsCA {
			return nil, fmt.Errorf("%s is not a self-signed CA of AMD's kind", cert.Subject.CommonName)
		}
		r.roots[Line(line)] = root
	}
	begins, decoded := bytes.Count(b, []byte("-----BEGIN ")), len(r.roots)+len(r.intermediates)
	if decoded < begins {
		return nil, fmt.Errorf("%d PEM blocks begin, and %d decode: one is cut off or damaged", begins, decoded)
	}
	if len(r.roots) == 0 {
		return nil, errors.New("no root with a subject such as ARK-Milan")
	}
	return r, nil
}

// AMDRoots returns the pinned roots of AMD.
func AMDRoots() *Roots { return amdRoots() }

var amdRoots = sync.OnceValue(func() *Roots {
	r, err := ParseRoots(rootsPEM)
	if err != nil {
		panic(fmt.Errorf("snp: embedded roots: %w", err))
	}
	return r
})

// Holds reports whether a DER certificate is one of the roots or intermediates.
func (r *Roots) Holds(der []byte) bool {
	for _, root := range r.roots {
		if bytes.Equal(root.cert.Raw, der) {
			return true
		}
	}
	return slices.ContainsFunc(r.intermediates,
		func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, der) })
}

// known returns the intermediates that come with the roots, by line and branch.
func (r *Roots) known(line Line, vlek bool) (found []*x509.Certificate) {
	for _, cert := range r.intermediates {
		if cert.Subject.CommonName == intermediateName(line, vlek) {
			found = append(found, cert)
		}
	}
	return found
}

// Intermediates returns the known CAs of a branch in PEM, for a revocation list that
// came without them.
func (r *Roots) Intermediates(q collateral.AMDQuery) []byte {
	var out []byte
	for _, cert := range r.known(Line(q.Line), q.VLEK) {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// intermediateName is the subject of the CA of a branch.
func intermediateName(line Line, vlek bool) string {
	if vlek {
		return "SEV-VLEK-" + string(line)
	}
	return "SEV-" + string(line)
}

// fingerprint is the SHA-256 of a certificate.
func fingerprint(cert *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(cert.Raw) }
