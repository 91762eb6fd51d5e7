package release_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/probity-dev/probity/release"
)

// jwk is an encryption key of the given size; changes replace its members, and remove those that are nil.
func jwk(bits int, changes map[string]any) map[string]any {
	n := new(big.Int).SetBit(big.NewInt(1), bits-1, 1)
	key := map[string]any{
		"kty": "RSA", "kid": "machine", "key_ops": []string{"encrypt"}, "e": "AQAB",
		"n": base64.RawURLEncoding.EncodeToString(n.Bytes()),
	}
	for name, value := range changes {
		if key[name] = value; value == nil {
			delete(key, name)
		}
	}
	return key
}

func find(t testing.TB, keys ...any) (*release.WrappingKey, error) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"x-ms-runtime": map[string]any{"keys": keys}})
	if err != nil {
		t.Fatal(err)
	}
	return claimsOf(t, string(text)).WrappingKey()
}

func certificate(t testing.TB, key any, public any) string {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{}, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestKeysForEncryptionAreFound(t *testing.T) {
	for name, changes := range map[string]map[string]any{
		"key_ops, as the paravisor and the side-car write it": {},
		"key_use": {"key_ops": nil, "key_use": "enc"},
		"use":     {"key_ops": nil, "use": "enc"},
		"all": {
			"key_ops": []string{"wrapKey", "encrypt"}, "use": "enc", "key_use": "enc",
		},
		"another operation beside a use": {"key_ops": []string{"wrapKey"}, "use": "enc"},
		"a member that is not known":     {"alg": "RSA-OAEP"},
		"an exponent of 3":               {"e": "Aw"},
	} {
		for _, bits := range []int{2048, 3072, 4096} {
			key, err := find(t, jwk(bits, changes))
			if err != nil || key.ID != "machine" || key.Public.N.BitLen() != bits || len(key.Thumbprint) != 43 {
				t.Errorf("%s: %+v, %v", name, key, err)
			}
		}
	}
}

func TestTheFirstSuitableKeyIsUsed(t *testing.T) {
	key, err := find(t, jwk(2048, map[string]any{"kid": "signs", "key_ops": []string{"sign"}}),
		jwk(1024, map[string]any{"kid": "short"}), jwk(3072, map[string]any{"kid": "first"}),
		jwk(2048, map[string]any{"kid": "second"}))
	if err != nil || key.ID != "first" {
		t.Errorf("%+v, %v", key, err)
	}
}

func TestAKeyMayBeGivenAsACertificate(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	x5c := []string{certificate(t, private, private.Public())}
	key, err := find(t, jwk(2048, map[string]any{"n": nil, "e": nil, "x5c": x5c}))
	if err != nil || !key.Public.Equal(private.Public()) {
		t.Errorf("%+v, %v", key, err)
	}
	n := base64.RawURLEncoding.EncodeToString(private.N.Bytes())
	if key, err = find(t, jwk(2048, map[string]any{"n": n, "x5c": x5c})); err != nil ||
		!key.Public.Equal(private.Public()) {
		t.Errorf("%+v, %v", key, err)
	}
	if _, err = find(t, jwk(2048, map[string]any{"x5c": x5c})); !errors.Is(err, release.ErrKeyFormat) ||
		!strings.Contains(err.Error(), "are not the key of the certificate") {
		t.Error(err)
	}
}

// The keys of the inner x-ms-runtime are never used: older tokens mark the vTPM's attestation key
// for encryption.
func TestInnerKeysAreNeverUsed(t *testing.T) {
	inner, err := json.Marshal(map[string]any{"keys": []any{jwk(2048, map[string]any{"kid": "HCLAkPub"})}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`{"x-ms-isolation-tee":{"x-ms-runtime":` + string(inner) + `}}`,
		`{"x-ms-isolation-tee.x-ms-runtime":` + string(inner) + `,"x-ms-runtime":{}}`,
		`{"x-ms-runtime":{"x-ms-runtime":` + string(inner) + `}}`,
		`{"x-ms-runtime.keys":` + string(inner[8:len(inner)-1]) + `}`,
	} {
		if key, err := claimsOf(t, text).WrappingKey(); !errors.Is(err, release.ErrNoRuntime) {
			t.Errorf("%s: %+v, %v", text, key, err)
		}
	}
}

func TestKeysAreRefusedWithTheReason(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	even := base64.RawURLEncoding.EncodeToString(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())
	for name, tc := range map[string]struct {
		key  any
		want error
		text string
	}{
		"a text": {"key", release.ErrKeyFormat, "expected an object, found a string"},
		"no kty": {
			jwk(2048, map[string]any{"kty": nil}), release.ErrKeyType, `expected kty "RSA", found not found`,
		},
		"an EC key":           {jwk(2048, map[string]any{"kty": "EC"}), release.ErrKeyType, `found "EC"`},
		"kty in another case": {jwk(2048, map[string]any{"kty": "rsa"}), release.ErrKeyType, `found "rsa"`},
		"no use": {
			jwk(2048, map[string]any{"key_ops": nil}), release.ErrKeyUse, "found key_ops not found",
		},
		"a key that signs": {
			jwk(2048, map[string]any{"key_ops": []string{"sign"}}), release.ErrKeyUse, `["sign"]`,
		},
		"an operation as text": {
			jwk(2048, map[string]any{"key_ops": "encrypt"}), release.ErrKeyUse, "to be an array",
		},
		"an operation in another case": {
			jwk(2048, map[string]any{"key_ops": []string{"Encrypt"}}), release.ErrKeyUse, `["Encrypt"]`,
		},
		"use for signatures": {
			jwk(2048, map[string]any{"use": "sig"}), release.ErrKeyUse, `expected use "enc", found "sig"`,
		},
		"key_use for signatures": {
			jwk(2048, map[string]any{"key_use": "sig"}), release.ErrKeyUse, `found "sig"`,
		},
		"a use that is a number": {jwk(2048, map[string]any{"use": 1}), release.ErrKeyUse, "found 1"},
		"no kid":                 {jwk(2048, map[string]any{"kid": nil}), release.ErrKeyID, "not found"},
		"an empty kid":           {jwk(2048, map[string]any{"kid": ""}), release.ErrKeyID, `found ""`},
		"a kid that is a number": {jwk(2048, map[string]any{"kid": 5}), release.ErrKeyID, "found 5"},
		"a long kid": {
			jwk(2048, map[string]any{"kid": strings.Repeat("k", 257)}), release.ErrKeyID, "1 to 256 bytes",
		},
		"1024 bits": {jwk(1024, nil), release.ErrKeySize, "expected 2048 to 4096 bits, found 1024"},
		"2047 bits": {jwk(2047, nil), release.ErrKeySize, "found 2047"},
		"4097 bits": {jwk(4097, nil), release.ErrKeySize, "found 4097"},
		"8192 bits": {jwk(8192, nil), release.ErrKeySize, "found 8192"},
		"an even modulus": {
			jwk(2048, map[string]any{"n": even}), release.ErrKeyNumbers, "modulus is even",
		},
		"an exponent of 1": {jwk(2048, map[string]any{"e": "AQ"}), release.ErrKeyNumbers, "exponent 1"},
		"an even exponent": {jwk(2048, map[string]any{"e": "BA"}), release.ErrKeyNumbers, "exponent 4"},
		"a large exponent": {
			jwk(2048, map[string]any{"e": "AQAD"}), release.ErrKeyNumbers, "exponent 65539",
		},
		"an exponent of 64 bits": {
			jwk(2048, map[string]any{"e": "gAAAAAAAAAE"}), release.ErrKeyNumbers, "one of 64 bits",
		},
		"an exponent of 0": {jwk(2048, map[string]any{"e": "AA"}), release.ErrKeyNumbers, "exponent 0"},
		"no e": {
			jwk(2048, map[string]any{"e": nil}), release.ErrKeyFormat, "expected e in base64url, found not found",
		},
		"no n":       {jwk(2048, map[string]any{"n": nil}), release.ErrKeyFormat, "expected n"},
		"an empty n": {jwk(2048, map[string]any{"n": ""}), release.ErrKeyFormat, `found ""`},
		"n with padding": {
			jwk(2048, map[string]any{"n": "AQ=="}), release.ErrKeyFormat, "n: not base64url",
		},
		"a very long n": {jwk(200_000, nil), release.ErrKeyFormat, "expected n"},
		"neither numbers nor x5c": {
			jwk(2048, map[string]any{"n": nil, "e": nil}), release.ErrKeyFormat, "neither",
		},
		"x5c that is a text": {
			jwk(2048, map[string]any{"x5c": "AQ=="}), release.ErrKeyFormat, "array of certificates",
		},
		"x5c without a certificate": {
			jwk(2048, map[string]any{"x5c": []string{}}), release.ErrKeyFormat, "array of certificates",
		},
		"x5c in base64url": {
			jwk(2048, map[string]any{"x5c": []string{"-_"}}), release.ErrKeyFormat, "not base64",
		},
		"x5c of no certificate": {
			jwk(2048, map[string]any{"x5c": []string{"AQ=="}}), release.ErrKeyFormat, "does not decode",
		},
		"the certificate of an EC key": {
			jwk(2048, map[string]any{"x5c": []string{certificate(t, private, private.Public())}, "n": nil, "e": nil}),
			release.ErrKeyType, "ecdsa",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := find(t, tc.key)
			var all *release.NoWrappingKeyError
			if !errors.Is(err, tc.want) || !errors.Is(err, release.ErrNoWrappingKey) || !errors.As(err, &all) ||
				len(all.Refusals) != 1 || !strings.Contains(all.Refusals[0].Error(), tc.text) {
				t.Errorf("%v\nwant %v: %s", err, tc.want, tc.text)
			}
		})
	}
}

func TestEachKeyOfATokenHasItsReason(t *testing.T) {
	_, err := find(t, jwk(1024, nil), jwk(2048, map[string]any{"use": "sig", "kid": "\n"}), 7)
	for _, want := range []string{
		"expected in x-ms-runtime.keys an RSA key of 2048 to 4096 bits", `key 1 "machine": `, `key 2 "\n": `,
		"key 3: ",
		"attest again",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	keys := make([]any, 40)
	for i := range keys {
		keys[i] = jwk(1024, nil)
	}
	keys[35] = jwk(2048, nil)
	if _, err := find(t, keys...); !strings.Contains(err.Error(), "40 keys, and only the first 32 are read") {
		t.Error(err)
	}
	for _, text := range []string{`{}`, `{"x-ms-runtime":{}}`, `{"x-ms-runtime":{"keys":[]}}`, `{"x-ms-runtime":{"keys":{}}}`,
		`{"x-ms-runtime":[]}`} {
		if _, err := claimsOf(t, text).WrappingKey(); !errors.Is(err, release.ErrNoRuntime) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := (release.Claims{}).WrappingKey(); !errors.Is(err, release.ErrNoRuntime) {
		t.Error(err)
	}
}

func FuzzParseClaims(f *testing.F) {
	f.Add(
		[]byte(
			`{"a":{"b":1},"x-ms-runtime":{"keys":[{"kty":"RSA","kid":"k","use":"enc","n":"AQAB","e":"AQAB"}]}}`,
		),
	)
	f.Add([]byte(`{"a":1e99999999999}`))
	p, err := release.Parse([]byte(policyOf(`{"claim":"a.b","less":5}`, `{"claim":"a","notEquals":"1"}`)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		claims, err := release.ParseClaims(text)
		if err != nil {
			if !errors.Is(err, release.ErrClaims) {
				t.Fatal(err)
			}
			return
		}
		if d := p.Evaluate(issuer, claims); len(d.String()) > 8000 {
			t.Fatalf("%d bytes", len(d.String()))
		}
		if key, err := claims.WrappingKey(); err == nil && (key.Public.N.BitLen() < 2048 || key.ID == "") {
			t.Fatalf("%+v", key)
		} else if err != nil && !errors.Is(err, release.ErrNoWrappingKey) {
			t.Fatal(err)
		}
	})
}
