package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
)

// TestAWrongFileIsNamed: a file that is not what a flag wants is refused with what it is.
func TestAWrongFileIsNamed(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []evidence.Kind{
		evidence.SGXEnclave, evidence.SEVSNPVM, evidence.TPM, evidence.NitroEnclave,
	} {
		code, _, text := runCLI(t, "simulate", string(kind), "--out", filepath.Join(dir, string(kind)))
		if code != 0 {
			t.Fatal(text)
		}
	}
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for name, text := range map[string]string{
		"key.pem": "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" +
			"-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----\n",
		"p.policy": "version=1.0;authorizationrules{=>permit();};", "a.zip": "PK\x03\x04\x14\x00\x00\x00",
		"page.html": "<!doctype html><html></html>",
	} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{
		in("key.pem"): "a private key", in("p.policy"): "policy", in("a.zip"): "a ZIP archive",
		in("page.html"): "a web page", in("Tpm", "eventlog.bin"): "log of measured boot",
		in("SevSnpVm", "report.bin"):       "SEV-SNP report",
		in("NitroEnclave", "evidence.bin"): "Nitro attestation document",
		in("Tpm", "evidence.json"):         "TPM attestation protocol",
		in("SgxEnclave", "evidence.bin"):   "SGX quote", in("SgxEnclave", "bundle.json"): "collateral bundle",
		in("SevSnpVm", "reference_info.cose"): "utility VM",
	}
	right := map[string][]string{
		"--collateral": {"bundle.json"}, "--uvm": {"reference_info.cose"}, "--policy": {"p.policy"},
		"--certs": {}, "--root": {},
	}
	for flag, good := range right {
		for file, want := range files {
			if len(good) > 0 && filepath.Base(file) == good[0] {
				continue
			}
			args := []string{"verify", "evidence", "SgxEnclave", in("SgxEnclave", "evidence.bin"), flag, file}
			if flag == "--certs" || flag == "--uvm" {
				args = []string{"verify", "evidence", "SevSnpVm", in("SevSnpVm", "report.bin"), flag, file}
			}
			code, out, errText := runCLI(t, args...)
			if text := out + errText; code != term.Trouble || !strings.Contains(text, want) ||
				!strings.Contains(text, file) || strings.Contains(text, "openenclave: endorsements") {
				t.Errorf("%s %s: exit %d, want %q: %.400s", flag, filepath.Base(file), code, want, text)
			}
		}
	}
}
