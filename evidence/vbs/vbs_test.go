package vbs_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/vbs"
	"github.com/probity-dev/probity/internal/testtee"
)

var (
	now       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	challenge = []byte("sixteen bytes...")
	machine   = testtee.NewTPM(testtee.TPMConfig{Now: now})
	kernel    = testtee.NewSecureKernel()
)

// config makes evidence of an enclave; report may be changed after it was signed.
func config(cfg testtee.EnclaveReport, change func([]byte) []byte, windows ...[]byte) testtee.TPMEvidence {
	if windows == nil {
		windows = [][]byte{kernel.Measured()}
	}
	return testtee.TPMEvidence{Boot: testtee.HealthyBoot(testtee.BootConfig{Windows: testtee.HealthyWindows(windows...)}), Challenge: challenge,
		Enclave: func(signed []byte) []byte {
			b := kernel.Report(signed, cfg)
			if change != nil {
				b = change(b)
			}
			return b
		}}
}

func verify(t *testing.T, raw []byte) (*evidence.Result, error) {
	t.Helper()
	roots, err := tpmca.Parse(machine.Root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return vbs.New(tpm.New(tpm.Config{Authorities: roots})).Verify(t.Context(), evidence.Evidence{Raw: raw, Challenge: challenge, Time: now})
}

func TestVerify(t *testing.T) {
	result, err := verify(t, machine.Evidence(config(testtee.EnclaveReport{SVN: 9}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]claims.Value{"enclaveSvn": claims.IntegerValue(9), "enclavePlatformSvn": claims.IntegerValue(2), "enclaveFlags": claims.IntegerValue(0),
		"vbsReportPresent": claims.BooleanValue(true), "vbsEnabled": claims.BooleanValue(true)} {
		if got, _ := result.Aliases.Get(name); !got.Equal(&want) {
			t.Errorf("%s is %v", name, got)
		}
	}
	author, _ := result.Aliases.Get("enclaveAuthorId")
	image, _ := result.Aliases.Get("enclaveImageId")
	a, _ := author.Text()
	i, _ := image.Text()
	if kind, _ := result.Claims.Get("x-ms-attestation-type"); len(a) != 43 || len(i) != 22 || kind != claims.StringValue("vbs") || len(result.Reservations) != 0 {
		t.Errorf("author %q, image %q, %v", a, i, kind)
	}
}

// TestDebugging: whether an enclave can be debugged counts, and not whether it is.
func TestDebugging(t *testing.T) {
	for flags := uint32(1); flags < 8; flags++ {
		result, err := verify(t, machine.Evidence(config(testtee.EnclaveReport{Flags: flags}, nil)))
		if err != nil || len(result.Reservations) != 1 || result.Reservations[0].Accept != evidence.DebugGuest || result.Reservations[0].Check.ID != "vbs.flags.debug" {
			t.Errorf("flags %d: %v", flags, err)
		}
	}
	for bit := 3; bit < 32; bit++ {
		_, err := verify(t, machine.Evidence(config(testtee.EnclaveReport{Flags: 1 << bit}, nil)))
		var r *evidence.Rejection
		if !errors.As(err, &r) || r.Check.ID != "vbs.flags.known" {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
}

// TestOnlyWindowsVouchesForAnEnclave: whoever has another system, or no secure boot, extends
// PCR 12 by a key of his own and signs what he likes with it.
func TestOnlyWindowsVouchesForAnEnclave(t *testing.T) {
	events := func(boot *testtee.Boot, add ...testtee.BootEvent) *testtee.Boot {
		boot.Add(add...)
		healthy := testtee.HealthyWindows(kernel.Measured())
		for pcr := uint32(12); pcr <= 14; pcr++ {
			boot.Add(testtee.BootEvent{PCR: pcr, Type: 6, Data: testtee.SIPA(0x40010001, healthy[pcr])}, testtee.BootEvent{PCR: pcr, Type: 4, Data: []byte("WBCL")})
		}
		return boot
	}
	capped := testtee.HealthyBoot(testtee.BootConfig{Windows: testtee.HealthyWindows()})
	capped.Add(testtee.BootEvent{PCR: 12, Type: 6, Data: testtee.SIPA(0x40010001, kernel.Measured())})
	elsewhere := testtee.HealthyBoot(testtee.BootConfig{Windows: testtee.HealthyWindows()})
	elsewhere.PCRs[23] = [32]byte{}
	elsewhere.Add(testtee.BootEvent{PCR: 23, Type: 6, Data: testtee.SIPA(0x40010001, kernel.Measured())})
	for name, boot := range map[string]*testtee.Boot{
		"Linux":                       events(testtee.HealthyBoot(testtee.BootConfig{})),
		"Linux with Windows's signer": events(testtee.HealthyBoot(testtee.BootConfig{}), testtee.Authority(testtee.WindowsAuthority)),
		"secure boot off":             testtee.HealthyBoot(testtee.BootConfig{SecureBootOff: true, Windows: testtee.HealthyWindows(kernel.Measured())}),
		"behind Windows's separator":  capped,
		"another register":            elsewhere,
	} {
		c := config(testtee.EnclaveReport{SVN: 99}, nil)
		c.Boot = boot
		_, err := verify(t, machine.Evidence(c))
		var r *evidence.Rejection
		if !errors.As(err, &r) || r.Check.ID != "vbs.signing-key" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	put := func(at int, n uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], n); return b }
	}
	other := testtee.NewSecureKernel()
	for name, tc := range map[string]struct {
		id string
		ev testtee.TPMEvidence
	}{
		"no report":              {"vbs.format", config(testtee.EnclaveReport{}, func([]byte) []byte { return nil })},
		"cut":                    {"vbs.format", config(testtee.EnclaveReport{}, func(b []byte) []byte { return b[:len(b)-1] })},
		"bytes behind it":        {"vbs.format", config(testtee.EnclaveReport{}, func(b []byte) []byte { return append(b, 0) })},
		"another version":        {"vbs.format", config(testtee.EnclaveReport{}, put(4, 2))},
		"another scheme":         {"vbs.format", config(testtee.EnclaveReport{}, put(8, 2))},
		"reserved bits":          {"vbs.format", config(testtee.EnclaveReport{}, put(20, 1))},
		"a huge statement":       {"vbs.format", config(testtee.EnclaveReport{}, put(12, 0xfffffff0))},
		"another report version": {"vbs.format", config(testtee.EnclaveReport{Edit: func(s []byte) { s[4] = 2 }}, nil)},
		"another report size":    {"vbs.format", config(testtee.EnclaveReport{Edit: func(s []byte) { s[0]++ }}, nil)},
		"a module beyond it":     {"vbs.format", config(testtee.EnclaveReport{Edit: func(s []byte) { s[228] = 0xff; s[229] = 0xff }}, nil)},
		"altered identity":       {"vbs.signature", config(testtee.EnclaveReport{}, func(b []byte) []byte { b[24+80] ^= 1; return b })},
		"another kernel's log":   {"vbs.signature", config(testtee.EnclaveReport{}, nil, other.Measured())},
		"no key in the log":      {"vbs.signing-key", config(testtee.EnclaveReport{}, nil, []byte{})},
		"two keys in the log":    {"vbs.signing-key", config(testtee.EnclaveReport{}, nil, kernel.Measured(), other.Measured())},
		"a key of no form":       {"vbs.signing-key", config(testtee.EnclaveReport{}, nil, testtee.SIPA(0x00050023, make([]byte, 30)))},
		"other data":             {"vbs.enclave-data", config(testtee.EnclaveReport{Edit: func(s []byte) { s[8] ^= 1 }}, nil)},
		"no enclave at all":      {"tpm.format", testtee.TPMEvidence{Boot: testtee.HealthyBoot(testtee.BootConfig{}), Challenge: challenge}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, machine.Evidence(tc.ev))
			var r *evidence.Rejection
			if !errors.As(err, &r) || r.Check.ID != tc.id || r.Check.Remedy == "" {
				t.Errorf("%v, want %s", err, tc.id)
			}
		})
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add(kernel.Report([]byte("{}"), testtee.EnclaveReport{}))
	f.Fuzz(func(t *testing.T, b []byte) { vbs.ParseReport(b) })
}
