package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/policy"
)

// answers are what published policies say about a genuine boot of Windows, as their authors
// wrote them: in one a comment swallows a rule, so that flight signing is never read. The
// boot is told by the SHA-256 of its log, a policy by the claims that it issues.
var answers = map[string]map[string]claims.Value{
	"adab9f2b3291952a9cbe67cdca9cc4b45c323531aae214f94e48434236b59401": {
		"codeIntegrityEnabled":      claims.BooleanValue(true),
		"bitlockerStatus":           claims.IntegerValue(0),
		"elamDriverLoaded":          claims.BooleanValue(true),
		"osKernelDebuggingDisabled": claims.BooleanValue(true),
		"depPolicy":                 claims.IntegerValue(1),
		"testSigningDisabled":       claims.BooleanValue(true),
		"flightSigningNotEnabled":   claims.BooleanValue(false),
		"vbsEnabled":                claims.BooleanValue(false),
		"notSafeMode":               claims.BooleanValue(true),
		"notWinPE":                  claims.BooleanValue(true),
		"SecureBootEnabled":         claims.BooleanValue(true),
		"CodeIntegrityEnabled":      claims.BooleanValue(true),
		"BitlockerStatus":           claims.BooleanValue(false),
		"ELAMDriverLoaded":          claims.BooleanValue(true),
	},
}

var issues = regexp.MustCompile(`issue\(\s*type\s*=\s*"(\w+)"`)

// answersOf returns the answers known for a log.
func answersOf(log []byte) map[string]claims.Value {
	sum := sha256.Sum256(log)
	return answers[hex.EncodeToString(sum[:])]
}

// published runs the corpus' policies over the proven events of a log that answers are
// known for, and returns how many answers it compared.
func (all *corpus) published(log []byte, bank eventlog.Bank) (compared int, err error) {
	known := answersOf(log)
	if known == nil {
		return 0, nil
	}
	p, err := eventlog.Prove([]eventlog.Sent{{Data: log}}, bank)
	if err != nil {
		return 0, err
	}
	set := claims.NewSet(
		claims.Claim{Type: "events", Value: claims.StringValue(p.JSON()), Issuer: claims.AttestationService},
		claims.Claim{Type: "aikValidated", Value: claims.BooleanValue(true), Issuer: claims.AttestationService})
	for _, listed := range all.policies {
		text, err := os.ReadFile(listed.path())
		if err != nil {
			return compared, err
		}
		want := map[string]claims.Value{}
		for _, found := range issues.FindAllStringSubmatch(string(text), -1) {
			if value, ok := known[found[1]]; ok {
				want[found[1]] = value
			}
		}
		if len(want) == 0 {
			continue
		}
		if err := answersAs(string(text), set, want); err != nil {
			return compared, fmt.Errorf("policy %s: %w", listed.Name, err)
		}
		compared += len(want)
	}
	return compared, nil
}

func answersAs(text string, set claims.Set, want map[string]claims.Value) error {
	rules, err := policy.Parse(text)
	if err != nil {
		return err
	}
	out, err := rules.Evaluate(set)
	if err != nil {
		return err
	}
	for name, value := range want {
		if got, _ := out.Issued.Get(name); !got.Equal(&value) {
			return fmt.Errorf("%s is %v, want %v", name, got, value)
		}
	}
	return nil
}
