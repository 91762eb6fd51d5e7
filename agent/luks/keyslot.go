package luks

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
	"strings"
)

// costs are the bounds of what it costs to try a passphrase.
type costs struct {
	time, memory, iterations int64 // at least; memory in KiB
}

// The passphrase of an enrolment has 256 random bits, which no attacker tries out: the least that LUKS2 has is
// enough, and a boot need not wait. Other slots have passphrases that people choose.
var (
	enrolledCosts = costs{time: 4, memory: 32, iterations: 1000}
	personalCosts = costs{time: 4, memory: 64 << 10, iterations: 100_000}
)

// The most that is accepted: a boot that waits for hours, or runs out of memory, is one that did not happen.
// 4 GiB and 4 threads are LUKS2's own limits.
const (
	maxTime       = 4096
	maxMemory     = 4 << 20 // KiB
	maxThreads    = 4
	maxIterations = 1_000_000_000

	minSalt, maxSalt = 16, 64
	stripes          = 4000
)

func (i *inspection) checkSlots() error {
	allowed := slices.Clone(i.want.Slots)
	if e := i.device.Enrolled; e != nil {
		allowed, i.machine[e.Slot] = append(allowed, e.Slot), true
	} else if i.want.Binding == nil {
		for _, e := range i.device.Enrolments {
			allowed, i.machine[e.Slot] = append(allowed, e.Slot), true
		}
	}
	slices.Sort(allowed)
	allowed = slices.Compact(allowed)
	list := numbers(i.meta.Keyslots)
	want, found := fmt.Sprintf("some of %v", allowed), fmt.Sprint(list)
	if len(list) == 0 || len(list) > maxObjects || slices.ContainsFunc(list,
		func(n int) bool { return !slices.Contains(allowed, n) }) {
		return i.Fail(CheckSlots, want, "key slots "+found)
	}
	i.Pass(CheckSlots, want, found)
	i.device.Slots, i.slots = list, map[int]keyslot{}
	for _, step := range []func(int, *keyslot) error{
		i.readSlot, i.checkKeySize, i.checkSlotCipher, i.checkKDF, i.checkSplit, i.checkSlotArea,
	} {
		for _, n := range list {
			s := i.slots[n]
			if err := step(n, &s); err != nil {
				return err
			}
			i.slots[n] = s
		}
	}
	return nil
}

func (i *inspection) readSlot(n int, s *keyslot) error {
	const want = "luks2, priority 0 to 2"
	raw := i.meta.Keyslots[fmt.Sprint(n)]
	if kind := typeOf(raw); kind != "luks2" {
		return i.Fail(CheckSlotType, want, fmt.Sprintf("key slot %d of the type %.40q", n, kind))
	}
	if err := i.object("a key slot", raw, s); err != nil {
		return err
	}
	if s.Priority != nil && (*s.Priority < 0 || *s.Priority > 2) {
		return i.Fail(CheckSlotType, want, fmt.Sprintf("key slot %d of priority %d", n, *s.Priority))
	}
	i.Pass(CheckSlotType, want, fmt.Sprintf("key slot %d: luks2", n))
	return nil
}

// keySizes are the lengths of keys that a cipher can have, in bytes, and the bounds of those with integrity.
func (i *inspection) keySizes() (least, most int) {
	least, most = 16, 64
	if strings.Contains(i.segment.Encryption, "xts") {
		least = 32 // two keys of AES-128
	}
	if i.segment.Integrity != nil {
		most += 64 // a key of the MAC is after it
	}
	return least, most
}

func (i *inspection) checkKeySize(n int, s *keyslot) error {
	least, most := i.keySizes()
	want := fmt.Sprintf("%d to %d bytes in steps of 16, equal in all slots", least, most)
	found := fmt.Sprintf("key slot %d: %d bytes", n, s.KeySize)
	if s.KeySize < least || s.KeySize > most || s.KeySize%16 != 0 || s.KeySize != i.slots[i.device.Slots[0]].KeySize {
		return i.Fail(CheckKeySize, want, found)
	}
	if strings.Contains(i.segment.Encryption, "xts") && i.segment.Integrity == nil && s.KeySize%32 != 0 {
		return i.Fail(CheckKeySize, "32 or 64 bytes", found)
	}
	i.Pass(CheckKeySize, want, found)
	return nil
}

func (i *inspection) checkSlotCipher(n int, s *keyslot) error {
	list := i.ciphers()
	if !slices.Contains(list, DefaultCipher) {
		list = append([]string{DefaultCipher}, list...) // cryptsetup's choice where the disk has another one
	}
	want := strings.Join(list, " or ") + ", 32 or 64 bytes"
	found := fmt.Sprintf("key slot %d: %.60s, %d bytes", n, s.Area.Encryption, s.Area.KeySize)
	if !encrypts(s.Area.Encryption, list) || s.Area.KeySize != 32 && s.Area.KeySize != 64 {
		return i.Fail(CheckSlotCipher, want, found)
	}
	i.Pass(CheckSlotCipher, want, found)
	return nil
}

