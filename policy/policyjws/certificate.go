package policyjws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/strict/pubkey"
)

// CertificateSubmission is a request to add or remove a certificate that may sign
// policies: a JWS, signed as a policy is, whose payload contains the certificate as a
// JSON Web Key with x5c.
type CertificateSubmission struct {
	Submission
	// Key is the JSON Web Key exactly as it was submitted, Certificate its
	// certificate.
	Key         jsontext.Value
	Certificate *x509.Certificate
}

// certificateMembers are the names under which clients send a certificate.
type certificateMembers struct {
	Key    jsontext.Value `json:"policyCertificate"`
	Legacy jsontext.Value `json:"maa-policyCertificate"`
	Docs   jsontext.Value `json:"x-ms-policyCertificate"`
}

func (m certificateMembers) any() bool { return m.Key != nil || m.Legacy != nil || m.Docs != nil }

// ParseCertificate reads a request about a certificate. Its signature, if it has
// one, is verified; whether the signer may ask is the caller's to decide. The
// error wraps [ErrPolicyJWS].
func ParseCertificate(compact string) (*CertificateSubmission, error) {
	p, payload, err := parseSubmitted(compact)
	if err != nil {
		return nil, err
	}
	var body struct {
		Policy jsontext.Value `json:"AttestationPolicy"`
		certificateMembers
	}
	if err := json.Unmarshal(payload, &body); err != nil {
		return nil, fmt.Errorf("%w: the payload is not a JSON object", ErrFormat)
	}
	for _, other := range []jsontext.Value{body.Legacy, body.Docs} {
		if body.Key == nil {
			body.Key = other
		}
	}
	if body.Policy != nil {
		return nil, fmt.Errorf("%w: the payload contains a policy, which is for PUT /policies/{type}", ErrFormat)
	}
	if body.Key == nil {
		return nil, fmt.Errorf("%w: the payload has no member policyCertificate", ErrFormat)
	}
	cert, err := Certificate(body.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: policyCertificate: %w", ErrFormat, err)
	}
	return &CertificateSubmission{*p, body.Key, cert}, nil
}

// Certificate returns the certificate of a JSON Web Key, the first of its
// x5c, whose key may sign policies: RSA of 2048 bits or more, P-256 or P-384.
func Certificate(jwk jsontext.Value) (*x509.Certificate, error) {
	if len(jwk) > MaxSize {
		return nil, errors.New("it is too large")
	}
	if err := bounds.Nesting(jwk); err != nil {
		return nil, err // it is kept, and shown to everyone as it was sent
	}
	var key struct {
		KTY string   `json:"kty"`
		X5C []string `json:"x5c"`
	}
	if err := json.Unmarshal(jwk, &key); err != nil {
		return nil, errors.New("it is not a JSON Web Key")
	}
	if len(key.X5C) == 0 || len(key.X5C) > 8 {
		return nil, errors.New("it contains no certificate (x5c)")
	}
	der, err := base64.StdEncoding.DecodeString(key.X5C[0])
	if err != nil {
		return nil, errors.New("x5c is not base64")
	}
	cert, err := pubkey.ParseCertificate(der)
	if err != nil {
		return nil, unreadable(err)
	}
	switch public := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < pubkey.MinRSABits {
			return nil, fmt.Errorf("its RSA key has %d bits, at least %d are needed", public.N.BitLen(),
				pubkey.MinRSABits)
		}
	case *ecdsa.PublicKey:
		if bits := public.Curve.Params().BitSize; bits != 256 && bits != 384 {
			return nil, fmt.Errorf("its curve is %s; P-256 and P-384 sign policies", public.Curve.Params().Name)
		}
	default:
		return nil, fmt.Errorf("its key is of type %T; RSA and EC keys sign policies", cert.PublicKey)
	}
	// What kty says is not compared: the Python client says RSA of every key.
	if key.KTY == "" {
		return nil, errors.New("it has no kty")
	}
	return cert, nil
}

// Thumbprint is how replies name a certificate: the SHA-1 of its DER in
// upper-case hex.
func Thumbprint(cert *x509.Certificate) string {
	sum := sha1.Sum(cert.Raw) // a name, not a protection
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Randomised reports whether two signatures over the same bytes differ, so that the
// same JWS twice is a replay and no second request.
func (p *Submission) Randomised() bool {
	return strings.HasPrefix(p.algorithm, "ES") || strings.HasPrefix(p.algorithm, "PS")
}

// Identity names the act of signing: the same signature gives the same name in every form in
// which it verifies. Of an ECDSA signature (r, s) that is r, for (r, -s) verifies too, as one
// in DER does.
func (p *Submission) Identity() string {
	sum := sha256.Sum256(p.unique)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// SignedBy reports whether the policy or request was signed by one of the
// registered certificates: by the certificate itself, or by one that chains, at
// the time, to a registered CA.
func (p *Submission) SignedBy(registered []*x509.Certificate, at time.Time) bool {
	if len(p.Signer) == 0 {
		return false
	}
	roots := x509.NewCertPool()
	for _, cert := range registered {
		if cert.Equal(p.Signer[0]) {
			return true
		}
		if cert.IsCA && cert.BasicConstraintsValid {
			roots.AddCert(cert)
		}
	}
	between := x509.NewCertPool()
	for _, cert := range p.Signer[1:] {
		between.AddCert(cert)
	}
	_, err := p.Signer[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: between,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// CertificateKey returns a certificate as the JSON Web Key under which it is
// registered.
func CertificateKey(cert *x509.Certificate) jsontext.Value {
	alg, kty := "RS256", "RSA"
	if public, ok := cert.PublicKey.(*ecdsa.PublicKey); ok {
		alg, kty = "ES256", "EC"
		if public.Curve.Params().BitSize == 384 {
			alg = "ES384"
		}
	}
	b, err := json.Marshal(map[string]any{
		"alg": alg, "kty": kty, "use": "sig",
		"x5c": []string{base64.StdEncoding.EncodeToString(cert.Raw)},
	}, json.Deterministic(true))
	if err != nil {
		return nil // strings always marshal
	}
	return b
}

// WrapCertificate makes a request about a certificate, signed by the key of
// chain.
func WrapCertificate(
	random io.Reader, cert *x509.Certificate, key crypto.Signer, chain []*x509.Certificate,
	binding ...Binding,
) (string, error) {
	payload, err := json.Marshal(map[string]any{"policyCertificate": CertificateKey(cert)})
	if err != nil {
		return "", err
	}
	return wrapSigned(random, payload, key, chain, binding)
}

// WrapReset makes a request to reset a policy: an empty payload, signed by the
// key of chain unless key is nil.
func WrapReset(
	random io.Reader, key crypto.Signer, chain []*x509.Certificate, binding ...Binding,
) (string, error) {
	if key == nil {
		return NoPolicy, nil
	}
	return wrapSigned(random, nil, key, chain, binding)
}
