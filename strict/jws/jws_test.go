package jws

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var es256 = []jose.SignatureAlgorithm{jose.ES256}

func signed(t testing.TB, payload string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := s.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func TestCanonicalPartsAreDecoded(t *testing.T) {
	for size := range 70 {
		want := bytes.Repeat([]byte{0xff, 0x3e, byte(size)}, 24)[:size]
		if got, err := Decode(base64.RawURLEncoding.EncodeToString(want)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %x, %v", size, got, err)
		}
	}
	compact := signed(t, "{}")
	if s, err := Parse(compact, es256); err != nil || string(s.UnsafePayloadWithoutVerification()) != "{}" {
		t.Errorf("%s: %v", compact, err)
	}
	if _, _, _, err := Split("eyJhbGciOiJub25lIn0.."); err != nil {
		t.Errorf("a JWS without payload and signature: %v", err)
	}
}

func TestOtherSpellingsOfAPartAreRefused(t *testing.T) {
	for name, part := range map[string]string{
		"one character":             "A",
		"five characters":           "AAAAA",
		"two unused bits":           "AAB",
		"the other unused bit":      "AAC",
		"four unused bits":          "AB",
		"the highest unused bit":    "AI",
		"all unused bits":           "_-9",
		"padding":                   "AA==",
		"one equals sign":           "AAA=",
		"padding of a full group":   "AAAA=",
		"padding in the middle":     "AA==AA",
		"a line break":              "AAAA\n",
		"a carriage return":         "AA\rAA",
		"a space":                   "AAA A",
		"a space in front":          " AAAA",
		"a tab":                     "AAAA\t",
		"a NUL":                     "AAAA\x00",
		"the other alphabet, plus":  "AA+A",
		"the other alphabet, slash": "AA/A",
		"a dot":                     "AA.A",
		"percent":                   "AA%3",
		"a letter that looks alike": "AAA\u0410",
		"bytes above ASCII":         "AAA\xc1",
	} {
		if b, err := Decode(part); err == nil {
			t.Errorf("%s: %q is decoded to %x", name, part, b)
		}
	}
}

func TestPartsAreCounted(t *testing.T) {
	good := signed(t, "{}")
	for name, compact := range map[string]string{
		"nothing": "", "one part": "AAAA", "two parts": "AAAA.AAAA", "four parts": good + ".AAAA",
		"a dot at the end": good + ".",
		"a dot in front":   "." + good, "no header": "." + strings.SplitN(good, ".", 2)[1],
		"the JSON form": `{"payload":"e30","protected":"e30","signature":""}`,
	} {
		if _, err := Parse(compact, es256); err == nil {
			t.Errorf("%s: %q is read", name, compact)
		}
	}
}

// TestNoOtherTextIsTheSameSignature tries every change of one character, and every character
// more, against what a reader gets.
func TestNoOtherTextIsTheSameSignature(t *testing.T) {
	// What a lenient reader takes from the first part.
	header := func(text string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(strings.SplitN(text, ".", 2)[0])
		if err != nil {
			return []byte(err.Error())
		}
		return b
	}
	for _, payload := range []string{"{}", "{} ", "{}  "} {
		good := signed(t, payload)
		want, err := Parse(good, es256)
		if err != nil {
			t.Fatal(err)
		}
		same := func(text string) bool {
			s, err := Parse(text, es256)
			return err == nil && bytes.Equal(s.Signatures[0].Signature, want.Signatures[0].Signature) &&
				bytes.Equal(header(text), header(good)) &&
				bytes.Equal(s.UnsafePayloadWithoutVerification(), want.UnsafePayloadWithoutVerification())
		}
		for i := range good {
			for c := range 256 {
				with := good[:i] + string([]byte{byte(c)})
				if text := with + good[i+1:]; text != good && same(text) {
					t.Errorf("byte %d: %#x for %q is the same", i, c, good[i])
				}
				if same(with + good[i:]) {
					t.Errorf("byte %d: %#x more is the same", i, c)
				}
			}
			if same(good[:i] + good[i+1:]) {
				t.Errorf("byte %d less is the same", i)
			}
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(signed(f, "{}"))
	f.Add("eyJhbGciOiJub25lIn0..")
	f.Fuzz(func(t *testing.T, compact string) {
		header, payload, signature, err := Split(compact)
		if err != nil {
			return
		}
		var again []string
		for _, part := range []string{header, payload, signature} {
			b, err := Decode(part)
			if err != nil {
				t.Fatalf("%q was split off and is not decoded: %v", part, err)
			}
			again = append(again, base64.RawURLEncoding.EncodeToString(b))
		}
		if text := strings.Join(again, "."); text != compact {
			t.Errorf("%q is read as %q", compact, text)
		}
	})
}
