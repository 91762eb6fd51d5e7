package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Signer signs tokens of one issuer with one key.
type Signer struct {
	// Issuer is the instance URL, without a trailing slash.
	Issuer string
	// KeyID is the key's identifier, see [KeyID].
	KeyID string
	// Certificate is the key's self-signed certificate.
	Certificate *x509.Certificate

	algorithm jose.SignatureAlgorithm
	jose      jose.Signer
	key       jose.SigningKey
}

// Algorithms are the JWS algorithms that sign tokens.
func Algorithms() []string { return []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} }

// NewSigner returns a signer for issuer. An empty algorithm follows from the
// key: RS256 for RSA, ES256 and ES384 for P-256 and P-384, EdDSA for Ed25519. The
// certificate must contain the key.
func NewSigner(issuer string, key crypto.Signer, cert *x509.Certificate, algorithm string) (*Signer, error) {
	name, err := pubkey.Algorithm(key.Public())
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	chosen := jose.SignatureAlgorithm(name)
	if algorithm == "PS256" && chosen == jose.RS256 {
		chosen = jose.PS256
	}
	if algorithm != "" && algorithm != string(chosen) {
		return nil, fmt.Errorf("token: a key of type %T does not sign %s", key.Public(), algorithm)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, errors.New("token: the certificate is not for the signing key")
	}
	kid, err := KeyID(key.Public())
	if err != nil {
		return nil, err
	}
	// Software keys go to the JOSE library as they are; others are called
	// through crypto.Signer.
	var material any = key
	switch key.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		material = cryptosigner.Opaque(key)
	}
	s := &Signer{
		Issuer: issuer, KeyID: kid, Certificate: cert, algorithm: chosen,
		key: jose.SigningKey{Algorithm: chosen, Key: material},
	}
	if s.jose, err = jose.NewSigner(s.key, s.options()); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return s, nil
}

func (s *Signer) options() *jose.SignerOptions {
	return (&jose.SignerOptions{}).WithType("JWT").WithHeader("jku", s.Issuer+"/certs").WithHeader("kid",
		s.KeyID)
}

// Algorithm returns the JWS algorithm, for instance RS256.
func (s *Signer) Algorithm() string { return string(s.algorithm) }

// Sign returns payload as a compact JWS. The header contains alg, jku, kid and
// typ, in this order.
func (s *Signer) Sign(payload []byte) (string, error) {
	jws, err := s.jose.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("token: sign: %w", err)
	}
	return jws.CompactSerialize()
}

// SignWithCertificate is Sign with the signer's certificate in the header (x5c),
// or, if whole is false, with its thumbprint (x5t): what a policy asks for with
// the property omit_x5c.
func (s *Signer) SignWithCertificate(payload []byte, whole bool) (string, error) {
	options := s.options()
	if whole {
		options = options.WithHeader("x5c", []string{base64.StdEncoding.EncodeToString(s.Certificate.Raw)})
	} else {
		sum := sha1.Sum(s.Certificate.Raw) // the thumbprint of RFC 7515, 4.1.7; not a signature
		options = options.WithHeader("x5t", base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	signer, err := jose.NewSigner(s.key, options)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("token: sign: %w", err)
	}
	return jws.CompactSerialize()
}

// Unsecured returns payload as a compact JWS with algorithm none and an empty
// signature: what a draft policy gets instead of a token.
func Unsecured(payload []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + "."
}

// KeyID returns the identifier of a signing key: the padded base64 SHA-256 of
// the key's PEM SubjectPublicKeyInfo with one NUL after it. A service inside
// an enclave puts the same hash into the report data of its own quote.
func KeyID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("token: key id: %w", err)
	}
	sum := sha256.Sum256(append(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0))
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}
