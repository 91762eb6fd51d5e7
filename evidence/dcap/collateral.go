package dcap

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
)

// CheckCollateral verifies a set on its own, before it is kept: that it answers
// the query, every signature up to the anchor, every window at the given time,
// and that no signer is revoked. The PCK CRL is checked with the CA in the chain
// that came with it, which must be under the anchor too. The error is a
// *evidence.Rejection.
func (v *Verifier) CheckCollateral(c *collateral.Intel, q collateral.Query, at time.Time) error {
	result := &evidence.Result{}
	about, err := c.About()
	if err != nil {
		return result.FailErr(CheckCollateral, "collateral for "+q.String(), err)
	}
	if !about.Matches(q) || about.CA == "" {
		return result.Fail(CheckCollateral, "collateral for "+q.String(),
			"collateral for "+collateral.Query{
				TEE:              about.TEE,
				FMSPC:            about.FMSPC,
				CA:               about.CA,
				EvaluationNumber: about.EvaluationNumber,
			}.String())
	}
	ca, err := v.crlIssuer(c.PCKCRLIssuerChain)
	if err != nil {
		return result.FailErr(CheckPCKCRL, "a CA of PCK certificates under the pinned root", err)
	}
	chain := &pckChain{ca: ca}
	if chain.caKey, err = p256Key(ca); err != nil {
		return result.FailErr(CheckPCKCRL, "a CA with a P-256 key", err)
	}
	e, err := v.open(result, c, chain)
	if err != nil {
		return err
	}
	wantID := "QE"
	if q.TEE == collateral.TDX {
		wantID = "TD_QE"
	}
	if e.tcb.TEE != q.TEE || e.identity.ID != wantID {
		return result.Fail(CheckQEIDType, wantID, e.identity.ID)
	}
	if err := v.fresh(result, e, at, false); err != nil {
		return err
	}
	return v.unrevoked(result, e, ca)
}

// CheckPCK verifies a PCK certificate chain on its own, before it is kept: every signature
// up to the anchor, and every window at the given time. It returns when the chain is valid.
// The error is a *evidence.Rejection.
func (v *Verifier) CheckPCK(text []byte, at time.Time) (from, to time.Time, err error) {
	result := &evidence.Result{}
	chain, chainErr := v.chain(text)
	if chainErr != nil {
		return from, to,
			result.FailErr(chainErr.check, "leaf, PCK CA and root under the pinned root key", chainErr.err)
	}
	w := chain.validity(v.anchor)
	if !w.contains(at) {
		return from, to, result.Fail(CheckPCKValidity,
			"a PCK certificate chain that is valid at "+at.UTC().Format(time.RFC3339),
			"valid from "+w.String())
	}
	return w.from, w.to, nil
}

// crlIssuer returns the CA in the chain that came with a PCK CRL.
func (v *Verifier) crlIssuer(chain []byte) (*x509.Certificate, error) {
	certs, err := parsePEM(chain, v.cas)
	if err != nil {
		return nil, err
	}
	for _, cert := range certs {
		if v.anchor.is(cert) {
			continue
		}
		if collateral.CAType(cert.Subject.CommonName) == "" || !v.anchor.named(cert.RawIssuer) {
			return nil, fmt.Errorf("%q is not a CA of PCK certificates", cert.Subject.CommonName)
		}
		if err := checkCA(cert); err != nil {
			return nil, err
		}
		return cert, verifyCertificate(v.anchor.signed, cert)
	}
	return nil, errors.New("only the root certificate")
}
