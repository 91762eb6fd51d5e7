package cli

import (
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence"
)

func TestSimulatedEvidenceWithoutItsRootIsNamedAsSimulated(t *testing.T) {
	for _, kind := range simulatedKinds {
		s := simulate(t, kind)
		var flags []string
		for i := 0; i < len(s.flags); i += 2 {
			if s.flags[i] == "--collateral" {
				flags = append(flags, s.flags[i:i+2]...)
			}
		}
		s.flags = flags
		code, text := s.verify(t, kind, s.evidence)
		if code != 1 || !strings.Contains(text, "a simulated") || !strings.Contains(text, "--root") && kind != evidence.AzureGuest {
			t.Errorf("%s: exit %d\n%s", kind, code, text)
		}
	}
}
