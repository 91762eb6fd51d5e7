package forms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/forms"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func quote(version uint16) []byte {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	return pki.Platform(evidencetest.HealthyPlatform()).Quote(evidencetest.QuoteConfig{
		Version: version,
		Enclave: evidencetest.DemoEnclave(),
	})
}

func report() []byte {
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	return amd.Chip(evidencetest.ChipConfig{}).Report(evidencetest.ReportConfig{})
}

func TestRecognize(t *testing.T) {
	q, r := quote(3), report()
	response := append(make([]byte, 32), r...)
	response[4], response[5] = 0xa0, 0x04
	for name, tc := range map[string]struct {
		b    []byte
		kind evidence.Kind
		name string
	}{
		"a quote":                {q, evidence.SGXEnclave, "an SGX quote of version 3"},
		"a report":               {r, evidence.SEVSNPVM, "a SEV-SNP report"},
		"a firmware response":    {response, "", "response"},
		"an Open Enclave report": {evidencetest.OpenEnclaveReport(q), evidence.OpenEnclave, "Open Enclave report"},
		"a TPM quote":            {[]byte("\xffTCG\x80\x18rest"), "", "TPM quote"},
		"a TPM quote in TPM2B":   {[]byte("\x00\x50\xffTCG\x80\x18rest"), "", "TPM quote"},
		"a paravisor's report":   {append([]byte("HCLA"), make([]byte, 2000)...), "", "paravisor"},
		"a TDREPORT":             {append([]byte{0x81}, make([]byte, 1023)...), "", "TDREPORT"},
		"a token":                {[]byte("eyJhbGciOiJub25lIn0.eyJhIjoxfQ.AAAA"), "", "token"},
		"collateral":             {[]byte(`{"tcbInfo":{},"signature":""}`), "", "collateral"},
		"nothing":                {nil, "", ""},
		"zeros":                  {make([]byte, 4096), "", ""},
		"random bytes":           {bytes.Repeat([]byte{0x5a, 0xc3, 0x11, 0x99}, 300), "", ""},
	} {
		f := forms.Recognize(tc.b)
		if f.Kind != tc.kind || !strings.Contains(f.Name, tc.name) || tc.name == "" && f.Name != "" {
			t.Errorf("%s: %+v", name, f)
		}
		if f.Cut != "" && name != "a paravisor's report" {
			t.Errorf("%s: %s", name, f.Cut)
		}
	}
}

func TestACutQuoteSaysInWhichPart(t *testing.T) {
	for _, version := range []uint16{3, 4, 5} {
		q := quote(version)
		at := 48 + 384 + 4
		if version == 5 {
			at += 6
		}
		for keep, want := range map[int]string{
			30: "header", 200: "body", at + 10: "signature", at + 70: "attestation key",
			at + 300: "quoting enclave", len(q) - 100: "certificates",
		} {
			if f := forms.Recognize(q[:keep]); !strings.Contains(f.Cut, want) {
				t.Errorf("version %d, %d bytes: %q, want %q", version, keep, f.Cut, want)
			}
		}
		if f := forms.Recognize(append(q, 0, 0, 0)); f.Cut != "" {
			t.Errorf("version %d, padded: %q", version, f.Cut)
		}
	}
}

func TestCertificatesNameTheExtensionWithTheEvidence(t *testing.T) {
	q := quote(3)
	wrapped, err := asn1.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		oid  asn1.ObjectIdentifier
		want evidence.Kind
	}{
		{asn1.ObjectIdentifier{1, 2, 840, 113741, 1337, 6}, evidence.SGXEnclave},
		{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 105, 1}, evidence.OpenEnclave},
	} {
		for name, value := range map[string][]byte{"bare": q, "in an OCTET STRING": wrapped} {
			oid := tc.oid.String()
			f := forms.Recognize(certificate(t, tc.oid, value))
			if f.Kind != tc.want || !strings.Contains(f.Name, oid) || !strings.Contains(f.Hint, "asn1parse") {
				t.Errorf("%s %s: %+v", oid, name, f)
			}
		}
	}
}

func certificate(t *testing.T, oid asn1.ObjectIdentifier, value []byte) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.AddDate(1, 0,
		0), ExtraExtensions: []pkix.Extension{{Id: oid, Value: value}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestDecodeLeavesEvidenceAlone(t *testing.T) {
	q := quote(4)
	if _, ok, err := forms.Decode(evidence.SGXEnclave, q); ok || err != nil {
		t.Error("a raw quote is decoded")
	}
	for name, text := range map[string]string{
		"no evidence in hex":       "00112233",
		"no evidence in base64":    "aGVsbG8gd29ybGQ=",
		"a member of another name": `{"x":"` + hex.EncodeToString(q) + `"}`,
	} {
		if d, ok, err := forms.Decode(evidence.SGXEnclave, []byte(text)); ok || err != nil {
			t.Errorf("%s: %s", name, d.How())
		}
	}
	deep := string(q)
	for range 8 {
		deep = base64.StdEncoding.EncodeToString([]byte(deep))
	}
	if _, ok, _ := forms.Decode(evidence.SGXEnclave, []byte(deep)); ok {
		t.Error("wrapping without end is followed")
	}
}

func TestTheFirmwareResponseIsTakenOff(t *testing.T) {
	r := report()
	response := append(make([]byte, 32), r...)
	response[4], response[5] = 0xa0, 0x04
	d, ok, err := forms.Decode(evidence.SEVSNPVM, append(response, make([]byte, 100)...))
	if !ok || err != nil || !bytes.Equal(d.Bytes, r) {
		t.Errorf("%v %v", ok, err)
	}
}

func FuzzDecode(f *testing.F) {
	q := quote(3)
	f.Add(q)
	f.Add(q[:500])
	f.Add([]byte(hex.EncodeToString(q)))
	f.Add([]byte(`{"quote":"` + base64.StdEncoding.EncodeToString(q) + `"}`))
	f.Add(report())
	f.Add([]byte("00000000: 0300 0200 0000 0000 0000 0000 939a 7233  ..............r3\n00000010: f79c\n"))
	f.Add([]byte("00000000  00 00 00 00  |....|\n*\n00010000\n"))
	f.Add([]byte(`quote = b'\x03\x00\x02'`))
	f.Add([]byte("unsigned char quote[] = { 0x03, 0x00 };\nunsigned int quote_len = 2;\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range append(evidence.Kinds(), "") {
			d, ok, err := forms.Decode(kind, b)
			if ok && (err != nil || d.Form.Name == "" || len(d.Steps) == 0 || len(d.Bytes) > 2*len(b)+64<<10) {
				t.Fatalf("%s: %+v, %v", kind, d, err)
			}
			forms.Explain(kind, b)
		}
	})
}
