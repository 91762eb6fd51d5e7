package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/crl"
)

// endorsements are collateral whose every signature was verified against the
// anchor and one PCK CA. Freshness and revocation depend on the time and the
// platform, so they are checked for each quote.
type endorsements struct {
	checks   []evidence.Check // to be repeated in each result
	rootCRL  *crl.List
	pckCRL   *crl.List
	signers  []*x509.Certificate // of TCB info and QE identity
	tcb      *TCBInfo
	identity *Identity
	hashes   Hashes
}

// Hashes identify the collateral that a verdict rests on: SHA-256 of each
// piece as the service stores it, with the NUL that ends C strings.
type Hashes struct {
	QEIdentityCerts, QEIdentityCRL, QEIdentity [sha256.Size]byte
	TCBInfoCerts, TCBInfoCRL, TCBInfo          [sha256.Size]byte
}

// open verifies the signatures of c. The checks are recorded in result.
func (v *Verifier) open(
	result *evidence.Result, c *collateral.Intel, chain *pckChain,
) (*endorsements, error) {
	first := len(result.Checks)
	if missing := missingPieces(c); missing != "" {
		return nil, result.Fail(CheckCollateral, "CRLs, TCB info and QE identity", "no "+missing)
	}
	e := &endorsements{}
	var err error
	// Security: the list must come from the anchor, and the PCK list from the
	// CA in the quote's own chain, whatever chain was sent along with it.
	if e.rootCRL, err = readCRL(c.RootCRL, v.anchor.named, v.anchor.signed); err != nil {
		return nil, result.FailErr(CheckRootCRL, "a CRL signed by "+v.anchor.Subject, err)
	}
	result.Pass(CheckRootCRL, "signed by the root CA", fmt.Sprintf("%d revoked", e.rootCRL.Len()))
	isCA := func(rawName []byte) bool { return bytes.Equal(rawName, chain.ca.RawSubject) }
	if e.pckCRL, err = readCRL(c.PCKCRL, isCA, signedBy(chain.caKey)); err != nil {
		return nil, result.FailErr(CheckPCKCRL, "a CRL signed by "+chain.ca.Subject.CommonName, err)
	}
	result.Pass(CheckPCKCRL, "signed by "+chain.ca.Subject.CommonName,
		fmt.Sprintf("%d revoked", e.pckCRL.Len()))
	if err := v.openTCBInfo(result, e, c); err != nil {
		return nil, err
	}
	if err := v.openIdentity(result, e, c); err != nil {
		return nil, err
	}
	e.hashes = hashesOf(c)
	e.checks = append(e.checks, result.Checks[first:]...)
	return e, nil
}

// readCRL reads a list of the named CA, which signs with ECDSA on P-256.
func readCRL(der []byte, named func(rawName []byte) bool, signed signer) (*crl.List, error) {
	return crl.Read(der, crl.Issuer{Named: named, Algorithm: x509.ECDSAWithSHA256, Signed: func(tbs, signature []byte) bool {
		sum := sha256.Sum256(tbs)
		return signed(sum[:], signature)
	}})
}

func missingPieces(c *collateral.Intel) string {
	for _, piece := range []struct {
		name string
		b    []byte
	}{
		{"root CA CRL", c.RootCRL}, {"PCK CRL", c.PCKCRL},
		{"TCB info", c.TCBInfo}, {"TCB info issuer chain", c.TCBInfoIssuerChain},
		{"QE identity", c.QEIdentity}, {"QE identity issuer chain", c.QEIdentityIssuerChain},
	} {
		if len(piece.b) == 0 {
			return piece.name
		}
	}
	return ""
}

func (v *Verifier) openTCBInfo(result *evidence.Result, e *endorsements, c *collateral.Intel) error {
	key, err := v.signer(e, c.TCBInfoIssuerChain, nil)
	if err != nil {
		return result.FailErr(CheckTCBInfoChain, tcbSigningName+" under the pinned root", err)
	}
	result.Pass(CheckTCBInfoChain, tcbSigningName+" under the pinned root",
		"a certificate valid until "+day(e.signers[0].NotAfter))
	if !verifyRaw(key, c.TCBInfo, c.TCBInfoSignature) {
		return v.failSignature(result, CheckTCBInfoSign, c.TCBInfo)
	}
	if e.tcb, err = ParseTCBInfo(c.TCBInfo); err != nil {
		return result.FailErr(CheckTCBInfoFormat, "a TCB info of version 2 or 3", err)
	}
	result.Pass(CheckTCBInfoSign, "signed by the TCB signing key",
		fmt.Sprintf("FMSPC %x, evaluation %d, next update %s",
			e.tcb.FMSPC, e.tcb.EvaluationNumber, day(e.tcb.NextUpdate)))
	result.Pass(CheckTCBInfoFormat, "version 2 or 3",
		fmt.Sprintf("version %d, %d levels", e.tcb.Version, len(e.tcb.Levels)))
	return nil
}

