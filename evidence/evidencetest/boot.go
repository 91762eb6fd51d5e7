package evidencetest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode/utf16"
)

// BootEvent is one record of a PC's measured boot. Its digest is that of Hashed,
// or of Data if Hashed is nil.
type BootEvent struct {
	PCR, Type    uint32
	Data, Hashed []byte
}

// Boot is a measured boot: its log, with the banks SHA-1 and SHA-256, and the
// SHA-256 registers that it leads to.
type Boot struct {
	Log  []byte
	PCRs [24][32]byte
	// Events are what was measured, in order.
	Events []BootEvent
}

// NewBoot makes the log of events. Each is also extended into the registers.
func NewBoot(events ...BootEvent) *Boot {
	le := binary.LittleEndian
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	spec = le.AppendUint32(spec, 2)
	spec = le.AppendUint16(le.AppendUint16(spec, 0x0004), 20)
	spec = le.AppendUint16(le.AppendUint16(spec, 0x000b), 32)
	spec = append(spec, 0)
	b := le.AppendUint32(le.AppendUint32(nil, 0), 3)
	b = append(b, make([]byte, 20)...)
	b = append(le.AppendUint32(b, uint32(len(spec))), spec...)
	boot := &Boot{Log: b}
	for i := 17; i <= 22; i++ {
		for j := range boot.PCRs[i] {
			boot.PCRs[i][j] = 0xff
		}
	}
	boot.Add(events...)
	return boot
}

// Add goes on with the boot.
func (boot *Boot) Add(events ...BootEvent) {
	le := binary.LittleEndian
	boot.Events = append(boot.Events, events...)
	for _, e := range events {
		hashed := e.Hashed
		if hashed == nil {
			hashed = e.Data
		}
		small, sum := sha1.Sum(hashed), sha256.Sum256(hashed)
		b := le.AppendUint32(le.AppendUint32(boot.Log, e.PCR), e.Type)
		b = append(le.AppendUint16(le.AppendUint32(b, 2), 0x0004), small[:]...)
		b = append(le.AppendUint16(b, 0x000b), sum[:]...)
		boot.Log = append(le.AppendUint32(b, uint32(len(e.Data))), e.Data...)
		if e.PCR < 24 && e.Type != 3 {
			boot.PCRs[e.PCR] = sha256.Sum256(append(boot.PCRs[e.PCR][:], sum[:]...))
		}
	}
}

