package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// TestEvalTakesThePolicyAsTheOthersDo: as its first argument, or with --policy.
func TestEvalTakesThePolicyAsTheOthersDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sgx")
	runCLI(t, "simulate", "SgxEnclave", "--out", dir)
	quote, config := filepath.Join(dir, "evidence.bin"), filepath.Join(dir, "probity.json")
	policy, claims := writeFile(t, "a.policy", sgxPolicy), writeFile(t, "claims.json", `{"x-ms-sgx-svn":3}`)
	for _, args := range [][]string{
		{policy, "--claims", claims}, {"--policy", policy, "--claims", claims},
		{policy, quote, "--evidence", "SgxEnclave", "--config", config},
		{policy, "--evidence", "SgxEnclave", quote, "--config", config},
		{"--policy", policy, "--evidence", "SgxEnclave", quote, "--config", config},
	} {
		answers(t, term.Yes, []string{"permitted: rule 1"}, append([]string{"policy", "eval"}, args...)...)
	}
	for _, c := range []struct{ args, want string }{
		{policy + " --evidence " + quote,
			"--evidence takes the type: --evidence SgxEnclave " + quote},
		{policy, "give either --claims FILE or --evidence TYPE FILE"},
		{"--claims " + claims, "name the policy: probity policy eval POLICY"},
		{"--evidence SgxEnclave " + quote, "name the policy: probity policy eval POLICY"},
		{policy + " --evidence SgxEnclave", "--evidence needs the file with the evidence"},
		{policy + " " + quote + " --claims " + claims, quote + ": evidence goes with --evidence TYPE, not with --claims"},
		{"--policy " + policy + " " + quote + " more --evidence SgxEnclave", "more: one file too many"},
		{policy + " a b --claims " + claims, "unexpected argument b"},
		{policy + " --claims " + policy, "not JSON (the file is an attestation policy)"},
	} {
		answers(t, term.Trouble, []string{c.want}, append([]string{"policy", "eval"}, strings.Fields(c.args)...)...)
	}
	answers(t, term.Trouble, []string{"not JSON (the file is an attestation policy)"}, "policy", "test", policy)
}

// TestOtherFilesBesideTestsAreCounted: one line, however many there are.
func TestOtherFilesBesideTestsAreCounted(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.test.json": `{"policyFile":"a.policy","claims":{"x":{"x-ms-sgx-svn":3}},"cases":[{"claims":"x","want":"permit"}]}`,
		"a.policy":    sgxPolicy, "b.json": "{}", "c.json": "{}", "d.json": "{}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, _, errText := runCLI(t, "policy", "test", dir)
	if want := "probity: 3 files are not used (b.json, c.json, d.json): their names do not end in .test.json\n"; errText != want {
		t.Errorf("%q, want %q", errText, want)
	}
}

// TestTheTypeComesFirst: what is missing is said by an example with the file.
func TestTheTypeComesFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sgx")
	runCLI(t, "simulate", "SgxEnclave", "--out", dir)
	file := filepath.Join(dir, "evidence.bin")
	answers(t, term.Trouble, []string{"the type comes first: probity verify evidence SgxEnclave " + file},
		"verify", "evidence", file)
	answers(t, term.Trouble, []string{"the type comes first: probity policy set SgxEnclave enclave.policy"},
		"policy", "set", "enclave.policy")
}