func (v *Verifier) openIdentity(result *evidence.Result, e *endorsements, c *collateral.Intel) error {
	var known *x509.Certificate
	if bytes.Equal(c.TCBInfoIssuerChain, c.QEIdentityIssuerChain) {
		known = e.signers[0]
	}
	key, err := v.signer(e, c.QEIdentityIssuerChain, known)
	if err != nil {
		return result.FailErr(CheckQEIDChain, tcbSigningName+" under the pinned root", err)
	}
	result.Pass(CheckQEIDChain, tcbSigningName+" under the pinned root",
		"a certificate valid until "+day(e.signers[1].NotAfter))
	if !verifyRaw(key, c.QEIdentity, c.QEIdentitySignature) {
		return v.failSignature(result, CheckQEIDSign, c.QEIdentity)
	}
	if e.identity, err = ParseIdentity(c.QEIdentity); err != nil {
		return result.FailErr(CheckQEIDFormat, "an enclave identity of version 2", err)
	}
	result.Pass(CheckQEIDSign, "signed by the TCB signing key", fmt.Sprintf("%s, evaluation %d, next update %s",
		e.identity.ID, e.identity.EvaluationNumber, day(e.identity.NextUpdate)))
	result.Pass(CheckQEIDFormat, "version 2", fmt.Sprintf("%d levels", len(e.identity.Levels)))
	return nil
}

// failSignature refuses a document whose signature does not verify. White space between
// tokens, which Intel's documents have none of, shows that a tool wrote the JSON again.
func (v *Verifier) failSignature(result *evidence.Result, check *evidence.Definition, text []byte) error {
	const expected = "a signature of the TCB signing key over the bytes sent"
	compact := jsontext.Value(bytes.Clone(text))
	if err := compact.Compact(); err == nil && !bytes.Equal(compact, text) {
		return result.FailWith(check, expected,
			"re-formatted JSON (with white space between its tokens), so the signature cannot match",
			"save the body of Intel's response as sent, byte for byte: curl -o FILE, without jq or an editor")
	}
	return result.Fail(check, expected,
		"signature verification failed: the document was changed, or another key signed it")
}

// signer verifies the TCB signing certificate in chain and returns its key.
// known is that certificate if the same chain was verified already.
func (v *Verifier) signer(e *endorsements, chain []byte, known *x509.Certificate) (*ecdsa.PublicKey, error) {
	cert := known
	if cert == nil {
		var err error
		if cert, err = v.tcbSigner(chain); err != nil {
			return nil, err
		}
	}
	e.signers = append(e.signers, cert)
	return p256Key(cert)
}

func (v *Verifier) tcbSigner(chain []byte) (*x509.Certificate, error) {
	certs, err := parsePEM(chain, v.cas)
	if err != nil {
		return nil, err
	}
	if len(certs) > 2 {
		return nil, fmt.Errorf("%d certificates, want the signer and the root", len(certs))
	}
	var cert *x509.Certificate
	for _, c := range certs {
		switch {
		case c.Subject.CommonName == tcbSigningName && cert == nil:
			cert = c
		case !v.anchor.is(c):
			return nil, fmt.Errorf("%q is neither the TCB signing certificate nor the root", c.Subject.CommonName)
		}
	}
	if cert == nil {
		return nil, errors.New("no TCB signing certificate")
	}
	if !v.anchor.named(cert.RawIssuer) {
		return nil, fmt.Errorf("issued by %q", cert.Issuer)
	}
	if err := checkEndEntity(cert); err != nil {
		return nil, err
	}
	return cert, verifyCertificate(v.anchor.signed, cert)
}

// usable checks what depends on the time of appraisal and on the platform.
func (v *Verifier) usable(
	result *evidence.Result, e *endorsements, chain *pckChain, at time.Time, stale bool,
) error {
	if err := v.fresh(result, e, at, stale); err != nil {
		return err
	}
	if err := v.unrevoked(result, e, chain.ca); err != nil {
		return err
	}
	serial := chain.leaf.SerialNumber.Text(16)
	if e.pckCRL.Has(chain.leaf.SerialNumber) {
		return result.Fail(CheckPCKRevocation, "not revoked", "serial "+serial+" is on the PCK CRL")
	}
	result.Pass(CheckPCKRevocation, "not revoked",
		"serial "+serial+" not in the PCK CRL of "+day(e.pckCRL.ThisUpdate))
	return nil
}

