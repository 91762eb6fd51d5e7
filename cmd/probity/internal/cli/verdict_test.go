package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence/evidencetest"
)

// tpmCase is a folder with evidence of a TPM whose key has a certificate (whole.json)
// or none (uncertified.json), and the authority.
func tpmCase(t *testing.T, mask uint32) string {
	t.Helper()
	dir := t.TempDir()
	machine := evidencetest.NewTPM(evidencetest.TPMConfig{Now: time.Now()})
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	bare := func(drop ...string) []byte {
		one := machine.Attestation(evidencetest.TPMEvidence{Boot: boot, Mask: mask}, []byte("quote"))
		for _, name := range drop {
			delete(one, name)
		}
		b, err := json.Marshal(map[string]any{"current_attestation": one})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write(t, filepath.Join(dir, "whole.json"), bare())
	write(t, filepath.Join(dir, "uncertified.json"), bare("aik_cert"))
	write(t, filepath.Join(dir, "ca.pem"), machine.Root.PEM())
	return dir
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPolicyEvalObeysConfigurationRulesAsVerifyEvidenceDoes(t *testing.T) {
	dir := tpmCase(t, 0x7fff)
	rules := `authorizationrules{ [type=="secureBootEnabled", value==true] => permit(); };
issuancerules{ c:[type=="secureBootEnabled"] => issue(claim=c); };`
	for name, test := range map[string]struct {
		configuration string
		whole, bare   string // codes
	}{
		"none": {"", "tpm.quote.coverage", "tpm.ak.certificate"},
		"any key": {
			`=> issueproperty(type="require_valid_aik_cert", value=false);`,
			"tpm.quote.coverage",
			"tpm.quote.coverage",
		},
		"a certified key": {
			`=> issueproperty(type="require_valid_aik_cert", value=true);`,
			"tpm.quote.coverage",
			"tpm.ak.certificate",
		},
		"a mask": {`=> issueproperty(type="required_pcr_mask", value=129); ` +
			`=> issueproperty(type="require_valid_aik_cert", value=false);`, "", ""},
		"a mask of unquoted": {
			`=> issueproperty(type="required_pcr_mask", value=8388608);`,
			"tpm.quote.coverage",
			"tpm.ak.certificate",
		},
		"a mask of 27 bits": {
			`=> issueproperty(type="required_pcr_mask", value=99999999);`,
			"policy.settings",
			"policy.settings",
		},
		"a wrong TCB baseline": {
			`=> issueproperty(type="x-ms-sgx-tcbidentifier", value="new");`,
			"policy.tcb-identifier",
			"policy.tcb-identifier",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".policy")
			text := "version=1.2;\n"
			if test.configuration != "" {
				text += "configurationrules{ " + test.configuration + " };\n"
			}
			write(t, file, []byte(text+rules))
			for evidence, want := range map[string]string{"whole.json": test.whole, "uncertified.json": test.bare} {
				flags := []string{"Tpm", filepath.Join(dir,
					evidence), "--root", filepath.Join(dir, "ca.pem"), "--policy", file, "--format", "json"}
				code1, verified, _ := runCLI(t, append([]string{"verify", "evidence"}, flags...)...)
				code2, evaluated, _ := runCLI(t, append([]string{"policy", "eval", "--evidence"}, flags...)...)
				if code1 != code2 || verified != evaluated {
					t.Errorf("%s: verify evidence says %d, policy eval %d:\n%s\n%s", evidence, code1, code2,
						verified, evaluated)
				}
				var got struct{ Verdict, Code string }
				if err := json.Unmarshal([]byte(evaluated), &got); err != nil {
					t.Fatal(err, evaluated)
				}
				if got.Code != want || (got.Verdict == "accepted") != (want == "") {
					t.Errorf("%s: %s %q, want %q", evidence, got.Verdict, got.Code, want)
				}
			}
		})
	}
}

func TestSuitesAndComparisonsReadConfigurationRules(t *testing.T) {
	dir := t.TempDir()
	good := "version=1.2;\nconfigurationrules{ => issueproperty(type=\"x-ms-sgx-tcbidentifier\", " +
		"value=\"17\"); };\nauthorizationrules{ => permit(); };"
	write(t, filepath.Join(dir, "good.policy"), []byte(good))
	write(t, filepath.Join(dir, "bad.policy"), []byte(strings.Replace(good, "17", "newest", 1)))
	write(t, filepath.Join(dir, "bad.test.json"),
		[]byte(`{"policyFile":"bad.policy","claims":{"any":{"a":1}},"cases":[{"claims":"any",`+
			`"want":"error","reason":"newest"}]}`))
	if code, out, errText := runCLI(t, "policy", "test", filepath.Join(dir, "bad.test.json")); code != 0 {
		t.Errorf("policy test: %d %s%s", code, out, errText)
	}
	if err := os.Mkdir(filepath.Join(dir, "recorded"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "recorded", "one.json"), []byte(`{"a":1}`))
	code, out, _ := runCLI(t, "policy", "diff", filepath.Join(dir, "good.policy"),
		filepath.Join(dir, "bad.policy"), "--claims", filepath.Join(dir, "recorded"))
	if code != 1 || !strings.Contains(out, "permitted → denied") {
		t.Errorf("policy diff: %d %s", code, out)
	}
}

