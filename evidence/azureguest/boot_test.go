package azureguest_test

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// stated returns a boolean claim of the guest.
func stated(t *testing.T, r *evidence.Result, name string) bool {
	t.Helper()
	v, ok := r.Claims.Get(name)
	b, isBool := v.Bool()
	if !ok || !isBool {
		t.Fatalf("no claim %s", name)
	}
	return b
}

// badWindows is a Windows with debugging and test signing on.
func badWindows() map[uint32][]byte {
	var items []byte
	for _, tag := range []uint32{0x00040001, 0x00050001, 0x00050003, 0x00050021, 0x0005000d} {
		items = append(items, evidencetest.SIPA(tag, []byte{1})...)
	}
	return map[uint32][]byte{12: items, 13: items, 14: evidencetest.SIPA(0x00060002, []byte("a signer's key"))}
}

// TestModesAreOffOnlyWhereThatIsShown: by Windows's own log, by registers that nothing
// extended, or by PCR 7; a guest that leaves registers out shows nothing.
func TestModesAreOffOnlyWhereThatIsShown(t *testing.T) {
	noSecureBoot := evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true})
	extended := evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true})
	extended.Add(evidencetest.BootEvent{PCR: 13, Type: 0xd, Data: []byte("something")})
	for name, tc := range map[string]struct {
		boot         *evidencetest.Boot
		mask         uint32
		off, windows bool
	}{
		"Linux with secure boot": {boot, 0xff, true, false},
		"Windows": {
			evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows()}),
			0xffffff, true, true,
		},
		"Windows, its registers not quoted": {
			evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows()}),
			0xff, false, true,
		},
		"Windows with bad modes": {
			evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: badWindows()}), 0xffffff, false,
			true,
		},
		"bad modes, no secure boot": {
			evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true, Windows: badWindows()}),
			0xffffff, false, false,
		},
		"bad modes, no secure boot, nothing quoted": {
			evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true, Windows: badWindows()}),
			0xff, false, false,
		},
		"bad modes, one register quoted": {
			evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true, Windows: badWindows()}),
			0xff | 1<<15, false, false,
		},
		"no secure boot, nothing extended":        {noSecureBoot, 0xffffff, true, false},
		"no secure boot, registers not quoted":    {noSecureBoot, 0xff, false, false},
		"no secure boot, one register not quoted": {noSecureBoot, 0xffffff &^ (1 << 14), false, false},
		"no secure boot, one register extended":   {extended, 0xffffff, false, false},
	} {
		r, err := verify(t, guest.Info(evidencetest.GuestConfig{Boot: tc.boot, Mask: tc.mask}), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for claim, want := range map[string]bool{
			"debuggersdisabled": tc.off, "signingdisabled": tc.off, "bootdebug-enabled": !tc.off,
			"kerneldebug-enabled":     !tc.off,
			"hypervisordebug-enabled": !tc.off,
			"testsigning-enabled":     !tc.off, "flightsigning-enabled": !tc.off, "is-windows": tc.windows,
		} {
			if got := stated(t, r, "x-ms-azurevm-"+claim); got != want {
				t.Errorf("%s: %s is %v", name, claim, got)
			}
		}
	}
}

// TestRegistersOfTheRunningSystemProveNothing: PCR 15, 16 and 23 can be extended or reset by it.
func TestRegistersOfTheRunningSystemProveNothing(t *testing.T) {
	module := evidencetest.SIPA(0x40010003, append(evidencetest.SIPA(
		0x00070001, evidencetest.UTF16(`\Windows\System32\drivers\wd\WdBoot.sys`),
	), evidencetest.SIPA(0x0007000a, []byte{1})...))
	items := append(module, evidencetest.SIPA(0x000a0007, []byte{1, 0, 0, 0})...)
	for _, pcr := range []uint32{15, 16, 23} {
		b := evidencetest.HealthyBoot(evidencetest.BootConfig{})
		b.Add(evidencetest.BootEvent{PCR: pcr, Type: 6, Data: evidencetest.SIPA(0x40010001, items)})
		r, err := verify(t, guest.Info(evidencetest.GuestConfig{Boot: b, Mask: 0xffffff}), nil)
		if err != nil {
			t.Fatal(err)
		}
		policy, _ := r.Claims.Get("x-ms-azurevm-hvci-policy")
		if stated(t, r, "x-ms-azurevm-elam-enabled") || stated(t, r, "x-ms-azurevm-is-windows") ||
			policy != claims.IntegerValue(0) {
			t.Errorf("PCR %d: an event of the running system is believed", pcr)
		}
	}
}

