package dcap

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
)

// revocationList is a CRL whose issuer and signature were verified.
type revocationList struct {
	window  window
	revoked map[string]bool // by the serial number's bytes
}

func (l *revocationList) has(serial *big.Int) bool { return l.revoked[string(serial.Bytes())] }

// openCRL reads a DER encoded CRL and verifies that the named CA signed it. It
// refuses lists without nextUpdate, since they would never grow stale, and
// lists with critical extensions, since those limit what a list covers (delta
// and indirect CRLs, RFC 5280, 5.2).
func openCRL(der []byte, issuer func(*x509.RevocationList) bool, key *ecdsa.PublicKey) (*revocationList, error) {
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if !issuer(crl) {
		return nil, fmt.Errorf("issued by %q", crl.Issuer.CommonName)
	}
	for _, e := range crl.Extensions {
		if e.Critical {
			return nil, fmt.Errorf("critical extension %s", e.Id)
		}
	}
	if crl.NextUpdate.IsZero() {
		return nil, errors.New("no nextUpdate")
	}
	if crl.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return nil, fmt.Errorf("signed with %s, want ECDSA-SHA256", crl.SignatureAlgorithm)
	}
	sum := sha256.Sum256(crl.RawTBSRevocationList)
	if !ecdsa.VerifyASN1(key, sum[:], crl.Signature) {
		return nil, errors.New("signature does not verify")
	}
	list := &revocationList{
		window:  window{crl.ThisUpdate, crl.NextUpdate},
		revoked: make(map[string]bool, len(crl.RevokedCertificateEntries)),
	}
	for _, e := range crl.RevokedCertificateEntries {
		list.revoked[string(e.SerialNumber.Bytes())] = true
	}
	return list, nil
}
