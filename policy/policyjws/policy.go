package policyjws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512 of signatures
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/jws"
	"github.com/probity-dev/probity/strict/pubkey"
)

// MaxSize bounds the compact form of a submitted policy, in bytes.
const MaxSize = 256 << 10

// NoPolicy is the unsecured JWS with an empty payload: it stands for no policy,
// and it is what clients send to reset one.
const NoPolicy = "eyJhbGciOiJub25lIn0.."

// ErrFormat is wrapped by errors about a submitted policy that is not a
// well-formed, correctly signed JWS.
var ErrFormat = errors.New("malformed policy JWS")

// Submission is a policy as a client submits it: a compact JWS, signed or
// not, whose payload is {"AttestationPolicy": base64url(text)}.
type Submission struct {
	// JWS is the exact compact form.
	JWS string
	// Text is the policy; empty if the payload is empty.
	Text string
	// Empty reports that the payload is empty.
	Empty bool
	// Signer is the certificate chain in the header, leaf first; nil if the
	// policy is not signed. It does not say that the signer may sign.
	Signer []*x509.Certificate
	// Binding says what the change is for; nil if the header does not say it.
	Binding *Binding

	algorithm string
	// unique is what no other signature over the same words has, and what no one can change
	// without the key.
	unique []byte
}

// Hash returns the value of the claim x-ms-policy-token-hash: base64url SHA-256
// of the compact form.
func (p *Submission) Hash() string {
	sum := sha256.Sum256([]byte(p.JWS))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// SignerKey returns the signer as a JWK with the members alg, kty, use and x5c,
// or nil.
func (p *Submission) SignerKey() jsontext.Value {
	if len(p.Signer) == 0 {
		return nil
	}
	kty := "RSA"
	if _, ok := p.Signer[0].PublicKey.(*ecdsa.PublicKey); ok {
		kty = "EC"
	}
	chain := make([]string, len(p.Signer))
	for i, cert := range p.Signer {
		chain[i] = base64.StdEncoding.EncodeToString(cert.Raw)
	}
	b, err := json.Marshal(map[string]any{"alg": p.algorithm, "kty": kty, "use": "sig", "x5c": chain},
		json.Deterministic(true))
	if err != nil {
		return nil // strings always marshal
	}
	return b
}

type policyHeader struct {
	Alg string   `json:"alg"`
	X5C []string `json:"x5c"`
	JWK struct {
		X5C []string `json:"x5c"`
	} `json:"jwk"`
	// Critical names extensions that must be understood (RFC 7515, section
	// 4.1.11); none is.
	Critical jsontext.Value `json:"crit"`
	Binding  jsontext.Value `json:"probity-change"`
}

// Parse reads and verifies a submitted policy. The key comes from the
// certificate in the header (x5c, or jwk.x5c), and where the algorithm's label
// is not a registered one, as in two of Azure's clients, from the key. An
// unsecured JWS may lack its last dot.
func Parse(compact string) (*Submission, error) {
	p, payload, err := parseSubmitted(compact)
	if err != nil {
		return nil, err
	}
	if len(payload) == 0 {
		p.Empty = true
		return p, nil
	}
	return p, p.readPayload(payload)
}

// parseSubmitted takes a JWS apart and verifies its signature, if it has one, by
// the certificate in its header.
func parseSubmitted(compact string) (p *Submission, payload []byte, err error) {
	fail := func(format string, args ...any) (*Submission, []byte, error) {
		return nil, nil, fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
	}
	if len(compact) > MaxSize {
		return fail("%d bytes, at most %d are allowed", len(compact), MaxSize)
	}
	whole := compact
	if strings.Count(compact, ".") == 1 {
		whole += "."
	}
	var parts [3]string
	if parts[0], parts[1], parts[2], err = jws.Split(whole); err != nil {
		return fail("%w", err)
	}
	var raw [3][]byte
	for i, part := range parts {
		if raw[i], err = jws.Decode(part); err != nil {
			return fail("part %d: %w", i+1, err)
		}
	}
	var header policyHeader
	if err := json.Unmarshal(raw[0], &header); err != nil {
		return fail("the header is not a JSON object")
	}
	if header.Critical != nil {
		return fail("the header has critical extensions (crit) that are not known")
	}
	p = &Submission{JWS: compact, algorithm: header.Alg}
	if p.Binding, err = readBinding(header.Binding); err != nil {
		return fail("%w", err)
	}
	if header.Alg == "none" {
		if len(raw[2]) > 0 {
			return fail("algorithm none with a signature")
		}
	} else if err := p.verify(header, parts[0]+"."+parts[1], raw[2]); err != nil {
		return fail("%w", err)
	}
	p.unique = append([]byte(parts[0]+"."+parts[1]+"."), p.unique...)
	return p, raw[1], nil
}

func (p *Submission) readPayload(payload []byte) error {
	var body struct {
		Policy *string `json:"AttestationPolicy"`
		certificateMembers
	}
	if err := json.Unmarshal(payload, &body); err != nil || body.Policy == nil || body.any() {
		return fmt.Errorf("%w: the payload is not a JSON object with the member AttestationPolicy and "+
			"without a certificate",
			ErrFormat)
	}
	// A member of the payload, which some clients pad.
	member := *body.Policy
	if len(member)%4 == 0 {
		member = strings.TrimSuffix(strings.TrimSuffix(member, "="), "=")
	}
	text, err := jws.Decode(member)
	if err != nil {
		return fmt.Errorf("%w: AttestationPolicy is %w", ErrFormat, err)
	}
	p.Text = string(text)
	return nil
}

func (p *Submission) verify(header policyHeader, input string, signature []byte) error {
	chain := header.X5C
	if len(chain) == 0 {
		chain = header.JWK.X5C
	}
	if len(chain) == 0 || len(chain) > 8 {
		return errors.New("the header contains no certificate chain (x5c)")
	}
	for _, text := range chain {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return errors.New("x5c is not base64")
		}
		cert, err := pubkey.ParseCertificate(der)
		if err != nil {
			return unreadable(err)
		}
		p.Signer = append(p.Signer, cert)
	}
	var ok bool
	switch key := p.Signer[0].PublicKey.(type) {
	case *rsa.PublicKey:
		ok = p.verifyRSA(key, input, signature)
	case *ecdsa.PublicKey:
		ok = p.verifyEC(key, input, signature)
	default:
		return errors.New("the signer's key is neither RSA nor EC")
	}
	if !ok {
		return errors.New("the signature does not verify")
	}
	return nil
}

