package luks

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"regexp"
)

// The binary header (section 2.1 of the specification): sizes and offsets in bytes, numbers big-endian.
const (
	binarySize = 4096

	atVersion     = 6
	atSize        = 8
	atSequence    = 16
	atLabel       = 24
	atAlgorithm   = 72
	atSalt        = 104
	atUUID        = 168
	atSubsystem   = 208
	atOffset      = 256
	atPadding     = 264
	atChecksum    = 448
	atPadding4096 = 512

	minHeader = 16 << 10
	maxHeader = 4 << 20
)

const (
	magicPrimary   = "LUKS\xba\xbe"
	magicSecondary = "SKUL\xba\xbe"
)

// binaryHeader is one of the two copies: its fields, and all its bytes.
type binaryHeader struct {
	raw                    []byte
	size, sequence, offset uint64
	label, uuid, subsystem []byte // with what follows their end
}

func parseBinary(b []byte) binaryHeader {
	be := binary.BigEndian
	return binaryHeader{
		raw: b, size: be.Uint64(b[atSize:]), sequence: be.Uint64(b[atSequence:]), offset: be.Uint64(b[atOffset:]),
		label: b[atLabel:atAlgorithm], uuid: b[atUUID:atSubsystem], subsystem: b[atSubsystem:atOffset],
	}
}

// json is the area of the metadata.
func (h *binaryHeader) json() []byte { return h.raw[binarySize:] }

// validSize reports whether a header can have so many bytes: 16 KiB to 4 MiB, a power of two.
func validSize(n uint64) bool { return n >= minHeader && n <= maxHeader && n&(n-1) == 0 }

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// text returns the text of a field, which a zero byte ends; after it there are only zeros.
func text(field []byte) (string, bool) {
	s, rest, ended := bytes.Cut(field, []byte{0})
	return string(s), ended && allZero(rest)
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// fields says what is wrong with the fields of text and the reserved bytes, or "".
func (h *binaryHeader) fields() string {
	for name, field := range map[string][]byte{"label": h.label, "subsystem": h.subsystem, "UUID": h.uuid} {
		if _, ok := text(field); !ok {
			return name + " without an end, or with bytes after it"
		}
	}
	if id, _ := text(h.uuid); !uuidForm.MatchString(id) {
		return fmt.Sprintf("the UUID %.40q", id)
	}
	if !allZero(h.raw[atPadding:atChecksum]) || !allZero(h.raw[atPadding4096:binarySize]) {
		return "reserved bytes that are not zero"
	}
	return ""
}

// checksum reports whether the header has the SHA-256 that it states. The field itself is read as zeros.
func (h *binaryHeader) checksum() bool {
	sum := sum256(h.raw)
	stated := h.raw[atChecksum:atPadding4096]
	return subtle.ConstantTimeCompare(sum[:], stated[:sha256.Size]) == 1 && allZero(stated[sha256.Size:])
}

func sum256(header []byte) [sha256.Size]byte {
	hash := sha256.New()
	hash.Write(header[:atChecksum])
	hash.Write(make([]byte, atPadding4096-atChecksum))
	hash.Write(header[atPadding4096:])
	return [sha256.Size]byte(hash.Sum(nil))
}
