package dcap

import (
	"encoding/binary"
	"fmt"
)

// Flags in the first eight bytes of ATTRIBUTES (Intel SDM vol. 3D, 37.7.1).
const (
	flagDebug = 1 << 1
	flagKSS   = 1 << 7
)

// Report is an SGX report body (REPORT, Intel SDM vol. 3D, 37.15), as quotes
// carry it for the attested enclave and for the quoting enclave.
type Report struct {
	CPUSVN       [16]byte
	MiscSelect   [4]byte // memory order
	ISVExtProdID [16]byte
	Attributes   [16]byte // flags, then XFRM; memory order
	MREnclave    [32]byte
	MRSigner     [32]byte
	ConfigID     [64]byte
	ISVProdID    uint16
	ISVSVN       uint16
	ConfigSVN    uint16
	ISVFamilyID  [16]byte
	ReportData   [64]byte
}

// ParseReport reads a report body of exactly 384 bytes.
func ParseReport(b []byte) (*Report, error) {
	if len(b) != ReportSize {
		return nil, fmt.Errorf("dcap: SGX report body is %d bytes, want %d", len(b), ReportSize)
	}
	r := &Report{
		ISVProdID: binary.LittleEndian.Uint16(b[256:]),
		ISVSVN:    binary.LittleEndian.Uint16(b[258:]),
		ConfigSVN: binary.LittleEndian.Uint16(b[260:]),
	}
	copy(r.CPUSVN[:], b[0:])
	copy(r.MiscSelect[:], b[16:])
	copy(r.ISVExtProdID[:], b[32:])
	copy(r.Attributes[:], b[48:])
	copy(r.MREnclave[:], b[64:])
	copy(r.MRSigner[:], b[128:])
	copy(r.ConfigID[:], b[192:])
	copy(r.ISVFamilyID[:], b[304:])
	copy(r.ReportData[:], b[320:])
	return r, nil
}

func (r *Report) flags() uint64 { return binary.LittleEndian.Uint64(r.Attributes[:]) }

// Debug reports whether the enclave's memory is open to a debugger.
func (r *Report) Debug() bool { return r.flags()&flagDebug != 0 }

// KSS reports whether the enclave uses key separation and sharing; only then
// do CONFIGID, CONFIGSVN, ISVEXTPRODID and ISVFAMILYID mean anything.
func (r *Report) KSS() bool { return r.flags()&flagKSS != 0 }
