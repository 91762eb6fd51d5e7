package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence"
)

func TestSimulatedEvidenceWithoutItsRootIsNamedAsSimulated(t *testing.T) {
	for _, kind := range simulatedKinds {
		s := simulation(t, kind)
		var flags []string
		for i := 0; i < len(s.flags); i += 2 {
			if s.flags[i] == "--collateral" {
				flags = append(flags, s.flags[i:i+2]...)
			}
		}
		s.flags = flags
		code, text := s.verify(t, kind, s.evidence)
		if code != 1 || !strings.Contains(text, "a simulated") ||
			!strings.Contains(text, "--root") && kind != evidence.AzureGuest {
			t.Errorf("%s: exit %d\n%s", kind, code, text)
		}
	}
}

func TestSimulatedPlatformsHaveTheStateThatWasAskedFor(t *testing.T) {
	for _, test := range []struct {
		kind    evidence.Kind
		flags   string
		refusal string // the check that refuses it
		tcb     string // what accepts it
	}{
		{evidence.SGXEnclave, "--tcb OutOfDate", "dcap.tcb.status", "OutOfDate"},
		{evidence.OpenEnclave, "--tcb OutOfDate", "dcap.tcb.status", "OutOfDate"},
		{evidence.TDXVM, "--tcb OutOfDate", "dcap.tcb.status", "OutOfDate"},
		{evidence.TDXVM, "--tcb TDRelaunchAdvised", "dcap.tcb.status", "TDRelaunchAdvised"},
		{evidence.TDXVM, "--service-td", "tdx.service-td", "UpToDate,BoundServiceTD"},
		{evidence.SEVSNPVM, "--tcb OutOfDate", "snp.tcb.status", "OutOfDate"},
		{evidence.SEVSNPVM, "--tcb OutOfDate --line Genoa", "snp.tcb.status", "OutOfDate"},
		{evidence.SGXEnclave, "", "", "UpToDate"},
	} {
		dir := filepath.Join(t.TempDir(), "made")
		if code, _, text := runCLI(t, append([]string{"simulate", string(test.kind), "--out", dir},
			strings.Fields(test.flags)...)...); code != 0 {
			t.Fatalf("%s %s: %s", test.kind, test.flags, text)
		}
		file := filepath.Join(dir, "evidence.bin")
		if test.kind == evidence.SEVSNPVM {
			file = filepath.Join(dir, "evidence.json")
		}
		verify := []string{"verify", "evidence", string(test.kind), file, "--config", filepath.Join(dir,
			"probity.json")}
		code, out, text := runCLI(t, verify...)
		if test.refusal != "" && (code != 1 || !strings.Contains(out, test.refusal)) {
			t.Errorf("%s %s: exit %d, not refused by %s\n%s%s", test.kind, test.flags, code, test.refusal, out, text)
		}
		if code, out, text := runCLI(t, append(verify, "--tcb", test.tcb)...); code != 0 {
			t.Errorf("%s %s, --tcb %s: exit %d\n%s%s", test.kind, test.flags, test.tcb, code, out, text)
		}
	}
	for _, flags := range []string{
		"NitroEnclave --tcb OutOfDate", "SgxEnclave --tcb TDRelaunchAdvised", "SevSnpVm --service-td",
		"SevSnpVm --line Turin --tcb OutOfDate", "TdxVm --tcb Revoked",
	} {
		code, _, text := runCLI(t, append([]string{"simulate", "--out", filepath.Join(t.TempDir(), "not")},
			strings.Fields(flags)...)...)
		if code != 2 {
			t.Errorf("simulate %s: exit %d\n%s", flags, code, text)
		}
	}
}

func TestTheConfigurationNamesTheCollateral(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	runCLI(t, "simulate", "SgxEnclave", "--out", dir)
	verify := []string{"verify", "evidence", "SgxEnclave", filepath.Join(dir,
		"evidence.bin"), "--config", filepath.Join(dir, "probity.json")}
	if code, out, text := runCLI(t, verify...); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out, text)
	}
	other := filepath.Join(t.TempDir(), "other")
	runCLI(t, "simulate", "SgxEnclave", "--out", other)
	// --collateral is used instead of it, not besides.
	code, out, _ := runCLI(t, append(verify, "--collateral", filepath.Join(other, "bundle.json"))...)
	if code != 1 || !strings.Contains(out, "dcap.") {
		t.Errorf("with collateral of another root: exit %d\n%s", code, out)
	}
}

// TestARootOfTheConfigurationIsNamed: as one of --root is, for what it decides about.
func TestARootOfTheConfigurationIsNamed(t *testing.T) {
	for kind, setting := range map[string]string{
		"SgxEnclave": "intelRoot", "TdxVm": "intelRoot", "OpenEnclave": "intelRoot", "SevSnpVm": "amdRoots",
		"NitroEnclave": "nitroRoot",
	} {
		dir := filepath.Join(t.TempDir(), kind)
		runCLI(t, "simulate", kind, "--out", dir)
		files, err := filepath.Glob(filepath.Join(dir, "evidence.*"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		policy := writeFile(t, "p.policy", "version=1.0;authorizationrules{=>permit();};")
		for _, args := range [][]string{
			{"verify", "evidence", kind, files[0]}, {"policy", "eval", "--policy", policy, "--evidence", kind, files[0]},
		} {
			_, _, text := runCLI(t, append(args, "--config", filepath.Join(dir, "probity.json"))...)
			if !strings.Contains(text, "development."+setting) ||
				!strings.Contains(text, "this proves nothing about real hardware") {
				t.Errorf("%q does not name the test root: %s", args, text)
			}
		}
	}
}
