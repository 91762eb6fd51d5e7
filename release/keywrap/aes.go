package keywrap

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxSecret bounds a secret, in bytes.
const MaxSecret = 64 << 10

// The reasons for which something is not wrapped or unwrapped.
var (
	// ErrSize says that a secret or what was wrapped has a length that cannot be.
	ErrSize = errors.New("the length is not accepted")
	// ErrUnwrap says that what was wrapped does not unwrap with this key and algorithm. It does not say
	// which part is wrong: that would help an attacker who probes.
	ErrUnwrap = errors.New("it does not unwrap with this key and algorithm")
)

const (
	half   = 8 // bytes of half an AES block: the unit of RFC 5649
	rounds = 6
)

// alternativeIV is the upper half of the alternative initial value (RFC 5649, section 3); the
// lower half is the length of the secret.
const alternativeIV = 0xA65959A6

// WrapAES wraps a secret of 1 to [MaxSecret] bytes with an AES key of 16, 24 or 32 bytes (RFC 5649,
// section 4.1). The result is the secret padded to a multiple of 8 bytes, and 8 bytes more. The
// error wraps [ErrSize].
func WrapAES(key, secret []byte) ([]byte, error) {
	block, err := cipherOf(key)
	if err != nil {
		return nil, err
	}
	if len(secret) == 0 || len(secret) > MaxSecret {
		return nil, fmt.Errorf(
			"keywrap: a secret of %d bytes, expected 1 to %d: %w",
			len(secret),
			MaxSecret,
			ErrSize,
		)
	}
	out := make([]byte, half+(len(secret)+half-1)/half*half)
	binary.BigEndian.PutUint32(out, alternativeIV)
	binary.BigEndian.PutUint32(out[4:], uint32(len(secret)))
	copy(out[half:], secret)
	if len(out) == 2*half {
		block.Encrypt(out, out)
		return out, nil
	}
	permute(block, out)
	return out, nil
}

// UnwrapAES returns the secret that [WrapAES] wrapped (RFC 5649, section 4.2). The error wraps [ErrSize]
// or [ErrUnwrap]. The checks of what was unwrapped do not branch on it.
func UnwrapAES(key, wrapped []byte) ([]byte, error) {
	block, err := cipherOf(key)
	if err != nil {
		return nil, err
	}
	const least, most = 2 * half, half + MaxSecret
	if len(wrapped) < least || len(wrapped) > most || len(wrapped)%half != 0 {
		return nil, fmt.Errorf(
			"keywrap: %d wrapped bytes, expected a multiple of %d from %d to %d: %w",
			len(wrapped),
			half,
			least,
			most,
			ErrSize,
		)
	}
	out := make([]byte, len(wrapped))
	copy(out, wrapped)
	if len(out) == least {
		block.Decrypt(out, out)
	} else {
		invert(block, out)
	}
	length, ok := padded(out)
	if ok != 1 {
		clear(out)
		return nil, fmt.Errorf("keywrap: %w", ErrUnwrap)
	}
	secret := out[half : half+length : half+length]
	return secret, nil
}

func cipherOf(key []byte) (cipher.Block, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("keywrap: an AES key of %d bytes, expected 16, 24 or 32: %w", len(key), ErrSize)
	}
	return block, nil
}

// permute is the wrapping process W (RFC 3394, section 2.2.1, index based), in place: the register A is the
// first half block of out.
func permute(block cipher.Block, out []byte) {
	var b [aes.BlockSize]byte
	defer clear(b[:])
	copy(b[:half], out)
	step := uint64(0)
	for range rounds {
		for i := half; i < len(out); i += half {
			copy(b[half:], out[i:i+half])
			block.Encrypt(b[:], b[:])
			step++
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^step)
			copy(out[i:], b[half:])
		}
	}
	copy(out, b[:half])
}

// invert is the inverse of permute (RFC 3394, section 2.2.2, index based).
func invert(block cipher.Block, out []byte) {
	var b [aes.BlockSize]byte
	defer clear(b[:])
	copy(b[:half], out)
	step := uint64(rounds * (len(out)/half - 1))
	for range rounds {
		for i := len(out) - half; i >= half; i -= half {
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^step)
			step--
			copy(b[half:], out[i:i+half])
			block.Decrypt(b[:], b[:])
			copy(out[i:], b[half:])
		}
	}
	copy(out, b[:half])
}

// padded checks the initial value, the length and the padding of what was unwrapped, and returns the length
// of the secret, and 1 if all are right.
//
// Security: it has no branch on the bytes, so that a program in which unwrapping fails does not
// tell by its time how far it came. A length that is wrong is replaced by the longest one before it
// is used.
func padded(out []byte) (length, ok int) {
	whole := uint32(len(out) - half)
	ok = subtle.ConstantTimeEq(int32(binary.BigEndian.Uint32(out)^alternativeIV), 0)
	claimed := binary.BigEndian.Uint32(out[4:])
	missing := whole - claimed // 0 to 7 bytes of padding, or very large
	fits := subtle.ConstantTimeEq(int32(missing&^(half-1)), 0)
	length = subtle.ConstantTimeSelect(fits, int(claimed), int(whole))
	var padding byte
	for i := range half {
		at := int(whole) - half + i // within the last half block
		beyond := subtle.ConstantTimeLessOrEq(length, at)
		padding |= out[half+at] & byte(subtle.ConstantTimeSelect(beyond, 0xff, 0))
	}
	return length, ok & fits & subtle.ConstantTimeByteEq(padding, 0)
}
