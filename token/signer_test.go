package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/token"
)

// opaque is a key that signs elsewhere, as in a PKCS#11 token.
type opaque struct{ crypto.Signer }

// broken is a key whose device fails.
type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, io.ErrClosedPipe
}

func header(t *testing.T, compact string) map[string]any {
	t.Helper()
	head, _, _ := strings.Cut(compact, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestEachAlgorithmSignsWithItsKey(t *testing.T) {
	for _, tc := range []struct {
		key       crypto.Signer
		algorithm string
		want      string
	}{
		{rsaKey(t), "", "RS256"},
		{rsaKey(t), "RS256", "RS256"},
		{rsaKey(t), "PS256", "PS256"},
		{ecKey(t, elliptic.P256()), "", "ES256"},
		{ecKey(t, elliptic.P384()), "ES384", "ES384"},
		{edKey(t), "", "EdDSA"},
		{opaque{rsaKey(t)}, "PS256", "PS256"},
		{opaque{ecKey(t, elliptic.P256())}, "ES256", "ES256"},
	} {
		cert, err := token.InstanceCertificate(rand.Reader, issuer, tc.key, now)
		if err != nil {
			t.Fatalf("%s: %v", tc.want, err)
		}
		s, err := token.NewSigner(issuer, tc.key, cert, tc.algorithm)
		if err != nil {
			t.Errorf("%s: %v", tc.want, err)
			continue
		}
		compact, err := s.Sign(payload(t, now))
		if err != nil || s.Algorithm() != tc.want || header(t, compact)["alg"] != tc.want ||
			!slices.Contains(token.Algorithms(), tc.want) {
			t.Errorf("%s: %s, %v", tc.want, s.Algorithm(), err)
		}
	}
}

func TestASignerRefusesWhatDoesNotFit(t *testing.T) {
	rsa, ec := rsaKey(t), ecKey(t, elliptic.P256())
	certificate := func(key crypto.Signer) *x509.Certificate {
		cert, err := token.InstanceCertificate(rand.Reader, issuer, key, now)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key       crypto.Signer
		cert      *x509.Certificate
		algorithm string
	}{
		"ES256 of an RSA key":         {rsa, certificate(rsa), "ES256"},
		"PS256 of an EC key":          {ec, certificate(ec), "PS256"},
		"HS256":                       {rsa, certificate(rsa), "HS256"},
		"none":                        {rsa, certificate(rsa), "none"},
		"the certificate of another":  {rsa, certificate(rsaKey(t)), ""},
		"a certificate of other kind": {rsa, certificate(ec), ""},
		"a curve that signs nothing":  {p224, certificate(ec), ""},
	} {
		if _, err := token.NewSigner(issuer, tc.key, tc.cert, tc.algorithm); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAPolicyMayAskForTheCertificateInTheHeader(t *testing.T) {
	s := newSigner(t, rsaKey(t))
	body := payload(t, now)
	whole, err := s.SignWithCertificate(body, true)
	if err != nil {
		t.Fatal(err)
	}
	chain, ok := header(t, whole)["x5c"].([]any)
	if !ok || len(chain) != 1 || chain[0] != base64.StdEncoding.EncodeToString(s.Certificate.Raw) {
		t.Errorf("x5c: %v", header(t, whole)["x5c"])
	}
	thumbprint, err := s.SignWithCertificate(body, false)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(s.Certificate.Raw)
	if h := header(t, thumbprint); h["x5t"] != base64.RawURLEncoding.EncodeToString(sum[:]) || h["x5c"] != nil {
		t.Errorf("x5t: %v", h)
	}
	for _, compact := range []string{whole, thumbprint} {
		if h := header(t, compact); h["jku"] != s.Issuer+"/certs" || h["kid"] != s.KeyID {
			t.Errorf("%v", h)
		}
	}
}

func TestADeviceThatFailsGivesNoToken(t *testing.T) {
	key := rsaKey(t)
	cert, err := token.InstanceCertificate(rand.Reader, issuer, key, now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.NewSigner(issuer, broken{key}, cert, "")
	if err != nil {
		t.Fatal(err)
	}
	if compact, err := s.Sign([]byte("{}")); err == nil || compact != "" {
		t.Errorf("%q, %v", compact, err)
	}
	if compact, err := s.SignWithCertificate([]byte("{}"), true); err == nil || compact != "" {
		t.Errorf("with its certificate: %q, %v", compact, err)
	}
	if _, err := token.InstanceCertificate(rand.Reader, issuer, broken{key}, now); err == nil {
		t.Error("a certificate without a signature")
	}
}

func TestTheSignerOfThePolicyIsAKeyAndItsMembers(t *testing.T) {
	a := &token.Attestation{Issuer: issuer, Time: now, ID: "1",
		PolicySigner: []byte(`{"kty":"RSA","n":"AQAB"}`), Audience: []string{"a", "b"}, Subject: "s"}
	b, err := a.Payload()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Signer struct {
			Kty, N string
			JWK    struct{ Kty string }
		} `json:"x-ms-policy-signer"`
		Aud []string
		Sub string
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Signer.N != "AQAB" || got.Signer.JWK.Kty != "RSA" || len(got.Aud) != 2 || got.Sub != "s" {
		t.Errorf("%s", b)
	}
	for name, signer := range map[string]string{"not JSON": "x", "not an object": "[]", "a text": `"x"`} {
		a.PolicySigner = []byte(signer)
		if b, err := a.Payload(); err == nil {
			t.Errorf("%s: %s", name, b)
		}
	}
	a.PolicySigner, a.Nonce = nil, []byte("{")
	if b, err := a.Payload(); err == nil {
		t.Errorf("a nonce that is not JSON: %s", b)
	}
}
