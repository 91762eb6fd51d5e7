package snp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/simulated"
	"github.com/probity-dev/probity/strict/pubkey"
)

// endorsement is a leaf with the CA that certified it, up to the pinned root.
// The signatures verify; what depends on time, on revocation and on the report is
// checked for every report.
type endorsement struct {
	leaf *leafCert
	ca   *ca
	root *ca
}

// endorse finds the certificate of the key that signed the report, and checks
// its chain.
func (v *Verifier) endorse(
	ctx context.Context, result *evidence.Result, r *Report, sent []byte, ev evidence.Evidence,
) (*endorsement, error) {
	vlek := r.SignerInfo.SigningKey() == SigningKeyVLEK
	var certs []*x509.Certificate
	if len(sent) > 0 {
		key := memoryKey(sent, vlek)
		if e, ok := v.seen.get(key); ok {
			result.Pass(CheckLeaf, "a chain to AMD's root of "+string(e.leaf.Line), "verified before")
			return e, nil
		}
		var err error
		if certs, err = ParseCertificates(sent); err != nil {
			return nil, result.FailErr(CheckCertificates, "certificates in PEM, DER or a certificate table", err)
		}
		if slices.ContainsFunc(certs, isLeaf) {
			e, err := v.chain(ctx, result, certs, vlek, ev)
			if err == nil {
				v.seen.add(key, e)
			}
			return e, err
		}
	}
	fetched, err := v.fetch(ctx, result, r, vlek, ev)
	if err != nil {
		return nil, err
	}
	key := memoryKey(fetched, vlek)
	// CAs that were sent along are judged each time, whatever is remembered.
	if e, ok := v.seen.get(key); ok && len(certs) == 0 {
		result.Pass(CheckLeaf, "a chain to AMD's root of "+string(e.leaf.Line), "verified before")
		return e, nil
	}
	cert, err := pubkey.ParseCertificate(fetched)
	if err != nil {
		return nil, result.FailErr(CheckLeafFormat, "a VCEK", err)
	}
	e, err := v.chain(ctx, result, append([]*x509.Certificate{cert}, certs...), vlek, ev)
	if err == nil {
		v.seen.add(key, e)
	}
	return e, err
}

func memoryKey(sent []byte, vlek bool) (key [sha256.Size + 1]byte) {
	sum := sha256.Sum256(sent)
	copy(key[:], sum[:])
	if vlek {
		key[sha256.Size] = 1
	}
	return key
}

// fetch asks the source for the VCEK. Reports of version 2 do not tell their
// line, so that the lines of their time are tried.
func (v *Verifier) fetch(
	ctx context.Context, result *evidence.Result, r *Report, vlek bool, ev evidence.Evidence,
) ([]byte, error) {
	fail := func(expected, found string) ([]byte, error) {
		return nil, result.Fail(CheckCollateral, expected, found)
	}
	if vlek {
		return fail("a VLEK certificate with the evidence",
			"evidence without a VLEK; only the cloud provider can supply it")
	}
	if zero(r.ChipID) {
		return fail("a VCEK with the evidence",
			"evidence without a VCEK; the report masks the chip's id, so the VCEK cannot be fetched")
	}
	lines := []Line{Milan, Genoa}
	if r.Version >= 3 {
		line, ok := lineOf(r.Family, r.Model)
		if !ok {
			return nil, result.Fail(CheckProduct, "a known product line", cpuid(r))
		}
		lines = []Line{line}
	}
	if ev.Collateral == nil {
		return fail("a VCEK with the evidence, or a source of collateral",
			"evidence without a VCEK, and no source of collateral")
	}
	for _, line := range lines {
		q := line.Query(r.ChipID, r.ReportedTCB)
		c, err := ev.Collateral.VCEK(ctx, q)
		switch {
		case err == nil:
			return c.Certificate, nil
		case errors.Is(err, collateral.ErrNotFound):
		default:
			return nil, err
		}
	}
	return fail("the VCEK "+lines[0].Query(r.ChipID, r.ReportedTCB).String(), "no such VCEK in the collateral")
}

