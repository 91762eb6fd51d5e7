// Package eventlog reads logs of measured boot, replays them, and says what they
// prove: the events of a boot, in the JSON that policies query, and plain facts
// such as whether secure boot was on.
//
// Start with [Prove], which takes the logs that were sent and the registers that
// signed evidence vouches for. A log proves nothing by itself: only events of a
// register whose quoted value the log leads to are believed, and of those only
// what the digest covers. The type of an event is covered by nothing.
//
// Forms: logs of the TCG PC Client Platform Firmware Profile, crypto-agile
// (section 10.2) and TPM 1.2; those of confidential VMs (ACPI table CCEL; UEFI
// 2.10, section 38) are crypto-agile too. Within them: UEFI variables, Windows's
// tagged events (WBCL), what shim, GRUB, systemd-boot and unified kernels
// measure. Beside them: lists of Linux IMA.
package eventlog

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Log is a parsed log. Nothing of it is proven.
type Log struct {
	Events []Event
	// Banks are the hashes that the header announces.
	Banks []Algorithm
	// Locality is the start value of PCR 0 (StartupLocality event), mostly 0.
	Locality byte
}

// Event is one record of a log.
type Event struct {
	// Register is the PCR index; in logs of trust domains 0 is MRTD and 1 to 4
	// are RTMR 0 to 3.
	Register uint32
	Type     Type
	Digests  []Digest
	Data     []byte
}

// Digest is what was extended into the bank of one algorithm.
type Digest struct {
	Algorithm Algorithm
	Value     []byte
}

// Algorithm is a hash by its TPM identifier (TCG Algorithm Registry).
type Algorithm uint16

// The hashes that are replayed.
const (
	SHA1   Algorithm = 0x0004
	SHA256 Algorithm = 0x000b
	SHA384 Algorithm = 0x000c
	SHA512 Algorithm = 0x000d
)

// Hash returns the algorithm's hash, or 0.
func (a Algorithm) Hash() crypto.Hash {
	switch a {
	case SHA1:
		return crypto.SHA1
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	case SHA512:
		return crypto.SHA512
	}
	return 0
}

// Size returns the length of a digest in bytes, or 0.
func (a Algorithm) Size() int {
	if h := a.Hash(); h != 0 {
		return h.Size()
	}
	return 0
}

// String returns the name in the form that policies read, such as "SHA256".
func (a Algorithm) String() string {
	switch a {
	case SHA1:
		return "SHA1"
	case SHA256:
		return "SHA256"
	case SHA384:
		return "SHA384"
	case SHA512:
		return "SHA512"
	}
	return fmt.Sprintf("algorithm %#x", uint16(a))
}

// Sum appends the digest of b to dst.
func (a Algorithm) Sum(dst, b []byte) []byte {
	switch a {
	case SHA1:
		sum := sha1.Sum(b)
		return append(dst, sum[:]...)
	case SHA256:
		sum := sha256.Sum256(b)
		return append(dst, sum[:]...)
	case SHA384:
		sum := sha512.Sum384(b)
		return append(dst, sum[:]...)
	case SHA512:
		sum := sha512.Sum512(b)
		return append(dst, sum[:]...)
	}
	return dst
}

// Bounds of what is read.
const (
	maxLog        = 1 << 20
	maxEvents     = 8192
	maxAlgorithms = 8
	maxData       = 1 << 19
	// Registers is how many PCRs there are.
	Registers = 24
)

// reader takes a log apart; the first failure sticks.
type reader struct {
	b   []byte
	err error
	// arena contains the digests of many events, so that each costs no allocation.
	arena []Digest
}

var errShort = errors.New("the log is cut short")

func (r *reader) take(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)) {
		if r.err == nil {
			r.err = errShort
		}
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Parse reads a log in either form. Padding of FF or zero bytes, which firmware
// leaves after the last record, is cut off.
func Parse(b []byte) (*Log, error) {
	if len(b) > maxLog {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(b), maxLog)
	}
	r := &reader{b: b}
	first, err := r.legacyEvent()
	if err != nil {
		return nil, err
	}
	l := &Log{Events: make([]Event, 0, min(len(b)/256+8, maxEvents))}
	read := r.legacyEvent
	if sizes, announced, err := specification(first); err != nil {
		return nil, err
	} else if sizes != nil {
		l.Banks = announced
		read = func() (Event, error) { return r.event(sizes) }
	} else {
		l.Banks, l.Events = []Algorithm{SHA1}, append(l.Events, first)
	}
	for len(r.b) > 0 && !padding(r.b) {
		e, err := read()
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(l.Events)+1, err)
		}
		if l.Events = append(l.Events, e); len(l.Events) > maxEvents {
			return nil, fmt.Errorf("more than %d events", maxEvents)
		}
	}
	return l, l.startLocality()
}

