package evidencetest

import (
	"crypto/sha512"
	"encoding/binary"
)

// LogEvent is one record of an event log in SHA-384.
type LogEvent struct {
	Register, Type uint32
	Data           []byte
}

// EventLog makes a crypto-agile log with a SHA-384 bank in which each digest is
// that of the data.
func EventLog(events ...LogEvent) []byte {
	le := binary.LittleEndian
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	spec = le.AppendUint32(spec, 1)
	spec = le.AppendUint16(le.AppendUint16(spec, 0x000c), 48)
	spec = append(spec, 0)
	b := le.AppendUint32(le.AppendUint32(nil, 0), 3)
	b = append(b, make([]byte, 20)...)
	b = append(le.AppendUint32(b, uint32(len(spec))), spec...)
	for _, e := range events {
		sum := sha512.Sum384(e.Data)
		b = le.AppendUint32(le.AppendUint32(b, e.Register), e.Type)
		b = le.AppendUint16(le.AppendUint32(b, 1), 0x000c)
		b = append(b, sum[:]...)
		b = append(le.AppendUint32(b, uint32(len(e.Data))), e.Data...)
	}
	return b
}

// Extend returns what a register of zeros contains after data were measured into
// it, one after the other.
func Extend(data ...[]byte) (register [48]byte) {
	for _, d := range data {
		sum := sha512.Sum384(d)
		register = sha512.Sum384(append(register[:], sum[:]...))
	}
	return register
}
