package azureguest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
)

// ReportType is what the hardware report in a paravisor's report is.
type ReportType uint32

// The report types.
const (
	ReportVBS       ReportType = 1
	ReportSNP       ReportType = 2
	ReportTrustedVM ReportType = 3
	ReportTDX       ReportType = 4
)

// HCL is the report of the paravisor (host compatibility layer), as it is in the
// index 0x01400001 of an Azure guest's TPM.
type HCL struct {
	Version     uint32
	RequestType uint32
	Type        ReportType
	// Hardware is the area of the hardware report: a SEV-SNP report, 1184 bytes,
	// or a TDREPORT, 1024.
	Hardware []byte
	// Runtime is the JSON text whose hash the hardware report binds.
	Runtime []byte
	// Hash is the hash of Runtime, by the algorithm that the report names.
	Hash []byte
}

const (
	hclHeader   = 32
	hclHardware = 1184
	hclRequest  = 20
	maxRuntime  = 64 << 10
)

// ParseHCL reads a paravisor's report. Bytes after it are those of the index.
func ParseHCL(b []byte) (*HCL, error) {
	const fixed = hclHeader + hclHardware + hclRequest
	if len(b) < fixed {
		return nil, fmt.Errorf("%d bytes, a paravisor's report has at least %d", len(b), fixed)
	}
	u := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	if u(0) != 0x414c4348 {
		return nil, errors.New("not a paravisor's report: it begins with HCLA")
	}
	h := &HCL{Version: u(4), RequestType: u(12), Type: ReportType(u(hclHeader + hclHardware + 8))}
	size := u(hclHeader + hclHardware + 16)
	if size > maxRuntime || int(size) > len(b)-fixed {
		return nil, fmt.Errorf("runtime data of %d bytes in a report of %d", size, len(b))
	}
	h.Runtime = b[fixed : fixed+size]
	switch hash := u(hclHeader + hclHardware + 12); hash {
	case 1:
		sum := sha256.Sum256(h.Runtime)
		h.Hash = sum[:]
	case 2:
		sum := sha512.Sum384(h.Runtime)
		h.Hash = sum[:]
	case 3:
		sum := sha512.Sum512(h.Runtime)
		h.Hash = sum[:]
	default:
		return nil, fmt.Errorf("hash type %d", hash)
	}
	h.Hardware = b[hclHeader : hclHeader+hclHardware]
	if h.Type == ReportTDX {
		h.Hardware = h.Hardware[:1024]
	}
	return h, nil
}

// ReportData is what the guest put into the hardware report: 64 bytes, nil for
// types without one.
func (h *HCL) ReportData() []byte {
	switch h.Type {
	case ReportSNP:
		return h.Hardware[0x50 : 0x50+64]
	case ReportTDX:
		return h.Hardware[128 : 128+64]
	default:
		return nil
	}
}
