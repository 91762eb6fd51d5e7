package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// TestValuesThatCannotBeReadAreNotTakenForOthers: a challenge that is not hex was taken for text, and evidence refused.
func TestValuesThatCannotBeReadAreNotTakenForOthers(t *testing.T) {
	dir := t.TempDir()
	if code, _, text := runCLI(t, "simulate", "Tpm", "--out", dir); code != 0 {
		t.Fatal(text)
	}
	evidence := filepath.Join(dir, "evidence.json")
	for _, tc := range []struct{ flag, value, want string }{
		{"--challenge", "hex:zz", `--challenge: "zz" after hex: is not hex`},
		{"--challenge", "hex:001", "is not hex"},
		{"--data-type", "Foo", "--data-type: unknown data type"},
	} {
		code, _, text := runCLI(t, "verify", "evidence", "Tpm", evidence, tc.flag, tc.value)
		if code != term.Trouble || !strings.Contains(text, tc.want) {
			t.Errorf("%s %s: exit %d: %s", tc.flag, tc.value, code, text)
		}
	}
}

// TestFindingsAboutBytesAreValidJSON: a policy that is not text has findings as JSON, too.
func TestFindingsAboutBytesAreValidJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.policy")
	if err := os.WriteFile(file, []byte("version=1.0;authorizationrules{\xff\xfe};"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, text := runCLI(t, "policy", "check", file, "--format", "json")
	if code != 1 || !json.Valid([]byte(out)) {
		t.Errorf("exit %d: %q %s", code, out, text)
	}
}

// TestASimulatedGuestIsDebuggableIfAskedFor in each kind that has such a flag.
func TestASimulatedGuestIsDebuggableIfAskedFor(t *testing.T) {
	for _, kind := range []string{"SgxEnclave", "TdxVm", "SevSnpVm", "AzureGuest", "NitroEnclave", "ArmCca"} {
		dir := t.TempDir()
		if code, _, text := runCLI(t, "simulate", kind, "--debug", "--out", dir); code != 0 {
			t.Fatal(text)
		}
		file := filepath.Join(dir, "evidence.bin")
		if _, err := os.Stat(file); err != nil {
			file = filepath.Join(dir, "evidence.json")
		}
		if _, err := os.Stat(file); err != nil {
			file = filepath.Join(dir, "token.cbor")
		}
		code, out, text := runCLI(t, "verify", "evidence", kind, file, "--config", filepath.Join(dir, "probity.json"))
		if code != 1 || !strings.Contains(out+text, "debug") {
			t.Errorf("%s: exit %d: %s%s", kind, code, out, text)
		}
	}
}