// padding reports whether only one filling byte is left.
func padding(b []byte) bool {
	if b[0] != 0xff && b[0] != 0 {
		return false
	}
	for _, c := range b {
		if c != b[0] {
			return false
		}
	}
	return true
}

// legacyEvent reads a TCG_PCR_EVENT, the form of TPM 1.2 and of the first record
// of any log.
func (r *reader) legacyEvent() (Event, error) {
	e := Event{Register: r.u32(), Type: Type(r.u32())}
	e.Digests = r.keep(Digest{SHA1, r.take(sha1.Size)})
	return r.data(e)
}

// keep returns a list of digests, cut from the arena.
func (r *reader) keep(list ...Digest) []Digest {
	if cap(r.arena)-len(r.arena) < len(list) {
		// A record has some hundred bytes.
		r.arena = make([]Digest, 0, max(16, len(r.b)/160*len(list), len(list)))
	}
	from := len(r.arena)
	r.arena = append(r.arena, list...)
	return r.arena[from:len(r.arena):len(r.arena)]
}

func (r *reader) data(e Event) (Event, error) {
	size := r.u32()
	if r.err == nil && size > maxData {
		return e, fmt.Errorf("data of %d bytes, at most %d are read", size, maxData)
	}
	e.Data = r.take(size)
	return e, r.err
}

// size is how many bytes the digests of an algorithm have.
type size struct {
	algorithm Algorithm
	bytes     uint32
}

// specification reads the data of a first record, which in crypto-agile logs say
// which digests the others contain (TCG_EfiSpecIDEvent). It returns nil for logs of
// TPM 1.2.
func specification(first Event) ([]size, []Algorithm, error) {
	data := &reader{b: first.Data}
	signature := data.take(16)
	if first.Type != NoAction || data.err != nil || string(signature) != signatureSpecID {
		return nil, nil, nil
	}
	data.take(4 + 1 + 1 + 1 + 1) // platform class, version, errata, size of UINTN
	n := data.u32()
	if data.err != nil || n == 0 || n > maxAlgorithms {
		return nil, nil, fmt.Errorf("a header with %d algorithms, want 1 to %d", n, maxAlgorithms)
	}
	var sizes []size
	var announced []Algorithm
	for range n {
		algorithm, bytes := Algorithm(data.u16()), uint32(data.u16())
		if own := algorithm.Size(); data.err != nil || own != 0 && int(bytes) != own || bytes == 0 ||
			bytes > 128 || slices.Contains(announced, algorithm) {
			return nil, nil, fmt.Errorf("a header with digests of %d bytes for %v", bytes, algorithm)
		}
		sizes, announced = append(sizes, size{algorithm, bytes}), append(announced, algorithm)
	}
	if len(data.b) > 0 { // some firmware leaves the vendor's information out
		vendor := data.take(1)
		if data.take(uint32(vendor[0])); data.err != nil {
			return nil, nil, fmt.Errorf("a header with %d bytes of vendor information that is cut off", vendor[0])
		}
		if !zeros(data.b) {
			return nil, nil,
				fmt.Errorf("a header with %d bytes after its structure that are not zero padding", len(data.b))
		}
	}
	return sizes, announced, nil
}

// event reads a TCG_PCR_EVENT2. It may contain fewer digests than the header
// announces, in any order; no algorithm may come twice.
func (r *reader) event(sizes []size) (Event, error) {
	e := Event{Register: r.u32(), Type: Type(r.u32())}
	n := r.u32()
	if r.err == nil && uint64(n) > uint64(len(sizes)) {
		return e, fmt.Errorf("%d digests, at most %d were announced", n, len(sizes))
	}
	var list [maxAlgorithms]Digest
	seen := 0
	for i := range n {
		algorithm := Algorithm(r.u16())
		at := slices.IndexFunc(sizes, func(s size) bool { return s.algorithm == algorithm })
		if r.err == nil && at < 0 {
			return e, fmt.Errorf("a digest of %v, which was not announced", algorithm)
		}
		if r.err != nil {
			return e, r.err
		}
		if seen&(1<<at) != 0 {
			return e, fmt.Errorf("two digests of %v", algorithm)
		}
		seen |= 1 << at
		list[i] = Digest{algorithm, r.take(sizes[at].bytes)}
	}
	e.Digests = r.keep(list[:n]...)
	return r.data(e)
}

// Digest returns the digest for a bank, or nil.
func (e *Event) Digest(bank Algorithm) []byte {
	for i := range e.Digests {
		if e.Digests[i].Algorithm == bank {
			return e.Digests[i].Value
		}
	}
	return nil
}
