package wire_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/api/data/wire"
)

func TestDecode(t *testing.T) {
	for name, tc := range map[string]struct{ body, quote string }{
		"base64url without padding": {`{"quote":"-_8"}`, "\xfb\xff"},
		"base64url with padding":    {`{"quote":"-_8="}`, "\xfb\xff"},
		"base64 with padding":       {`{"quote":"+/8="}`, "\xfb\xff"},
		"base64 without padding":    {`{"quote":"+/8"}`, "\xfb\xff"},
		"both alphabets at once":    {`{"quote":"+_8"}`, "\xfb\xff"},
		"escaped characters":        {`{"quote":"\u002B\/8\u003d"}`, "\xfb\xff"},
		"names in any case":         {`{"QUOTE":"-_8"}`, "\xfb\xff"},
		"unknown members":           {`{"future":{"a":[1]},"quote":"-_8"}`, "\xfb\xff"},
		"null members":              {`{"quote":null,"runtimeData":null,"nonce":null}`, ""},
		"empty":                     {`{"quote":""}`, ""},
		"white space around":        {" \n{\"quote\":\"-_8\"}\r\n", "\xfb\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := wire.Decode([]byte(tc.body))
			if err != nil || string(r.Quote) != tc.quote || len(r.Nonce) != 0 {
				t.Errorf("Decode = %+v, %v", r, err)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":                   ``,
		"no object":                 `[]`,
		"text":                      `quote`,
		"cut short":                 `{"quote":"-_8"`,
		"trailing data":             `{"quote":"-_8"}{}`,
		"duplicate member":          `{"quote":"-_8","quote":"-_8"}`,
		"duplicate in another case": `{"quote":"-_8","Quote":"-_8"}`,
		"duplicate in runtime data": `{"runtimeData":{"data":"","data":""}}`,
		"number as quote":           `{"quote":1}`,
		"object as quote":           `{"quote":{}}`,
		"not base64":                `{"quote":"!"}`,
		"line break in base64":      `{"quote":"-_\n8"}`,
		"space in base64":           `{"quote":"-_ 8"}`,
		"one character":             `{"quote":"A"}`,
		"padding inside":            `{"quote":"-_8=-_8="}`,
		"three times padding":       `{"quote":"-_8==="}`,
		"bits after the last byte":  `{"quote":"-_9"}`,
		"text as runtime data":      `{"runtimeData":"x"}`,
		"object as nonce":           `{"nonce":{}}`,
		"boolean as nonce":          `{"nonce":true}`,
		"endless nonce":             `{"nonce":"` + strings.Repeat("x", 5000) + `"}`,
		"number as draft":           `{"draftPolicyForAttestation":1}`,
		"not UTF-8":                 "{\"quote\":\"\xff\"}",
		"deeply nested":             strings.Repeat(`{"a":`, 20000),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.Decode([]byte(body))
			var refused *wire.Error
			if !errors.As(err, &refused) || refused.Expected == "" || refused.Found == "" || refused.Remedy == "" {
				t.Fatalf("error = %v", err)
			}
			for _, leak := range []string{"wire.", "Go ", "*", "json:"} {
				if strings.Contains(refused.Found, leak) {
					t.Errorf("the message speaks of our code: %s", refused.Found)
				}
			}
		})
	}
}

func TestDataObjects(t *testing.T) {
	for name, tc := range map[string]struct {
		object string
		want   string
		fails  bool
	}{
		"absent":                    {`null`, "none", false},
		"empty":                     {`{"data":"","dataType":""}`, "none", false},
		"type without data":         {`{"dataType":"JSON"}`, "none", false},
		"unknown type, no data":     {`{"data":"","dataType":"x"}`, "", true},
		"null":                      {`{"data":null,"dataType":null}`, "none", false},
		"Binary":                    {`{"data":"QQ","dataType":"Binary"}`, "A Binary", false},
		"JSON in small letters":     {`{"data":"QQ","dataType":"json"}`, "A JSON", false},
		"no type is read as Binary": {`{"data":"QQ"}`, "A Binary", false},
		"unknown type":              {`{"data":"QQ","dataType":"XML"}`, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := wire.Decode([]byte(`{"runtimeData":` + tc.object + `}`))
			if err != nil {
				t.Fatal(err)
			}
			d, err := r.RuntimeData.Decoded()
			got := "none"
			if d != nil {
				got = fmt.Sprintf("%s %s", d.Bytes, d.Type)
			}
			if (err != nil) != tc.fails || !tc.fails && got != tc.want {
				t.Errorf("data = %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}

func TestNonces(t *testing.T) {
	for _, nonce := range []string{`"text"`, `18446744073709551615`, `""`} {
		r, err := wire.Decode([]byte(`{"nonce":` + nonce + `}`))
		if err != nil || string(r.Nonce) != nonce {
			t.Errorf("nonce %s = %s, %v", nonce, r.Nonce, err)
		}
	}
}

func TestDecodingAllocatesLittle(t *testing.T) {
	body := []byte(`{"quote":"` + strings.Repeat("QUJD", 4<<10) + `"}`)
	var before, after runtime.MemStats
	const runs = 20
	wire.Decode(body)
	runtime.ReadMemStats(&before)
	for range runs {
		wire.Decode(body)
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > uint64(4*len(body)) {
		t.Errorf("%d bytes of body allocate %d", len(body), got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"quote":"-_8","runtimeData":{"data":"QQ","dataType":"JSON"},"nonce":"n",` +
		`"draftPolicyForAttestation":"p"}`))
	f.Add([]byte(`{"Quote":"\u002B\/8\u003d","EnclaveHeldData":"QQ=="}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := wire.Decode(body)
		if err != nil {
			return
		}
		if len(r.Quote) > len(body) {
			t.Error("the quote is larger than the body")
		}
		again, err := wire.Decode([]byte(`{"quote":"` + base64.RawURLEncoding.EncodeToString(r.Quote) + `"}`))
		if err != nil || string(again.Quote) != string(r.Quote) {
			t.Errorf("the quote does not come back: %v", err)
		}
	})
}

// TestBase64IsExpectedWhereItIsMissing: what was expected is not the form of the JSON.
func TestBase64IsExpectedWhereItIsMissing(t *testing.T) {
	_, err := wire.Decode([]byte(`{"quote":"not base64!"}`))
	want := "expected base64 or base64url where the route takes bytes, found at /quote: not base64url"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
