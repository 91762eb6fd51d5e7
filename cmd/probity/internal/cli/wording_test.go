package cli

import (
	"strings"
	"testing"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// TestACheckIsExplained: by its id, as refusals print it.
func TestACheckIsExplained(t *testing.T) {
	answers(t, term.Yes, []string{"dcap.pck.root", "passes when", "if it fails", "docs/guide/checks.md#dcap.pck.root"},
		"help", "dcap.pck.root")
	answers(t, term.Yes, []string{"set PROBITY_TOKEN"}, "help", "caller.known")
	answers(t, term.Trouble, []string{`no check has the id "dcap.pck.rot"; did you mean dcap.pck.root?`},
		"help", "dcap.pck.rot")
}

// TestMisspeltCommandsGetOneSuggestion: and a group by itself its help.
func TestMisspeltCommandsGetOneSuggestion(t *testing.T) {
	for args, want := range map[string]string{
		"polcy":               "did you mean: probity policy\n",
		"policy chek":         `did you mean "check"?`,
		"man verify evidenc":  "did you mean evidence?",
		"help verify evidenc": `did you mean "evidence"?`,
	} {
		text := answers(t, term.Trouble, []string{want}, strings.Fields(args)...)
		if strings.Count(text, "did you mean") != 1 {
			t.Errorf("%s: %s", args, text)
		}
	}
	for _, group := range []string{"policy", "policy signers", "verify", "tpm roots"} {
		_, help, _ := runCLI(t, append(strings.Fields(group), "--help")...)
		code, out, errText := runCLI(t, strings.Fields(group)...)
		if code != term.Trouble || out != "" || !strings.HasPrefix(errText, help) {
			t.Errorf("%s: exit %d, %q %.300s", group, code, out, errText)
		}
	}
}

// TestListsHaveHeadings: on the first line, where there is something below it.
func TestListsHaveHeadings(t *testing.T) {
	startService(t)
	answers(t, term.Yes, nil, "provider", "create", "team-a")
	answers(t, term.Yes, nil, "token", "create", "ci", "--role", "reader")
	for command, want := range map[string]string{
		"provider list": "NAME TRUST STATUS ATTEST URI", "keys list": "KID ALGORITHM", "token list": "NAME ROLE PROVIDERS",
	} {
		_, out, _ := runCLI(t, strings.Fields(command)...)
		for _, word := range strings.Fields(want) {
			if first, _, _ := strings.Cut(out, "\n"); !strings.Contains(first, word) {
				t.Errorf("%s: no %s in %q", command, word, out)
			}
		}
	}
	help := strings.Join(strings.Fields(answers(t, term.Yes, nil, "ledger", "tail", "--help")), " ")
	if !strings.Contains(help, "How many entries; by default 20.") {
		t.Error(help)
	}
	answers(t, term.Yes, []string{"PROBITY_ADMIN_TOKEN", "PROBITY_POSTGRES", "PROBITY_MASTER_KEY",
		"localhost:8443", "probity-data"}, "serve", "--help")
	answers(t, term.Yes, []string{"by default all"}, "token", "create", "--help")
}

// TestWrongFilesAndValuesAreNamed: with what they are, or what was meant.
func TestWrongFilesAndValuesAreNamed(t *testing.T) {
	dir := t.TempDir() + "/sgx"
	runCLI(t, "simulate", "SgxEnclave", "--out", dir)
	empty := writeFile(t, "empty.json", "")
	verify := []string{"verify", "evidence", "SgxEnclave", dir + "/evidence.bin"}
	answers(t, term.Trouble, []string{empty + " is empty"}, append(verify, "--collateral", empty)...)
	answers(t, term.Trouble, []string{"bundle.json: not a configuration (the file is a collateral bundle"},
		append(verify, "--config", dir+"/bundle.json")...)
	answers(t, term.Trouble, []string{`"localhost:8443" is not an https URL; write https://localhost:8443`},
		"verify", "token", "eyJ.e30.", "--issuer", "localhost:8443")
	answers(t, term.Trouble, []string{"not of a known form (6 bytes)"}, "inspect", writeFile(t, "x", "\x01\x02\x03\x04\x05\x06"))
}
