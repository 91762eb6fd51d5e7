package cose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/internal/cose"
)

func keys(t testing.TB) map[int64]crypto.Signer {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return map[int64]crypto.Signer{cose.ES256: p256, cose.ES384: p384, cose.PS384: rsaKey}
}

func TestSignatures(t *testing.T) {
	all := keys(t)
	for algorithm, key := range all {
		for _, size := range []int{0, 10, 100, 300, 70000} {
			payload := bytes.Repeat([]byte{'x'}, size)
			b := evidencetest.Sign1(key, map[any]any{int64(1): algorithm}, nil, payload, size == 10)
			m, err := cose.Parse(b)
			if err != nil {
				t.Fatalf("%d, %d bytes: %v", algorithm, size, err)
			}
			for other, k := range all {
				if err := m.Verify(k.Public()); (err == nil) != (other == algorithm) {
					t.Errorf("a message of %d, %d bytes, under the key of %d: %v", algorithm, size, other, err)
				}
			}
			m.Payload = append(m.Payload, 'y')
			if m.Verify(key.Public()) == nil {
				t.Errorf("%d: another payload is accepted", algorithm)
			}
		}
	}
	m := &cose.Sign1{Algorithm: cose.ES384}
	if m.Verify("a key") == nil || m.Verify(all[cose.ES384].Public()) == nil {
		t.Error("no key, or no signature, is accepted")
	}
}

func TestParseRefuses(t *testing.T) {
	key := keys(t)[cose.ES384]
	encode := func(v any) []byte {
		b, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	header := encode(map[int]int{1: -35})
	good := evidencetest.Sign1(key, map[any]any{int64(1): int64(-35)}, nil, []byte("x"), true)
	deep := bytes.Repeat([]byte{0x81}, 100)
	for name, b := range map[string][]byte{
		"nothing":                nil,
		"trailing bytes":         append(bytes.Clone(good), 0),
		"cut short":              good[:len(good)-1],
		"another tag":            append([]byte{0xd1}, good[1:]...),
		"three parts":            encode([]any{header, map[int]int{}, []byte("x")}),
		"five parts":             encode([]any{header, map[int]int{}, []byte("x"), []byte("s"), 1}),
		"a detached payload":     encode([]any{header, map[int]int{}, nil, []byte("s")}),
		"a header that is a map": encode([]any{map[int]int{1: -35}, map[int]int{}, []byte("x"), []byte("s")}),
		"a header with a duplicate": encode([]any{
			[]byte{0xa2, 1, 0x38, 34, 1, 0x38, 34}, map[int]int{}, []byte("x"), []byte("s"),
		}),
		"a header with more behind": encode([]any{
			append(bytes.Clone(header), 0), map[int]int{}, []byte("x"), []byte("s"),
		}),
		"a label that is a list":    encode([]any{[]byte{0xa1, 0x80, 1}, map[int]int{}, []byte("x"), []byte("s")}),
		"no algorithm":              encode([]any{[]byte{0xa0}, map[int]int{}, []byte("x"), []byte("s")}),
		"an empty protected header": encode([]any{[]byte{}, map[int]int{1: -35}, []byte("x"), []byte("s")}),
		"an algorithm as text": encode([]any{
			encode(map[int]string{1: "ES384"}), map[int]int{}, []byte("x"), []byte("s"),
		}),
		"critical parameters": encode([]any{
			encode(map[int]any{1: -35, 2: []int{4}}), map[int]int{}, []byte("x"), []byte("s"),
		}),
		"nested without end": deep,
	} {
		if m, err := cose.Parse(b); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	key := keys(f)[cose.ES384]
	f.Add(evidencetest.Sign1(key, map[any]any{int64(1): int64(-35)}, nil, []byte("x"), true))
	f.Add(evidencetest.Sign1(key, map[any]any{int64(1): int64(-35), "a": 1}, map[any]any{int64(4): []byte{1}},
		nil, false))
	other := keys(f)[cose.ES384]
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := cose.Parse(b); err == nil && m.Verify(other.Public()) == nil {
			t.Error("accepted a signature of a key that signed nothing")
		}
	})
}