// unreadable says why a certificate of x5c is not used: its key is out of bounds, or it is
// not a certificate.
func unreadable(err error) error {
	if bound, ok := errors.AsType[pubkey.KeyError](err); ok {
		return fmt.Errorf("x5c contains a certificate with %w", bound)
	}
	return errors.New("x5c contains bytes that are not a certificate")
}

func (p *Submission) verifyRSA(key *rsa.PublicKey, input string, signature []byte) bool {
	if key.N.BitLen() < pubkey.MinRSABits {
		return false
	}
	if p.algorithm == "RSA256" { // the label of two clients
		p.algorithm = "RS256"
	}
	hash, ok := map[string]crypto.Hash{"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
		"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512}[p.algorithm]
	if !ok {
		return false
	}
	digest := digestOf(hash, input)
	p.unique = signature
	if strings.HasPrefix(p.algorithm, "PS") {
		return rsa.VerifyPSS(key, hash, digest, signature,
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
}

func (p *Submission) verifyEC(key *ecdsa.PublicKey, input string, signature []byte) bool {
	hash, size, algorithm := crypto.SHA256, 32, "ES256"
	switch key.Curve {
	case elliptic.P256():
	case elliptic.P384():
		hash, size, algorithm = crypto.SHA384, 48, "ES384"
	default:
		return false
	}
	// Two clients label ES256 as if it were a key agreement.
	if p.algorithm != algorithm && p.algorithm != "ECDH256" {
		return false
	}
	p.algorithm = algorithm
	digest := digestOf(hash, input)
	if len(signature) == 2*size {
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		p.unique = r.Bytes() // (r, -s) is a signature as well
		return ecdsa.Verify(key, digest, r, s)
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &pair); err != nil {
		return false
	}
	p.unique = pair.R.Bytes()
	return ecdsa.VerifyASN1(key, digest, signature)
}

func digestOf(hash crypto.Hash, input string) []byte {
	h := hash.New()
	io.WriteString(h, input) // never fails
	return h.Sum(nil)
}

// Wrap returns a policy as a compact JWS, signed by key with its
// certificate chain in the header, or unsecured if key is nil. A binding, if one is
// given, says what the signature is for.
func Wrap(
	random io.Reader, text string, key crypto.Signer, chain []*x509.Certificate, binding ...Binding,
) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	payload, err := json.Marshal(map[string]string{"AttestationPolicy": encode([]byte(text))})
	if err != nil {
		return "", err
	}
	if key == nil {
		return encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + ".", nil
	}
	return wrapSigned(random, payload, key, chain, binding)
}

// wrapSigned signs a payload, with the certificates in the header.
func wrapSigned(
	random io.Reader, payload []byte, key crypto.Signer, chain []*x509.Certificate, binding []Binding,
) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	algorithm, err := pubkey.Algorithm(key.Public())
	if err != nil {
		return "", fmt.Errorf("policy signature: %w", err)
	}
	if algorithm == "EdDSA" {
		return "", errors.New("policy signature: policies are signed by RSA or EC keys")
	}
	if len(chain) == 0 {
		return "", errors.New("policy signature: a signed policy needs the certificate of its key")
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(chain[0].PublicKey) {
		return "", errors.New("policy signature: the certificate is not for the signing key")
	}
	x5c := make([]string, len(chain))
	for i, cert := range chain {
		x5c[i] = base64.StdEncoding.EncodeToString(cert.Raw)
	}
	members := map[string]any{"alg": algorithm, "x5c": x5c}
	if len(binding) > 0 {
		members[bindingHeader] = binding[0]
	}
	header, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		return "", err
	}
	input := encode(header) + "." + encode(payload)
	hash := crypto.SHA256
	if algorithm == "ES384" {
		hash = crypto.SHA384
	}
	digest := digestOf(hash, input)
	var signature []byte
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		r, s, err := ecdsa.Sign(random, ec, digest)
		if err != nil {
			return "", err
		}
		size := (ec.Curve.Params().BitSize + 7) / 8
		signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	} else if signature, err = key.Sign(random, digest, hash); err != nil {
		return "", err
	}
	return input + "." + encode(signature), nil
}
