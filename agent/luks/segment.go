package luks

import (
	"fmt"
	"slices"
	"strings"
)

func (i *inspection) checkSegments() error {
	raw, ok := i.meta.Segments["0"]
	found := fmt.Sprintf("segments %v", numbers(i.meta.Segments))
	if len(i.meta.Segments) != 1 || !ok {
		return i.Fail(CheckSegments, "segment 0 alone", found)
	}
	i.Pass(CheckSegments, "segment 0 alone", found)
	const want = "crypt, without flags"
	if kind := typeOf(raw); kind != "crypt" {
		return i.Fail(CheckSegmentType, want, fmt.Sprintf("%.40q", kind))
	}
	if err := i.object("a segment", raw, &i.segment); err != nil {
		return err
	}
	if len(i.segment.Flags) > 0 {
		return i.Fail(CheckSegmentType, want, fmt.Sprintf("crypt with the flag %.40q", i.segment.Flags[0]))
	}
	i.Pass(CheckSegmentType, want, "crypt")
	return nil
}

// ciphers are those that are accepted.
func (i *inspection) ciphers() []string {
	if len(i.want.Ciphers) == 0 {
		return []string{DefaultCipher}
	}
	return i.want.Ciphers
}

// encrypts reports whether a cipher is on the list and encrypts. The kernel's cipher_null does not, by whatever
// name it is reached, as in capi:ecb(cipher_null).
func encrypts(cipher string, list []string) bool {
	return slices.Contains(list, cipher) && !strings.Contains(strings.ToLower(cipher), "null")
}

func (i *inspection) checkSegment() error {
	s := &i.segment
	list := i.ciphers()
	if want := strings.Join(list, " or "); !encrypts(s.Encryption, list) {
		return i.Fail(CheckCipher, want, fmt.Sprintf("%.60q", s.Encryption))
	}
	i.Pass(CheckCipher, strings.Join(list, " or "), s.Encryption)
	want, found := i.want.Integrity, ""
	if s.Integrity != nil {
		found = s.Integrity.Type
	}
	// A journal of plain text would contain data twice; the kernel's dm-integrity has it inside the
	// encrypted device, and cryptsetup never asks for another one.
	if found != want || s.Integrity != nil && (want == "" || s.Integrity.JournalEncryption != "none" ||
		s.Integrity.JournalIntegrity != "none" || s.Integrity.KeySize < 0 || s.Integrity.KeySize > 64) {
		return i.Fail(CheckIntegrity, orNone(want), fmt.Sprintf("%.60s", orNone(found)))
	}
	i.Pass(CheckIntegrity, orNone(want), orNone(found))
	const sector = "512, 1024, 2048 or 4096 bytes, from 0"
	layout := fmt.Sprintf("%d bytes, from %d", s.SectorSize, s.Tweak)
	if !slices.Contains([]int{512, 1024, 2048, 4096}, s.SectorSize) || s.Tweak != 0 {
		return i.Fail(CheckSector, sector, layout)
	}
	i.Pass(CheckSector, sector, layout)
	return i.checkSegmentArea()
}

func (i *inspection) checkSegmentArea() error {
	s := &i.segment
	start, end := uint64(s.Offset), i.size
	want := fmt.Sprintf("whole sectors from %d or later, to %d at most", i.device.size, i.size)
	found := fmt.Sprintf("from %d to the end", start)
	if !s.Size.dynamic {
		end = start + uint64(s.Size.bytes) // both have at most 18 digits
		found = fmt.Sprintf("from %d to %d", start, end)
	}
	if start < uint64(i.device.size) || start%512 != 0 || end <= start || end > i.size ||
		!s.Size.dynamic && uint64(s.Size.bytes)%uint64(s.SectorSize) != 0 {
		return i.Fail(CheckSegmentArea, want, found)
	}
	i.Pass(CheckSegmentArea, want, found)
	i.device.Cipher, i.device.DataOffset, i.device.Integrity = s.Encryption, int64(start), i.want.Integrity
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "no integrity protection"
	}
	return s
}
