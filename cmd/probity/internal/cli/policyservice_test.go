package cli

import (
	"strings"
	"testing"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

const sgxPolicy = `version=1.0;authorizationrules{[type=="x-ms-sgx-svn", value>=3] => permit();};`

// TestSetSaysWhatIsInForceAndWarns: the version, where, and what check knows about the claims.
func TestSetSaysWhatIsInForceAndWarns(t *testing.T) {
	url := startService(t)
	file := writeFile(t, "enclave.policy", sgxPolicy)
	answers(t, term.Yes, nil, "provider", "create", "team-a")
	answers(t, term.Yes, []string{"version 1 of the policy of SgxEnclave is in force at " + url + " (provider default)"},
		"policy", "set", "SgxEnclave", file)
	text := answers(t, term.Yes, []string{
		file + ":1:", "warning", "x-ms-sgx-svn",
		"version 1 of the policy of TdxVm is in force at " + url + " (provider team-a)",
	}, "policy", "set", "TdxVm", file, "--provider", "team-a")
	if strings.Contains(text, "error") {
		t.Error(text)
	}
	code, out, errText := runCLI(t, "policy", "set", "TdxVm", file, "--format", "json")
	if code != term.Yes || !strings.Contains(errText, "warning") || !strings.Contains(out, `"version": 1`) {
		t.Errorf("%d %s %s", code, out, errText)
	}
	answers(t, term.Trouble, []string{"the type comes first: probity policy set SgxEnclave enclave.policy"},
		"policy", "set", "enclave.policy", "SgxEnclave")
}

// TestShowPrintsThePolicyInForce: without a version, also the default that was never replaced.
func TestShowPrintsThePolicyInForce(t *testing.T) {
	startService(t)
	file := writeFile(t, "enclave.policy", sgxPolicy)
	answers(t, term.Yes, []string{"permit();", "the default policy, never changed"}, "policy", "show", "SgxEnclave")
	answers(t, term.No, []string{"no policy is in force for Tpm; set one with: probity policy set Tpm FILE"},
		"policy", "show", "Tpm")
	answers(t, term.Yes, nil, "policy", "set", "SgxEnclave", file)
	code, out, errText := runCLI(t, "policy", "show", "SgxEnclave")
	if code != term.Yes || out != sgxPolicy+"\n" || !strings.Contains(errText, "version 1, set, of ") {
		t.Errorf("%d %s %s", code, out, errText)
	}
	answers(t, term.Yes, nil, "policy", "reset", "SgxEnclave")
	answers(t, term.Yes, []string{"x-ms-sgx-is-debuggable", "version 2, reset, of "}, "policy", "show", "SgxEnclave")
	answers(t, term.Yes, []string{`"policy": "version`, `"version": 2`}, "policy", "show", "SgxEnclave",
		"--format", "json")
	text := answers(t, term.Yes, nil, "policy", "history", "SgxEnclave")
	lines := strings.Split(text, "\n")
	if !strings.HasPrefix(lines[0], "VERSION  TIME") || !strings.HasSuffix(lines[1], "  in force") ||
		strings.Contains(lines[2], "in force") {
		t.Errorf("history: %s", text)
	}
}

// TestAWrongFileIsNoPolicy: one line says what it is, and what to do.
func TestAWrongFileIsNoPolicy(t *testing.T) {
	binary := writeFile(t, "quote.bin", strings.Repeat("\x03\x00\xff\x80", 200))
	_, jws, _ := runCLI(t, "policy", "sign", writeFile(t, "enclave.policy", sgxPolicy))
	wrapped := writeFile(t, "enclave.jws", jws)
	t.Setenv("PROBITY_TOKEN", "any token of a service")
	for _, command := range [][]string{{"policy", "check"}, {"policy", "set", "SgxEnclave"}, {"policy", "explain"}} {
		for file, want := range map[string]string{
			binary: "not a policy", wrapped: "take the text out first: probity policy unwrap " + wrapped,
		} {
			code, out, errText := runCLI(t, append(command, file)...)
			text := strings.TrimSuffix(out, "1 error, 0 warnings\n") + errText
			if code == term.Yes || !strings.Contains(text, want) || strings.Count(text, "\n") != 1 {
				t.Errorf("%q: exit %d, %d lines: %.400q", command, code, strings.Count(text, "\n"), text)
			}
		}
	}
	answers(t, term.No, []string{"this is a policy already"}, "policy", "unwrap", writeFile(t, "a.policy", sgxPolicy))
}

// TestCheckSaysWhatItDidNotCheck: names of claims are known by the type of the evidence.
func TestCheckSaysWhatItDidNotCheck(t *testing.T) {
	file := writeFile(t, "enclave.policy", sgxPolicy)
	const hint = "claim names were not checked: give --type"
	answers(t, term.Yes, []string{hint}, "policy", "check", file)
	for _, more := range [][]string{{"--type", "SgxEnclave"}, {"--quiet"}, {"--format", "json"}} {
		if text := answers(t, term.Yes, nil, append([]string{"policy", "check", file}, more...)...); strings.Contains(text, hint) {
			t.Errorf("%q: %s", more, text)
		}
	}
}
