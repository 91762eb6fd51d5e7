package snp_test

import (
	"bytes"
	"testing"

	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
)

func TestAChallengeIsTheWholeReportData(t *testing.T) {
	challenge := bytes.Repeat([]byte{7}, 48)
	field := func(edit func([]byte)) (f [64]byte) {
		copy(f[:], challenge)
		edit(f[:])
		return f
	}
	for name, tc := range map[string]struct {
		challenge []byte
		report    [64]byte
		want      string
	}{
		"the challenge and zeros": {challenge, field(func([]byte) {}), ""},
		"a full one":              {bytes.Repeat([]byte{7}, 64), [64]byte(bytes.Repeat([]byte{7}, 64)), ""},
		"another one":             {challenge, field(func(b []byte) { b[47]++ }), snp.CheckChallenge.ID},
		"no zeros after it":       {challenge, field(func(b []byte) { b[63] = 1 }), snp.CheckChallenge.ID},
		"a prefix of it":          {challenge, field(func(b []byte) { clear(b[32:]) }), snp.CheckChallenge.ID},
		"longer than the field": {bytes.Repeat([]byte{7}, 65), [64]byte(bytes.Repeat([]byte{7}, 64)),
			snp.CheckChallenge.ID},
		"none, and zeros": {[]byte{}, [64]byte{}, snp.CheckChallenge.ID},
		"after other bytes": {challenge, field(func(b []byte) { copy(b[1:], b); b[0] = 0 }),
			snp.CheckChallenge.ID},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
			l.ev.Challenge = tc.challenge
			if _, err := l.verify(t, evidencetest.ReportConfig{ReportData: tc.report}); refusal(t,
				err) != tc.want {
				t.Errorf("refused by %q, want %q", refusal(t, err), tc.want)
			}
		})
	}
}
