package forms_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/forms"
)

// written are the ways in which people and programs write bytes as text.
func written(b []byte) map[string]string {
	encoded, digits := base64.StdEncoding.EncodeToString(b), hex.EncodeToString(b)
	numbers := make([]string, len(b))
	signed := make([]string, len(b))
	escaped, prefixed := &strings.Builder{}, &strings.Builder{}
	latin1 := &strings.Builder{}
	for i, c := range b {
		numbers[i], signed[i] = strconv.Itoa(int(c)), strconv.Itoa(int(int8(c)))
		fmt.Fprintf(escaped, `\x%02x`, c)
		fmt.Fprintf(prefixed, "0x%02x, ", c)
		latin1.WriteRune(rune(c))
	}
	wide := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(encoded)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	big := []byte{0xfe, 0xff}
	for _, unit := range utf16.Encode([]rune(digits)) {
		big = append(big, byte(unit>>8), byte(unit))
	}
	return map[string]string{
		"hex":                            digits,
		"hex with 0x":                    "0x" + strings.ToUpper(digits),
		"base64":                         encoded,
		"base64url":                      base64.RawURLEncoding.EncodeToString(b),
		"a data URL":                     "data:application/octet-stream;base64," + encoded,
		"a JSON string":                  `"` + encoded + `"`,
		"a JSON array of bytes":          "[" + strings.Join(numbers, ",") + "]",
		"a JSON array of signed bytes":   "[" + strings.Join(signed, ",") + "]",
		"an item of a JSON array":        `[1,{"a":2},"` + digits + `"]`,
		"a member":                       `{"other":1,"quote":"` + encoded + `"}`,
		"a member inside a member":       `{"data":{"report":"` + digits + `"}}`,
		"percent-encoding":               url.QueryEscape(encoded),
		"PEM":                            string(pem.EncodeToMemory(&pem.Block{Type: "QUOTE", Bytes: b})),
		"UTF-16 of PowerShell":           string(wide),
		"UTF-16, big-endian":             string(big),
		"an assignment":                  "quote = " + digits + ";",
		"a quoted string of Python":      "b'" + escaped.String() + "'",
		"an array in C":                  "unsigned char q[] = {" + prefixed.String() + "};\nint q_len = 3;\n",
		"a list of numbers of Go":        "[]byte{" + strings.Join(numbers, ", ") + "}",
		"a list of numbers of C":         "static const uint8_t q[9] = {" + strings.Join(numbers, ", ") + "};",
		"a list of numbers of Node.js":   "Uint8Array(9) [\n  " + strings.Join(numbers, ", ") + " ]",
		"a list of numbers of Java":      "new byte[] {" + strings.Join(numbers, ", ") + "};",
		"a list of numbers of Rust":      "[" + strings.Join(numbers, " ") + "]",
		"a hex dump":                     hex.Dump(b),
		"bytes taken for Latin-1":        latin1.String(),
		"base64 of hex":                  base64.StdEncoding.EncodeToString([]byte(digits)),
		"base64 after a byte order mark": "\ufeff" + encoded + "\x00",
	}
}

func TestDecodeFindsEvidenceInEachWriting(t *testing.T) {
	q := quote(3)
	for name, text := range written(q) {
		for _, kind := range []evidence.Kind{evidence.SGXEnclave, ""} {
			d, ok, err := forms.Decode(kind, []byte(text))
			if !ok || err != nil {
				t.Errorf("%s: not found: %v", name, err)
				continue
			}
			if !bytes.Equal(d.Bytes, q) || d.How() == "" || d.Form.Kind != evidence.SGXEnclave {
				t.Errorf("%s: %d bytes of %d by %q", name, len(d.Bytes), len(q), d.How())
			}
		}
	}
}

func TestDecodeNamesTheMembersThatItDidNotUse(t *testing.T) {
	text := `{"quote":"` + hex.EncodeToString(quote(3)) + `","nonce":"1","collateral":{}}`
	d, ok, err := forms.Decode(evidence.SGXEnclave, []byte(text))
	if !ok || err != nil || strings.Join(d.Others, " ") != "collateral nonce" {
		t.Errorf("%v %v %v", d.Others, ok, err)
	}
}

func TestTwoPiecesOfEvidenceAreRefused(t *testing.T) {
	one, two := hex.EncodeToString(quote(3)), hex.EncodeToString(quote(3))
	_, ok, err := forms.Decode(evidence.SGXEnclave, []byte(`{"quote":"`+one+`","evidence":"`+two+`"}`))
	if ok || err == nil || !strings.Contains(err.Error(), "JSON member evidence") {
		t.Errorf("%v %v", ok, err)
	}
	// The same evidence twice is one piece.
	d, ok, err := forms.Decode(evidence.SGXEnclave, []byte(`{"quote":"`+one+`","evidence":"`+one+`"}`))
	if !ok || err != nil || hex.EncodeToString(d.Bytes) != one {
		t.Errorf("the same twice: %v %v", ok, err)
	}
}

