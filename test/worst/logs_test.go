package worst

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/probity-dev/probity/evidence/evidencetest"
)

var le = binary.LittleEndian

// legacyEvent is a record of the form of TPM 1.2.
func legacyEvent(register, typ uint32, data string) string {
	sum := sha1.Sum([]byte(data))
	return string(le.AppendUint32(append(le.AppendUint32(le.AppendUint32(nil, register), typ), sum[:]...),
		uint32(len(data)))) + data
}

// legacyEvent2 is a record of a crypto-agile log with a SHA-256 bank.
func legacyEvent2(register, typ uint32, data string) string {
	sum := sha256.Sum256([]byte(data))
	b := le.AppendUint16(le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, register), typ), 1), uint16(0xb))
	return string(le.AppendUint32(append(b, sum[:]...), uint32(len(data)))) + data
}

// newLog is a crypto-agile log full of the record.
func newLog(record string) []byte {
	header := "Spec ID Event03\x00" + "\x00\x00\x00\x00\x00\x02\x00\x02" +
		"\x01\x00\x00\x00\x0b\x00\x20\x00" + "\x00"
	log := legacyEvent(0, 3, header)
	if record == "" {
		return []byte(log)
	}
	n := min((maxInput-len(log))/len(record), 8192)
	return []byte(log + strings.Repeat(record, max(n, 1)))
}

// windowsLog is a log full of the record in a boot that is proven to be one of Windows.
func windowsLog(record string) []byte {
	var before, behind string
	for _, e := range evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: map[uint32][]byte{}}).Events {
		switch text := legacyEvent2(e.PCR, e.Type, string(e.Data)); e.PCR {
		case 7:
			before += text
		case 12, 13:
			behind += text
		}
	}
	log := string(newLog(""))
	n := min((maxInput-len(log)-len(before)-len(behind))/len(record), 8192)
	return []byte(log + before + strings.Repeat(record, max(n, 1)) + behind)
}

// tags are items of Windows's log, each with a tag of its own.
func tags(n int) string {
	var b []byte
	for i := range n {
		b = le.AppendUint32(le.AppendUint32(b, 0x00050000+uint32(i)), 0)
	}
	return string(b)
}

// aggregations nest items.
func aggregations(depth int, items string) string {
	for range depth {
		items = string(le.AppendUint32(le.AppendUint32(nil, 0x40010001), uint32(len(items)))) + items
	}
	return items
}

// variable is a measured UEFI variable.
func variable(data string) string {
	b := make([]byte, 16, 32)
	b = le.AppendUint64(le.AppendUint64(b, 2), uint64(len(data)))
	return string(b) + "d\x00b\x00" + data
}

// imaList is a list full of the shortest entry of a template.
func imaList(template string, size int) []byte {
	var data []byte
	switch template {
	case "ima":
		data = make([]byte, size)
		le.PutUint32(data[20:], 1)
		data[24] = 'a'
	default:
		content := sha1.Sum([]byte{0x30, 0x82, 0, 0})
		digest := "sha1:\x00" + string(content[:])
		data = append(le.AppendUint32(data, uint32(len(digest))), digest...)
		data = append(le.AppendUint32(data, 2), ".\x00"...)
		if template == "ima-buf" {
			data = append(le.AppendUint32(data, 4), 0x30, 0x82, 0, 0)
		}
	}
	hashed := data
	if template == "ima" {
		hashed = append(make([]byte, 20), append([]byte("a"), make([]byte, 255)...)...)
	}
	sum := sha1.Sum(hashed)
	entry := append(le.AppendUint32(nil, 10), sum[:]...)
	entry = append(le.AppendUint32(entry, uint32(len(template))), template...)
	if template != "ima" {
		entry = le.AppendUint32(entry, uint32(len(data)))
	}
	return fill(string(append(entry, data...)))
}
