package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/policy"
)

// published are answers that published policies give on the genuine boot of a
// Windows machine, as their authors wrote them: in one a comment swallows a rule, so
// that flight signing is never read.
var published = map[string]map[string]claims.Value{
	"derived-v12-row-02-code-integrity.policy":                       {"codeIntegrityEnabled": claims.BooleanValue(true)},
	"derived-v12-row-03-bitlocker-boot-state.policy":                 {"bitlockerStatus": claims.IntegerValue(0)},
	"derived-v12-row-04-early-launch-antimalware-elam.policy":        {"elamDriverLoaded": claims.BooleanValue(true)},
	"derived-v12-row-06-kernel-debugging.policy":                     {"osKernelDebuggingDisabled": claims.BooleanValue(true)},
	"derived-v12-row-07-data-execution-prevention-dep-policy.policy": {"depPolicy": claims.IntegerValue(1)},
	"derived-v12-row-08-test-and-flight-signing.policy":              {"testSigningDisabled": claims.BooleanValue(true), "flightSigningNotEnabled": claims.BooleanValue(false)},
	"derived-v12-row-09-virtual-secure-mode-vbs.policy":              {"vbsEnabled": claims.BooleanValue(false)},
	"derived-v12-row-14-safe-mode.policy":                            {"notSafeMode": claims.BooleanValue(true)},
	"derived-v12-row-15-winpe-boot.policy":                           {"notWinPE": claims.BooleanValue(true)},
	"doc-tpm-sample-v12-tpm-boot-properties.policy": {"SecureBootEnabled": claims.BooleanValue(true), "CodeIntegrityEnabled": claims.BooleanValue(true),
		"BitlockerStatus": claims.BooleanValue(false), "ELAMDriverLoaded": claims.BooleanValue(true)},
}

// publishedProblem runs the policies over the proven events of a case.
func publishedProblem(folder string, bank eventlog.Bank) error {
	raw, err := os.ReadFile(filepath.Join(folder, "eventlog.bin"))
	if err != nil {
		return err
	}
	p, err := eventlog.Prove([]eventlog.Sent{{Data: raw}}, bank)
	if err != nil {
		return err
	}
	set := claims.NewSet(claims.Claim{Type: "events", Value: claims.StringValue(p.JSON()), Issuer: claims.AttestationService},
		claims.Claim{Type: "aikValidated", Value: claims.BooleanValue(true), Issuer: claims.AttestationService})
	for file, want := range published {
		text, err := os.ReadFile(filepath.Join(folder, "..", "..", "policies", file))
		if err != nil {
			return err
		}
		rules, err := policy.Parse(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		out, err := rules.Evaluate(set)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for name, value := range want {
			if got, _ := out.Issued.Get(name); !got.Equal(&value) {
				return fmt.Errorf("%s: %s is %v, want %v", file, name, got, value)
			}
		}
	}
	return nil
}
