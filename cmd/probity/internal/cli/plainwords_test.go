package cli

import (
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/node"
)

// riddles are the words of Go and its libraries that users must not read.
var riddles = regexp.MustCompile(`cannot unmarshal|into Go|invalid character|illegal base64|encoding/hex|` +
	`asn1:|x509:|\bEOF\b|strconv\.|jsontext|cbor:|open /|parsing time|net/url|extraneous|runtime ` +
	`error|panic|%!`)

// badInputs are files of which none is what a command wants.
var badInputs = map[string]string{
	"empty": "", "text": "hello\n", "json": `{"a":1}`, "array": `[1,2,3]`,
	"cut json": `{"format":"probity-collateral/1","intel":[{"tcb_info":`,
	"wrong types": `{"listen":1,"format":"probity-collateral/1","intel":"x","dataDir":[],"quote":1,` +
		`"SnpReport":1,"payload":1,"request":2,"claims":3,"cases":"x"}`,
	"wrong members": `{"tcb_info":1,"pck_crl":"!!","root_ca_crl":"zz"}`,
	"bad base64": `{"quote":"!!","report":"##","SnpReport":"!!","payload":"x","att_type":"tpm",` +
		`"TpmInfo":1,"IsolationInfo":2}`,
	"twice": `{"a":1,"a":2}`, "bad pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
	"bad key": "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
	"bad crl": "-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n",
	"bad der": "\x30\x82\x00\x04\x02\x02\x00\x01", "concise": "\x84\x44\xa1\x01\x38\x22\xa0\x41\x61\x41\x00",
	"concise type": "\xd9\x01\x8f\xa2\x01\x02\x03\x04", "concise cut": "\xd2\x84\x43\xa1\x01",
	"hex": "0300020000", "token": "eyJhbGciOiJSUzI1NiJ9.e30.AAAA", "bad token": "eyJhbGciOiJS.!!.AAAA",
	"binary": "\x00\x01\x02\x03\xff\xfe",
	"quote head": "\x03\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x93\x9a\x72\x33\xf7\x9c\x4c\xa9\x94" +
		"\x0a\x0d\xb3\x95\x7f\x06\x07",
	"policy":     "version=1.0; authorizationrules { => permit(); };",
	"bad policy": "version=1.0 authorizationrules",
}

