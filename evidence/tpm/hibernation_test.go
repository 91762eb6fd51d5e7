package tpm_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
)

// resumed makes evidence of a Windows that resumed; change may alter what was quoted before.
func resumed(
	now *evidencetest.Boot, then *evidencetest.Boot, before *evidencetest.TPM, mask uint32,
) evidencetest.TPMEvidence {
	c := healthy()
	c.Boot = now
	c.Edit = func(d map[string]any) {
		d["tpm_att_data"].(map[string]any)["boot_attestation"] = before.Attestation(evidencetest.TPMEvidence{
			Boot: then, Mask: mask,
		}, nil)
	}
	return c
}

func earlier() *evidencetest.TPM {
	before := *machine
	before.Clock.Milliseconds -= 1000
	before.Clock.Restart--
	return &before
}

func windows(items map[uint32][]byte) *evidencetest.Boot {
	return evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: items})
}

func TestHibernation(t *testing.T) {
	bad := evidencetest.SIPA(0x00050003, []byte{1})
	for name, tc := range map[string]struct {
		now, then *evidencetest.Boot
		vbs, test bool
	}{
		"all is well in both": {
			windows(evidencetest.ResumedWindows()), windows(evidencetest.HealthyWindows()), true, true,
		},
		"worse at resume": {windows(evidencetest.ResumedWindows(evidencetest.SIPA(0x000a0001, []byte{0}),
			evidencetest.SIPA(0x00040001, []byte{1}))), windows(evidencetest.HealthyWindows()), false, false},
		"worse before": {windows(evidencetest.ResumedWindows(bad)), windows(evidencetest.HealthyWindows(
			evidencetest.SIPA(0x000a0001, []byte{0}), evidencetest.SIPA(0x00040001, []byte{1}),
		)), false, false},
	} {
		result, err := verify(t, machine.Evidence(resumed(tc.now, tc.then, earlier(), 0)), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for claim, want := range map[string]bool{
			"vbsEnabled": tc.vbs, "bootDebuggingDisabled": tc.test, "secureBootEnabled": true,
		} {
			if v, _ := result.Aliases.Get(claim); v != claims.BooleanValue(want) || !result.Aliases.Has("bootEvents") {
				t.Errorf("%s: %s is %v", name, claim, v)
			}
		}
	}
}

// TestAnEarlierBootIsNotAddedAtWill: a sender cannot replace what is known of the system that
// runs by what was known of an earlier one.
func TestAnEarlierBootIsNotAddedAtWill(t *testing.T) {
	good, resume := windows(evidencetest.HealthyWindows()), windows(evidencetest.ResumedWindows())
	change := func(edit func(*evidencetest.TPM)) *evidencetest.TPM { m := earlier(); edit(m); return m }
	other := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now, Root: &machine.Root})
	mixed := evidencetest.ResumedWindows()
	mixed[12] = append(mixed[12], evidencetest.SIPA(0x00020003, binary.LittleEndian.AppendUint32(nil, 1))...)
	shim := windows(evidencetest.ResumedWindows())
	shim.Add(evidencetest.Authority(evidencetest.ThirdPartyAuthority()))
	for name, tc := range map[string]struct {
		now, then *evidencetest.Boot
		before    *evidencetest.TPM
		mask      uint32
		id        string
	}{
		"Linux runs": {
			evidencetest.HealthyBoot(evidencetest.BootConfig{Kernel: "/vmlinuz init=/bin/sh"}), good,
			earlier(), 0, "tpm.boot.cycle",
		},
		"Linux that resembles Windows": {shim, good, earlier(), 0, "tpm.boot.cycle"},
		"secure boot is off": {evidencetest.HealthyBoot(evidencetest.BootConfig{
			SecureBootOff: true,
			Windows:       evidencetest.ResumedWindows(),
		}), good, earlier(), 0, "tpm.boot.cycle"},
		"Windows was started": {
			windows(evidencetest.HealthyWindows()), good, earlier(), 0, "tpm.boot.cycle",
		},
		"Windows started, and resumes": {windows(mixed), good, earlier(), 0, "tpm.boot.cycle"},
		"Linux before": {
			resume, evidencetest.HealthyBoot(evidencetest.BootConfig{}), earlier(), 0,
			"tpm.boot.cycle",
		},
		"a resume before": {resume, resume, earlier(), 0, "tpm.boot.cycle"},
		"another cycle": {resume, good, change(func(m *evidencetest.TPM) {
			m.Clock.Reset++
		}), 0, "tpm.boot.cycle"},
		"later": {resume, good, change(func(m *evidencetest.TPM) {
			m.Clock.Milliseconds += 5000
		}), 0, "tpm.boot.cycle"},
		"the same restart": {resume, good, change(func(m *evidencetest.TPM) {
			m.Clock.Restart++
		}), 0, "tpm.boot.cycle"},
		"a later restart": {resume, good, change(func(m *evidencetest.TPM) {
			m.Clock.Restart += 2
		}), 0, "tpm.boot.cycle"},
		"another TPM":     {resume, good, other, 0, "tpm.boot.cycle"},
		"fewer registers": {resume, good, earlier(), 0xff, "tpm.quote.coverage"},
	} {
		_, err := verify(t, machine.Evidence(resumed(tc.now, tc.then, tc.before, tc.mask)), nil)
		wantRejection(t, name, tc.id, err)
	}
}

// TestKeysThatNothingCertifiesAreRefused: a sender can put any key beside his own.
func TestKeysThatNothingCertifiesAreRefused(t *testing.T) {
	stranger := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
	for name, info := range map[string]map[string]any{
		"nothing":   {},
		"the quote": {"tpm_quote": map[string]any{"hash_alg": "sha-256"}},
		"null":      {"tpm_certify": nil},
	} {
		c := healthy()
		c.Edit = func(d map[string]any) {
			d["other_keys"] = []any{map[string]any{"jwk": evidencetest.JWK(stranger.Request.Public()), "info": info}}
		}
		_, err := verify(t, machine.Evidence(c), nil)
		wantRejection(t, name, "tpm.key.certified", err)
	}
}

// TestIgnoredEventsAreReported: with the check of the log.
func TestIgnoredEventsAreReported(t *testing.T) {
	c := healthy()
	c.Boot = evidencetest.HealthyBoot(evidencetest.BootConfig{})
	c.Boot.Add(evidencetest.BootEvent{
		PCR: 8, Type: 0xd, Data: []byte("grub_cmd: linux /other\x00"), Hashed: []byte("linux /other"),
	})
	result, err := verify(t, machine.Evidence(c), func(*tpm.Config, *evidence.Evidence) {})
	if err != nil || result.Aliases.Has("x-probity-boot-kernel-command-line") {
		t.Fatalf("%v", err)
	}
	for _, check := range result.Checks {
		if check.ID == "tpm.event-log" {
			if want := "not used: kernel command line: "; !strings.Contains(check.Found, want) {
				t.Errorf("%q does not tell %q", check.Found, want)
			}
			return
		}
	}
	t.Error("no check of the log")
}
