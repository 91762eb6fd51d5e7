package token

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/probity-dev/probity/strict/pubkey"
)

// certificateEnd is the end of validity of instance certificates; relying
// parties trust the key for where they fetched it, not for its age.
var certificateEnd = time.Date(2050, 12, 31, 23, 59, 59, 0, time.UTC)

// InstanceCertificate makes the self-signed certificate of a signing key: its
// subject and issuer are CN=<instance URL>, which some verifiers compare with
// the issuer of a token.
func InstanceCertificate(
	random io.Reader, issuer string, key crypto.Signer, notBefore time.Time,
) (*x509.Certificate, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("token: certificate: %w", err)
	}
	id := sha256.Sum256(public)
	name := pkix.Name{CommonName: issuer}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               name,
		Issuer:                name,
		NotBefore:             notBefore.UTC(),
		NotAfter:              certificateEnd,
		BasicConstraintsValid: true,
		SubjectKeyId:          id[:20],
		AuthorityKeyId:        id[:20],
	}
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("token: certificate: %w", err)
	}
	return pubkey.ParseCertificate(der)
}
