package vbs

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Report is the attestation report of an enclave (Windows SDK, ntenclv.h).
type Report struct {
	// Signed is the statement that the signature covers: all but the outer header
	// and the signature.
	Signed, Signature []byte
	// Data are the 64 bytes that the enclave put in.
	Data     []byte
	Identity Identity
	// Modules are those that the enclave has loaded.
	Modules []Module
}

// Identity is an ENCLAVE_IDENTITY.
type Identity struct {
	OwnerID, UniqueID, AuthorID                           []byte // 32 bytes
	FamilyID, ImageID                                     []byte // 16 bytes
	SVN, SecureKernelSVN, PlatformSVN, Flags, Level, Type uint32
}

// Flags of an enclave: it was made for debugging, it can be debugged on demand, it is being
// debugged on demand.
const (
	FlagFullDebug     = 1
	FlagDynamicDebug  = 2
	FlagDynamicActive = 4

	debugFlags = FlagFullDebug | FlagDynamicDebug | FlagDynamicActive
)

// Module is a VBS_ENCLAVE_REPORT_MODULE: an image in the enclave.
type Module struct {
	UniqueID, AuthorID []byte
	FamilyID, ImageID  []byte
	SVN                uint32
}

const (
	headerSize  = 24
	reportSize  = 224
	schemePSS   = 1 // SHA256_RSA_PSS_SHA256
	blockModule = 1
	moduleSize  = 8 + 32 + 32 + 16 + 16 + 4
	maxReport   = 64 << 10
	maxModules  = 64
)

// ParseReport reads a package: header, statement, signature, and nothing else.
func ParseReport(b []byte) (*Report, error) {
	if len(b) < headerSize+reportSize || len(b) > maxReport {
		return nil, fmt.Errorf("%d bytes, a report has %d to %d", len(b), headerSize+reportSize, maxReport)
	}
	u := func(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	statement, signature := uint64(u(b, 12)), uint64(u(b, 16))
	switch {
	case uint64(u(b, 0)) != uint64(len(b)) || headerSize+statement+signature != uint64(len(b)):
		return nil,
			fmt.Errorf("a package of %d bytes with a statement of %d and a signature of %d; %d were sent",
				u(b, 0), statement, signature, len(b))
	case u(b, 4) != 1:
		return nil, fmt.Errorf("package version %d, want 1", u(b, 4))
	case u(b, 8) != schemePSS:
		return nil, fmt.Errorf("signature scheme %d, want 1 (RSA-PSS with SHA-256)", u(b, 8))
	case u(b, 20) != 0:
		return nil, errors.New("a reserved field that is not zero")
	case statement < reportSize:
		return nil, fmt.Errorf("a statement of %d bytes", statement)
	}
	r := &Report{Signed: b[headerSize : headerSize+statement], Signature: b[headerSize+statement:]}
	s := r.Signed
	if uint64(u(s, 0)) != statement || u(s, 4) != 1 {
		return nil, fmt.Errorf("a report of %d bytes and version %d in a statement of %d", u(s, 0),
			u(s, 4), statement)
	}
	id := s[72:reportSize]
	r.Data = s[8:72]
	r.Identity = Identity{
		OwnerID: id[:32], UniqueID: id[32:64], AuthorID: id[64:96], FamilyID: id[96:112],
		ImageID: id[112:128],
		SVN:     u(id, 128), SecureKernelSVN: u(id, 132), PlatformSVN: u(id, 136),
		Flags: u(id, 140), Level: u(id, 144), Type: u(id, 148),
	}
	return r, r.modules(s[reportSize:])
}

// modules reads the blocks after the report; those of other types are passed over.
func (r *Report) modules(b []byte) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return errors.New("a block that is cut short")
		}
		typ, size := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		if size < 8 || uint64(size) > uint64(len(b)) {
			return fmt.Errorf("a block of %d bytes in %d", size, len(b))
		}
		block := b[:size]
		b = b[size:]
		if typ != blockModule {
			continue
		}
		if len(block) < moduleSize || len(r.Modules) == maxModules {
			return fmt.Errorf("a module of %d bytes, or more than %d", len(block), maxModules)
		}
		r.Modules = append(r.Modules, Module{
			UniqueID: block[8:40],
			AuthorID: block[40:72],
			FamilyID: block[72:88],
			ImageID:  block[88:104],
			SVN:      binary.LittleEndian.Uint32(block[104:]),
		})
	}
	return nil
}