func (i *inspection) checkKDF(n int, s *keyslot) error {
	least := personalCosts
	if i.machine[n] {
		least = enrolledCosts
	}
	k := s.KDF
	want := fmt.Sprintf("argon2id with time %d to %d, %d to %d KiB, 1 to %d threads; or pbkdf2 with %d to %d iterations",
		least.time, maxTime, least.memory, maxMemory, maxThreads, least.iterations, maxIterations)
	var found string
	var ok bool
	switch k.Type {
	case "argon2id":
		ok = within(k.Time, least.time, maxTime) && within(k.Memory, least.memory, maxMemory) &&
			within(k.CPUs, 1, maxThreads) && k.Hash == "" && k.Iterations == 0
		found = fmt.Sprintf("key slot %d: argon2id with time %d, %d KiB, %d threads", n, k.Time, k.Memory, k.CPUs)
	case "pbkdf2":
		ok = within(k.Iterations, least.iterations, maxIterations) && hashSize(k.Hash) > 0 &&
			k.Time == 0 && k.Memory == 0 && k.CPUs == 0
		found = fmt.Sprintf("key slot %d: pbkdf2 with %.20s, %d iterations", n, k.Hash, k.Iterations)
	default:
		found = fmt.Sprintf("key slot %d: %.40q", n, k.Type)
	}
	if ok && (len(k.Salt) < minSalt || len(k.Salt) > maxSalt) {
		ok, found = false, fmt.Sprintf("key slot %d: a salt of %d bytes", n, len(k.Salt))
	}
	if !ok {
		return i.Fail(CheckKDF, want, found)
	}
	i.Pass(CheckKDF, want, found)
	return nil
}

func within(n, least, most int64) bool { return n >= least && n <= most }

// hashSize is the length of a hash that is accepted, in bytes, or 0.
func hashSize(name string) int {
	switch name {
	case "sha256":
		return sha256.Size
	case "sha512":
		return sha512.Size
	}
	return 0
}

func (i *inspection) checkSplit(n int, s *keyslot) error {
	const want = "luks1 with 4000 stripes, sha256 or sha512"
	found := fmt.Sprintf("key slot %d: %.20s with %d stripes, %.20s", n, s.AF.Type, s.AF.Stripes, s.AF.Hash)
	if s.AF.Type != "luks1" || s.AF.Stripes != stripes || hashSize(s.AF.Hash) == 0 {
		return i.Fail(CheckSplit, want, found)
	}
	i.Pass(CheckSplit, want, found)
	return nil
}

func (i *inspection) checkSlotArea(n int, s *keyslot) error {
	a := s.Area
	own := span{uint64(a.Offset), uint64(a.Offset) + uint64(a.Size)} // both have at most 18 digits
	want := fmt.Sprintf("raw, whole blocks between %d and %d, at least %d bytes, shared with no other",
		2*i.primary.size, i.device.size, s.KeySize*stripes)
	found := fmt.Sprintf("key slot %d: %.20s from %d to %d", n, a.Type, own.offset, own.end)
	if a.Type != "raw" || a.Offset%4096 != 0 || a.Size%4096 != 0 || own.offset < 2*i.primary.size ||
		own.end > uint64(i.device.size) || uint64(a.Size) < uint64(s.KeySize)*stripes {
		return i.Fail(CheckSlotArea, want, found)
	}
	for _, other := range i.device.areas {
		if own.offset < other.end && other.offset < own.end {
			return i.Fail(CheckSlotArea, want, found+", which another slot has, too")
		}
	}
	i.device.areas = append(i.device.areas, own)
	i.Pass(CheckSlotArea, want, found)
	return nil
}

func (i *inspection) checkDigest() error {
	const want = "digest 0 alone: pbkdf2 with SHA-256 or SHA-512, 1000 iterations or more"
	raw := i.meta.Digests["0"]
	if kind := typeOf(raw); len(i.meta.Digests) != 1 || kind != "pbkdf2" {
		return i.Fail(CheckDigest, want, fmt.Sprintf("digests %v, of the type %.40q", numbers(i.meta.Digests), kind))
	}
	var d digest
	if err := i.object("a digest", raw, &d); err != nil {
		return err
	}
	found := fmt.Sprintf("pbkdf2 with %.20s, %d iterations, %d bytes", d.Hash, d.Iterations, len(d.Digest))
	if hashSize(d.Hash) == 0 || !within(d.Iterations, 1000, maxIterations) || len(d.Digest) != hashSize(d.Hash) ||
		len(d.Salt) < minSalt || len(d.Salt) > maxSalt {
		return i.Fail(CheckDigest, want, found)
	}
	i.Pass(CheckDigest, want, found)
	var slots []string
	for _, n := range i.device.Slots {
		slots = append(slots, fmt.Sprint(n))
	}
	covered := slices.Clone(d.Keyslots)
	slices.Sort(covered)
	slices.Sort(slots)
	all := fmt.Sprintf("segment 0 and key slots %v", i.device.Slots)
	if !slices.Equal(d.Segments, []string{"0"}) || !slices.Equal(covered, slots) {
		return i.Fail(CheckDigestCovers, all, fmt.Sprintf("%.60q and %.200q", d.Segments, d.Keyslots))
	}
	i.Pass(CheckDigestCovers, all, all)
	i.device.Digest = bytes.Clone(d.Digest)
	return nil
}
