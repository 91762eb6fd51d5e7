package evidence_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence"
)

func TestKindsAreReadWithoutCase(t *testing.T) {
	for _, name := range []string{"SgxEnclave", "sgxenclave", "SGXENCLAVE"} {
		if k, err := evidence.ParseKind(name); err != nil || k != evidence.SGXEnclave {
			t.Errorf("ParseKind(%s) = %s, %v", name, k, err)
		}
	}
	_, err := evidence.ParseKind("SgxEnclav")
	if err == nil || !strings.Contains(err.Error(), "did you mean SgxEnclave?") {
		t.Errorf("error = %v, want the nearest type", err)
	}
	if _, err := evidence.ParseKind(strings.Repeat("x", 1<<20)); err == nil {
		t.Error("a megabyte is a kind")
	}
}

func TestBindingComparesAll32Bytes(t *testing.T) {
	data := evidence.Data{Bytes: []byte("data")}
	sum := sha256.Sum256(data.Bytes)
	if !data.BoundBy(append(sum[:], make([]byte, 32)...)) || !data.BoundBy(append(sum[:], 1)) {
		t.Error("the hash does not bind")
	}
	for i := range sum {
		changed := sum
		changed[i] ^= 1
		if data.BoundBy(changed[:]) {
			t.Errorf("byte %d is not compared", i)
		}
	}
	for _, field := range [][]byte{nil, {}, sum[:31], make([]byte, 64)} {
		if data.BoundBy(field) {
			t.Errorf("a field of %d bytes binds", len(field))
		}
	}
	empty := evidence.Data{}
	if empty.BoundBy(make([]byte, 64)) || empty.BoundBy(nil) {
		t.Error("absent data are bound by zeros")
	}
}

func TestObject(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"sorted, without space": {
			" { \"b\" : [ 1.50 , {\"z\":1,\"y\":2} ],\n\"a\":\"<x>\" } ",
			`{"a":"<x>","b":[1.50,{"y":2,"z":1}]}`,
		},
		"C string":                  {"{\"a\":1}\n\x00\x00", `{"a":1}`},
		"large numbers keep digits": {`{"n":18446744073709551615}`, `{"n":18446744073709551615}`},
		"empty object":              {`{}`, `{}`},
		"array":                     {`[]`, ""},
		"string":                    {`"x"`, ""},
		"null":                      {`null`, ""},
		"nothing":                   {``, ""},
		"duplicate member":          {`{"a":1,"a":1}`, ""},
		"nested duplicate member":   {`{"a":{"b":1,"b":2}}`, ""},
		"trailing text":             {`{"a":1} x`, ""},
		"NUL inside":                {"{\"a\":\x001}", ""},
		"not UTF-8":                 {"{\"a\":\"\xff\"}", ""},
		"deeply nested":             {strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), ""},
		"two million brackets":      {strings.Repeat("[", 2_000_000), ""},
		"brackets inside a string": {
			`{"a":"` + strings.Repeat("[", 100) + `\"{"}`,
			`{"a":"` + strings.Repeat("[", 100) + `\"{"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := evidence.Data{Bytes: []byte(tc.text), Type: evidence.JSON}
			got, err := d.Object()
			if (err != nil) != (tc.want == "") || err == nil && string(got) != tc.want {
				t.Errorf("Object = %s, %v; want %s", got, err, tc.want)
			}
			if string(d.Bytes) != tc.text {
				t.Error("the bound bytes were changed")
			}
		})
	}
}

func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"b":[1.5,{"z":"\u0041"}],"a":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := evidence.Data{Bytes: b}
		first, err := d.Object()
		if err != nil {
			return
		}
		again, err := (&evidence.Data{Bytes: first}).Object()
		if err != nil || string(again) != string(first) {
			t.Errorf("%q does not come back: %q, %v", first, again, err)
		}
	})
}

// Programs tell refusals apart by the definitions of the packages, not by literals.
func TestRejectionsAreComparedWithDefinitions(t *testing.T) {
	var checks evidence.Checks
	signature := checks.Define("x.signature", "the signature verifies", "send the evidence as it was made")
	nonce := checks.Define("x.nonce", "the nonce is the one asked for", "ask again")
	result := &evidence.Result{}
	result.Pass(nonce, "the nonce", "the nonce")
	cause := errors.New("broken")
	var err error = result.FailErr(signature, "a signature of the key", cause)
	if !errors.Is(err, signature) || errors.Is(err, nonce) || !errors.Is(err, cause) {
		t.Errorf("%v is not told apart", err)
	}
	wrapped := fmt.Errorf("machine 7: %w", err)
	if !errors.Is(wrapped, signature) {
		t.Errorf("%v is not told apart when wrapped", wrapped)
	}
	if len(checks.All()) != 2 || len(result.Checks) != 2 || result.Checks[1].Remedy != signature.Remedy ||
		result.Checks[0].Remedy != "" {
		t.Errorf("definitions %v, checks %v", checks.All(), result.Checks)
	}
	with := result.FailWith(nonce, "n", "m", "restart the machine")
	if with.Check.Remedy != "restart the machine" || with.Check.OK {
		t.Errorf("%+v", with.Check)
	}
}