// chain checks the signatures from the leaf up to the pinned root.
func (v *Verifier) chain(
	ctx context.Context, result *evidence.Result, certs []*x509.Certificate, vlek bool,
	ev evidence.Evidence,
) (*endorsement, error) {
	var leaves, others []*x509.Certificate
	for _, cert := range certs {
		if isLeaf(cert) {
			leaves = append(leaves, cert)
		} else {
			others = append(others, cert)
		}
	}
	if len(leaves) != 1 {
		return nil, result.Fail(CheckCertificates, "one VCEK or VLEK",
			fmt.Sprintf("%d such certificates", len(leaves)))
	}
	leaf, err := parseLeaf(leaves[0])
	if err != nil {
		return nil, result.FailErr(CheckLeafFormat, "a VCEK or VLEK certificate", err)
	}
	if leaf.VLEK != vlek {
		return nil, result.Fail(CheckLeafKind, keyName(vlek)+", as the report says", keyName(leaf.VLEK))
	}
	result.Pass(CheckLeafKind, keyName(vlek), leaf.Product)
	e := &endorsement{leaf: leaf, root: v.roots.roots[leaf.Line]}
	if e.root == nil {
		return nil, result.Fail(CheckProduct, "a line with a trusted root", string(leaf.Line))
	}
	if e.ca, err = v.intermediate(ctx, result, leaf, others, e.root, ev); err != nil {
		return nil, err
	}
	result.Pass(CheckLeaf, "a chain to AMD's root of "+string(leaf.Line),
		leaf.Cert.Subject.CommonName+", "+e.ca.cert.Subject.CommonName+", "+e.root.cert.Subject.CommonName)
	return e, nil
}

func keyName(vlek bool) string {
	if vlek {
		return "a VLEK"
	}
	return "a VCEK"
}

// intermediate returns the CA of the leaf's line and branch that signed the leaf. If certificates of
// CAs were sent along, the right one must be among them: a chain that does not
// fit is refused, not repaired.
func (v *Verifier) intermediate(
	ctx context.Context, result *evidence.Result, leaf *leafCert, sent []*x509.Certificate, root *ca,
	ev evidence.Evidence,
) (*ca, error) {
	name := intermediateName(leaf.Line, leaf.VLEK)
	candidates := slices.DeleteFunc(slices.Clone(sent),
		func(c *x509.Certificate) bool { return c.Subject.CommonName == root.cert.Subject.CommonName })
	if len(candidates) == 0 {
		candidates = v.roots.known(leaf.Line, leaf.VLEK)
		if ev.Collateral != nil {
			published, err := ev.Collateral.AMD(ctx, collateral.AMDQuery{Line: string(leaf.Line), VLEK: leaf.VLEK})
			switch {
			case err == nil:
				if more, err := parsePEM(published.Chain); err == nil {
					candidates = append(candidates, more...)
				}
			case !errors.Is(err, collateral.ErrNotFound) && !errors.Is(err, collateral.ErrUnavailable):
				return nil, err
			}
		}
	}
	var found []string
	named := false
	for _, cert := range candidates {
		found = append(found, cert.Subject.CommonName)
		if cert.Subject.CommonName != name {
			continue
		}
		ca, err := v.trusted(cert, root)
		if err != nil {
			return nil, result.FailErr(CheckIntermediate, name+" signed by "+root.cert.Subject.CommonName,
				otherRoot(sent, root, err))
		}
		// AMD replaced CAs under the same name: the right one has the key that
		// signed the leaf.
		named = true
		if !ca.signed(leaf.Cert) {
			continue
		}
		result.Pass(CheckIntermediate, name+" signed by "+root.cert.Subject.CommonName,
			fmt.Sprintf("SHA-256 %x", fingerprint(cert)))
		return ca, nil
	}
	if named {
		return nil, result.Fail(CheckLeaf, "a signature of "+name, "signature verification failed")
	}
	return nil, result.Fail(CheckIntermediate, name, fmt.Sprintf("%q", found))
}

// otherRoot says which other root was sent along with an intermediate that the trusted
// one did not sign.
func otherRoot(sent []*x509.Certificate, root *ca, err error) error {
	for _, cert := range sent {
		switch {
		case cert.Subject.CommonName != root.cert.Subject.CommonName || cert.Equal(root.cert):
		case simulated.Root(cert):
			return fmt.Errorf(
				"%w: it leads to a simulated root named %s, whose key is not that of the trusted root",
				err, cert.Subject.CommonName,
			)
		default:
			return fmt.Errorf("%w: it leads to a root named %s, whose key is not that of the trusted root",
				err, cert.Subject.CommonName)
		}
	}
	return err
}

// trusted checks an intermediate under its root, once.
func (v *Verifier) trusted(cert *x509.Certificate, root *ca) (*ca, error) {
	key := fingerprint(cert)
	if ca, ok := v.cas.get(key); ok {
		return ca, nil
	}
	switch {
	case !cert.IsCA || !cert.BasicConstraintsValid ||
		cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("the certificate is not a CA")
	case len(cert.UnhandledCriticalExtensions) > 0:
		return nil, fmt.Errorf("critical extension %s is not understood", cert.UnhandledCriticalExtensions[0])
	case !root.signed(cert):
		return nil, errors.New("signature verification failed")
	}
	ca, err := newCA(cert)
	if err != nil {
		return nil, err
	}
	v.cas.add(key, ca)
	return ca, nil
}