// UTF16 is text in little-endian UTF-16 with its terminator.
func UTF16(text string) []byte {
	var b []byte
	for _, unit := range append(utf16.Encode([]rune(text)), 0) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

// GUID is a GUID as it is in memory.
func GUID(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	must(err)
	for _, pair := range [][2]int{{0, 3}, {1, 2}, {4, 5}, {6, 7}} {
		b[pair[0]], b[pair[1]] = b[pair[1]], b[pair[0]]
	}
	return b
}

// GUIDs of UEFI that boots measure.
const (
	GlobalVariable = "8BE4DF61-93CA-11D2-AA0D-00E098032B8C"
	ImageSecurity  = "D719B2CB-3D3A-4596-A3BC-DAD00E67656F"
	signatureX509  = "A5C059A1-94E4-4AA7-87B5-AB155C2BF072"
	signatureSHA   = "C1C41626-504C-4092-ACA9-41F936934328"
)

// EFIVariable is the data of a variable event (UEFI_VARIABLE_DATA).
func EFIVariable(vendor, name string, data []byte) []byte {
	text := UTF16(name)
	text = text[:len(text)-2]
	b := binary.LittleEndian.AppendUint64(GUID(vendor), uint64(len(text)/2))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	return append(append(b, text...), data...)
}

// SignatureList is an EFI_SIGNATURE_LIST of certificates, or of SHA-256 hashes if
// all have 32 bytes.
func SignatureList(entries ...[]byte) (list []byte) {
	le := binary.LittleEndian
	for _, e := range entries {
		typ := signatureX509
		if len(e) == 32 {
			typ = signatureSHA
		}
		list = le.AppendUint32(append(list, GUID(typ)...), uint32(28+16+len(e)))
		list = le.AppendUint32(le.AppendUint32(list, 0), uint32(16+len(e)))
		list = append(append(list, make([]byte, 16)...), e...)
	}
	return list
}

// Microsoft's public certificates of secure boot: of Windows's own boot loader (Windows
// Production PCA 2011), and of what it signs for others (Corporation UEFI CA 2011).
var (
	//go:embed authorities/windows-pca-2011.der
	windowsAuthority []byte
	//go:embed authorities/uefi-ca-2011.der
	thirdPartyAuthority []byte
)

// WindowsAuthority is the certificate under which Windows's own boot loader is signed.
func WindowsAuthority() []byte { return bytes.Clone(windowsAuthority) }

// ThirdPartyAuthority is the certificate under which Microsoft signs the boot loaders of others.
func ThirdPartyAuthority() []byte { return bytes.Clone(thirdPartyAuthority) }

// Authority is the event that firmware measures when a certificate of db allows an image.
func Authority(der []byte) BootEvent {
	return BootEvent{PCR: 7, Type: 0x800000e0, Data: EFIVariable(ImageSecurity, "db",
		append(make([]byte, 16), der...))}
}

// BootConfig describes a PC; its zero value is a healthy Linux machine with
// secure boot.
type BootConfig struct {
	// SecureBootOff turns secure boot off.
	SecureBootOff bool
	// PK, KEK, DB and DBX are the databases; nil stands for one entry each.
	PK, KEK, DB, DBX []byte
	// Windows, if not nil, makes a boot of Windows with these items, by PCR. With secure
	// boot, Windows's own authority allows it.
	Windows map[uint32][]byte
	// Kernel is the command line that GRUB starts.
	Kernel string
}

// HealthyBoot makes the boot of a PC.
func HealthyBoot(cfg BootConfig) *Boot {
	entry := func(b []byte, what string) []byte {
		if b != nil {
			return b
		}
		sum := sha256.Sum256([]byte(what))
		return SignatureList(sum[:])
	}
	separator := func(pcr uint32) BootEvent { return BootEvent{PCR: pcr, Type: 4, Data: make([]byte, 4)} }
	on := []byte{1}
	if cfg.SecureBootOff {
		on = []byte{0}
	}
	variable := func(vendor, name string, data []byte) BootEvent {
		return BootEvent{PCR: 7, Type: 0x80000001, Data: EFIVariable(vendor, name, data)}
	}
	boot := NewBoot(
		BootEvent{PCR: 0, Type: 8, Data: UTF16("firmware 1.0")},
		BootEvent{PCR: 0, Type: 0x80000008, Data: make([]byte, 16), Hashed: []byte("firmware")},
		variable(GlobalVariable, "SecureBoot", on), variable(GlobalVariable, "PK", entry(cfg.PK, "PK")),
		variable(GlobalVariable, "KEK", entry(cfg.KEK, "KEK")), variable(ImageSecurity, "db", entry(cfg.DB, "db")),
		variable(ImageSecurity, "dbx", entry(cfg.DBX, "dbx")),
		BootEvent{PCR: 1, Type: 0x80000002, Data: EFIVariable(GlobalVariable, "BootOrder", []byte{0, 0})},
	)
	for pcr := range uint32(8) {
		boot.Add(separator(pcr))
	}
	if !cfg.SecureBootOff {
		der := thirdPartyAuthority
		if cfg.Windows != nil {
			der = windowsAuthority
		}
		boot.Add(Authority(der))
	}
	image := append(make([]byte, 24), binary.LittleEndian.AppendUint64(nil, 0)...)
	boot.Add(BootEvent{PCR: 4, Type: 0x80000003, Data: image, Hashed: []byte("boot loader")})
	if cfg.Windows != nil {
		for pcr := uint32(12); pcr <= 14; pcr++ {
			if b := cfg.Windows[pcr]; b != nil {
				boot.Add(BootEvent{PCR: pcr, Type: 6, Data: SIPA(0x40010001, b)})
			}
			boot.Add(BootEvent{PCR: pcr, Type: 4, Data: []byte("WBCL")})
		}
		return boot
	}
	kernel := cfg.Kernel
	if kernel == "" {
		kernel = "/vmlinuz root=/dev/sda1 ro"
	}
	boot.Add(BootEvent{
		PCR: 8, Type: 0xd, Data: []byte("grub_cmd: linux " + kernel + "\x00"),
		Hashed: []byte("linux " + kernel),
	},
		BootEvent{PCR: 9, Type: 0xd, Data: []byte("/vmlinuz\x00"), Hashed: []byte("the kernel")},
		BootEvent{PCR: 8, Type: 0xd, Data: []byte("kernel_cmdline: " + kernel + "\x00"), Hashed: []byte(kernel)})
	return boot
}

// SIPA is one of Windows's tagged events: tag, length, payload.
func SIPA(tag uint32, payload []byte) []byte {
	b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, tag), uint32(len(payload)))
	return append(b, payload...)
}