// fresh checks every window of the collateral. Collateral that the source marks
// as stale may have outlived its own windows, but not those of certificates.
func (v *Verifier) fresh(result *evidence.Result, e *endorsements, at time.Time, stale bool) error {
	for _, item := range []struct {
		check *evidence.Definition
		what  string
		w     window
	}{
		{CheckRootCRLFresh, "a root CRL", window{e.rootCRL.ThisUpdate, e.rootCRL.NextUpdate}},
		{CheckPCKCRLFresh, "a PCK CRL", window{e.pckCRL.ThisUpdate, e.pckCRL.NextUpdate}},
		{CheckTCBInfoFresh, "TCB info", window{e.tcb.IssueDate, e.tcb.NextUpdate}},
		{CheckQEIDFresh, "a QE identity", window{e.identity.IssueDate, e.identity.NextUpdate}},
		{CheckSigningValidity, "a TCB signing chain", window{v.anchor.NotBefore, v.anchor.NotAfter}.
			and(e.signers[0].NotBefore, e.signers[0].NotAfter).and(e.signers[1].NotBefore, e.signers[1].NotAfter)},
	} {
		if stale && item.check != CheckSigningValidity && at.After(item.w.to) {
			result.Pass(item.check, "fresh at the time of appraisal, or stale within the outage mode",
				"stale since "+item.w.to.UTC().Format(time.RFC3339))
			continue
		}
		if !item.w.contains(at) {
			return result.FailWith(item.check, item.what+" that is valid at "+at.UTC().Format(time.RFC3339),
				"valid from "+item.w.String(), outdated(item.check, e, item.w, at))
		}
		result.Pass(item.check, "fresh at the time of appraisal", "until "+day(item.w.to))
	}
	return nil
}

// unrevoked checks the CA and the signers against the root's list.
func (v *Verifier) unrevoked(result *evidence.Result, e *endorsements, ca *x509.Certificate) error {
	if e.rootCRL.Has(ca.SerialNumber) {
		return result.Fail(CheckCARevocation, "not revoked",
			"serial "+ca.SerialNumber.Text(16)+" is on the root CRL")
	}
	result.Pass(CheckCARevocation, "not revoked", "not on the root CRL")
	for _, signer := range e.signers {
		if e.rootCRL.Has(signer.SerialNumber) {
			return result.Fail(CheckSigningRevoked, "not revoked",
				"serial "+signer.SerialNumber.Text(16)+" is on the root CRL")
		}
	}
	result.Pass(CheckSigningRevoked, "not revoked", "not on the root CRL")
	return nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// hashesOf computes the hashes that tokens carry. Azure's service stores the
// responses of Intel's service as C strings: chain, JSON and CRL, each with
// its NUL (docs/design/sgx-collateral-hashes.md).
func hashesOf(c *collateral.Intel) Hashes {
	chain := func(text []byte) [sha256.Size]byte {
		return sha256.Sum256(append(bytes.TrimRight(bytes.Clone(text), "\r\n\x00"), '\n', 0))
	}
	response := func(member string, signed, signature []byte) [sha256.Size]byte {
		h := sha256.New()
		fmt.Fprintf(h, "{\"%s\":%s,\"signature\":\"%s\"}\x00", member, signed, hex.EncodeToString(signature))
		return [sha256.Size]byte(h.Sum(nil))
	}
	crl := sha256.Sum256(append(bytes.Clone(c.RootCRL), 0))
	return Hashes{
		QEIdentityCerts: chain(c.QEIdentityIssuerChain), QEIdentityCRL: crl,
		QEIdentity:   response("enclaveIdentity", c.QEIdentity, c.QEIdentitySignature),
		TCBInfoCerts: chain(c.TCBInfoIssuerChain), TCBInfoCRL: crl,
		TCBInfo: response("tcbInfo", c.TCBInfo, c.TCBInfoSignature),
	}
}

// outdated says what to do about collateral outside its window.
func outdated(check *evidence.Definition, e *endorsements, w window, at time.Time) string {
	if at.Before(w.from) {
		return check.Remedy
	}
	return fmt.Sprintf("the collateral for FMSPC %x expired on %s; run: probity collateral fetch --fmspc "+
		"%x --tee %s, or import a newer bundle",
		e.tcb.FMSPC, w.to.UTC().Format(time.RFC3339), e.tcb.FMSPC, e.tcb.TEE)
}
