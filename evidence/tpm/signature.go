package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/probity-dev/probity/evidence/eventlog"
)

// Signature is a TPMT_SIGNATURE by RSASSA, RSAPSS or ECDSA (part 2, section
// 11.3.4).
type Signature struct {
	Scheme uint16
	Hash   eventlog.Algorithm
	// RSA is the signature of an RSA key; R and S are that of an ECC key.
	RSA  []byte
	R, S []byte
}

// ParseSignature reads a TPMT_SIGNATURE.
func ParseSignature(b []byte) (*Signature, error) {
	r := &reader{b: b}
	s := &Signature{Scheme: r.u16(), Hash: eventlog.Algorithm(r.u16())}
	switch s.Scheme {
	case algRSASSA, algRSAPSS:
		s.RSA = r.sized()
	case algECDSA:
		s.R, s.S = r.sized(), r.sized()
	default:
		if r.err == nil {
			return nil, fmt.Errorf("a signature of scheme %#x; want RSASSA, RSAPSS or ECDSA", s.Scheme)
		}
	}
	return s, r.end()
}

// RawRSASSA is a bare RSASSA-PKCS1-v1_5 signature with SHA-256, as Azure's guests
// send it.
func RawRSASSA(b []byte) *Signature {
	return &Signature{Scheme: algRSASSA, Hash: eventlog.SHA256, RSA: b}
}

var errSignature = errors.New("a signature that failed verification")

// Verify checks the signature of message by key.
func (s *Signature) Verify(key crypto.PublicKey, message []byte) error {
	hash := s.Hash.Hash()
	if hash == 0 {
		return fmt.Errorf("a signature over %v", s.Hash)
	}
	var buffer [64]byte
	digest := s.Hash.Sum(buffer[:0], message)
	switch key := key.(type) {
	case *rsa.PublicKey:
		var err error
		switch s.Scheme {
		case algRSASSA:
			err = rsa.VerifyPKCS1v15(key, hash, digest, s.RSA)
		case algRSAPSS:
			// TPMs salt with as many bytes as fit or as the hash has, by their age.
			err = rsa.VerifyPSS(key, hash, digest, s.RSA, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
		default:
			return errors.New("a signature of another kind than the key, which is RSA")
		}
		if err != nil {
			return errSignature
		}
		return nil
	case *ecdsa.PublicKey:
		if s.Scheme != algECDSA {
			return errors.New("a signature of another kind than the key, which is ECC")
		}
		if !ecdsa.Verify(key, digest, new(big.Int).SetBytes(s.R), new(big.Int).SetBytes(s.S)) {
			return errSignature
		}
		return nil
	}
	return fmt.Errorf("a key of type %T", key)
}

// Name writes the scheme for people: "RSASSA with SHA256".
func (s *Signature) Name() string {
	return map[uint16]string{algRSASSA: "RSASSA", algRSAPSS: "RSAPSS", algECDSA: "ECDSA"}[s.Scheme] +
		" with " + s.Hash.String()
}
