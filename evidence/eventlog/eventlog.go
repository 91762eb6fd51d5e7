// Package eventlog reads logs of measured boot and replays them: what was
// extended into which register, in order.
//
// The form is the crypto-agile log of the TCG PC Client Platform Firmware
// Profile (section 10.2), which confidential VMs keep too (ACPI table CCEL; UEFI
// 2.10, section 38). A log proves nothing by itself: only what leads to the
// value of a register that signed evidence holds is worth reading.
package eventlog

import (
	"crypto"
	_ "crypto/sha256" // hashes of registers
	_ "crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
)

// Event is one record of a log.
type Event struct {
	// Register is the PCR index; in logs of trust domains 0 is MRTD and 1 to 4
	// are RTMR 0 to 3.
	Register uint32
	Type     uint32
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

// hash returns the algorithm's hash, or 0.
func (a Algorithm) hash() crypto.Hash {
	return map[Algorithm]crypto.Hash{SHA1: crypto.SHA1, SHA256: crypto.SHA256, SHA384: crypto.SHA384, SHA512: crypto.SHA512}[a]
}

// NoAction is the type of records that are never extended.
const NoAction = 0x00000003

// Bounds of what is read.
const (
	maxLog        = 1 << 20
	maxEvents     = 8192
	maxAlgorithms = 8
	maxData       = 1 << 19
)

// reader takes a log apart; the first failure sticks.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)) {
		if r.err == nil {
			r.err = errors.New("the log is cut short")
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

// Parse reads a crypto-agile log. Padding of FF or zero bytes, which firmware
// leaves behind the last record, is cut off.
func Parse(b []byte) ([]Event, error) {
	if len(b) > maxLog {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(b), maxLog)
	}
	r := &reader{b: b}
	sizes, err := r.header()
	if err != nil {
		return nil, err
	}
	var events []Event
	for len(r.b) > 0 && !padding(r.b) {
		e, err := r.event(sizes)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(events)+1, err)
		}
		if events = append(events, e); len(events) > maxEvents {
			return nil, fmt.Errorf("more than %d events", maxEvents)
		}
	}
	return events, nil
}

// padding reports whether nothing but one filling byte is left.
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

// header reads the first record, in the old form, whose data say which digests
// the others hold (TCG_EfiSpecIDEvent).
func (r *reader) header() (map[Algorithm]uint32, error) {
	r.u32() // the register: 0, or 1 in logs of trust domains
	typ := r.u32()
	r.take(20)
	size := r.u32()
	if r.err == nil && size > maxData {
		return nil, errors.New("the header is larger than any")
	}
	data := &reader{b: r.take(size)}
	if r.err != nil {
		return nil, r.err
	}
	signature := data.take(16)
	data.take(4 + 1 + 1 + 1 + 1) // platform class, version, errata, size of UINTN
	n := data.u32()
	if data.err != nil || typ != NoAction || string(signature) != "Spec ID Event03\x00" {
		return nil, errors.New("not a crypto-agile log: no Spec ID Event03")
	}
	if n == 0 || n > maxAlgorithms {
		return nil, fmt.Errorf("%d algorithms, want 1 to %d", n, maxAlgorithms)
	}
	sizes := map[Algorithm]uint32{}
	for range n {
		algorithm, size := Algorithm(data.u16()), uint32(data.u16())
		if h := algorithm.hash(); data.err != nil || h != 0 && int(size) != h.Size() || size > 128 || sizes[algorithm] != 0 {
			return nil, fmt.Errorf("algorithm %#x with digests of %d bytes", uint16(algorithm), size)
		}
		sizes[algorithm] = size
	}
	return sizes, nil
}

// event reads a TCG_PCR_EVENT2.
func (r *reader) event(sizes map[Algorithm]uint32) (Event, error) {
	e := Event{Register: r.u32(), Type: r.u32()}
	n := r.u32()
	if r.err == nil && int(n) > len(sizes) {
		return e, fmt.Errorf("%d digests, at most %d were announced", n, len(sizes))
	}
	for range n {
		algorithm := Algorithm(r.u16())
		size, known := sizes[algorithm]
		if r.err == nil && !known {
			return e, fmt.Errorf("a digest of algorithm %#x, which was not announced", uint16(algorithm))
		}
		e.Digests = append(e.Digests, Digest{algorithm, r.take(size)})
	}
	size := r.u32()
	if r.err == nil && size > maxData {
		return e, fmt.Errorf("data of %d bytes, at most %d are read", size, maxData)
	}
	e.Data = r.take(size)
	return e, r.err
}

// Replay computes the registers of a bank, which all begin at zero, and how many
// events were extended into each. An event without a digest for the bank is an
// error: it cannot be said what it did.
func Replay(events []Event, bank Algorithm) (registers map[uint32][]byte, counts map[uint32]int, err error) {
	hash := bank.hash()
	if hash == 0 {
		return nil, nil, fmt.Errorf("algorithm %#x is not replayed", uint16(bank))
	}
	registers, counts = map[uint32][]byte{}, map[uint32]int{}
	for i, e := range events {
		if e.Type == NoAction {
			continue
		}
		digest := e.digest(bank)
		if digest == nil {
			return nil, nil, fmt.Errorf("event %d has no digest for the bank", i+1)
		}
		value := registers[e.Register]
		if value == nil {
			value = make([]byte, hash.Size())
		}
		h := hash.New()
		h.Write(value)
		h.Write(digest)
		registers[e.Register] = h.Sum(nil)
		counts[e.Register]++
	}
	return registers, counts, nil
}

func (e *Event) digest(bank Algorithm) (found []byte) {
	for _, d := range e.Digests {
		if d.Algorithm == bank {
			if found != nil {
				return nil // two digests for one bank
			}
			found = d.Value
		}
	}
	return found
}