// TestTheCommandLineDoesNotDependOnLabels: same registers, same quote, other labels.
func TestTheCommandLineDoesNotDependOnLabels(t *testing.T) {
	const good, evil = "/vmlinuz root=/dev/mapper/verity ro lockdown=confidentiality",
		"/vmlinuz root=/dev/sda1 rw init=/bin/sh"
	b := evidencetest.HealthyBoot(evidencetest.BootConfig{Kernel: evil})
	b.Add(evidencetest.BootEvent{
		PCR: 8, Type: 0xd, Data: []byte("grub_cmd: " + good + "\x00"), Hashed: []byte(good),
	})
	relabelled := evidencetest.NewBoot()
	for _, e := range b.Events {
		if e.PCR == 8 {
			text := strings.TrimSuffix(string(e.Data), "\x00")
			if strings.HasSuffix(text, ": "+good) {
				e.Data = []byte("grub_kernel_cmdline " + good + "\x00")
			} else if strings.HasPrefix(text, "kernel_cmdline: ") {
				e.Data = []byte("grub_cmd: " + evil + "\x00")
			}
		}
		relabelled.Add(e)
	}
	if relabelled.PCRs != b.PCRs {
		t.Fatal("the test's logs lead to other registers")
	}
	for name, boot := range map[string]*evidencetest.Boot{"as it was": b, "relabelled": relabelled} {
		r, err := verify(t, guest.Info(evidencetest.GuestConfig{Boot: boot, Mask: 0xffffff}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if line, _ := r.Aliases.Get("x-probity-boot-kernel-command-line"); line != claims.StringValue(evil) {
			t.Errorf("%s: %v", name, line)
		}
	}
}

// TestAnOmittedCommandLineIsReported: with the check of the log.
func TestAnOmittedCommandLineIsReported(t *testing.T) {
	b := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	b.Add(evidencetest.BootEvent{
		PCR: 8, Type: 0xd, Data: []byte("grub_cmd: anotherloader\x00"),
		Hashed: []byte("anotherloader"),
	})
	r, err := verify(t, guest.Info(evidencetest.GuestConfig{Boot: b, Mask: 0xffffff}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Aliases.Has("x-probity-boot-kernel-command-line") ||
		!told(r, "azureguest.event-log", "not used: kernel command line: ") {
		t.Error("it is not told why there is no command line")
	}
}

func told(r *evidence.Result, id, text string) bool {
	for _, c := range r.Checks {
		if c.ID == id && strings.Contains(c.Found, text) {
			return true
		}
	}
	return false
}

// TestTheQuoteNamesItsSigner: the public area of the attestation key is sent unsigned;
// attributes other than those that the quote names are refused.
func TestTheQuoteNamesItsSigner(t *testing.T) {
	key := &guest.AK.(*rsa.PrivateKey).PublicKey
	area := func(attributes uint32, policy []byte) string {
		b := evidencetest.RSAPublicArea(key, attributes, 0x0014, policy)
		return base64.StdEncoding.EncodeToString(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...))
	}
	for name, tc := range map[string]struct {
		area string
		ok   bool
	}{
		"its own":                {area(evidencetest.GuestAK, nil), true},
		"without a bit":          {area(evidencetest.GuestAK&^0x400, nil), false},
		"with a bit":             {area(evidencetest.GuestAK|0x80, nil), false},
		"with a policy":          {area(evidencetest.GuestAK, make([]byte, 32)), false},
		"of an unrestricted key": {area(evidencetest.GuestAK&^0x10000, nil), false},
	} {
		r, err := verify(t, guest.Info(evidencetest.GuestConfig{Boot: boot, Edit: func(m map[string]any) {
			m["TpmInfo"].(map[string]any)["AikPub"] = tc.area
		}}), nil)
		if tc.ok {
			if err != nil || !told(r, "azureguest.ak.attributes", "endorsement hierarchy") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var refused *evidence.Rejection
		if !errors.As(err, &refused) || refused.Check.ID != "azureguest.ak.attributes" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhySecureBootIsNotProvenIsStated: policies can read it, and denials quote it.
func TestWhySecureBootIsNotProvenIsStated(t *testing.T) {
	off := evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true})
	r, err := verify(t, guest.Info(evidencetest.GuestConfig{Boot: off}), nil)
	if err != nil {
		t.Fatal(err)
	}
	why, _ := r.Aliases.Get("x-probity-boot-not-secure")
	if text, _ := why.Text(); text != "the variable SecureBoot is not 1: secure boot is off" {
		t.Errorf("x-probity-boot-not-secure is %q", text)
	}
	r, err = verify(t, guest.Info(evidencetest.GuestConfig{Boot: boot}), nil)
	if err != nil || r.Aliases.Has("x-probity-boot-not-secure") {
		t.Errorf("a boot with secure boot: %v", err)
	}
}
