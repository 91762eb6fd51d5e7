package eventlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// GUID is a UEFI GUID as it is in memory (UEFI 2.10, appendix A).
type GUID [16]byte

// guidOrder is where the bytes of a written GUID are in memory.
var guidOrder = [16]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}

// String writes the GUID in upper case without braces.
func (g GUID) String() string {
	const digits = "0123456789ABCDEF"
	text := make([]byte, 0, 36)
	for i, at := range guidOrder {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = append(text, digits[g[at]>>4], digits[g[at]&15])
	}
	return string(text)
}

// guid reads a GUID in its written form.
func guid(text string) (g GUID) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		panic("eventlog: " + text) // constants of this package
	}
	for i, at := range guidOrder {
		g[at] = b[i]
	}
	return g
}

// The GUIDs that are looked for.
var (
	// globalVariable is the vendor of SecureBoot, PK and KEK.
	globalVariable = guid("8BE4DF61-93CA-11D2-AA0D-00E098032B8C")
	// imageSecurity is the vendor of db and dbx.
	imageSecurity = guid("D719B2CB-3D3A-4596-A3BC-DAD00E67656F")
	// shimLock is the vendor of shim's variables.
	shimLock = guid("605DAB50-E046-4300-ABB6-3DD810DD8B23")

	signatureSHA256 = guid("C1C41626-504C-4092-ACA9-41F936934328")
	signatureX509   = guid("A5C059A1-94E4-4AA7-87B5-AB155C2BF072")
)

// Variable is a measured UEFI variable (UEFI_VARIABLE_DATA).
type Variable struct {
	Vendor GUID
	Name   string
	Data   []byte
}

// ParseVariable reads the data of a variable event. Zero padding after the structure is
// accepted, other bytes are refused.
func ParseVariable(b []byte) (*Variable, error) {
	if len(b) < 32 {
		return nil, errors.New("a variable of fewer than 32 bytes")
	}
	name, size, ok := variableSizes(b)
	if !ok {
		return nil, fmt.Errorf("a variable with a name of %d characters and %d bytes of data in %d bytes",
			name, size, len(b))
	}
	end := 32 + 2*name + size
	if !zeros(b[end:]) {
		return nil, fmt.Errorf("a variable of %d bytes with %d bytes after it that are not zero padding", end,
			uint64(len(b))-end)
	}
	return &Variable{
		Vendor: GUID(b[:16]),
		Name:   utf16Text(b[32 : 32+2*name]),
		Data:   b[32+2*name : end : end],
	}, nil
}

// variableSizes returns the length of a variable's name in UTF-16 units and that of its
// data in bytes. ok is false where they do not fit into b.
func variableSizes(b []byte) (name, data uint64, ok bool) {
	if len(b) < 32 {
		return 0, 0, false
	}
	name, data = binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	rest := uint64(len(b) - 32)
	return name, data, name <= maxVariableName && 2*name <= rest && data <= rest-2*name
}

const maxVariableName = 1024 // UTF-16 units

// utf16Text reads UTF-16 in little-endian order up to a terminator.
func utf16Text(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		unit := binary.LittleEndian.Uint16(b[i:])
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}

// Signatures is the content of a signature database.
type Signatures struct {
	// Certificates are X.509 certificates, DER.
	Certificates [][]byte
	// Hashes are SHA-256 hashes of images.
	Hashes [][]byte
	// Others counts signatures of other types.
	Others int
}

const (
	maxSignatureLists = 4096
	listHeader        = 28
)

// ParseSignatures reads a signature database (EFI_SIGNATURE_LIST, UEFI 2.10,
// section 32.4.1). A list's own header, which its vendor fills as he likes, is
// passed over: read as signatures, it would let anyone add entries.
func ParseSignatures(b []byte) (*Signatures, error) {
	s := &Signatures{}
	for lists := 0; len(b) > 0; lists++ {
		if lists == maxSignatureLists {
			return nil, fmt.Errorf("more than %d signature lists", maxSignatureLists)
		}
		if len(b) < listHeader {
			return nil, errors.New("a signature list that is cut short")
		}
		typ := GUID(b[:16])
		size, header, each := uint64(binary.LittleEndian.Uint32(b[16:])),
			uint64(binary.LittleEndian.Uint32(b[20:])), uint64(binary.LittleEndian.Uint32(b[24:]))
		if size > uint64(len(b)) || size < listHeader || header > size-listHeader {
			return nil, fmt.Errorf("a signature list of %d bytes with a header of %d in %d bytes", size,
				header, len(b))
		}
		body := b[listHeader+header : size]
		b = b[size:]
		if each <= 16 || uint64(len(body))%each != 0 {
			return nil, fmt.Errorf("signatures of %d bytes in a list of %d", each, len(body))
		}
		if typ == signatureSHA256 && (each != 48 || header != 0) || typ == signatureX509 && header != 0 {
			return nil,
				fmt.Errorf("a signature list of type %v with signatures of %d bytes and a header of %d",
					typ, each, header)
		}
		for ; len(body) > 0; body = body[each:] {
			switch signature := body[16:each]; typ {
			case signatureSHA256:
				s.Hashes = append(s.Hashes, signature)
			case signatureX509:
				s.Certificates = append(s.Certificates, signature)
			default:
				s.Others++
			}
		}
	}
	return s, nil
}

