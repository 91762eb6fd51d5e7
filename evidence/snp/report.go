package snp

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// ReportSize is the length of an attestation report in bytes.
const ReportSize = 0x4a0

// signedSize is how many of its bytes are signed.
const signedSize = 0x2a0

// Report is an attestation report (AMD publication 56860, ATTESTATION_REPORT).
// All slices point into Raw; integers are little-endian there.
type Report struct {
	Raw     []byte
	Version uint32

	GuestSVN        uint32
	Policy          Policy
	FamilyID        []byte // 16
	ImageID         []byte // 16
	VMPL            uint32
	SignatureAlgo   uint32
	CurrentTCB      RawTCB
	PlatformInfo    uint64
	SignerInfo      SignerInfo
	ReportData      []byte // 64
	Measurement     []byte // 48, SHA-384
	HostData        []byte // 32
	IDKeyDigest     []byte // 48, SHA-384
	AuthorKeyDigest []byte // 48, SHA-384
	ReportID        []byte // 32
	ReportIDMA      []byte // 32
	ReportedTCB     RawTCB
	// Family, Model and Stepping are those of CPUID; zero before version 3.
	Family, Model, Stepping uint8
	ChipID                  []byte // 64
	CommittedTCB            RawTCB
	CurrentFirmware         Firmware
	CommittedFirmware       Firmware
	LaunchTCB               RawTCB
	// LaunchMitigations and CurrentMitigations are bit vectors; zero before
	// version 5.
	LaunchMitigations, CurrentMitigations uint64
	// Signature is r || s, 72 bytes each, little-endian.
	Signature []byte
}

// Firmware is a firmware version.
type Firmware struct{ Major, Minor, Build uint8 }

// String writes major.minor.build.
func (f Firmware) String() string { return fmt.Sprintf("%d.%d.%d", f.Major, f.Minor, f.Build) }

// above reports whether f is a later version than g.
func (f Firmware) above(g Firmware) bool {
	if f.Major != g.Major {
		return f.Major > g.Major
	}
	if f.Minor != g.Minor {
		return f.Minor > g.Minor
	}
	return f.Build > g.Build
}

// Policy is the guest policy of the launch.
type Policy uint64

// The bits of the guest policy that are used here.
const (
	policySMT       = Policy(1) << 16
	policyOne       = Policy(1) << 17 // must be one
	policyMigration = Policy(1) << 18
	policyDebug     = Policy(1) << 19
	policyDefined   = Policy(1)<<26 - 1
)

// SMT, Migration and Debug report what the policy allows.
func (p Policy) SMT() bool       { return p&policySMT != 0 }
func (p Policy) Migration() bool { return p&policyMigration != 0 }
func (p Policy) Debug() bool     { return p&policyDebug != 0 }

// SignerInfo says which key signed the report.
type SignerInfo uint32

// The kinds of keys that sign reports.
const (
	SigningKeyVCEK = 0
	SigningKeyVLEK = 1
	SigningKeyNone = 7
)

// SigningKey returns the kind of the key: 0 VCEK, 1 VLEK, 7 none.
func (s SignerInfo) SigningKey() int { return int(s >> 2 & 7) }

// hostRequested is the VMPL of reports that the hypervisor asked for.
const hostRequested = 0xffffffff

// ParseReport reads a report of version 2 to 5. It checks length and version;
// what must be zero is checked by the verifier.
func ParseReport(b []byte) (*Report, error) {
	if len(b) != ReportSize {
		return nil, fmt.Errorf("%d bytes, want %d", len(b), ReportSize)
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	tcb := func(at int) RawTCB { return RawTCB(b[at : at+8]) }
	r := &Report{
		Raw: b, Version: u32(0), GuestSVN: u32(4), Policy: Policy(u64(8)),
		FamilyID: b[0x10:0x20], ImageID: b[0x20:0x30],
		VMPL: u32(0x30), SignatureAlgo: u32(0x34), CurrentTCB: tcb(0x38), PlatformInfo: u64(0x40),
		SignerInfo: SignerInfo(u32(0x48)),
		ReportData: b[0x50:0x90], Measurement: b[0x90:0xc0], HostData: b[0xc0:0xe0], IDKeyDigest: b[0xe0:0x110],
		AuthorKeyDigest: b[0x110:0x140], ReportID: b[0x140:0x160],
		ReportIDMA: b[0x160:0x180], ReportedTCB: tcb(0x180),
		Family: b[0x188], Model: b[0x189], Stepping: b[0x18a], ChipID: b[0x1a0:0x1e0], CommittedTCB: tcb(0x1e0),
		CurrentFirmware:   Firmware{Build: b[0x1e8], Minor: b[0x1e9], Major: b[0x1ea]},
		CommittedFirmware: Firmware{Build: b[0x1ec], Minor: b[0x1ed], Major: b[0x1ee]},
		LaunchTCB:         tcb(0x1f0), LaunchMitigations: u64(0x1f8), CurrentMitigations: u64(0x200),
		Signature: b[0x2a0:0x330],
	}
	if r.Version < 2 {
		return nil, fmt.Errorf("report version %d, of firmware before AMD's first published format; "+
			"expected version 2 to 5: update the SEV firmware of the host", r.Version)
	}
	if r.Version > 5 {
		return nil, fmt.Errorf(
			"report version %d, newer than this program knows; expected version 2 to 5: update this program",
			r.Version,
		)
	}
	return r, nil
}

// span is a range of bytes that must be zero.
type span struct{ from, to int }

// reserved returns the first range that must be zero in this version and is
// not.
func (r *Report) reserved() (span, bool) {
	spans := []span{{0x4c, 0x50}, {0x18b, 0x1a0}, {0x1eb, 0x1ec}, {0x1ef, 0x1f0}, {0x208, 0x2a0},
		{0x2a0 + 48, 0x2a0 + 72}, {0x2e8 + 48, 0x2e8 + 72}, {0x330, 0x4a0}}
	if r.Version < 3 {
		spans = append(spans, span{0x188, 0x18b})
	}
	if r.Version < 5 {
		spans = append(spans, span{0x1f8, 0x208})
	}
	for _, s := range spans {
		if !zero(r.Raw[s.from:s.to]) {
			return s, true
		}
	}
	return span{0x48, 0x4c}, r.SignerInfo>>5 != 0
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// bigEndianSignature returns r || s, 48 bytes each, big-endian.
func (r *Report) bigEndianSignature() []byte {
	b := make([]byte, 96)
	for i := range 48 {
		b[47-i] = r.Signature[i]
		b[95-i] = r.Signature[72+i]
	}
	return b
}
