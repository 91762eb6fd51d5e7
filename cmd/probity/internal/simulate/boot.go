// Package simulate is the command that writes evidence under test roots.
package simulate

import (
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/paravisor"
)

// simulatedChallenge is what simulated TPMs answer.
const simulatedChallenge = "simulation"

// simulatedPolicy says what a good boot is; types without a default policy come with it.
const simulatedPolicy = `version=1.0;
authorizationrules{
	[type=="secureBootEnabled", value==true] && [type=="aikValidated", value==true] => permit();
};
`

// boot makes evidence with a TPM in it: of a Linux machine, of an enclave on
// Windows, or of a confidential machine on Azure.
func (c *Command) boot(m *made, kind evidence.Kind, data []byte, dir string, now time.Time) error {
	m.evidence = "evidence.json"
	m.cfg.TPM.Authorities = []string{filepath.Join(dir, "root.pem")}
	guest := evidencetest.NewGuest(evidencetest.TPMConfig{Now: now})
	m.files["root.pem"] = guest.Root.PEM()
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: c.Debug})
	cfg := evidencetest.TPMEvidence{Challenge: []byte(simulatedChallenge)}
	switch kind {
	case evidence.AzureGuest:
		amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Bits: 4096})
		chip := amd.Chip(evidencetest.ChipConfig{})
		m.files["amd-roots.pem"] = amd.RootsPEM()
		m.cfg.Development.AMDRoots = filepath.Join(dir, "amd-roots.pem")
		m.cfg.TPM.Paravisors = paravisor.List{{Name: "simulated", Measurement: evidencetest.Paravisor()}}
		var payload json.RawMessage = data
		m.files["evidence.json"] = guest.Info(evidencetest.GuestConfig{
			Boot:      boot,
			Isolation: azureguest.SEVSNP,
			Edit:      func(i map[string]any) { i["ClientPayload"] = payload },
			Proof: func(runtime []byte) []byte {
				report := chip.Report(evidencetest.ReportConfig{
					Policy:      guestPolicy(c.Debug),
					ReportData:  evidencetest.BindData(runtime),
					Measurement: [48]byte(evidencetest.Paravisor()),
				})
				m.files["hcl-report.bin"] = evidencetest.HCL(2, report, runtime)
				return chip.Evidence(amd, report)
			},
		})
		m.files["eventlog.bin"] = boot.Log
		return nil
	case evidence.VBSEnclave:
		kernel := evidencetest.NewSecureKernel()
		boot = evidencetest.HealthyBoot(evidencetest.BootConfig{
			Windows: evidencetest.HealthyWindows(kernel.Measured()),
		})
		report := evidencetest.EnclaveReport{SVN: 1}
		if c.Debug {
			report.Flags = 1
		}
		cfg.Enclave = func(signed []byte) []byte { return kernel.Report(signed, report) }
	default: // a TPM
	}
	cfg.Boot = boot
	m.files["evidence.json"], m.files["eventlog.bin"], m.files["boot.policy"] = guest.Evidence(cfg), boot.Log,
		[]byte(simulatedPolicy)
	return nil
}

// guestPolicy is the policy of a confidential VM (SEV-SNP ABI, table 9); 0 stands for that of a healthy one.
func guestPolicy(debug bool) uint64 {
	if debug {
		return 0x3001f | 1<<19
	}
	return 0
}

// isBoot reports whether evidence of the kind has a TPM in it.
func isBoot(kind evidence.Kind) bool {
	return kind == evidence.TPM || kind == evidence.VBSEnclave || kind == evidence.AzureGuest
}

// bootCommand is how simulated evidence with a TPM in it is verified.
func bootCommand(kind evidence.Kind, dir string) string {
	command := "  probity verify evidence " + string(kind) + " " + filepath.Join(dir,
		"evidence.json") + " --config " + filepath.Join(dir, "probity.json")
	if kind != evidence.AzureGuest {
		command += " --challenge " + simulatedChallenge + " --policy " + filepath.Join(dir, "boot.policy")
	}
	return command
}
