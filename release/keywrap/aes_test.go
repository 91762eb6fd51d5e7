package keywrap

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/tink-crypto/tink-go/v2/kwp/subtle"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// random returns n random bytes.
func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTheVectorsOfRFC5649 are those of its section 6: 20 bytes, and 7 that fit into one block.
func TestTheVectorsOfRFC5649(t *testing.T) {
	key := unhex(t, "5840df6e29b02af1 ab493b705bf16ea1 ae8338f4dcc176a8")
	for secret, wrapped := range map[string]string{
		"c37b7e6492584340 bed1220780894115 5068f738": "138bdeaa9b8fa7fc 61f97742e72248ee 5ae6ae5360d1ae6a 5f54f373fa543b6a",
		"466f7250617369": "afbeb0f07dfbf541 9200f2ccb50bb24f",
	} {
		got, err := WrapAES(key, unhex(t, secret))
		if err != nil || !bytes.Equal(got, unhex(t, wrapped)) {
			t.Errorf("wrapped = %x, %v", got, err)
		}
		back, err := UnwrapAES(key, got)
		if err != nil || !bytes.Equal(back, unhex(t, secret)) {
			t.Errorf("unwrapped = %x, %v", back, err)
		}
	}
}

// TestTinkWrapsAlike compares with Tink's KWP, in its range of 16 to 8192 bytes.
func TestTinkWrapsAlike(t *testing.T) {
	for _, size := range []int{16, 32} {
		key := random(t, size)
		tink, err := subtle.NewKWP(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{16, 17, 23, 24, 25, 31, 32, 33, 48, 1217, 1218, 2048, 4096, 8191, 8192} {
			secret := random(t, n)
			want, err := tink.Wrap(secret)
			if err != nil {
				t.Fatal(err)
			}
			got, err := WrapAES(key, secret)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: %v", n, err)
			}
			back, err := UnwrapAES(key, want)
			if err != nil || !bytes.Equal(back, secret) {
				t.Errorf("%d bytes back: %v", n, err)
			}
		}
	}
}

