package document

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/release/keywrap"
)

// parts decodes header and payload of a golden document.
func parts(f *testing.F) (header, payload []byte) {
	f.Helper()
	compact, err := os.ReadFile("testdata/EC-HSM.jws")
	if err != nil {
		f.Fatal(err)
	}
	var decoded [2][]byte
	for i, part := range strings.Split(string(compact), ".")[:2] {
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			f.Fatal(err)
		}
	}
	return decoded[0], decoded[1]
}

func FuzzHeader(f *testing.F) {
	header, _ := parts(f)
	f.Add(header)
	f.Add([]byte(`{"alg":"RS256","x5c":["AQ=="],"x5t":"AQ"}`))
	f.Fuzz(func(t *testing.T, header []byte) {
		chain, err := chainOf(base64.RawURLEncoding.EncodeToString(header) + "..")
		if (len(chain) == 0) == (err == nil) || err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("%d certificates, %v", len(chain), err)
		}
	})
}

func FuzzPayload(f *testing.F) {
	_, payload := parts(f)
	f.Add(payload)
	f.Add(
		[]byte(
			`{"request":{"kid":"k","enc":"x"},"response":{"key":{"key":{"kid":"k/1","kty":"oct","key_hsm":"e30"}}}}`,
		),
	)
	want := Expectation{KeyID: "https://vault.example:8443/keys/disk", Nonce: "ADE0101",
		Algorithm: keywrap.RSAAESKeyWrap256}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parsePayload(text)
		if err != nil {
			if d != nil || !errors.Is(err, ErrFormat) {
				t.Fatalf("%+v, %v", d, err)
			}
			return
		}
		if err := want.answers(d); err == nil && d.Request.KeyID != want.KeyID {
			t.Fatalf("%+v is an answer to %s", d.Request, want.KeyID)
		}
		written, err := d.Payload()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parsePayload(written)
		if err != nil {
			t.Fatal(err)
		}
		if once, err := again.Payload(); err != nil || string(once) != string(written) {
			t.Fatal(cmp.Diff(string(written), string(once)), err)
		}
	})
}

func FuzzMaterial(f *testing.F) {
	f.Add("RSA", []byte{0x30, 0})
	f.Add("EC-HSM", []byte("key"))
	f.Add("oct", []byte("key"))
	f.Fuzz(func(t *testing.T, kty string, secret []byte) {
		m, err := parseMaterial(kty, secret)
		if (m == nil) == (err == nil) || err != nil && !errors.Is(err, ErrMaterial) {
			t.Fatalf("%+v, %v", m, err)
		}
		if err == nil && len(secret) > 0 && m.kind() != kindOf(kty) {
			t.Fatalf("%s is %s", kty, m.kind())
		}
	})
}