// Image is a boot application or driver (UEFI_IMAGE_LOAD_EVENT). The digest of
// its event is that of the image and covers none of this.
type Image struct {
	Address, Length, LinkTime uint64
	DevicePath                string
}

// ParseImage reads the data of an image event.
func ParseImage(b []byte) (*Image, error) {
	if len(b) < 32 {
		return nil, errors.New("an image event of fewer than 32 bytes")
	}
	u := binary.LittleEndian.Uint64
	path, size := b[32:], u(b[24:])
	if size > uint64(len(path)) {
		return nil, fmt.Errorf("a device path of %d bytes in %d", size, len(path))
	}
	if rest := path[size:]; !zeros(rest) {
		return nil, fmt.Errorf("%d bytes after the device path that are not zero padding", len(rest))
	}
	return &Image{u(b), u(b[8:]), u(b[16:]), devicePath(path[:size])}, nil
}

const maxPathNodes = 64

// devicePath writes what people look for in a device path (UEFI 2.10, chapter
// 10): files by name, other nodes by their type.
func devicePath(b []byte) string {
	var parts []string
	for n := 0; len(b) >= 4 && n < maxPathNodes; n++ {
		typ, sub, size := b[0], b[1], int(binary.LittleEndian.Uint16(b[2:]))
		if typ == 0x7f || size < 4 || size > len(b) {
			break
		}
		if typ == 4 && sub == 4 {
			parts = append(parts, utf16Text(b[4:size]))
		} else {
			parts = append(parts, fmt.Sprintf("(%d,%d)", typ, sub))
		}
		b = b[size:]
	}
	return strings.Join(parts, "/")
}

// Partition is an entry of a measured partition table.
type Partition struct {
	Type, ID    GUID
	First, Last uint64
	Name        string
}

const (
	gptHeader     = 92
	maxGPTEntry   = 4096
	maxGPTEntries = 256
)

// ParseGPT reads a partition table event (UEFI_GPT_DATA): the header, 92 bytes,
// and the entries that are in use.
func ParseGPT(b []byte) (disk GUID, list []Partition, err error) {
	if len(b) < gptHeader+8 || string(b[:8]) != "EFI PART" {
		return disk, nil, errors.New("no partition table")
	}
	each := uint64(binary.LittleEndian.Uint32(b[84:]))
	n := binary.LittleEndian.Uint64(b[gptHeader:])
	entries := b[gptHeader+8:]
	if each < 128 || each > maxGPTEntry || n > maxGPTEntries || n*each > uint64(len(entries)) {
		return disk, nil, fmt.Errorf("%d partitions of %d bytes in %d", n, each, len(entries))
	}
	if rest := entries[n*each:]; !zeros(rest) {
		return disk, nil, fmt.Errorf("%d bytes after the partitions that are not zero padding", len(rest))
	}
	for ; n > 0; n-- {
		e := entries[:each]
		entries = entries[each:]
		list = append(list, Partition{
			GUID(e[:16]), GUID(e[16:32]), binary.LittleEndian.Uint64(e[32:]),
			binary.LittleEndian.Uint64(e[40:]), utf16Text(e[56:128]),
		})
	}
	return GUID(b[56:72]), list, nil
}

// authority returns the certificate of an authority event: the signature data
// of the entry that an image was allowed by (owner, certificate), or shim's own
// form, the bare certificate. It is nil for hashes and for other things.
func authority(v *Variable) []byte {
	der := v.Data
	if v.Vendor != shimLock {
		if len(der) <= 16 {
			return nil
		}
		der = der[16:]
	}
	if len(der) < 4 || !bytes.HasPrefix(der, []byte{0x30, 0x82}) ||
		4+int(binary.BigEndian.Uint16(der[2:])) != len(der) {
		return nil
	}
	return der
}
