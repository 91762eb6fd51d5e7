package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/describe"
)

// inspected returns the JSON of an inspection as its readers parse it, which fails for an
// object that has a member twice.
func inspected(t *testing.T, b []byte) map[string]any {
	t.Helper()
	found := describe.File(b)
	if found == nil {
		return nil
	}
	var text, shown bytes.Buffer
	if err := found.Write(&text); err != nil {
		t.Fatalf("%v: %s", err, &text)
	}
	var out map[string]any
	if err := json.Unmarshal(text.Bytes(), &out); err != nil {
		t.Fatalf("%v\n%s", err, &text)
	}
	found.Print(&shown, term.UI{}.Bold, "")
	if strings.ContainsFunc(shown.String(), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
		t.Errorf("the terminal gets control characters: %q", &shown)
	}
	return out
}

// at follows a path of names and places, joined by slashes.
func at(v any, path string) any {
	for _, name := range strings.Split(path, "/") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			i := 0
			fmt.Sscan(name, &i)
			if i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func want(t *testing.T, v map[string]any, paths map[string]any) {
	t.Helper()
	for path, value := range paths {
		if got := at(v, path); got != value {
			t.Errorf("%s = %v (%T), want %v", path, got, got, value)
		}
	}
}

// TestInspectShowsEveryHeaderField: with numbers, booleans and lists as such, in the names
// of the vendors' documents.
func TestInspectShowsEveryHeaderField(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	board := intel.Platform(evidencetest.HealthyPlatform())
	enclave := evidencetest.DemoEnclave()
	sgx := inspected(t, board.Quote(evidencetest.QuoteConfig{Enclave: enclave}))
	want(t, sgx, map[string]any{
		"header/version": 3.0, "header/attestationKeyType": 2.0, "header/teeType": "0x0",
		"header/qeVendorId":        "939a7233f79c4ca9940a0db3957f0607",
		"enclave/ATTRIBUTES/DEBUG": false, "enclave/CONFIGSVN": 0.0, "certificationDataType": 5.0,
		"certificationData/0/what": "X.509 certificate", "pck/pcesvn": 13.0,
	})
	for _, name := range []string{
		"MRENCLAVE", "MRSIGNER", "ISVPRODID", "ISVSVN", "ATTRIBUTES", "MISCSELECT", "CPUSVN",
		"CONFIGID", "CONFIGSVN", "ISVEXTPRODID", "ISVFAMILYID", "REPORTDATA",
	} {
		if at(sgx, "enclave/"+name) == nil || at(sgx, "quotingEnclave/"+name) == nil {
			t.Errorf("%s is missing", name)
		}
	}
	td := evidencetest.HealthyTD()
	td.V15 = true
	tdx := inspected(t, board.Quote(evidencetest.QuoteConfig{TD: td}))
	want(t, tdx, map[string]any{"trustDomain/TDATTRIBUTES/DEBUG": false, "header/teeType": "0x81"})
	for _, name := range []string{
		"MRTD", "RTMR0", "RTMR3", "XFAM", "MRCONFIGID", "MROWNER", "MROWNERCONFIG", "REPORTDATA",
		"MRSEAM", "MRSIGNERSEAM", "SEAMATTRIBUTES", "TEE_TCB_SVN", "TEE_TCB_SVN_2", "MRSERVICETD",
	} {
		if at(tdx, "trustDomain/"+name) == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestInspectReadsCertificatesWithBytesAfterThem: as they are in the memory of a TPM.
func TestInspectReadsCertificatesWithBytesAfterThem(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(77),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<31, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	want(t, inspected(t, der),
		map[string]any{"what": "X.509 certificate", "bytesBehind": nil, "publicKey/curve": "P-256"})
	for behind, pad := range map[string][]byte{
		"zeros": make([]byte, 300), "ones": bytes.Repeat([]byte{0xff}, 300),
	} {
		got := inspected(t, append(bytes.Clone(der), pad...))
		want(t, got, map[string]any{"what": "X.509 certificate", "bytesBehind": 300.0, "serialNumber": "4d"})
		if got == nil {
			t.Errorf("with %s: not recognised", behind)
		}
	}
	if got := inspected(t, append(bytes.Clone(der), "hidden"...)); got != nil && got["bytesBehind"] != nil {
		t.Errorf("other bytes after it were taken for padding: %v", got)
	}
	two := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	for name, text := range map[string][]byte{
		"two": two, "with text before": append([]byte("# authorities\n"), two...),
	} {
		if got := inspected(t, text); at(got, "blocks/1/serialNumber") != "4d" {
			t.Errorf("%s: %v", name, got)
		}
	}
	escaped := strings.NewReplacer(" ", "%20", "\n", "%0A", "+", "%2B", "/", "%2F", "=",
		"%3D").Replace(string(two))
	if got := inspected(t, []byte(escaped)); at(got, "blocks/1/serialNumber") != "4d" {
		t.Errorf("percent-encoded: %v", got)
	}
}

// imaLine is a line of ascii_runtime_measurements with a template digest that fits.
func imaLine(name string) string {
	file := make([]byte, 32)
	rand.Read(file)
	data := append([]byte{0x28, 0, 0, 0}, append([]byte("sha256:\x00"), file...)...)
	data = append(data, byte(len(name)+1), 0, 0, 0)
	data = append(append(data, name...), 0)
	sum := sha1.Sum(data)
	return fmt.Sprintf("10 %x ima-ng sha256:%x %s\n", sum, file, name)
}

func TestInspectReplaysIMALists(t *testing.T) {
	text := imaLine("/usr/bin/bash") + imaLine("/init")
	got := inspected(t, []byte(text))
	want(t, got, map[string]any{
		"form": "text", "measurements": 2.0, "templates/ima-ng": 2.0, "violations": 0.0,
		"pcrs/10/measurements": 2.0, "list/1/name": "/init",
	})
	for bank, size := range map[string]int{
		"SHA1": 20, "SHA256": 32, "SHA384": 48, "SHA512": 64, "SHA256Padded": 32,
	} {
		value, _ := at(got, "pcrs/10/"+bank).(string)
		if b, err := hex.DecodeString(value); err != nil || len(b) != size {
			t.Errorf("%s: %q", bank, value)
		}
	}
	// A digest that is not that of the line leaves the registers open.
	broken := strings.Replace(text, "/init", "/evil", 1)
	want(t, inspected(t, []byte(broken)), map[string]any{"pcrs/10/SHA256": nil, "pcrs/10/measurements": 2.0})
}

func TestInspectShowsStatementsOfConfidentialContainers(t *testing.T) {
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: time.Now()})
	quote := base64.StdEncoding.EncodeToString(intel.Platform(evidencetest.HealthyPlatform()).Quote(
		evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()},
	))
	evidence := `{"quote":"` + quote + `","cc_eventlog":null}`
	for name, text := range map[string]string{
		"request": `{"init-data":{"format":"toml","body":"x"},"runtime-data":{"nonce":"n",` +
			`"tee-pubkey":{"kty":"EC"}},"tee-evidence":{"primary_evidence":` + evidence +
			`,"additional_evidence":"{}"}}`,
		"string": `{"tee":"tdx","tee-evidence":{"primary_evidence":` +
			string(must(json.Marshal(evidence))) + `}}`,
	} {
		got := inspected(t, []byte(text))
		if at(got, "what") != "attestation request of confidential containers (not verified)" ||
			at(got, "primary_evidence/quote/trustDomain/MRTD") == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	old := inspected(t, []byte(`{"tee":"tdx","tee-evidence":`+evidence+`}`))
	if at(old, "tee-evidence/quote/trustDomain/MRTD") == nil {
		t.Errorf("%v", old)
	}
	sample := inspected(t, []byte(`{"svn":"1","report_data":"AA=="}`))
	want(t, sample, map[string]any{"tee": "sample: proves nothing"})
	for _, text := range []string{
		`{"quote":"AAAA"}`, `{"attestation_report":1}`, `{"tee-evidence":7}`,
		`{"tee-evidence":{"primary_evidence":[]}}`, `{"cert_chain":[]}`,
	} {
		inspected(t, []byte(text)) // neither a panic nor evidence
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// TestInspectObeysNoFile: names in a file cannot speak to the terminal.
func TestInspectObeysNoFile(t *testing.T) {
	for _, name := range []string{"\x1b[2J\x1b]0;owned\x07", "a\xffb", "a\u202eb", "line\rover"} {
		if got := inspected(t, []byte(imaLine(name))); got == nil && !strings.Contains(name, "\r") {
			t.Errorf("%q: not recognised", name)
		}
	}
}

// FuzzInspect: whatever a file holds, its inspection is JSON without a member twice.
func FuzzInspect(f *testing.F) {
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: time.Unix(1772366400, 0)})
	board := intel.Platform(evidencetest.HealthyPlatform())
	f.Add(board.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()}))
	f.Add([]byte(imaLine("/init")))
	f.Add([]byte(`{"tee-evidence":{"primary_evidence":{"attestation_report":{},` +
		`"cert_chain":[{"cert_type":"VCEK","data":[1,300,-1]}]}}}`))
	f.Add([]byte("-----BEGIN%20CERTIFICATE-----%0AMAA=%0A-----END%20CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, b []byte) {
		found := describe.File(b)
		if found == nil {
			return
		}
		var text bytes.Buffer
		if err := found.Write(&text); err != nil || !jsontext.Value(text.Bytes()).IsValid() {
			t.Fatalf("%v: %s", err, &text)
		}
		found.Print(io.Discard, term.UI{}.Bold, "")
	})
}

