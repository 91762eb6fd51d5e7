// Package cose reads COSE_Sign1 messages (RFC 9052, section 4.2) in the strict
// subset that attestation evidence uses, and checks their signatures over the
// bytes received.
//
// Only the frame of the Sig_structure is encoded again: protected header
// and payload are hashed as they came.
package cose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"

	"github.com/fxamacker/cbor/v2"

	"github.com/probity-dev/probity/evidence/internal/sigverify"
)

// Algorithms of RFC 9053 and RFC 8230 that are understood.
const (
	ES256 = -7
	ES384 = -35
	ES512 = -36
	PS256 = -37
	PS384 = -38
	PS512 = -39
)

// Labels of header parameters.
const (
	LabelAlgorithm   = int64(1)
	LabelCritical    = int64(2)
	LabelContentType = int64(3)
	LabelCWTClaims   = int64(15)
	LabelX5Chain     = int64(33)
)

// TagSign1 is the CBOR tag of COSE_Sign1.
const TagSign1 = 18

// Header is a map of header parameters: labels are int64 or string.
type Header map[any]cbor.RawMessage

// Sign1 is a decoded message. Its signature is not checked.
type Sign1 struct {
	Protected   Header
	Unprotected Header
	Payload     []byte
	Signature   []byte
	Algorithm   int64
	rawHeader   []byte
}

// decoder is strict: no duplicate keys, valid UTF-8, bounded nesting and
// counts.
var decoder = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthAllowed, UTF8: cbor.UTF8RejectInvalid,
		MaxNestedLevels: 16, MaxArrayElements: 1024, MaxMapPairs: 256, IntDec: cbor.IntDecConvertSignedOrFail,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

// Decode reads one CBOR data item strictly: nothing may follow it, maps have no
// duplicate keys, nesting and sizes are bounded.
func Decode(b []byte, v any) error { return decoder.Unmarshal(b, v) }