// HealthyWindows are the items of a Windows with everything on: code integrity,
// VBS, HVCI, ELAM, BitLocker. Extra is appended to those of PCR 12.
func HealthyWindows(extra ...[]byte) map[uint32][]byte { return windowsItems(1, extra...) }

// ResumedWindows are those of a Windows that resumes from hibernation.
func ResumedWindows(extra ...[]byte) map[uint32][]byte { return windowsItems(2, extra...) }

// windowsItems are the items after a boot manager that transferred control.
func windowsItems(transfer uint32, extra ...[]byte) map[uint32][]byte {
	one, zero := []byte{1}, []byte{0}
	four := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	items := func(list ...[]byte) (all []byte) {
		for _, b := range list {
			all = append(all, b...)
		}
		return all
	}
	common := items(SIPA(0x00040001, zero), SIPA(0x00050001, zero), SIPA(0x00050002, one),
		SIPA(0x00050003, zero), SIPA(0x00050005, zero),
		SIPA(0x00050006, zero), SIPA(0x00050021, zero), SIPA(0x000a0001, one), SIPA(0x000a0003, one),
		SIPA(0x000a0007, four(1)))
	module := SIPA(0x40010003, items(SIPA(0x00070001, UTF16(`\Windows\System32\drivers\wd\WdBoot.sys`)),
		SIPA(0x0007000a, one), SIPA(0x0007000b, four(2))))
	return map[uint32][]byte{12: append(items(SIPA(0x00020003, four(transfer)), SIPA(0x00020009, four(7)),
		SIPA(0x00020005, four(4)), common), items(extra...)...),
		13: items(common, module), 14: SIPA(0x00060002, []byte("a signer's key"))}
}

// IMAEntry is a measured file.
type IMAEntry struct {
	Path string
	Hash [32]byte
}

// IMA makes a binary list of the template ima-ng and the SHA-256 register that it
// leads to.
func IMA(entries ...IMAEntry) (list []byte, pcr10 [32]byte) {
	le := binary.LittleEndian
	for _, e := range entries {
		digest := append([]byte("sha256:\x00"), e.Hash[:]...)
		data := append(le.AppendUint32(nil, uint32(len(digest))), digest...)
		data = append(le.AppendUint32(data, uint32(len(e.Path)+1)), append([]byte(e.Path), 0)...)
		small, sum := sha1.Sum(data), sha256.Sum256(data)
		list = append(le.AppendUint32(list, 10), small[:]...)
		list = append(le.AppendUint32(list, 6), "ima-ng"...)
		list = append(le.AppendUint32(list, uint32(len(data))), data...)
		pcr10 = sha256.Sum256(append(pcr10[:], sum[:]...))
	}
	return list, pcr10
}
