package openenclave

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

// Certificate extensions that carry evidence: the old one holds a quote or a
// report, the new one a report (Open Enclave, attested TLS).
var (
	oidEvidenceOld = asn1.ObjectIdentifier{1, 2, 840, 113556, 10, 1, 1}
	oidEvidence    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 105, 1}
)

// parseCertificate takes the evidence out of a self-signed certificate of an
// enclave, as attested TLS and Azure's signing keys use it.
func parseCertificate(der []byte) (*Framed, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("openenclave: certificate: %w", err)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return nil, fmt.Errorf("openenclave: certificate is not signed by its own key: %w", err)
	}
	var value []byte
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidEvidence) || e.Id.Equal(oidEvidenceOld) {
			if value != nil {
				return nil, errors.New("openenclave: certificate carries evidence twice")
			}
			value = e.Value
		}
	}
	if value == nil {
		return nil, errors.New("openenclave: certificate carries no evidence")
	}
	// Some issuers wrap the evidence in a further OCTET STRING.
	var inner []byte
	if rest, err := asn1.Unmarshal(value, &inner); err == nil && len(rest) == 0 {
		value = inner
	}
	if len(value) > 0 && value[0] == 0x30 {
		return nil, errors.New("openenclave: certificate inside a certificate")
	}
	f, err := Parse(value)
	if err != nil {
		return nil, err
	}
	f.Form = "certificate with " + f.Form
	f.PublicKey = append(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: cert.RawSubjectPublicKeyInfo}), 0)
	return f, nil
}