func TestEveryOutcomeIsJSONWhenAskedFor(t *testing.T) {
	dir := tpmCase(t, 0xffffff)
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("good.policy"),
		[]byte(`version=1.0;authorizationrules{=> permit();};issuancerules{=> issue(type="team", `+
			`value="blue");};`))
	write(t, at("deny.policy"), []byte(`version=1.0;authorizationrules{[type=="team"] => permit();};`))
	write(t, at("broken.policy"), []byte("version=1.0;\nauthorizationrules{ => permit() };"))
	write(t, at("claims.json"), []byte(`{"svn":3}`))
	write(t, at("broken.json"), []byte(`{"svn":`))
	write(t, at("junk"), []byte("junk"))
	root := []string{"--root", at("ca.pem")}
	for name, test := range map[string]struct {
		args          []string
		exit          int
		verdict, code string
	}{
		"verify, accepted": {append([]string{
			"verify", "evidence", "Tpm", at("whole.json"), "--policy", at("good.policy"),
		}, root...), 0, "accepted", ""},
		"verify, refused": {append([]string{"verify", "evidence", "Tpm", at("uncertified.json")},
			root...), 1, "rejected", "tpm.ak.certificate"},
		"verify, denied": {append([]string{
			"verify", "evidence", "Tpm", at("whole.json"), "--policy", at("deny.policy"),
		}, root...), 1, "rejected", "policy"},
		"verify, junk": {append([]string{"verify", "evidence", "Tpm", at("junk")},
			root...), 1, "rejected", "tpm.format"},
		"verify, no such file": {
			append([]string{"verify", "evidence", "Tpm", at("absent")}, root...), 2, "error", "file",
		},
		"verify, no such kind": {[]string{"verify", "evidence", "Toaster", at("junk")}, 2, "error", "input"},
		"verify, unknown flag": {
			[]string{"verify", "evidence", "Tpm", at("junk"), "--toast"}, 2, "error", "usage",
		},
		"verify, no argument": {[]string{"verify", "evidence"}, 2, "error", "usage"},
		"verify, broken policy": {append([]string{
			"verify", "evidence", "Tpm", at("whole.json"), "--policy", at("broken.policy"),
		}, root...), 2, "error", "policy"},
		"verify, broken time": {
			append([]string{"verify", "evidence", "Tpm", at("whole.json"), "--at", "noon"}, root...),
			2, "error", "input",
		},
		"eval, permitted": {
			[]string{"policy", "eval", "--policy", at("good.policy"), "--claims", at("claims.json")},
			0, "accepted", "",
		},
		"eval, denied": {
			[]string{"policy", "eval", "--policy", at("deny.policy"), "--claims", at("claims.json")},
			1, "rejected", "policy",
		},
		"eval, broken claims": {
			[]string{"policy", "eval", "--policy", at("good.policy"), "--claims", at("broken.json")},
			2, "error", "input",
		},
		"eval, no such claims": {
			[]string{"policy", "eval", "--policy", at("good.policy"), "--claims", at("absent")}, 2,
			"error", "file",
		},
		"eval, no such policy": {
			[]string{"policy", "eval", "--policy", at("absent"), "--claims", at("claims.json")}, 2,
			"error", "file",
		},
		"eval, broken policy": {
			[]string{"policy", "eval", "--policy", at("broken.policy"), "--claims", at("claims.json")},
			2, "error", "policy",
		},
		"eval, neither": {[]string{"policy", "eval", "--policy", at("good.policy")}, 2, "error", "usage"},
		"eval, refused": {append([]string{
			"policy", "eval", "--policy", at("good.policy"), "--evidence", "Tpm",
			at("uncertified.json"),
		}, root...), 1, "rejected", "tpm.ak.certificate"},
		"inspect, unknown": {[]string{"inspect", at("junk")}, 2, "error", "input"},
		"token, no such CA": {
			[]string{"verify", "token", "junk", "--issuer", "https://localhost:1", "--ca", at("absent")},
			2, "error", "file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, _ := runCLI(t, append(test.args, "--format", "json")...)
			var got map[string]any
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v: %q", err, out)
			}
			if code != test.exit || got["verdict"] != test.verdict || got["code"] != test.code {
				t.Errorf("exit %d, verdict %v, code %v; want %d, %s, %s\n%s", code, got["verdict"],
					got["code"], test.exit, test.verdict, test.code, out)
			}
			if test.exit == 2 {
				if got["message"] == "" {
					t.Error("no message")
				}
				if test.code == "policy" && len(got["diagnostics"].([]any)) == 0 {
					t.Error("no diagnostics")
				}
				return
			}
			for _, name := range []string{"claims", "incoming", "issued", "properties", "checks"} {
				if got[name] == nil {
					t.Errorf("no member %s", name)
				}
			}
		})
	}
	_, out, _ := runCLI(t, "policy", "eval", "--policy", at("good.policy"), "--claims", at("claims.json"),
		"--format=json")
	if !strings.Contains(out, `"team": "blue"`) || !strings.Contains(out, `"svn": 3`) {
		t.Errorf("issued and incoming claims are missing: %s", out)
	}
}
