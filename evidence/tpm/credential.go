package tpm

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"
)

// CredentialSize is the length of the secret that an enrolment hands to a TPM.
const CredentialSize = 32

// Credential is what only the TPM with a certain endorsement key, and a certain
// attestation key loaded, can open (TPM2_MakeCredential; part 1, section 24).
type Credential struct {
	// IDObject is a TPMS_ID_OBJECT, Secret the encrypted seed.
	IDObject, Secret []byte
}

// MakeCredential seals secret to the endorsement key (a TPMT_PUBLIC) for the key
// with the given name.
func MakeCredential(random io.Reader, endorsementKey, name, secret []byte) (*Credential, error) {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](endorsementKey)
	if err != nil {
		return nil, fmt.Errorf("endorsement key: %w", err)
	}
	key, err := tpm2.ImportEncapsulationKey(public)
	if err != nil {
		return nil, fmt.Errorf("endorsement key: %w", err)
	}
	object, sealed, err := tpm2.CreateCredential(random, key, name, secret)
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	return &Credential{object, sealed}, nil
}

// File writes the credential in the form of tpm2-tools.
func (c *Credential) File() []byte {
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 0xbadcc0de), 1)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(c.IDObject))), c.IDObject...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(c.Secret))), c.Secret...)
}

// ActivatedBy reports whether answer is the secret: anyone who knows it has the TPM.
func ActivatedBy(secret, answer []byte) bool {
	return len(secret) == CredentialSize && subtle.ConstantTimeCompare(secret, answer) == 1
}

// ValidateAK checks that a public area is that of an attestation key: one that was
// made in the TPM, cannot leave it, and signs nothing that the TPM did not make.
func ValidateAK(p *Public) error {
	const want = resident | Restricted | Sign
	switch {
	case p.Attributes&want != want:
		return fmt.Errorf(
			"attributes %#x lack fixedTPM, fixedParent, sensitiveDataOrigin, restricted or sign",
			uint32(p.Attributes),
		)
	case p.Attributes&Decrypt != 0:
		return errors.New("a key that also decrypts")
	case p.Scheme != algRSASSA && p.Scheme != algRSAPSS && p.Scheme != algECDSA:
		return fmt.Errorf("a key of scheme %#x, want RSASSA, RSAPSS or ECDSA", p.Scheme)
	}
	return nil
}

// hierarchies are the handles under which primary keys are made (part 2, table 32).
var hierarchies = []struct {
	handle uint32
	name   string
}{{0x4000000b, "endorsement"}, {0x40000001, "owner"}, {0x4000000c, "platform"}}

// Signer tells in which hierarchy the key with this public area is the primary key that an
// attestation names as its signer, by its qualified name (part 1, section 16.3). A key made
// under another one is in none.
func (a *Attestation) Signer(p *Public) (hierarchy string, ok bool) {
	for _, h := range hierarchies {
		qualified := binary.BigEndian.AppendUint16(nil, uint16(p.NameAlgorithm))
		qualified = p.NameAlgorithm.Sum(qualified, append(binary.BigEndian.AppendUint32(nil, h.handle), p.name...))
		if bytes.Equal(qualified, a.QualifiedSigner) {
			return h.name, true
		}
	}
	return "", false
}

// CheckEK checks that a public area is that of an endorsement key: a restricted
// decryption key of the TPM; key is the one that the certificate names.
func CheckEK(p *Public, key crypto.PublicKey) error {
	const want = resident | Restricted | Decrypt
	switch {
	case p.Attributes&want != want || p.Attributes&Sign != 0:
		return fmt.Errorf("attributes %#x are not those of an endorsement key", uint32(p.Attributes))
	case key != nil && !SameKey(p.Key, key):
		return errors.New("a key other than the one in the certificate")
	}
	return nil
}