// TestInspectInventsNothing: bytes without a structure that shows what they are, are
// nothing.
func TestInspectInventsNothing(t *testing.T) {
	seed := mathrand.New(mathrand.NewPCG(1, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(seed.Uint32())
		}
		return b
	}
	junk := map[string][]byte{
		"ELF":      append([]byte("\x7fELF\x02\x01\x01"), random(4000)...),
		"JPEG":     append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF"), random(4000)...),
		"text":     []byte("Dear reader,\nthis is a letter of three lines.\nIt says nothing.\n"),
		"one word": []byte("noise"), "spaces": []byte("   \n"), "empty": {},
	}
	for _, n := range []int{1, 16, 20, 32, 48, 64, 128, 256, 500, 668, 1024, 1184, 4096, 65536} {
		junk[fmt.Sprintf("%d zeros", n)] = make([]byte, n)
		junk[fmt.Sprintf("%d ones", n)] = bytes.Repeat([]byte{0xff}, n)
		for i := range 40 {
			junk[fmt.Sprintf("%d random bytes, %d", n, i)] = random(n)
			// A table of digests, as PCR files without names are.
			junk[fmt.Sprintf("%d digests, %d", n, i)] = append(make([]byte, 32*(n%7)), random(32*(n%24+1))...)
		}
	}
	for name, b := range junk {
		if found := describe.File(b); found != nil {
			t.Errorf("%s: taken for %v", name, found[0].Value)
		}
	}
}

