package tpm

import (
	"testing"

	"github.com/probity-dev/probity/evidence/eventlog"
)

// TestWeakBanksAreNotShown: a bank of SHA-1 beside a strong one is quoted, and neither
// proves a log nor reaches a policy, unless SHA-1 was asked for.
func TestWeakBanksAreNotShown(t *testing.T) {
	banks := []eventlog.Bank{{Algorithm: eventlog.SHA1}, {Algorithm: eventlog.SHA256}}
	got := New(Config{}).accepted(banks)
	if len(got) != 1 || got[0].Algorithm != eventlog.SHA256 || banks[0].Algorithm != eventlog.SHA1 {
		t.Errorf("%v", got)
	}
	if got := New(Config{SHA1: true}).accepted(banks); len(got) != 2 {
		t.Errorf("%v", got)
	}
}
