package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/token"
)

const issuer = "https://attest.example.org"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newSigner(t testing.TB, key crypto.Signer) *token.Signer {
	t.Helper()
	cert, err := token.InstanceCertificate(rand.Reader, issuer, key, now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.NewSigner(issuer, key, cert, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func payload(t testing.TB, at time.Time) []byte {
	t.Helper()
	b, err := token.Management(issuer, at, map[string]any{"x": 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHeaderToTheByte(t *testing.T) {
	s := newSigner(t, rsaKey(t))
	compact, err := s.Sign([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[0])
	want := `{"alg":"RS256","jku":"` + issuer + `/certs","kid":"` + s.KeyID + `","typ":"JWT"}`
	if string(header) != want {
		t.Errorf("header = %s, want %s", header, want)
	}
}

func TestKeyIDIsTheHashOfThePEMKeyWithItsNUL(t *testing.T) {
	key := rsaKey(t)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0))
	if got, _ := token.KeyID(key.Public()); got != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("KeyID = %s", got)
	}
}

func TestInstanceCertificate(t *testing.T) {
	cert := newSigner(t, rsaKey(t)).Certificate
	if cert.Subject.CommonName != issuer || cert.Issuer.CommonName != issuer ||
		cert.SerialNumber.Sign() <= 0 || cert.IsCA ||
		len(cert.SubjectKeyId) == 0 || !cert.NotAfter.Equal(time.Date(2050, 12, 31, 23, 59, 59, 0, time.UTC)) {
		t.Errorf("certificate = %+v", cert)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Error(err)
	}
}

func TestPayloadToTheByte(t *testing.T) {
	set := func(issuer claims.Issuer, list ...claims.Claim) (s claims.Set) {
		for _, c := range list {
			c.Issuer = issuer
			s.Add(c)
		}
		return s
	}
	a := token.Attestation{
		Issuer:     issuer,
		Time:       now,
		ID:         strings.Repeat("ab", 32),
		PolicyHash: "hash",
		Nonce:      []byte(`"n"`),
		Claims: set(claims.AttestationService, claims.Claim{Type: "x-ms-sgx-svn", Value: claims.IntegerValue(3)},
			claims.Claim{Type: "x-ms-runtime", Value: claims.JSONValue(`{"a":"<&>"}`)}),
		Issued: set(claims.AttestationPolicy, claims.Claim{Type: "svn", Value: claims.IntegerValue(3)},
			claims.Claim{Type: "exp", Value: claims.IntegerValue(1)},
			claims.Claim{Type: "x-ms-sgx-svn", Value: claims.IntegerValue(9)}),
	}
	got, err := a.Payload()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"exp":1772395195,"iat":1772366395,"iss":"https://attest.example.org","jti":"` +
		strings.Repeat("ab", 32) + `","nbf":1772366395,"nonce":"n",` +
		`"svn":3,"x-ms-policy":{"exp":1,"svn":3,"x-ms-sgx-svn":9},"x-ms-policy-hash":"hash",` +
		`"x-ms-runtime":{"a":"<&>"},"x-ms-sgx-svn":3,"x-ms-ver":"1.0"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClaimsOfThePolicyDoNotRepeatThoseOfTheService(t *testing.T) {
	a := token.Attestation{
		Issuer: issuer,
		Time:   now,
		ID:     "1",
		Claims: claims.NewSet(claims.Claim{Type: "secureboot", Value: claims.BooleanValue(false)}),
	}
	for _, name := range []string{
		"secureboot", "SecureBoot", "ſecureboot", "ISS", "Jti", "X-Ms-Ver", "X-MS-POLICY", "mine",
	} {
		a.Issued.Add(claims.Claim{Type: name, Value: claims.BooleanValue(true)})
	}
	b, err := a.Payload()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(b, &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "x-ms-policy")
	want := map[string]any{
		"iss": issuer, "iat": 1772366395., "nbf": 1772366395., "exp": 1772395195., "jti": "1",
		"secureboot": false, "mine": true, "x-ms-ver": "1.0", "x-ms-policy-hash": "",
	}
	if diff := cmp.Diff(want, members); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestManagementTokensLastAnHour(t *testing.T) {
	got := string(payload(t, now))
	want := `{"exp":1772369995,"iat":1772366395,"iss":"https://attest.example.org","nbf":1772366395,"x":1}`
	if got != want {
		t.Errorf("payload = %s, want %s", got, want)
	}
}

func TestVerify(t *testing.T) {
	for name, key := range map[string]crypto.Signer{
		"RS256": rsaKey(t), "ES256": ecKey(t, elliptic.P256()), "ES384": ecKey(t, elliptic.P384()),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSigner(t, key)
			if s.Algorithm() != name {
				t.Errorf("algorithm = %s", s.Algorithm())
			}
			compact, err := s.Sign(payload(t, now))
			if err != nil {
				t.Fatal(err)
			}
			// The key set travels as JSON.
			b, err := json.Marshal(token.Keys(s))
			if err != nil {
				t.Fatal(err)
			}
			var keys token.KeySet
			if err := json.Unmarshal(b, &keys); err != nil {
				t.Fatal(err)
			}
			v, err := token.Verify(compact, keys, issuer, now)
			if err != nil || v.Header.KeyID != s.KeyID || v.Issuer != issuer ||
				string(v.Payload) != string(payload(t, now)) {
				t.Errorf("Verify = %+v, %v", v, err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	key := rsaKey(t)
	s, stranger := newSigner(t, key), newSigner(t, rsaKey(t))
	keys := token.Keys(s)
	good, err := s.Sign(payload(t, now))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Sign(payload(t, now))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	own := encode([]byte(`{"alg":"RS256","kid":"` + s.KeyID + `","typ":"JWT"}`))
	sign := func(body string) string {
		compact, err := s.Sign([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	for name, tc := range map[string]struct {
		compact string
		issuer  string
		at      time.Time
		want    error
	}{
		"empty":          {"", issuer, now, token.ErrFormat},
		"two parts":      {parts[0] + "." + parts[1], issuer, now, token.ErrFormat},
		"too large":      {strings.Repeat("a", token.MaxSize+1), issuer, now, token.ErrFormat},
		"algorithm none": {token.Unsecured(payload(t, now)), issuer, now, token.ErrUnsecured},
		"none with the kid of a key": {
			encode([]byte(`{"alg":"none","kid":"`+s.KeyID+`"}`)) + "." + parts[1] + ".", issuer, now,
			token.ErrUnsecured,
		},
		"HMAC with the public key": {
			encode([]byte(`{"alg":"HS256","kid":"`+s.KeyID+`"}`)) + "." + parts[1] + "." + parts[2],
			issuer, now, token.ErrFormat,
		},
		"another's key": {foreign, issuer, now, token.ErrKey},
		"another's signature under our kid": {
			own + "." + parts[1] + "." + strings.Split(foreign, ".")[2], issuer, now,
			token.ErrSignature,
		},
		"key in the header": {foreignWithKey(t, stranger), issuer, now, token.ErrKey},
		"no kid": {
			encode([]byte(`{"alg":"RS256"}`)) + "." + parts[1] + "." + parts[2], issuer, now,
			token.ErrKey,
		},
		"payload changed": {
			parts[0] + "." + encode([]byte(`{"iss":"x"}`)) + "." + parts[2], issuer, now,
			token.ErrSignature,
		},
		"no signature":        {parts[0] + "." + parts[1] + ".", issuer, now, token.ErrSignature},
		"another issuer":      {good, issuer + ".evil.example", now, token.ErrIssuer},
		"issuer with a slash": {good, issuer + "/", now, token.ErrIssuer},
		"expired":             {good, issuer, now.Add(time.Hour), token.ErrExpired},
		"not valid yet":       {good, issuer, now.Add(-time.Minute), token.ErrNotYet},
		"no times":            {sign(`{"iss":"` + issuer + `"}`), issuer, now, token.ErrClaims},
		"duplicate claim": {
			sign(`{"iss":"x","iss":"` + issuer + `","nbf":0,"exp":9999999999}`), issuer, now,
			token.ErrClaims,
		},
		"times as text": {
			sign(`{"iss":"` + issuer + `","nbf":"0","exp":"9999999999"}`), issuer, now,
			token.ErrClaims,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := token.Verify(tc.compact, keys, tc.issuer, tc.at); !errors.Is(err, tc.want) {
				t.Errorf("error = %v, want %v", err, tc.want)
			}
		})
	}
}

// foreignWithKey is a token of a stranger that brings its own key along.
func foreignWithKey(t *testing.T, s *token.Signer) string {
	t.Helper()
	compact, err := s.Sign(payload(t, now))
	if err != nil {
		t.Fatal(err)
	}
	header := `{"alg":"RS256","x5c":["` + base64.StdEncoding.EncodeToString(s.Certificate.Raw) +
		`"],"kid":"` + s.KeyID + `"}`
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + compact[strings.Index(compact, "."):]
}

func TestKeysThatDoNotSign(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err == nil {
		cert, err := token.InstanceCertificate(rand.Reader, issuer, small, now)
		if err == nil {
			_, err = token.NewSigner(issuer, small, cert, "")
		}
		if err == nil {
			t.Error("a key of 1024 bits signs")
		}
	}
	cert := newSigner(t, rsaKey(t)).Certificate
	if _, err := token.NewSigner(issuer, rsaKey(t), cert, ""); err == nil {
		t.Error("a certificate of another key was accepted")
	}
	p224 := ecKey(t, elliptic.P224())
	if cert, err := token.InstanceCertificate(rand.Reader, issuer, p224, now); err == nil {
		if _, err := token.NewSigner(issuer, p224, cert, ""); err == nil {
			t.Error("P-224 signs")
		}
	}
}

func TestEveryKeyOfTheSetHasItsCertificate(t *testing.T) {
	b, err := json.Marshal(token.Keys(newSigner(t, rsaKey(t)), newSigner(t, ecKey(t, elliptic.P256()))))
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(b, &set, json.MatchCaseInsensitiveNames(true)); err != nil || len(set.Keys) != 2 {
		t.Fatalf("%s: %v", b, err)
	}
	for _, k := range set.Keys {
		chain, _ := k["x5c"].([]any)
		if k["kid"] == "" || k["kty"] == "" || len(chain) != 1 {
			t.Errorf("key = %v", k)
			continue
		}
		der, err := base64.StdEncoding.DecodeString(chain[0].(string))
		if _, parseErr := x509.ParseCertificate(der); err != nil || parseErr != nil {
			t.Errorf("x5c: %v, %v", err, parseErr)
		}
	}
}

func TestDiscoveryToTheByte(t *testing.T) {
	b, err := json.Marshal(token.NewDiscovery(issuer, "RS256"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"response_types_supported":["token","none"],` +
		`"id_token_signing_alg_values_supported":["RS256"],` +
		`"revocation_endpoint":"https://attest.example.org/revoke",` +
		`"issuer":"https://attest.example.org","jwks_uri":"https://attest.example.org/certs",` +
		`"claims_supported":["cnf","nonce","x-ms-ver","x-ms-attestation-type",` +
		`"x-ms-policy-hash","x-ms-policy-signer","x-ms-sgx-is-debuggable","x-ms-sgx-mrenclave",` +
		`"x-ms-sgx-mrsigner","x-ms-sgx-svn","x-ms-sgx-ehd","x-ms-sgx-collateral",` +
		`"is-debuggable","sgx-mrsigner","sgx-mrenclave","product-id","svn","tee"]}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(token.Unsecured([]byte(`{"a":1}`)))
	f.Add("eyJhbGciOiJub25lIn0..")
	f.Fuzz(func(t *testing.T, compact string) {
		header, payload, err := token.Decode(compact)
		if err == nil && (!header.IsValid() || len(payload) > 0 && !payload.IsValid()) {
			t.Error("decoded to what is not JSON")
		}
	})
}

func FuzzVerify(f *testing.F) {
	s := newSigner(f, ecKey(f, elliptic.P256()))
	good, err := s.Sign(payload(f, now))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(token.Unsecured(payload(f, now)))
	keys := token.Keys(s)
	signed := []string{good}
	f.Fuzz(func(t *testing.T, compact string) {
		v, err := token.Verify(compact, keys, issuer, now)
		if err == nil && !slices.Contains(signed, strings.TrimSpace(compact)) &&
			string(v.Payload) != string(payload(t, now)) {
			t.Errorf("verified what was never signed: %q", compact)
		}
	})
}
