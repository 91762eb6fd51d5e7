package tpm_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/internal/testtee"
)

// resumed makes evidence of a Windows that resumed; change may alter what was quoted before.
func resumed(now *testtee.Boot, then *testtee.Boot, before *testtee.TPM, mask uint32) testtee.TPMEvidence {
	c := healthy()
	c.Boot = now
	c.Edit = func(d map[string]any) {
		d["tpm_att_data"].(map[string]any)["boot_attestation"] = before.Attestation(testtee.TPMEvidence{Boot: then, Mask: mask}, nil)
	}
	return c
}

func earlier() *testtee.TPM {
	before := *machine
	before.Clock.Milliseconds -= 1000
	before.Clock.Restart--
	return &before
}

func windows(items map[uint32][]byte) *testtee.Boot {
	return testtee.HealthyBoot(testtee.BootConfig{Windows: items})
}

func TestHibernation(t *testing.T) {
	bad := testtee.SIPA(0x00050003, []byte{1})
	for name, tc := range map[string]struct {
		now, then *testtee.Boot
		vbs, test bool
	}{
		"all is well in both": {windows(testtee.ResumedWindows()), windows(testtee.HealthyWindows()), true, true},
		"worse at resume":     {windows(testtee.ResumedWindows(testtee.SIPA(0x000a0001, []byte{0}), testtee.SIPA(0x00040001, []byte{1}))), windows(testtee.HealthyWindows()), false, false},
		"worse before":        {windows(testtee.ResumedWindows(bad)), windows(testtee.HealthyWindows(testtee.SIPA(0x000a0001, []byte{0}), testtee.SIPA(0x00040001, []byte{1}))), false, false},
	} {
		result, err := verify(t, machine.Evidence(resumed(tc.now, tc.then, earlier(), 0)), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for claim, want := range map[string]bool{"vbsEnabled": tc.vbs, "bootDebuggingDisabled": tc.test, "secureBootEnabled": true} {
			if v, _ := result.Aliases.Get(claim); v != claims.BooleanValue(want) || !result.Aliases.Has("bootEvents") {
				t.Errorf("%s: %s is %v", name, claim, v)
			}
		}
	}
}

// TestAnEarlierBootIsNotAddedAtWill: a sender cannot replace what is known of the system that
// runs by what was known of an earlier one.
func TestAnEarlierBootIsNotAddedAtWill(t *testing.T) {
	good, resume := windows(testtee.HealthyWindows()), windows(testtee.ResumedWindows())
	change := func(edit func(*testtee.TPM)) *testtee.TPM { m := earlier(); edit(m); return m }
	other := testtee.NewTPM(testtee.TPMConfig{Now: now, Root: &machine.Root})
	mixed := testtee.ResumedWindows()
	mixed[12] = append(mixed[12], testtee.SIPA(0x00020003, binary.LittleEndian.AppendUint32(nil, 1))...)
	shim := windows(testtee.ResumedWindows())
	shim.Add(testtee.Authority(testtee.ThirdPartyAuthority))
	for name, tc := range map[string]struct {
		now, then *testtee.Boot
		before    *testtee.TPM
		mask      uint32
		id        string
	}{
		"Linux runs":                   {testtee.HealthyBoot(testtee.BootConfig{Kernel: "/vmlinuz init=/bin/sh"}), good, earlier(), 0, "tpm.boot.cycle"},
		"Linux that resembles Windows": {shim, good, earlier(), 0, "tpm.boot.cycle"},
		"secure boot is off":           {testtee.HealthyBoot(testtee.BootConfig{SecureBootOff: true, Windows: testtee.ResumedWindows()}), good, earlier(), 0, "tpm.boot.cycle"},
		"Windows was started":          {windows(testtee.HealthyWindows()), good, earlier(), 0, "tpm.boot.cycle"},
		"Windows started, and resumes": {windows(mixed), good, earlier(), 0, "tpm.boot.cycle"},
		"Linux before":                 {resume, testtee.HealthyBoot(testtee.BootConfig{}), earlier(), 0, "tpm.boot.cycle"},
		"a resume before":              {resume, resume, earlier(), 0, "tpm.boot.cycle"},
		"another cycle":                {resume, good, change(func(m *testtee.TPM) { m.Clock.Reset++ }), 0, "tpm.boot.cycle"},
		"later":                        {resume, good, change(func(m *testtee.TPM) { m.Clock.Milliseconds += 5000 }), 0, "tpm.boot.cycle"},
		"the same restart":             {resume, good, change(func(m *testtee.TPM) { m.Clock.Restart++ }), 0, "tpm.boot.cycle"},
		"a later restart":              {resume, good, change(func(m *testtee.TPM) { m.Clock.Restart += 2 }), 0, "tpm.boot.cycle"},
		"another TPM":                  {resume, good, other, 0, "tpm.boot.cycle"},
		"fewer registers":              {resume, good, earlier(), 0xff, "tpm.quote.coverage"},
	} {
		_, err := verify(t, machine.Evidence(resumed(tc.now, tc.then, tc.before, tc.mask)), nil)
		wantRejection(t, name, tc.id, err)
	}
}

// TestKeysThatNothingCertifiesAreRefused: a sender can put any key beside his own.
func TestKeysThatNothingCertifiesAreRefused(t *testing.T) {
	stranger := testtee.NewTPM(testtee.TPMConfig{Now: now})
	for name, info := range map[string]map[string]any{"nothing": {}, "the quote": {"tpm_quote": map[string]any{"hash_alg": "sha-256"}}, "null": {"tpm_certify": nil}} {
		c := healthy()
		c.Edit = func(d map[string]any) {
			d["other_keys"] = []any{map[string]any{"jwk": testtee.JWK(stranger.Request.Public()), "info": info}}
		}
		_, err := verify(t, machine.Evidence(c), nil)
		wantRejection(t, name, "tpm.key.certified", err)
	}
}

// TestWhatIsNotBelievedIsTold: with the check of the log.
func TestWhatIsNotBelievedIsTold(t *testing.T) {
	c := healthy()
	c.Boot = testtee.HealthyBoot(testtee.BootConfig{})
	c.Boot.Add(testtee.BootEvent{PCR: 8, Type: 0xd, Data: []byte("grub_cmd: linux /other\x00"), Hashed: []byte("linux /other")})
	result, err := verify(t, machine.Evidence(c), func(*tpm.Config, *evidence.Evidence) {})
	if err != nil || result.Aliases.Has("x-probity-boot-kernel-command-line") {
		t.Fatalf("%v", err)
	}
	for _, check := range result.Checks {
		if check.ID == "tpm.event-log" {
			if want := "not believed: kernel command line: "; !strings.Contains(check.Found, want) {
				t.Errorf("%q does not tell %q", check.Found, want)
			}
			return
		}
	}
	t.Error("no check of the log")
}
