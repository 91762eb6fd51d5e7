package keywrap

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// machine is an RSA key of 2048 bits for the tests of this package.
var machine = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// decrypter is a key as a TPM gives it.
type decrypter struct {
	public  crypto.PublicKey
	decrypt func(random io.Reader, message []byte, opts crypto.DecrypterOpts) ([]byte, error)
}

func (d decrypter) Public() crypto.PublicKey { return d.public }

func (d decrypter) Decrypt(random io.Reader, message []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return d.decrypt(random, message, opts)
}

func TestSecretsComeBack(t *testing.T) {
	for _, a := range Algorithms() {
		for _, secret := range [][]byte{{0}, []byte("16 bytes of key."), random(t, 1218), random(t, MaxSecret)} {
			wrapped, err := Wrap(rand.Reader, a, &machine().PublicKey, secret)
			if err != nil {
				t.Fatal(err)
			}
			if want := 256 + (len(secret)+7)/8*8 + 8; len(wrapped) != want {
				t.Errorf("%s: %d bytes, want %d", a, len(wrapped), want)
			}
			back, err := Unwrap(nil, a, machine(), wrapped)
			if err != nil || !bytes.Equal(back, secret) {
				t.Errorf("%s: %v", a, err)
			}
		}
	}
}

// The first part is RSAES-OAEP of an AES-256 key with an empty label, both hashes the same, and the
// second the secret wrapped with this key.
func TestThePartsAreThoseOfTheProtocol(t *testing.T) {
	for _, a := range Algorithms() {
		wrapped, err := Wrap(rand.Reader, a, &machine().PublicKey, []byte("secret"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := rsa.DecryptOAEP(a.Hash().New(), nil, machine(), wrapped[:256], nil)
		if err != nil || len(key) != 32 {
			t.Fatalf("%d bytes, %v", len(key), err)
		}
		if secret, err := UnwrapAES(key, wrapped[256:]); err != nil || string(secret) != "secret" {
			t.Errorf("%q, %v", secret, err)
		}
	}
}

// Randomness comes from the reader alone: the same bytes give the same result, and each result its own key.
func TestRandomnessComesFromTheReader(t *testing.T) {
	wrap := func(seed byte) []byte {
		fixed := bytes.NewReader(bytes.Repeat([]byte{seed}, 200))
		wrapped, err := Wrap(fixed, RSAAESKeyWrap256, &machine().PublicKey, []byte("secret"))
		if err != nil {
			t.Fatal(err)
		}
		return wrapped
	}
	if !bytes.Equal(wrap(1), wrap(1)) || bytes.Equal(wrap(1), wrap(2)) {
		t.Error("the reader does not decide")
	}
	// The AES key is its first 32 bytes, so that OpenSSL (enc -id-aes256-wrap-pad) gives the same second part.
	want, err := WrapAES(bytes.Repeat([]byte{1}, 32), []byte("secret"))
	if err != nil || !bytes.Equal(wrap(1)[256:], want) {
		t.Errorf("%x, %v", want, err)
	}
	if got := hex.EncodeToString(want); got != "f39e0f9a1a6dd864b4d1de2ed2c4aae1" {
		t.Errorf("wrapped = %s", got)
	}
	broken := errors.New("no entropy")
	for n := range []int{0, 16, 32, 40} {
		reader := io.MultiReader(bytes.NewReader(make([]byte, n)), iotest.ErrReader(broken))
		if _, err := Wrap(reader, RSAAESKeyWrap, &machine().PublicKey, []byte("x")); !errors.Is(err, broken) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestAlgorithmsHaveTheirNames(t *testing.T) {
	for name, want := range map[string]crypto.Hash{
		"": crypto.SHA1, "CKM_RSA_AES_KEY_WRAP": crypto.SHA1, "RSA_AES_KEY_WRAP_256": crypto.SHA256,
		"RSA_AES_KEY_WRAP_384": crypto.SHA384,
	} {
		if a, err := ParseAlgorithm(name); err != nil || a.Hash() != want {
			t.Errorf("%s: %v, %v", name, a.Hash(), err)
		}
	}
	for _, name := range []string{
		"ckm_rsa_aes_key_wrap", "RSA_AES_KEY_WRAP_512", " ", "RSA-OAEP", strings.Repeat("x", 1000),
	} {
		_, err := ParseAlgorithm(name)
		if !errors.Is(err, ErrAlgorithm) || len(err.Error()) > 300 {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Wrap(rand.Reader, Algorithm(name), &machine().PublicKey, []byte("x")); !errors.Is(
			err,
			ErrAlgorithm,
		) {
			t.Errorf("%s wraps: %v", name, err)
		}
		if _, err := Unwrap(nil, Algorithm(name), machine(), nil); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s unwraps: %v", name, err)
		}
	}
	_, err := ParseAlgorithm("RSA_AES_KEYWRAP_384")
	if !strings.HasSuffix(err.Error(), `found "RSA_AES_KEYWRAP_384"; nearest: RSA_AES_KEY_WRAP_384`) {
		t.Error(err)
	}
}

func TestKeysThatDoNotWrapAreRefused(t *testing.T) {
	n := func(bits uint) *big.Int { return new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), bits-1), 0, 1) }
	for name, key := range map[string]*rsa.PublicKey{
		"nil": nil, "empty": {}, "1024 bits": {N: n(1024), E: 65537}, "2047 bits": {N: n(2047), E: 65537},
		"exponent 1": {N: n(2048), E: 1}, "even exponent": {N: n(2048), E: 4}, "8193 bits": {N: n(8193), E: 3},
		"even modulus": {N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 3},
	} {
		if _, err := Wrap(rand.Reader, RSAAESKeyWrap, key, []byte("x")); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, size := range []int{0, MaxSecret + 1} {
		_, err := Wrap(rand.Reader, RSAAESKeyWrap, &machine().PublicKey, make([]byte, size))
		if !errors.Is(err, ErrSize) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestWhatDoesNotUnwrapIsRefused(t *testing.T) {
	wrapped, err := Wrap(rand.Reader, RSAAESKeyWrap, &machine().PublicKey, []byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the TPM is not there")
	short, err := rsa.EncryptOAEP(crypto.SHA1.New(), rand.Reader, &machine().PublicKey, make([]byte, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	label, err := rsa.EncryptOAEP(
		crypto.SHA1.New(),
		rand.Reader,
		&machine().PublicKey,
		make([]byte, 32),
		[]byte("x"),
	)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte {
		changed := bytes.Clone(wrapped)
		changed[i] ^= 1
		return changed
	}
	for name, tc := range map[string]struct {
		algorithm Algorithm
		key       crypto.Decrypter
		wrapped   []byte
		want      error
	}{
		"another key":         {RSAAESKeyWrap, other, wrapped, ErrUnwrap},
		"another algorithm":   {RSAAESKeyWrap256, machine(), wrapped, ErrUnwrap},
		"the AES key changed": {RSAAESKeyWrap, machine(), flip(3), ErrUnwrap},
		"the secret changed":  {RSAAESKeyWrap, machine(), flip(260), ErrUnwrap},
		"the last byte":       {RSAAESKeyWrap, machine(), flip(len(wrapped) - 1), ErrUnwrap},
		"a unit more": {
			RSAAESKeyWrap, machine(), append(bytes.Clone(wrapped), make([]byte, 8)...), ErrUnwrap,
		},
		"a byte more":           {RSAAESKeyWrap, machine(), append(bytes.Clone(wrapped), 0), ErrSize},
		"a byte less":           {RSAAESKeyWrap, machine(), wrapped[:len(wrapped)-1], ErrSize},
		"a unit less":           {RSAAESKeyWrap, machine(), wrapped[:len(wrapped)-8], ErrSize},
		"the AES key alone":     {RSAAESKeyWrap, machine(), wrapped[:256], ErrSize},
		"nothing":               {RSAAESKeyWrap, machine(), nil, ErrSize},
		"an AES key of 16":      {RSAAESKeyWrap, machine(), append(short, wrapped[256:]...), ErrUnwrap},
		"a label":               {RSAAESKeyWrap, machine(), append(label, wrapped[256:]...), ErrUnwrap},
		"no key":                {RSAAESKeyWrap, nil, wrapped, ErrKey},
		"a key that is not RSA": {RSAAESKeyWrap, decrypter{public: ec.Public()}, wrapped, ErrKey},
		"a TPM that fails": {RSAAESKeyWrap, decrypter{machine().Public(),
			func(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) { return nil, broken }}, wrapped, broken},
	} {
		got, err := Unwrap(nil, tc.algorithm, tc.key, tc.wrapped)
		if !errors.Is(err, tc.want) || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

// A TPM is asked once, for OAEP with the hash of the algorithm, with the bytes of the modulus, and
// its answer is erased.
func TestATPMUnwraps(t *testing.T) {
	wrapped, err := Wrap(rand.Reader, RSAAESKeyWrap256, &machine().PublicKey, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	var answer []byte
	tpm := decrypter{
		machine().Public(),
		func(random io.Reader, message []byte, opts crypto.DecrypterOpts) ([]byte, error) {
			o, ok := opts.(*rsa.OAEPOptions)
			if !ok || o.Hash != crypto.SHA256 || o.MGFHash != 0 || o.Label != nil || len(message) != 256 ||
				random != rand.Reader {
				t.Errorf("%+v, %d bytes, %v", opts, len(message), random)
			}
			answer, err = rsa.DecryptOAEP(sha256.New(), nil, machine(), message, nil)
			return answer, err
		},
	}
	secret, err := Unwrap(rand.Reader, RSAAESKeyWrap256, tpm, wrapped)
	if err != nil || string(secret) != "secret" || !bytes.Equal(answer, make([]byte, 32)) {
		t.Errorf("%q, %x, %v", secret, answer, err)
	}
}
