package evidencetest

import "encoding/binary"

// CustomClaims encodes an Open Enclave custom claims buffer: pairs of name and
// value.
func CustomClaims(pairs ...string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, 1)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(pairs)/2))
	for i := 0; i+1 < len(pairs); i += 2 {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(pairs[i])+1))
		b = binary.LittleEndian.AppendUint64(b, uint64(len(pairs[i+1])))
		b = append(append(b, pairs[i]...), 0)
		b = append(b, pairs[i+1]...)
	}
	return b
}

// AttestationHeader frames data as Open Enclave evidence of a format.
func AttestationHeader(format [16]byte, data []byte) []byte {
	b := append([]byte{1, 0, 0, 0}, format[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	return append(b, data...)
}

// Endorsements encodes an Open Enclave SGX endorsements blob of nine items.
func Endorsements(items [9][]byte) []byte {
	var offsets, data []byte
	for _, item := range items {
		offsets = binary.LittleEndian.AppendUint32(offsets, uint32(len(data)))
		data = append(data, item...)
	}
	b := []byte{1, 0, 0, 0, 2, 0, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(offsets)+len(data)))
	b = binary.LittleEndian.AppendUint32(b, 9)
	return append(append(b, offsets...), data...)
}
