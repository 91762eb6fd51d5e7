package kbs

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
)

// checkInitData checks that init data, if they were sent, are those that the guest was launched with.
// Their digest, by SHA-256, SHA-384 or SHA-512, is in HOSTDATA (SEV-SNP), MRCONFIGID (TDX), cut or filled
// with zeros to its length, or, by SHA-256, extended once into register 8 of a TPM (Initdata
// specification, 0.1.0).
//
// Security: the name of the algorithm in the init data is not read. Whichever of the three it is, other
// data with that digest cannot be found; and the verifier proves the bytes that are compared here.
func (a *Attestation) checkInitData(e *Evidence) error {
	if !a.HasInitData {
		return nil
	}
	text := []byte(a.InitData)
	short, middle, long := sha256.Sum256(text), sha512.Sum384(text), sha512.Sum512(text)
	if e.extended {
		register := sha256.Sum256(append(make([]byte, sha256.Size), short[:]...))
		if string(register[:]) != string(e.launch) {
			return refuse(CheckInitData, fmt.Sprintf("PCR 8 %x, extended once with SHA-256 %x of the init data",
				register, short), fmt.Sprintf("PCR 8 %x", e.launch))
		}
		return nil
	}
	for _, digest := range [][]byte{short[:], middle[:], long[:]} {
		if prefixed(e.launch, digest[:min(len(digest), len(e.launch))]) {
			return nil
		}
	}
	return refuse(CheckInitData, fmt.Sprintf("SHA-256 %x, SHA-384 %x or SHA-512 %x of the init data", short,
		middle,
		long), fmt.Sprintf("%x in the evidence", e.launch))
}

// InitDataDigest is the SHA-256 of the init data in hex, or empty if none were sent.
func (a *Attestation) InitDataDigest() string {
	if !a.HasInitData {
		return ""
	}
	sum := sha256.Sum256([]byte(a.InitData))
	return hex.EncodeToString(sum[:])
}
