package vbs_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/vbs"
)

var (
	now       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	challenge = []byte("sixteen bytes...")
	machine   = evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
	kernel    = evidencetest.NewSecureKernel()
)

// config makes evidence of an enclave; report may be changed after it was signed.
func config(
	cfg evidencetest.EnclaveReport, change func([]byte) []byte, windows ...[]byte,
) evidencetest.TPMEvidence {
	if windows == nil {
		windows = [][]byte{kernel.Measured()}
	}
	return evidencetest.TPMEvidence{
		Boot: evidencetest.HealthyBoot(evidencetest.BootConfig{
			Windows: evidencetest.HealthyWindows(windows...),
		}),
		Challenge: challenge,
		Enclave: func(signed []byte) []byte {
			b := kernel.Report(signed, cfg)
			if change != nil {
				b = change(b)
			}
			return b
		},
	}
}

func verify(t *testing.T, raw []byte, accept ...string) (*evidence.Result, error) {
	t.Helper()
	roots, err := tpmca.Parse(machine.Root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return vbs.New(tpm.New(tpm.Config{Authorities: roots})).Verify(t.Context(),
		evidence.Evidence{Raw: raw, Challenge: challenge, Accept: accept, Time: now})
}

func TestVerify(t *testing.T) {
	result, err := verify(t, machine.Evidence(config(evidencetest.EnclaveReport{SVN: 9}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]claims.Value{
		"enclaveSvn":         claims.IntegerValue(9),
		"enclavePlatformSvn": claims.IntegerValue(2),
		"enclaveFlags":       claims.IntegerValue(0),
		"vbsReportPresent":   claims.BooleanValue(true),
		"vbsEnabled":         claims.BooleanValue(true),
	} {
		if got, _ := result.Aliases.Get(name); !got.Equal(&want) {
			t.Errorf("%s is %v", name, got)
		}
	}
	author, _ := result.Aliases.Get("enclaveAuthorId")
	image, _ := result.Aliases.Get("enclaveImageId")
	a, _ := author.Text()
	i, _ := image.Text()
	kind, _ := result.Claims.Get("x-ms-attestation-type")
	if len(a) != 43 || len(i) != 22 || kind != claims.StringValue("vbs") || len(result.Reservations) != 0 {
		t.Errorf("author %q, image %q, %v", a, i, kind)
	}
}

// TestDebugging: an enclave that can be debugged is refused unless the caller accepts that by
// name, also while no debugger is attached.
func TestDebugging(t *testing.T) {
	for flags := uint32(1); flags < 8; flags++ {
		raw := machine.Evidence(config(evidencetest.EnclaveReport{Flags: flags}, nil))
		if _, err := verify(t, raw); !errors.Is(err, vbs.CheckDebug) {
			t.Errorf("flags %d, not accepted: %v", flags, err)
		}
		result, err := verify(t, raw, evidence.DebugGuest)
		if err != nil || len(result.Reservations) != 1 ||
			result.Reservations[0].Accept != evidence.DebugGuest ||
			result.Reservations[0].Check.ID != "vbs.flags.debug" {
			t.Errorf("flags %d: %v", flags, err)
		}
	}
	for bit := 3; bit < 32; bit++ {
		_, err := verify(t, machine.Evidence(config(evidencetest.EnclaveReport{Flags: 1 << bit}, nil)))
		var r *evidence.Rejection
		if !errors.As(err, &r) || r.Check.ID != "vbs.flags.known" {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
}

// TestOnlyWindowsVouchesForAnEnclave: anyone who has another system, or no secure boot, extends
// PCR 12 by a key of his own and signs what he likes with it.
func TestOnlyWindowsVouchesForAnEnclave(t *testing.T) {
	events := func(boot *evidencetest.Boot, add ...evidencetest.BootEvent) *evidencetest.Boot {
		boot.Add(add...)
		healthy := evidencetest.HealthyWindows(kernel.Measured())
		for pcr := uint32(12); pcr <= 14; pcr++ {
			boot.Add(evidencetest.BootEvent{
				PCR: pcr, Type: 6, Data: evidencetest.SIPA(0x40010001, healthy[pcr]),
			}, evidencetest.BootEvent{PCR: pcr, Type: 4, Data: []byte("WBCL")})
		}
		return boot
	}
	capped := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows()})
	capped.Add(evidencetest.BootEvent{PCR: 12, Type: 6, Data: evidencetest.SIPA(0x40010001, kernel.Measured())})
	elsewhere := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows()})
	elsewhere.PCRs[23] = [32]byte{}
	elsewhere.Add(evidencetest.BootEvent{
		PCR: 23, Type: 6, Data: evidencetest.SIPA(0x40010001, kernel.Measured()),
	})
	for name, boot := range map[string]*evidencetest.Boot{
		"Linux": events(evidencetest.HealthyBoot(evidencetest.BootConfig{})),
		"Linux with Windows's signer": events(evidencetest.HealthyBoot(evidencetest.BootConfig{}),
			evidencetest.Authority(evidencetest.WindowsAuthority())),
		"secure boot off": evidencetest.HealthyBoot(evidencetest.BootConfig{
			SecureBootOff: true,
			Windows:       evidencetest.HealthyWindows(kernel.Measured()),
		}),
		"after Windows's separator": capped,
		"another register":          elsewhere,
	} {
		c := config(evidencetest.EnclaveReport{SVN: 99}, nil)
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
	other := evidencetest.NewSecureKernel()
	for name, tc := range map[string]struct {
		id string
		ev evidencetest.TPMEvidence
	}{
		"no report": {
			"vbs.format", config(evidencetest.EnclaveReport{}, func([]byte) []byte { return nil }),
		},
		"cut": {"vbs.format", config(evidencetest.EnclaveReport{}, func(b []byte) []byte {
			return b[:len(b)-1]
		})},
		"bytes after it": {"vbs.format", config(evidencetest.EnclaveReport{}, func(b []byte) []byte {
			return append(b, 0)
		})},
		"another version":  {"vbs.format", config(evidencetest.EnclaveReport{}, put(4, 2))},
		"another scheme":   {"vbs.format", config(evidencetest.EnclaveReport{}, put(8, 2))},
		"reserved bits":    {"vbs.format", config(evidencetest.EnclaveReport{}, put(20, 1))},
		"a huge statement": {"vbs.format", config(evidencetest.EnclaveReport{}, put(12, 0xfffffff0))},
		"another report version": {
			"vbs.format", config(evidencetest.EnclaveReport{Edit: func(s []byte) { s[4] = 2 }}, nil),
		},
		"another report size": {
			"vbs.format", config(evidencetest.EnclaveReport{Edit: func(s []byte) { s[0]++ }}, nil),
		},
		"a module beyond it": {
			"vbs.format",
			config(evidencetest.EnclaveReport{Edit: func(s []byte) { s[228] = 0xff; s[229] = 0xff }}, nil),
		},
		"altered identity": {
			"vbs.signature",
			config(evidencetest.EnclaveReport{}, func(b []byte) []byte { b[24+80] ^= 1; return b }),
		},
		"another kernel's log": {
			"vbs.signature", config(evidencetest.EnclaveReport{}, nil, other.Measured()),
		},
		"no key in the log": {"vbs.signing-key", config(evidencetest.EnclaveReport{}, nil, []byte{})},
		"two keys in the log": {
			"vbs.signing-key",
			config(evidencetest.EnclaveReport{}, nil, kernel.Measured(), other.Measured()),
		},
		"a key of no form": {
			"vbs.signing-key",
			config(evidencetest.EnclaveReport{}, nil, evidencetest.SIPA(0x00050023, make([]byte, 30))),
		},
		"other data": {
			"vbs.enclave-data",
			config(evidencetest.EnclaveReport{Edit: func(s []byte) { s[8] ^= 1 }}, nil),
		},
		"no enclave at all": {"tpm.format", evidencetest.TPMEvidence{
			Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{}),
			Challenge: challenge,
		}},
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
	f.Add(kernel.Report([]byte("{}"), evidencetest.EnclaveReport{}))
	f.Fuzz(func(t *testing.T, b []byte) { vbs.ParseReport(b) })
}