// TestTheVectorsOfWycheproof has those of its aes_kwp_test.json: with short secrets, with long
// ones, and with padding that no writer writes.
func TestTheVectorsOfWycheproof(t *testing.T) {
	text, err := fs.ReadFile(wycheproof.TestVectors, "aes_kwp_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Tests []struct {
				ID              int `json:"tcId"`
				Key, Msg, Ct    string
				Result, Comment string
			}
		} `json:"testGroups"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, group := range file.Groups {
		for _, tc := range group.Tests {
			n[tc.Result]++
			key, msg, ct := unhex(t, tc.Key), unhex(t, tc.Msg), unhex(t, tc.Ct)
			got, err := UnwrapAES(key, ct)
			if valid := tc.Result == "valid"; valid != (err == nil) || valid && !bytes.Equal(got, msg) {
				t.Errorf("%d, %s: %x, %v", tc.ID, tc.Comment, got, err)
			}
			if wrapped, err := WrapAES(key, msg); tc.Result == "valid" && (err != nil || !bytes.Equal(wrapped, ct)) {
				t.Errorf("%d, %s wraps to %x, %v", tc.ID, tc.Comment, wrapped, err)
			}
		}
	}
	if n["valid"] < 50 || n["invalid"] < 50 {
		t.Errorf("only %v vectors were tried", n)
	}
}

func TestEachLengthComesBack(t *testing.T) {
	lengths := []int{1000, 1 << 12, MaxSecret - 7, MaxSecret - 1, MaxSecret}
	for n := 1; n <= 70; n++ {
		lengths = append(lengths, n)
	}
	for _, size := range []int{16, 24, 32} {
		key := random(t, size)
		for _, n := range lengths {
			secret := random(t, n)
			wrapped, err := WrapAES(key, secret)
			if err != nil || len(wrapped) != (n+7)/8*8+8 {
				t.Fatalf("%d bytes: %d, %v", n, len(wrapped), err)
			}
			before := bytes.Clone(wrapped)
			back, err := UnwrapAES(key, wrapped)
			if err != nil || !bytes.Equal(back, secret) || cap(back) != n || !bytes.Equal(before, wrapped) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
	}
}

func TestAnyChangedBitIsNoticed(t *testing.T) {
	key := random(t, 32)
	for _, n := range []int{1, 8, 9, 16, 40} {
		wrapped, err := WrapAES(key, random(t, n))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 * len(wrapped) {
			changed := bytes.Clone(wrapped)
			changed[i/8] ^= 1 << (i % 8)
			if got, err := UnwrapAES(key, changed); !errors.Is(err, ErrUnwrap) || got != nil {
				t.Fatalf("bit %d of %d bytes: %x, %v", i, n, got, err)
			}
		}
		if got, err := UnwrapAES(random(t, 32), wrapped); !errors.Is(err, ErrUnwrap) {
			t.Errorf("another key: %x, %v", got, err)
		}
	}
}

func TestLengthsOutOfBoundsAreRefused(t *testing.T) {
	key := random(t, 32)
	for _, n := range []int{0, MaxSecret + 1} {
		if _, err := WrapAES(key, make([]byte, n)); !errors.Is(err, ErrSize) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, n := range []int{0, 1, 8, 15, 17, 23, 25, MaxSecret + 9, MaxSecret + 16} {
		if _, err := UnwrapAES(key, make([]byte, n)); !errors.Is(err, ErrSize) {
			t.Errorf("%d wrapped bytes: %v", n, err)
		}
	}
	for _, n := range []int{0, 8, 31, 33} {
		if _, err := WrapAES(make([]byte, n), []byte("x")); !errors.Is(err, ErrSize) {
			t.Errorf("a key of %d bytes wraps: %v", n, err)
		}
		if _, err := UnwrapAES(make([]byte, n), make([]byte, 16)); !errors.Is(err, ErrSize) {
			t.Errorf("a key of %d bytes unwraps: %v", n, err)
		}
	}
}

// TestEachRuleOfUnwrappingIsChecked wraps what no writer wraps (RFC 5649, section 3): another
// initial value, lengths that do not fit, and padding that is not zero.
func TestEachRuleOfUnwrappingIsChecked(t *testing.T) {
	key := random(t, 32)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(text string) []byte {
		out := unhex(t, text)
		if len(out) == 16 {
			block.Encrypt(out, out)
		} else {
			permute(block, out)
		}
		return out
	}
	for _, text := range []string{
		"a65959a6 00000008 0102030405060708", "a65959a6 00000001 0100000000000000",
		"a65959a6 00000010 0102030405060708 0102030405060708",
		"a65959a6 00000009 0102030405060708 0100000000000000",
	} {
		if _, err := UnwrapAES(key, wrap(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for name, text := range map[string]string{
		"the initial value of RFC 3394":            "a6a6a6a6 a6a6a6a6 0102030405060708 0102030405060708",
		"an initial value with another first byte": "a75959a6 00000008 0102030405060708",
		"an initial value with another last byte":  "a65959a7 00000010 0102030405060708 0102030405060708",
		"no length":                                  "a65959a6 00000000 0000000000000000",
		"a length that is shorter by a unit":         "a65959a6 00000008 0102030405060708 0000000000000000",
		"a length that is longer by one":             "a65959a6 00000009 0102030405060708",
		"a length that is longer by one, two units":  "a65959a6 00000011 0102030405060708 0102030405060708",
		"a length of 2^31":                           "a65959a6 80000000 0102030405060708",
		"a length of 2^32-1":                         "a65959a6 ffffffff 0102030405060708 0102030405060708",
		"padding of one byte that is not zero":       "a65959a6 00000007 0102030405060701",
		"padding of seven bytes, the first not zero": "a65959a6 00000001 0101000000000000",
		"padding of seven bytes, the last not zero":  "a65959a6 00000009 0102030405060708 0100000000000080",
		"padding with a high bit":                    "a65959a6 0000000f 0102030405060708 0102030405060780",
	} {
		if got, err := UnwrapAES(key, wrap(text)); !errors.Is(err, ErrUnwrap) || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

func FuzzUnwrapAES(f *testing.F) {
	key := bytes.Repeat([]byte{7}, 32)
	for _, secret := range []string{"a", "12345678", "a secret of some length"} {
		wrapped, err := WrapAES(key, []byte(secret))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wrapped, []byte(secret))
	}
	f.Add([]byte("1234567"), []byte{})
	f.Fuzz(func(t *testing.T, wrapped, secret []byte) {
		got, err := UnwrapAES(key, wrapped)
		if err == nil {
			// One secret has one wrapped form.
			if again, err := WrapAES(key, got); err != nil || !bytes.Equal(again, wrapped) {
				t.Fatalf("%x wraps to %x, %v", got, again, err)
			}
		} else if got != nil || !errors.Is(err, ErrUnwrap) && !errors.Is(err, ErrSize) {
			t.Fatalf("%x, %v", got, err)
		}
		if len(secret) == 0 || len(secret) > MaxSecret {
			return
		}
		there, err := WrapAES(key, secret)
		if err != nil {
			t.Fatal(err)
		}
		back, err := UnwrapAES(key, there)
		if err != nil || !bytes.Equal(back, secret) {
			t.Fatalf("%x, %v", back, err)
		}
	})
}