func TestEvidenceOfAnotherKindIsNamedNotTaken(t *testing.T) {
	text := hex.EncodeToString(report())
	d, ok, err := forms.Decode(evidence.SGXEnclave, []byte(text))
	if !ok || err != nil || d.Form.Kind != evidence.SEVSNPVM {
		t.Errorf("%+v %v %v", d.Form, ok, err)
	}
	found, remedy := forms.Explain(evidence.SGXEnclave, []byte(text))
	if !strings.Contains(found, "SEV-SNP report") || remedy == "" {
		t.Errorf("%q, %q", found, remedy)
	}
}

func TestWritingsThatAreBrokenAreNotEvidence(t *testing.T) {
	digits := hex.EncodeToString(quote(3))
	for name, text := range map[string]string{
		"a number over 255":       "[" + strings.Repeat("300,", 40) + "1]",
		"an escape that is cut":   `b'\x03\x0'`,
		"an unknown escape":       `b'\q03'`,
		"a quote inside":          `b'a'b'`,
		"no hex digits":           `b'\xzz'`,
		"an array without end":    "[1,2,3",
		"an object without end":   `{"quote":"` + digits + `"`,
		"data after the object":   `{"quote":"` + digits + `"} {}`,
		"a member given twice":    `{"quote":"` + digits + `","quote":1}`,
		"odd UTF-16":              "\xff\xfe1",
		"PEM without end":         "-----BEGIN QUOTE-----\nAwAC\n",
		"percent without digits":  "%zz" + digits,
		"empty":                   "",
		"white space":             " \n\t",
		"text that people write":  "the quote is attached",
		"a JSON array of strings": `["a","b"]`,
	} {
		if d, ok, _ := forms.Decode(evidence.SGXEnclave, []byte(text)); ok {
			t.Errorf("%s: found by %q", name, d.How())
		}
	}
}

func TestTextsThatAreNotEvidenceAreNamed(t *testing.T) {
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte{1, 2, 3}}))
	}
	for name, tc := range map[string]struct{ text, want string }{
		"a private key":        {block("PRIVATE KEY"), "a private key"},
		"a public key":         {block("PUBLIC KEY"), "a public key in PEM"},
		"a CRL":                {block("X509 CRL"), "certificate revocation list"},
		"a broken certificate": {block("CERTIFICATE"), "cannot be read"},
		"PEM without an end":   {"-----BEGIN CERTIFICATE-----\nAAAA\n", "PEM text"},
		"a pointer":            {"version https://git-lfs.github.com/spec/v1\n", "Git LFS"},
		"a policy":             {"version= 1.0;\nauthorizationrules{};", "attestation policy"},
		"a web page":           {"<!DOCTYPE html><html></html>", "web page"},
		"XML":                  {"<?xml version=\"1.0\"?><a/>", "web page or XML"},
		"protocol buffers":     {"report: {\n version: 2\n}", "protocol buffer text"},
		"keys":                 {`{"keys":[]}`, "JSON Web Key Set"},
		"a bundle":             {`{"format":"probity-collateral/1"}`, "collateral bundle"},
		"bytes lost":           {"\x03" + strings.Repeat("\ufffd\x00", 30), "some are lost"},
		"a cut object":         {`{"SnpReport":"AAAA`, "a JSON object"},
		"an SNP message":       {`{"SnpReport":"AAAA"}`, "SEV-SNP report as JSON"},
		"a guest":              {`{"AttestationProtocolVersion":"2.0"}`, "Azure guest"},
		"a TPM message":        {`{"payload":{"type":"aikcert"}}`, "TPM attestation protocol"},
		"a Nitro document":     {"\x84\x44\xa1\x01\x38\x22\xa0\x58", "Nitro"},
		"a CCA token":          {"\xd9\x01\x8f\xa2", "Arm CCA"},
		"a UVM endorsement":    {"\xd2\x84\x43did:x509:0", "utility VM"},
		"a PSA token":          {"\xd2\x84\x43psa", "PSA"},
		"an object like none":  {`{"format":1}`, ""},
	} {
		f := forms.Recognize([]byte(tc.text))
		if !strings.Contains(f.Name, tc.want) || tc.want == "" && f.Name != "" {
			t.Errorf("%s: %+v", name, f)
		}
		if tc.want != "" && f.Kind == "" && f.Hint == "" && f.Cut == "" {
			t.Errorf("%s: no hint", name)
		}
	}
}
