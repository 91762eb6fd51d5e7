package dcap

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Bits of TDATTRIBUTES (Intel TDX module specification, TD_ATTRIBUTES).
const (
	tdDebug          = 1 << 0
	tdReservedTUD    = 0xfe // bits 1 to 7 of the TD-under-debug byte
	tdSEPTVEDisable  = 1 << 28
	tdProtectionKeys = 1 << 30
	tdKeyLocker      = 1 << 31
	tdPerfmon        = 1 << 63
)

// TDReport is the body of a TDX quote (TDREPORT fields, Intel TDX DCAP quoting
// library API, appendix A). Bytes are in the order of the quote.
type TDReport struct {
	TEETCBSVN      [16]byte
	MRSEAM         [48]byte
	MRSignerSEAM   [48]byte
	SEAMAttributes [8]byte
	TDAttributes   [8]byte
	XFAM           [8]byte
	MRTD           [48]byte
	MRConfigID     [48]byte
	MROwner        [48]byte
	MROwnerConfig  [48]byte
	RTMR           [4][48]byte
	ReportData     [64]byte

	// V15 reports whether the fields below are there (TDX 1.5 and later).
	V15         bool
	TEETCBSVN2  [16]byte // of the module that runs now
	MRServiceTD [48]byte
}

// ParseTDReport reads a body of 584 (TDX 1.0), 648 (1.5) or 885 bytes (1.5
// extended, whose further fields are not read).
func ParseTDReport(b []byte) (*TDReport, error) {
	if len(b) != BodyTDX10.size() && len(b) != BodyTDX15.size() && len(b) != BodyTDX15Extra.size() {
		return nil, fmt.Errorf("dcap: TD report body is %d bytes, want 584, 648 or 885", len(b))
	}
	r := &TDReport{V15: len(b) > BodyTDX10.size()}
	fields := [][]byte{
		r.TEETCBSVN[:], r.MRSEAM[:], r.MRSignerSEAM[:], r.SEAMAttributes[:], r.TDAttributes[:],
		r.XFAM[:], r.MRTD[:],
		r.MRConfigID[:], r.MROwner[:], r.MROwnerConfig[:], r.RTMR[0][:],
		r.RTMR[1][:], r.RTMR[2][:], r.RTMR[3][:], r.ReportData[:],
	}
	if r.V15 {
		fields = append(fields, r.TEETCBSVN2[:], r.MRServiceTD[:])
	}
	for _, field := range fields {
		b = b[copy(field, b):]
	}
	return r, nil
}

func (r *TDReport) attributes() uint64 { return binary.LittleEndian.Uint64(r.TDAttributes[:]) }

// Debug reports whether the TD's memory is open to a debugger.
func (r *TDReport) Debug() bool { return r.attributes()&tdDebug != 0 }

// SEPTVEDisable, ProtectionKeys, KeyLocker and Perfmon report the attributes
// of these names.
func (r *TDReport) SEPTVEDisable() bool { return r.attributes()&tdSEPTVEDisable != 0 }

// ProtectionKeys reports the attribute PKS.
func (r *TDReport) ProtectionKeys() bool { return r.attributes()&tdProtectionKeys != 0 }

// KeyLocker reports the attribute KL.
func (r *TDReport) KeyLocker() bool { return r.attributes()&tdKeyLocker != 0 }

// Perfmon reports the attribute PERFMON.
func (r *TDReport) Perfmon() bool { return r.attributes()&tdPerfmon != 0 }

// ReservedAttributes reports whether a reserved bit of the TD-under-debug
// byte is set: a TD with one may be open in a way that is not defined.
func (r *TDReport) ReservedAttributes() bool { return r.attributes()&tdReservedTUD != 0 }

// HasServiceTD reports whether a service TD is bound: one that may, for
// instance, migrate this TD.
func (r *TDReport) HasServiceTD() bool { return !bytes.Equal(r.MRServiceTD[:], make([]byte, 48)) }