func TestEndorsementCertificatesAreVerifiedOffline(t *testing.T) {
	now := time.Now()
	authority := evidencetest.NewTPMCA(now)
	other := evidencetest.NewTPMCA(now)
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ek := authority.CertifyEK(&key.PublicKey, now)
	root, stranger := file("root.pem", pemOf(authority.Cert)), file("other.pem", pemOf(other.Cert))
	for name, tc := range map[string]struct {
		cert []byte
		root string
		code int
		want string
	}{
		"genuine":           {ek, root, 0, "manufacturer  id:50524F42"},
		"padded":            {append(bytes.Clone(ek), make([]byte, 200)...), root, 0, "verified"},
		"of another vendor": {ek, stranger, 1, "refused"},
		"changed":           {append(bytes.Clone(ek[:len(ek)-1]), ek[len(ek)-1]^1), root, 1, "refused"},
		"not a certificate": {[]byte("noise"), root, 2, "not a certificate of a key"},
	} {
		var out bytes.Buffer
		code := Run(t.Context(), []string{"tpm", "ek", file("ek.der", tc.cert), "--root", tc.root},
			term.IO{In: strings.NewReader(""), Out: &out, Err: &out})
		if code != tc.code || !strings.Contains(out.String(), tc.want) {
			t.Errorf("%s: exit %d\n%s", name, code, &out)
		}
		if tc.code == 0 && !strings.Contains(out.String(), "says nothing about attestation keys") {
			t.Errorf("%s: more is claimed than was proved:\n%s", name, &out)
		}
	}
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
