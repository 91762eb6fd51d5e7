package policyjws_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/probity-dev/probity/policy/policyjws"
)

func TestPolicyTokenHashVector(t *testing.T) {
	jws, err := policyjws.Wrap(nil, "version=1.0; authorizationrules{=> permit();}; issuancerules{};", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policyjws.Parse(jws)
	if err != nil || p.Hash() != "c6sEJQItV50OeP9IrP_bzywAMOVvj5uDPbklA_bwdYQ" || p.Signer != nil ||
		p.SignerKey() != nil {
		t.Errorf("%s: hash %s, %v", jws, p.Hash(), err)
	}
}

func TestTheEmptyPolicy(t *testing.T) {
	for _, jws := range []string{policyjws.NoPolicy, strings.TrimSuffix(policyjws.NoPolicy, ".")} {
		if p, err := policyjws.Parse(jws); err != nil || !p.Empty || p.Text != "" {
			t.Errorf("%s: %+v, %v", jws, p, err)
		}
	}
}

const policyText = "version=1.0;authorizationrules{=> permit();};"

func TestSignedPolicies(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	rsaSigner, p256, p384 := rsaKey(t), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	wrapped := func(key crypto.Signer) string {
		jws, err := policyjws.Wrap(rand.Reader, policyText, key, []*x509.Certificate{certificate(t, key)})
		if err != nil {
			t.Fatal(err)
		}
		return jws
	}
	x5c := func(key crypto.Signer) string {
		return `"x5c":["` + strings.ReplaceAll(base64.StdEncoding.EncodeToString(certificate(t, key).Raw),
			"+", `\u002B`) + `"]`
	}
	payload := encode([]byte(`{ "AttestationPolicy": "` + encode([]byte(policyText)) + `" }`))
	byHand := func(header string, sign func(input string) []byte) string {
		input := encode([]byte(header)) + "." + payload
		return input + "." + encode(sign(input))
	}
	pkcs1 := func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		b, err := rsaSigner.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	der := func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		b, err := p256.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	pss := func(input string) []byte {
		sum := sha512.Sum512([]byte(input))
		b, err := rsa.SignPSS(rand.Reader, rsaSigner, crypto.SHA512, sum[:],
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tc := range map[string]struct{ jws, kty, alg string }{
		"RS256":         {wrapped(rsaSigner), "RSA", "RS256"},
		"ES256":         {wrapped(p256), "EC", "ES256"},
		"ES384":         {wrapped(p384), "EC", "ES384"},
		"PS512":         {byHand(`{"alg":"PS512",`+x5c(rsaSigner)+`}`, pss), "RSA", "PS512"},
		"label RSA256":  {byHand(`{"alg":"RSA256",`+x5c(rsaSigner)+`}`, pkcs1), "RSA", "RS256"},
		"label ECDH256": {byHand(`{"alg":"ECDH256",`+x5c(p256)+`}`, der), "EC", "ES256"},
		"certificate inside a jwk": {
			byHand(`{"alg":"RSA256","jwk":{`+x5c(rsaSigner)+`}}`, pkcs1), "RSA", "RS256",
		},
		"white space and more members": {
			byHand(`  { "alg":"RS256", "jku":"x", "kid":"y", `+x5c(rsaSigner)+`}`, pkcs1), "RSA",
			"RS256",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policyjws.Parse(tc.jws)
			if err != nil || p.Text != policyText || len(p.Signer) != 1 {
				t.Fatalf("ParsePolicy = %+v, %v", p, err)
			}
			if key := string(p.SignerKey()); !strings.Contains(key, `"kty":"`+tc.kty+`"`) ||
				!strings.Contains(key, `"alg":"`+tc.alg+`"`) || !strings.Contains(key, `"use":"sig"`) {
				t.Errorf("SignerKey = %s", key)
			}
		})
	}
	good := wrapped(rsaSigner)
	parts := strings.Split(good, ".")
	other := encode(
		[]byte(`{"AttestationPolicy":"` + encode([]byte("version=1.0;authorizationrules{};")) + `"}`),
	)
	for name, jws := range map[string]string{
		"payload exchanged":           parts[0] + "." + other + "." + parts[2],
		"no signature":                parts[0] + "." + parts[1] + ".",
		"another's certificate":       byHand(`{"alg":"RS256",`+x5c(rsaKey(t))+`}`, pkcs1),
		"no certificate":              byHand(`{"alg":"RS256"}`, pkcs1),
		"too many certificates":       byHand(`{"alg":"RS256","x5c":["A","A","A","A","A","A","A","A","A"]}`, pkcs1),
		"EC label on an RSA key":      byHand(`{"alg":"ES256",`+x5c(rsaSigner)+`}`, pkcs1),
		"RSA label on an EC key":      byHand(`{"alg":"RS256",`+x5c(p256)+`}`, der),
		"HMAC":                        byHand(`{"alg":"HS256",`+x5c(rsaSigner)+`}`, pkcs1),
		"label that only looks alike": byHand(`{"alg":"RSAP256",`+x5c(rsaSigner)+`}`, pkcs1),
		"PSS label, PKCS1 signature":  byHand(`{"alg":"PS256",`+x5c(rsaSigner)+`}`, pkcs1),
		"none with a signature":       byHand(`{"alg":"none"}`, pkcs1),
		"duplicate member":            byHand(`{"alg":"none","alg":"RS256",`+x5c(rsaSigner)+`}`, pkcs1),
		"critical extension": byHand(`{"alg":"RS256","crit":["b64"],"b64":false,`+x5c(rsaSigner)+`}`,
			pkcs1),
		"line break in the signature": good + "\n",
		"line break in the payload":   "eyJhbGciOiJub25lIn0." + payload[:4] + "\r\n" + payload[4:] + ".",
		"no algorithm":                byHand(`{}`, func(string) []byte { return nil }),
		"header not JSON":             "AAAA." + payload + ".",
		"not base64url":               "!." + payload + ".",
		"one part":                    "eyJhbGciOiJub25lIn0",
		"four parts":                  good + ".x",
		"policy not base64url": "eyJhbGciOiJub25lIn0." +
			encode([]byte(`{"AttestationPolicy":"version= 1.0;"}`)) + ".",
		"policy not text": "eyJhbGciOiJub25lIn0." + encode([]byte(`{"AttestationPolicy":1}`)) + ".",
		"too large":       strings.Repeat("A", policyjws.MaxSize+1),
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			if p, err := policyjws.Parse(jws); !errors.Is(err, policyjws.ErrFormat) {
				t.Errorf("ParsePolicy = %+v, %v", p, err)
			}
		})
	}
}

func FuzzParsePolicy(f *testing.F) {
	key := ecKey(f, elliptic.P256())
	jws, err := policyjws.Wrap(rand.Reader, policyText, key, []*x509.Certificate{certificate(f, key)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(jws)
	f.Add(policyjws.NoPolicy)
	f.Fuzz(func(t *testing.T, compact string) {
		p, err := policyjws.Parse(compact)
		if err == nil && p.JWS != compact {
			t.Error("the compact form was changed")
		}
	})
}
