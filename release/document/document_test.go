package document_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

// golden compares with a file of testdata, which UPDATE=1 rewrites.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

// part decodes a part of a compact JWS.
func part(t testing.TB, compact string, i int) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The header has the members of Key Vault, and the payload its order, with the key inside the key.
func TestDocumentsToTheByte(t *testing.T) {
	s := newServer(t, nil)
	for kty, m := range map[string]*document.Material{
		"oct-HSM": {
			Octets: []byte("a symmetric key of 32 bytes 0123")}, "RSA-HSM": {RSA: s.released}, "EC-HSM": {EC: s.ec},
	} {
		compact := s.sign(t, s.sealed(t, kty, m))
		golden(t, kty+".jws", compact)
		golden(t, kty+".txt", part(t, compact, 0)+"\n"+part(t, compact, 1)+"\n")
	}
}

func TestKeysComeBack(t *testing.T) {
	s := newServer(t, nil)
	for _, algorithm := range keywrap.Algorithms() {
		for _, m := range []*document.Material{
			{Octets: []byte{7}}, {Octets: bytes.Repeat([]byte{7}, keywrap.MaxSecret)}, {RSA: s.released}, {EC: s.ec},
			{EC: newEC(t, elliptic.P384())}, {EC: newEC(t, elliptic.P521())},
		} {
			for _, kty := range document.Types() {
				d := unsealed(kty)
				d.Request.Algorithm = algorithm
				err := d.Seal(rand.Reader, s.to(), m)
				if fits := strings.HasPrefix(kty, family(m)); !fits {
					if !errors.Is(err, document.ErrMaterial) || d.Key.Wrapped != "" {
						t.Errorf("%s of %s: %v", kty, family(m), err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				want := s.expectation()
				want.Algorithm = algorithm
				verified, err := document.Verify(s.sign(t, d), want)
				if err != nil {
					t.Fatal(err)
				}
				got, err := verified.Open(nil, s.machine)
				if err != nil || !same(got, m) {
					t.Errorf("%s, %s: %v", algorithm, kty, err)
				}
			}
		}
	}
}

func newEC(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func family(m *document.Material) string {
	switch {
	case m.RSA != nil:
		return "RSA"
	case m.EC != nil:
		return "EC"
	default:
		return "oct"
	}
}

func same(a, b *document.Material) bool {
	return family(a) == family(b) && (a.RSA == nil || a.RSA.Equal(b.RSA)) &&
		(a.EC == nil || a.EC.Equal(b.EC)) &&
		bytes.Equal(a.Octets, b.Octets)
}

// What is wrapped is PKCS #8 for RSA and EC keys, and the octets themselves for symmetric ones.
func TestTargetBytes(t *testing.T) {
	s := newServer(t, nil)
	for kty, m := range map[string]*document.Material{"oct": {Octets: []byte("abc")}, "EC": {EC: s.ec}} {
		w, err := document.ParseWrapped(s.sealed(t, kty, m).Key.Wrapped)
		if err != nil || w.KeyID != "TpmEphemeralEncryptionKey" || w.Algorithm != keywrap.RSAAESKeyWrap256 {
			t.Fatalf("%+v, %v", w, err)
		}
		secret, err := keywrap.Unwrap(nil, w.Algorithm, s.machine, w.Ciphertext)
		if err != nil {
			t.Fatal(err)
		}
		if kty == "oct" && string(secret) != "abc" || kty == "EC" && (secret[0] != 0x30 || len(secret) < 100) {
			t.Errorf("%s: %x", kty, secret)
		}
	}
}

func TestAKeyThatDoesNotFitIsNotSealed(t *testing.T) {
	s := newServer(t, nil)
	large := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 9000, 1), E: 3}}
	for name, tc := range map[string]struct {
		kty  string
		m    *document.Material
		want string
	}{
		"nothing":            {"oct", nil, "found nothing"},
		"an empty key":       {"oct", &document.Material{Octets: []byte{}}, "found nothing"},
		"two keys":           {"RSA", &document.Material{RSA: s.released, EC: s.ec}, "found nothing"},
		"an unknown type":    {"OKP", &document.Material{EC: s.ec}, `type "OKP", found an EC key`},
		"no type and no key": {"", nil, "none or several"},
		"64 KiB and one": {
			"oct", &document.Material{Octets: make([]byte, keywrap.MaxSecret+1)}, "at most 65536 octets",
		},
		"a curve that is not used": {"EC", &document.Material{EC: newEC(t, elliptic.P224())}, "found P-224"},
		"an RSA key out of bounds": {"RSA", &document.Material{RSA: large}, "9001 bits"},
	} {
		err := unsealed(tc.kty).Seal(fixed(), s.to(), tc.m)
		if !errors.Is(err, document.ErrMaterial) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	d := unsealed("oct")
	if err := d.Seal(fixed(), nil, &document.Material{Octets: []byte{1}}); !errors.Is(err, keywrap.ErrKey) {
		t.Error(err)
	}
	d.Request.Algorithm = "RSA-OAEP"
	if err := d.Seal(fixed(), s.to(), &document.Material{Octets: []byte{1}}); !errors.Is(
		err,
		keywrap.ErrAlgorithm,
	) {
		t.Error(err)
	}
}

// seal wraps bytes that no service would wrap.
func (s *server) seal(t *testing.T, d *document.Document, secret []byte) *document.Document {
	t.Helper()
	ciphertext, err := keywrap.Wrap(rand.Reader, d.Request.Algorithm, &s.machine.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	d.Key.Wrapped = keyHSM(`{"schema_version":"1.0","header":{"kid":"k","alg":"dir","enc":"` +
		string(
			d.Request.Algorithm,
		) + `"},"ciphertext":"` + base64.RawURLEncoding.EncodeToString(ciphertext) + `"}`)
	return d
}

func keyHSM(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestAPrivateKeyThatIsNotThatOfThePublicNumbersIsRefused(t *testing.T) {
	s := newServer(t, nil)
	change := func(kty string, m *document.Material, change func(*document.Key)) *document.Document {
		d := s.sealed(t, kty, m)
		change(&d.Key)
		return d
	}
	rsaKey, ecKey := &document.Material{RSA: s.released}, &document.Material{EC: s.ec}
	other := s.sealed(t, "RSA", &document.Material{RSA: s.server}).Key.Wrapped
	otherEC := s.sealed(t, "EC", &document.Material{EC: newEC(t, elliptic.P256())}).Key.Wrapped
	for name, tc := range map[string]struct {
		d    *document.Document
		want string
	}{
		"another RSA key": {
			change("RSA", rsaKey, func(k *document.Key) { k.Wrapped = other }), "not that of the public",
		},
		"another exponent": {
			change("RSA", rsaKey, func(k *document.Key) { k.E = "Aw" }), "not that of the public",
		},
		"no modulus": {
			change("RSA", rsaKey, func(k *document.Key) { k.N = "" }), "not that of the public",
		},
		"n with padding":       {change("RSA", rsaKey, func(k *document.Key) { k.N += "=" }), "n is not base64url"},
		"e that is not base64": {change("RSA", rsaKey, func(k *document.Key) { k.E = "*" }), "e is not base64url"},
		"another EC key": {
			change("EC", ecKey, func(k *document.Key) { k.Wrapped = otherEC }), "not that of the public",
		},
		"x and y exchanged": {
			change("EC", ecKey, func(k *document.Key) { k.X, k.Y = k.Y, k.X }), "not that of the public",
		},
		"another curve": {
			change("EC", ecKey, func(k *document.Key) { k.Curve = "P-384" }), "x of 48 bytes, found 32",
		},
		"no curve":             {change("EC", ecKey, func(k *document.Key) { k.Curve = "" }), "expected crv"},
		"x that is not base64": {change("EC", ecKey, func(k *document.Key) { k.X = "*" }), "x is not base64url"},
		"an EC key as RSA": {
			change("EC", ecKey, func(k *document.Key) { k.Type = "RSA" }), "expected an RSA key",
		},
		"an unknown kty": {change("EC", ecKey, func(k *document.Key) { k.Type = "OKP" }), `found "OKP"`},
		"octets as RSA":  {s.seal(t, unsealed("RSA"), []byte("octets")), "one value in DER"},
		"octets with a modulus": {change("oct", &document.Material{Octets: []byte{1}}, func(k *document.Key) { k.N = "AQ" }),
			"no public numbers"},
		"DER of no key":        {s.seal(t, unsealed("RSA"), []byte{0x30, 0}), "does not decode"},
		"bytes after the DER":  {s.seal(t, unsealed("RSA"), []byte{0x30, 0, 1}), "one value in DER"},
		"zeros and a byte":     {s.seal(t, unsealed("RSA"), []byte{0x30, 0, 0, 0, 1}), "one value in DER"},
		"a block of zeros":     {s.seal(t, unsealed("RSA"), append([]byte{0x30, 0}, make([]byte, 8)...)), "one value in DER"},
		"DER that is too long": {s.seal(t, unsealed("RSA"), make([]byte, 9000)), "at most 8192 bytes"},
	} {
		m, err := tc.d.Open(nil, s.machine)
		bad := errors.Is(err, document.ErrMaterial) || errors.Is(err, document.ErrFormat)
		if m != nil || !bad || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

func TestTheZerosOfATokenAfterAKeyAreLeftOut(t *testing.T) {
	s := newServer(t, nil)
	der, err := x509.MarshalPKCS8PrivateKey(s.ec)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 8 {
		d := s.sealed(t, "EC", &document.Material{EC: s.ec})
		d.Key.Wrapped = s.seal(t, unsealed("EC"), append(der[:len(der):len(der)], make([]byte, n)...)).Key.Wrapped
		if m, err := d.Open(nil, s.machine); err != nil || !m.EC.Equal(s.ec) {
			t.Errorf("%d zeros: %v", n, err)
		}
	}
}

func TestWhatDoesNotOpenIsRefused(t *testing.T) {
	s := newServer(t, nil)
	d := s.sealed(t, "oct", &document.Material{Octets: []byte("secret")})
	if _, err := d.Open(nil, s.server); !errors.Is(err, keywrap.ErrUnwrap) {
		t.Errorf("another key: %v", err)
	}
	if _, err := d.Open(nil, nil); !errors.Is(err, keywrap.ErrKey) {
		t.Errorf("no key: %v", err)
	}
	d.Request.Algorithm = keywrap.RSAAESKeyWrap
	if _, err := d.Open(nil, s.machine); !errors.Is(err, document.ErrFormat) ||
		!strings.Contains(err.Error(), "as in the request") {
		t.Errorf("another algorithm: %v", err)
	}
	d.Key.Wrapped = "*"
	if _, err := d.Open(nil, s.machine); !errors.Is(err, document.ErrFormat) {
		t.Errorf("no key_hsm: %v", err)
	}
}

// tpm is a private key that is reached through crypto.Decrypter and crypto.Signer alone.
type tpm struct{ key *rsa.PrivateKey }

func (k tpm) Public() crypto.PublicKey { return k.key.Public() }

func (k tpm) Decrypt(random io.Reader, message []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return k.key.Decrypt(random, message, opts)
}

func (k tpm) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.key.Sign(random, digest, opts)
}

func TestKeysInHardwareSignAndOpen(t *testing.T) {
	s := newServer(t, nil)
	signer, err := document.NewSigner(tpm{s.server}, s.chain)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signer.Sign(s.sealed(t, "oct", &document.Material{Octets: []byte("secret")}))
	if err != nil || !signer.Certificate().Equal(s.chain[0]) {
		t.Fatal(err)
	}
	d, err := document.Verify(compact, s.expectation())
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.Open(nil, tpm{s.machine})
	if err != nil || string(m.Octets) != "secret" {
		t.Fatalf("%q, %v", m.Octets, err)
	}
	octets := m.Octets
	if m.Erase(); !bytes.Equal(octets, make([]byte, 6)) {
		t.Errorf("%q is left", octets)
	}
}

func TestEachMemberOfKeyHSMIsChecked(t *testing.T) {
	good := `{"schema_version":"1.0","header":{"kid":"k","alg":"dir","enc":"RSA_AES_KEY_WRAP_256"},"ciphertext":"AQ"}`
	if _, err := document.ParseWrapped(keyHSM(good)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ text, want string }{
		"not base64url":  {"*", "key_hsm is not base64url"},
		"padding":        {keyHSM(good) + "==", "key_hsm is not base64url"},
		"too long":       {strings.Repeat("A", document.MaxSize+1), "at most 1048576"},
		"nothing":        {"", "key_hsm"},
		"not JSON":       {keyHSM("key"), "key_hsm"},
		"an array":       {keyHSM("[]"), "key_hsm"},
		"a member twice": {keyHSM(`{"ciphertext":"AQ",` + good[1:]), "duplicate member"},
		"more text":      {keyHSM(good + "{}"), "key_hsm"},
		"another version": {
			keyHSM(strings.Replace(good, "1.0", "2.0", 1)), `expected schema_version "1.0", found "2.0"`,
		},
		"no version": {keyHSM(strings.Replace(good, "schema_version", "version", 1)), `found ""`},
		"another alg": {
			keyHSM(strings.Replace(good, "dir", "RSA-OAEP", 1)), `header.alg "dir", found "RSA-OAEP"`,
		},
		"another enc": {keyHSM(strings.Replace(good, "_256", "_512", 1)), "RSA_AES_KEY_WRAP_512"},
		"ciphertext of bytes": {
			keyHSM(strings.Replace(good, `"AQ"`, `"A*"`, 1)), "ciphertext of key_hsm is not base64url",
		},
		"a number": {keyHSM(strings.Replace(good, `"AQ"`, `5`, 1)), "key_hsm"},
	} {
		w, err := document.ParseWrapped(tc.text)
		bad := errors.Is(err, document.ErrFormat) || errors.Is(err, keywrap.ErrAlgorithm)
		if w != nil || !bad || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

func FuzzParseWrapped(f *testing.F) {
	f.Add(
		keyHSM(
			`{"schema_version":"1.0","header":{"kid":"k","alg":"dir","enc":"CKM_RSA_AES_KEY_WRAP"},"ciphertext":"AQ"}`,
		),
	)
	f.Add("e30")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := document.ParseWrapped(text)
		if (w == nil) == (err == nil) {
			t.Fatalf("%+v, %v", w, err)
		}
		if err != nil && !errors.Is(err, document.ErrFormat) && !errors.Is(err, keywrap.ErrAlgorithm) {
			t.Fatal(err)
		}
	})
}
