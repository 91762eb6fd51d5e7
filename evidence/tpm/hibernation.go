package tpm

import (
	"fmt"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
)

// A system that resumes from hibernation goes on with the memory of a boot that the registers
// no longer tell of. The client then sends what was quoted before. It is a statement that the
// sender chooses to add: it is used only where the proven log of this start is that of
// Windows's resume application, and it can take facts away and add none.

// hibernated verifies what was quoted before hibernation, and leaves in p.Boot the facts that
// are true in both.
func (v *Verifier) hibernated(
	result *evidence.Result, a *attestationJSON, p *Proof, mask uint32,
) (*eventlog.Proof, error) {
	fail := func(expected, found string) error {
		return result.Fail(CheckHibernation, expected, found)
	}
	if !p.Boot.Resumed {
		found := "a log of a start of Windows without a resume"
		if !p.Boot.Windows {
			found = "a log that does not prove that Windows started" + reasons(p.Boot)
		}
		return nil, fail("a quote before hibernation only with the log of Windows's resume application", found)
	}
	key, err := ParseJWK(a.AKPub)
	if err != nil || !SameKey(key, p.keys.ak) {
		return nil, fail("a quote before hibernation by the same attestation key", "a quote by a different key")
	}
	q, quoted, err := v.quote(result, a, p.keys.ak, "before hibernation: ")
	if err != nil {
		return nil, err
	}
	then, now := quoted.Clock, p.Quote.Clock
	// TPMs may add a constant to the counts, so that only their difference says something.
	if then.ResetCount != now.ResetCount || then.Milliseconds > now.Milliseconds ||
		int32(now.RestartCount-then.RestartCount) <= 0 {
		return nil, fail(fmt.Sprintf("a quote of the same cycle of power, %d, and of an earlier restart",
			now.ResetCount),
			fmt.Sprintf("cycle %d, restart %d at %d ms; now restart %d at %d ms", then.ResetCount,
				then.RestartCount, then.Milliseconds, now.RestartCount, now.Milliseconds))
	}
	boot, err := v.replay(result, q, a, mask)
	if err != nil {
		return nil, err
	}
	before, err := boot.Facts()
	if err != nil {
		return nil, result.Fail(CheckLog, "a log of one boot", "before hibernation: "+err.Error())
	}
	if !before.Windows || before.Resumed {
		return nil, fail("before hibernation, the log of a start of Windows",
			"a log that does not prove that Windows started"+reasons(before))
	}
	result.Pass(CheckHibernation, "a quote before hibernation of the same cycle of power",
		fmt.Sprintf("cycle %d, restart %d; now restart %d", then.ResetCount, then.RestartCount,
			now.RestartCount))
	p.Boot = p.Boot.And(before)
	return boot, nil
}

// reasons tells what a log does not prove, and why.
func reasons(f *eventlog.Facts) (text string) {
	for _, reason := range f.LeftOut {
		text += "; " + reason
	}
	return text
}
