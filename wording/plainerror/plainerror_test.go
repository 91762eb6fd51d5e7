package plainerror_test

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	stdjson "encoding/json"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/wording/plainerror"
)

// riddles are words of libraries that users must not read.
var riddles = regexp.MustCompile(`cannot unmarshal|into Go|invalid character|illegal ` +
	`base64|encoding/hex|asn1:|x509:|\bEOF\b|strconv\.|jsontext|cbor:|open /|parsing time|net/url|extraneous`)

func TestErrorsOfLibrariesAreWordedPlainly(t *testing.T) {
	var v struct {
		A int       `json:"a" cbor:"a"`
		T time.Time `json:"t"`
		B []byte    `json:"b"`
	}
	unmarshal := func(text string) error {
		return json.Unmarshal([]byte(text), &v, json.RejectUnknownMembers(true))
	}
	_, b64 := base64.StdEncoding.DecodeString("!!")
	_, hexErr := hex.DecodeString("xy")
	_, odd := hex.DecodeString("abc")
	_, cert := x509.ParseCertificate([]byte{0x30, 0x03, 0x02, 0x01, 0x01})
	_, crl := x509.ParseRevocationList([]byte("junk"))
	_, der := asn1.Unmarshal([]byte{0x04, 0x7f}, new([]byte))
	_, number := strconv.Atoi("x1")
	_, large := strconv.ParseUint("99999999999999999999", 10, 32)
	_, when := time.Parse(time.RFC3339, "yesterday")
	_, span := time.ParseDuration("3 days")
	_, address := url.Parse(strings.TrimSuffix("http://[::1]", "]"))
	_, file := os.Open("/nonexistent/file")
	for name, err := range map[string]error{
		"wrong type": unmarshal(`{"a":"x"}`), "not an object": unmarshal(`[1]`),
		"unknown member": unmarshal(`{"z":1}`), "member twice": unmarshal(`{"a":1,"a":2}`),
		"cut": unmarshal(`{"a":`), "nothing": unmarshal(``), "no JSON": unmarshal(`hello`),
		"after the end": unmarshal(`{} x`), "number too large": unmarshal(`{"a":1e99}`),
		"bad time": unmarshal(`{"t":"soon"}`), "bad bytes": unmarshal(`{"b":"!!"}`),
		"encoding/json": stdjson.Unmarshal([]byte(`{"a":"x"}`), &v),
		"its syntax":    stdjson.Unmarshal([]byte(`{a}`), &v),
		"base64":        b64, "hex": hexErr, "odd hex": odd, "certificate": cert, "CRL": crl, "DER": der,
		"number": number, "large number": large, "time": when, "duration": span,
		"URL": address, "file": file, "CBOR behind": cbor.Unmarshal([]byte{1, 2, 3}, new(int)),
		"CBOR type":  cbor.Unmarshal([]byte{0x61, 0x61}, new(int)),
		"CBOR field": cbor.Unmarshal([]byte{0xa1, 0x61, 0x61, 0x61, 0x62}, &v),
		"CBOR cut":   cbor.Unmarshal([]byte{0x82, 1}, new([]int)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		// The JSON library draws its wording by lot, once in a program.
		for _, verb := range []string{"cannot", "unable to"} {
			said := strings.NewReplacer("cannot unmarshal", verb+" unmarshal", "unable to unmarshal",
				verb+" unmarshal").Replace(err.Error())
			text := plainerror.Words("config: file.json: " + said)
			if riddles.MatchString(text) {
				t.Errorf("%s: %s\n  from %s", name, text, said)
			}
			if !strings.HasPrefix(text, "config: file.json: ") {
				t.Errorf("%s: what is in front is lost: %s", name, text)
			}
		}
	}
}

func TestPlainWordsStayAsTheyAre(t *testing.T) {
	for _, text := range []string{
		"", "no such collateral", "EOFs", "version 6, want 3, 4 or 5",
		"certificate of the open enclave: not valid", "x5c: 3 certificates",
	} {
		if got := plainerror.Words(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add(`json: cannot unmarshal JSON string into Go int within "/a"`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := plainerror.Words(text); len(got) > 8*len(text)+64 {
			t.Errorf("%d bytes of %d", len(got), len(text))
		}
	})
}
