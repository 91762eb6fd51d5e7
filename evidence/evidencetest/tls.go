package evidencetest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// OIDOpenEnclave is the extension of Open Enclave's attested TLS.
func OIDOpenEnclave() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 105, 1}
}

// OIDGramine is the extension of Gramine's RA-TLS.
func OIDGramine() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113741, 1337, 6} }

// OIDDICE is the extension of TCG DICE's tagged evidence.
func OIDDICE() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9} }

// TLSCertificate makes a certificate of attested TLS with evidence in the extension. It is
// signed by its own key, or by the parent.
func TLSCertificate(key, parent *ecdsa.PrivateKey, oid asn1.ObjectIdentifier, value []byte) []byte {
	return TLSCertificateWith(key, parent, pkix.Extension{Id: oid, Value: value})
}

// TLSCertificateWith is [TLSCertificate] with any extensions.
func TLSCertificateWith(key, parent *ecdsa.PrivateKey, extensions ...pkix.Extension) []byte {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "RATLS"}, NotBefore: at,
		NotAfter: at.AddDate(9, 0, 0), ExtraExtensions: extensions,
	}
	issuer, signer := template, key
	if parent != nil {
		issuer, signer = &x509.Certificate{Subject: pkix.Name{CommonName: "parent"}}, parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	return der
}

// DICE makes TCG DICE tagged evidence.
func DICE(tag uint64, evidence, claims []byte) []byte {
	return mustCBOR(cbor.Tag{Number: tag, Content: [][]byte{evidence, claims}})
}

// DICEClaims makes the claims of tagged evidence: the hash of a key, by an algorithm of
// IANA's Named Information Hash Algorithm Registry.
func DICEClaims(algorithm int, hash []byte) []byte {
	if hash == nil {
		hash = []byte{}
	}
	return mustCBOR(map[string][]byte{"pubkey-hash": mustCBOR([]any{algorithm, hash})})
}
