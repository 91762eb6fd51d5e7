package openenclave

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// CustomClaim is a claim that the enclave added to its evidence.
type CustomClaim struct {
	Name  string
	Value []byte
}

// maxCustomClaims bounds the claims of one buffer.
const maxCustomClaims = 256

// ParseCustomClaims reads a serialized custom claims buffer: version 1, count,
// then for each claim the sizes of name (with its NUL) and value, and both.
// Values point into b. It does not check that a quote binds the buffer.
func ParseCustomClaims(b []byte) ([]CustomClaim, error) {
	if len(b) < 16 {
		return nil, errors.New("openenclave: custom claims: shorter than their header")
	}
	version, count := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if version != 1 {
		return nil, fmt.Errorf("openenclave: custom claims: version %d, want 1", version)
	}
	// Each claim takes at least two sizes and the NUL of its name.
	if count > maxCustomClaims || count > uint64(len(b)-16)/17 {
		return nil, fmt.Errorf("openenclave: custom claims: %d claims in %d bytes", count, len(b))
	}
	list := make([]CustomClaim, 0, count)
	rest := b[16:]
	for i := range count {
		if len(rest) < 16 {
			return nil, fmt.Errorf("openenclave: custom claim %d: cut short", i+1)
		}
		nameSize, valueSize := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		rest = rest[16:]
		left := uint64(len(rest))
		if nameSize < 1 || nameSize > left || valueSize > left-nameSize {
			return nil, fmt.Errorf("openenclave: custom claim %d: sizes %d and %d exceed the %d bytes left",
				i+1, nameSize, valueSize, left)
		}
		name, value := rest[:nameSize], rest[nameSize:nameSize+valueSize]
		if bytes.IndexByte(name, 0) != len(name)-1 {
			return nil, fmt.Errorf("openenclave: custom claim %d: name does not end in its only NUL", i+1)
		}
		list = append(list, CustomClaim{string(name[:len(name)-1]), value})
		rest = rest[nameSize+valueSize:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("openenclave: custom claims: %d bytes left over", len(rest))
	}
	return list, nil
}
