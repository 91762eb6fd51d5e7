package snp

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/strict/pubkey"
)

// VCEKOf reads from a VCEK certificate which chip and TCB it is for, so that it can be
// found. It verifies nothing.
func VCEKOf(cert *x509.Certificate) (*collateral.VCEK, error) {
	leaf, err := parseLeaf(cert)
	if err != nil {
		return nil, err
	}
	if leaf.VLEK {
		return nil, errors.New("a VLEK is not for one chip: send it with the report")
	}
	return &collateral.VCEK{Path: leaf.Line.Query(leaf.HWID, leaf.TCB).String(), Certificate: cert.Raw}, nil
}

// CheckVCEK verifies a certificate from AMD's service before it is kept: that it
// is the one that was asked for, signed by the CA of its line (one that is
// known, or in the given chain) under the pinned root, and valid at the time.
func (v *Verifier) CheckVCEK(
	c *collateral.VCEK, q collateral.VCEKQuery, published *collateral.AMD, at time.Time,
) error {
	cert, err := pubkey.ParseCertificate(c.Certificate)
	if err != nil {
		return err
	}
	leaf, err := parseLeaf(cert)
	if err != nil {
		return err
	}
	if leaf.VLEK || leaf.Line.Query(leaf.HWID, leaf.TCB).String() != q.String() || c.Path != q.String() {
		return fmt.Errorf("asked for %s, got %s", q, leaf.Line.Query(leaf.HWID, leaf.TCB))
	}
	root := v.roots.roots[leaf.Line]
	if root == nil {
		return fmt.Errorf("no root is trusted for line %s", leaf.Line)
	}
	candidates := v.roots.known(leaf.Line, false)
	if published != nil {
		more, err := parsePEM(published.Chain)
		if err != nil {
			return err
		}
		candidates = append(candidates, more...)
	}
	signed := false
	for _, candidate := range candidates {
		if candidate.Subject.CommonName != intermediateName(leaf.Line, false) {
			continue
		}
		if ca, err := v.trusted(candidate, root); err == nil && ca.signed(cert) {
			signed = true
			break
		}
	}
	if !signed {
		return errors.New("not signed by a CA of its line under AMD's root")
	}
	if window, ok := validAt(cert, at); !ok {
		return fmt.Errorf("not valid at %s: %s", stamp(at), window)
	}
	return nil
}

// CheckPublished verifies what AMD's service publishes for a branch before it is
// kept: the CA under the pinned root of the line, the list signed by that root
// and current, and the CA not on it. It returns the window of the list.
func (v *Verifier) CheckPublished(
	c *collateral.AMD, at time.Time,
) (thisUpdate, nextUpdate time.Time, err error) {
	root := v.roots.roots[Line(c.Line)]
	if root == nil {
		return thisUpdate, nextUpdate, fmt.Errorf("no root is trusted for line %q", c.Line)
	}
	list, err := v.parseCRL(c.CRL, root, Line(c.Line))
	if err != nil {
		return thisUpdate, nextUpdate, fmt.Errorf("revocation list: %w", err)
	}
	if at.Before(list.ThisUpdate) || at.After(list.NextUpdate) {
		return thisUpdate, nextUpdate, fmt.Errorf("revocation list: %s to %s is not the window of %s",
			stamp(list.ThisUpdate), stamp(list.NextUpdate), stamp(at))
	}
	certs, err := parsePEM(c.Chain)
	if err != nil {
		return thisUpdate, nextUpdate, fmt.Errorf("chain: %w", err)
	}
	found := false
	for _, cert := range certs {
		if cert.Subject.CommonName != intermediateName(Line(c.Line), c.VLEK) {
			continue
		}
		if _, err := v.trusted(cert, root); err != nil {
			return thisUpdate, nextUpdate, fmt.Errorf("chain: %s: %w", cert.Subject.CommonName, err)
		}
		if list.Has(cert.SerialNumber) {
			return thisUpdate, nextUpdate, fmt.Errorf("chain: %s is revoked", cert.Subject.CommonName)
		}
		found = true
	}
	if !found {
		return thisUpdate, nextUpdate, fmt.Errorf("chain: no %s", intermediateName(Line(c.Line), c.VLEK))
	}
	return list.ThisUpdate, list.NextUpdate, nil
}