// Parse reads a message, tagged or not. The protected header must name an
// algorithm and no critical parameter.
func Parse(b []byte) (*Sign1, error) {
	var tag cbor.RawTag
	if len(b) > 0 && b[0]>>5 == 6 {
		if err := Decode(b, &tag); err != nil {
			return nil, err
		}
		if tag.Number != TagSign1 {
			return nil, fmt.Errorf("CBOR tag %d, want %d for COSE_Sign1", tag.Number, TagSign1)
		}
		b = tag.Content
	}
	var parts []cbor.RawMessage
	if err := Decode(b, &parts); err != nil {
		return nil, err
	}
	if len(parts) != 4 {
		return nil, fmt.Errorf("an array of %d, want the 4 of COSE_Sign1", len(parts))
	}
	m := &Sign1{}
	var unprotected map[any]cbor.RawMessage
	for _, part := range []struct {
		name string
		raw  []byte
		into any
	}{{"protected header", parts[0], &m.rawHeader}, {"unprotected header", parts[1], &unprotected},
		{"payload", parts[2], &m.Payload}, {"signature", parts[3], &m.Signature}} {
		if err := Decode(part.raw, part.into); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	if m.Payload == nil {
		return nil, errors.New("the payload is detached")
	}
	var err error
	if m.Unprotected, err = header(unprotected); err != nil {
		return nil, fmt.Errorf("unprotected header: %w", err)
	}
	if len(m.rawHeader) > 0 {
		var protected map[any]cbor.RawMessage
		if err := Decode(m.rawHeader, &protected); err != nil {
			return nil, fmt.Errorf("protected header: %w", err)
		}
		if m.Protected, err = header(protected); err != nil {
			return nil, fmt.Errorf("protected header: %w", err)
		}
	}
	if _, critical := m.Protected[LabelCritical]; critical {
		return nil, errors.New("critical header parameters are not understood")
	}
	if err := Decode(m.Protected[LabelAlgorithm], &m.Algorithm); err != nil {
		return nil, errors.New("the protected header names no algorithm")
	}
	return m, nil
}

// header checks the types of labels.
func header(raw map[any]cbor.RawMessage) (Header, error) {
	h := Header{}
	for label, value := range raw {
		switch label.(type) {
		case int64, string:
			h[label] = value
		default:
			return nil, fmt.Errorf("label %v is neither an integer nor text", label)
		}
	}
	return h, nil
}

// Get decodes a header parameter and reports whether it is there and of the
// type of v.
func (h Header) Get(label any, v any) bool {
	raw, ok := h[label]
	return ok && Decode(raw, v) == nil
}

// signed is the Sig_structure over the bytes received, without external data.
func (m *Sign1) signed() []byte {
	var b bytes.Buffer
	b.WriteByte(0x84)
	b.WriteByte(0x6a)
	b.WriteString("Signature1")
	writeBytes(&b, m.rawHeader)
	b.WriteByte(0x40)
	writeBytes(&b, m.Payload)
	return b.Bytes()
}

// writeBytes writes a byte string with its shortest head.
func writeBytes(b *bytes.Buffer, s []byte) {
	switch n := len(s); {
	case n < 24:
		b.WriteByte(0x40 | byte(n))
	case n < 1<<8:
		b.Write([]byte{0x58, byte(n)})
	case n < 1<<16:
		b.Write([]byte{0x59, byte(n >> 8), byte(n)})
	default:
		b.Write([]byte{0x5a, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	b.Write(s)
}

// ErrSignature is returned for signatures that do not verify.
var ErrSignature = errors.New("signature verification failed")

// Verify checks the signature with an *ecdsa.PublicKey or *rsa.PublicKey. The
// key must be of the kind and size that the algorithm of the message asks for.
func (m *Sign1) Verify(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return m.verifyECDSA(key)
	case *rsa.PublicKey:
		return m.verifyRSA(key)
	default:
		return fmt.Errorf("a key of type %T cannot sign", key)
	}
}

// VerifyP384 reports whether the message is signed with ES384 by the key.
func (m *Sign1) VerifyP384(key *sigverify.P384) bool {
	digest := sha512.Sum384(m.signed())
	return m.Algorithm == ES384 && key.Verify(digest[:], m.Signature)
}

func (m *Sign1) verifyECDSA(key *ecdsa.PublicKey) error {
	var hash crypto.Hash
	var curve elliptic.Curve
	switch m.Algorithm {
	case ES256:
		hash, curve = crypto.SHA256, elliptic.P256()
	case ES384:
		hash, curve = crypto.SHA384, elliptic.P384()
	case ES512:
		hash, curve = crypto.SHA512, elliptic.P521()
	default:
		return fmt.Errorf("algorithm %d does not fit an ECDSA key", m.Algorithm)
	}
	size := (curve.Params().BitSize + 7) / 8
	if key.Curve != curve || len(m.Signature) != 2*size {
		return fmt.Errorf("algorithm %d does not fit a key on %s and a signature of %d bytes", m.Algorithm,
			key.Curve.Params().Name, len(m.Signature))
	}
	h := hash.New()
	h.Write(m.signed())
	digest := h.Sum(nil)
	if curve == elliptic.P384() {
		fast, err := sigverify.NewP384(key)
		if err != nil {
			return err
		}
		if !fast.Verify(digest, m.Signature) {
			return ErrSignature
		}
		return nil
	}
	if !ecdsa.Verify(key, digest, new(big.Int).SetBytes(m.Signature[:size]),
		new(big.Int).SetBytes(m.Signature[size:])) {
		return ErrSignature
	}
	return nil
}

func (m *Sign1) verifyRSA(key *rsa.PublicKey) error {
	if m.Algorithm == PS384 {
		fast, err := sigverify.NewPSS384(key)
		if err != nil {
			return err
		}
		digest := sha512.Sum384(m.signed())
		if !fast.Verify(digest[:], m.Signature) {
			return ErrSignature
		}
		return nil
	}
	hash, ok := map[int64]crypto.Hash{PS256: crypto.SHA256, PS512: crypto.SHA512}[m.Algorithm]
	if !ok || key.N.BitLen() < 2048 {
		return fmt.Errorf("algorithm %d does not fit an RSA key of %d bits", m.Algorithm, key.N.BitLen())
	}
	h := hash.New()
	h.Write(m.signed())
	if rsa.VerifyPSS(key, hash, h.Sum(nil), m.Signature,
		&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) != nil {
		return ErrSignature
	}
	return nil
}