func TestNoCommandSpeaksOfGo(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	kinds := []string{
		"SgxEnclave", "OpenEnclave", "TdxVm", "SevSnpVm", "Tpm", "VbsEnclave", "AzureGuest",
		"NitroEnclave", "ArmCca",
	}
	good := filepath.Join(dir, "good.json")
	if err := os.WriteFile(good, []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"absent": filepath.Join(dir, "absent"), "folder": dir}
	for name, content := range badInputs {
		files[name] = filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(files[name], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range files {
		commands := [][]string{
			{"inspect", file}, {"inspect", file, "--format", "json"}, {"collateral", "list", file},
			{"collateral", "show", "intel", file}, {"collateral", "verify", file},
			{"collateral", "import", file, "--data", filepath.Join(dir, "data")},
			{"collateral", "fetch", "--evidence", file, "--out", filepath.Join(dir, "out")},
			{"config", "check", file},
			{"collateral", "list", "--config", file}, {"policy", "check", file}, {"policy", "fmt", file},
			{"policy", "explain", file}, {"policy", "eval", "--policy", file, "--claims", good},
			{"policy", "eval", "--policy", files["policy"], "--claims", file}, {"policy", "test", file},
			{"policy", "sign", file, "--key", file, "--cert", file},
			{"verify", "token", file, "--issuer", "https://127.0.0.1:1"},
			{"verify", "token", file, "--issuer", "https://127.0.0.1:1", "--ca", file},
			{"tpm", "roots", "import", file}, {"ledger", "verify", file, "--key", file}, {"ledger", "verify", file},
			{"verify", "evidence", "SevSnpVm", files["binary"], "--certs", file},
			{"verify", "evidence", "SevSnpVm", files["binary"], "--uvm", file},
			{"verify", "evidence", "TdxVm", files["text"], "--collateral", file},
			{"verify", "evidence", "TdxVm", files["text"], "--config", file},
			{"verify", "evidence", "TdxVm", files["quote head"], "--event-log", file},
			{
				"verify", "evidence", "TdxVm", files["quote head"], "--runtime-data", file,
				"--data-type", "JSON",
			},
		}
		for _, kind := range kinds {
			commands = append(
				commands, []string{"verify", "evidence", kind, file},
				[]string{"verify", "evidence", kind, file, "--format", "json"},
				[]string{"verify", "evidence", kind, files["text"], "--root", file},
				[]string{"policy", "eval", "--policy", files["policy"], "--evidence", kind, file},
			)
		}
		for _, args := range commands {
			code, out, errText := runCLI(t, args...)
			if code == 0 && (args[0] == "verify" || args[1] == "import") {
				t.Errorf("%s: probity %s: exit 0", name, strings.Join(args, " "))
			}
			if found := riddles.FindString(out + errText); found != "" {
				t.Errorf("%s: probity %s says %q:\n%s%s", name,
					strings.ReplaceAll(strings.Join(args, " "), dir, ""), found, out, errText)
			}
		}
	}
	for _, args := range [][]string{
		{"verify", "evidence", "SgxEnclave", files["text"], "--at", "yesterday"},
		{"verify", "evidence", "SgxEnclave", files["text"], "--tcb", "x"},
		{"verify", "evidence", "Sgx", files["text"]},
		{"collateral", "fetch", "--fmspc", "xyz"},
		{"collateral", "fetch", "--fmspc", "00", "--number", "abc"},
		{"collateral", "fetch", "--number", "99999999999"},
		{"collateral", "fetch", "--fmspc", "00906ed50000", "--intel-url", "http://[::1", "--out", "x"},
		{"collateral", "verify", files["json"], "--at", "1"},
		{"verify", "evidence", "Tpm", files["text"], "--challenge", "hex:zz"},
		{"verify", "token", "abc", "--issuer", "http://[::1"}, {"serve", "--config", files["wrong types"]},
		{"serve", "--listen", "nowhere:port:99", "--data", filepath.Join(dir, "serve")}, {"simulate", "Sgx"},
	} {
		code, out, errText := runCLI(t, args...)
		if found := riddles.FindString(out + errText); found != "" || code == 0 {
			t.Errorf("probity %s: exit %d, %q:\n%s%s", strings.Join(args, " "), code, found, out, errText)
		}
	}
}

// flagWords are what libraries say about flags and connections.
var flagWords = regexp.MustCompile(`bit (u?int|float)|invalid syntax|strconv|missing unit|unknown ` +
	`unit|value out of range|\bdial (tcp|unix)|\btls: |x509: |PEM data|bool value must|expected duration`)

// TestEveryFlagSaysPlainlyWhatItWants: each flag and argument of each command with values of
// the wrong type.
func TestEveryFlagSaysPlainlyWhatItWants(t *testing.T) {
	t.Chdir(t.TempDir())
	var c commands
	parser, err := kong.New(&c, longHelp())
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, leaf := range parser.Model.Leaves(true) {
		command := strings.Fields(leaf.Path())[1:]
		var path, filled []string
		for _, word := range command {
			if !strings.HasPrefix(word, "<") && !strings.HasPrefix(word, "[") {
				path = append(path, word)
			}
		}
		for range leaf.Positional {
			filled = append(filled, "1")
		}
		check := func(args []string) {
			tried++
			code, out, errText := runCLI(t, args...)
			if found := flagWords.FindString(out + errText); found != "" || code == 0 {
				t.Errorf("probity %s: exit %d, %q: %s", strings.Join(args, " "), code, found, errText)
			}
		}
		for _, flag := range leaf.Flags {
			if kind := flag.Target.Type().String(); !strings.Contains(kind, "int") &&
				!strings.Contains(kind, "Duration") && !strings.Contains(kind, "float") {
				continue
			}
			for _, value := range []string{"x", "1.5x", "99999999999999999999999999", "", "1 day"} {
				check(append(append(slices.Clone(path), filled...), "--"+flag.Name+"="+value))
			}
		}
		for i, arg := range leaf.Positional {
			if kind := arg.Target.Type().String(); !strings.Contains(kind, "int") {
				continue
			}
			for _, value := range []string{"x", "1.5", "99999999999999999999999999"} {
				wrong := slices.Clone(filled)
				wrong[i] = value
				check(append(slices.Clone(path), wrong...))
			}
		}
	}
	if tried < 50 {
		t.Errorf("%d command lines only", tried)
	}
}

func TestNoRouteSpeaksOfGo(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{
		Listen:  "localhost:0",
		URL:     "https://localhost:8443",
		DataDir: filepath.Join(dir, "data"),
	}
	if err := cfg.Complete(true); err != nil {
		t.Fatal(err)
	}
	s, err := node.Open(t.Context(), cfg, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	bodies := []string{
		`{"quote":"!!"}`, `{"quote":1}`, `{"quote":"AAAA","quote":"AAAA"}`, `{"report":"e30"}`,
		`{"data":"e30"}`, `{"data":"!!"}`, `{"document":"hEShAQ"}`, `{"token":"hEShAQ"}`,
		`{"AttestationInfo":"e30"}`, `{"quote":"AAAA","runtimeData":{"data":"!!"}}`,
		`{"quote":"AAAA","runtimeData":"x"}`,
		`{"quote":"AAAA","runtimeData":{"data":"AAAA","dataType":"x"}}`, `{"quote":"AAAA","nonce":[]}`,
		`{"quote":"AAAA","draftPolicyForAttestation":1}`, `{"report":"eyJTbnBSZXBvcnQiOjF9"}`,
		`{"report":"eyJTbnBSZXBvcnQiOiIhISJ9"}`, `{"data":"eyJwYXlsb2FkIjoxfQ"}`,
		`{"AttestationInfo":"eyJUcG1JbmZvIjoxfQ"}`,
	}
	for _, b := range badInputs {
		bodies = append(bodies, b)
	}
	var paths []string
	for _, kind := range []string{
		"SgxEnclave", "OpenEnclave", "TdxVm", "SevSnpVm", "Tpm", "VbsEnclave", "AzureGuest",
		"NitroEnclave", "ArmCca", "Sgx",
	} {
		paths = append(paths, "POST /attest/"+kind+"?api-version=2022-08-01",
			"PUT /policies/"+kind+"?api-version=2022-08-01",
			"POST /policies/"+kind+":reset?api-version=2022-08-01")
	}
	paths = append(paths, "POST /certificates:add?api-version=2022-08-01",
		"POST /certificates:remove?api-version=2022-08-01", "POST /tpm/enroll?api-version=2022-08-01",
		"GET /ledger/entries?from=x", "GET /ledger/entries?limit=99999999999999999999",
		"GET /ledger/export?from=x", "GET /certs?api-version=x", "POST /attest/SgxEnclave?api-version=%zz")
	for _, route := range paths {
		method, path, _ := strings.Cut(route, " ")
		for _, body := range bodies {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, "https://localhost:8443/", strings.NewReader(body))
			r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
			r.RequestURI = path
			r.Header.Set("Content-Type", "application/json")
			s.Server.ServeHTTP(w, r)
			if found := riddles.FindString(w.Body.String()); found != "" {
				t.Errorf("%s with %.40q says %q: %s", route, body, found, w.Body)
			}
			if method == "GET" {
				break
			}
		}
	}
}

// TestAnUntrustedServerSaysHowToTrustIt names the flag, and who signed the certificate is told.
func TestAnUntrustedServerSaysHowToTrustIt(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	t.Setenv("PROBITY_TOKEN", "x")
	for _, args := range [][]string{
		{"verify", "token", "e30.e30.AAAA", "--issuer", server.URL}, {"keys", "list", "--service", server.URL},
	} {
		code, out, errText := runCLI(t, args...)
		if text := out + errText; code != term.Trouble || !strings.Contains(text, "is not trusted") ||
			!strings.Contains(text, "--ca FILE") || flagWords.MatchString(text) {
			t.Errorf("%v: exit %d: %s", args, code, text)
		}
	}
}
