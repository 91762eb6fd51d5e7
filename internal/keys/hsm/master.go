//go:build pkcs11

package hsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// masterPurpose is what the master key is derived from; another purpose would be
// another key.
const masterPurpose = "probity master key 1"

// masterSize is the least size of the key in the token, in bytes.
const masterSize = 32

// MasterSecret derives 32 bytes from the secret key of a label: HMAC-SHA256 (PKCS#11
// 2.40, section 2.21) of a fixed text, computed in the token, so that every node
// with the token has the same master key and no copy of it is anywhere. With
// create, a missing key is made; it never leaves the token.
func (t *Token) MasterSecret(label string, create bool) (secret []byte, err error) {
	err = t.turn(func() error { secret, err = t.masterSecret(label, create); return err })
	return secret, err
}

func (t *Token) masterSecret(label string, create bool) ([]byte, error) {
	secret, err := t.object(pkcs11.CKO_SECRET_KEY, label)
	if errors.Is(err, errAbsent) && create {
		secret, err = t.module.GenerateKey(t.session,
			[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN, nil)},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
				pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
				pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
				pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN,
					masterSize), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
			})
	}
	if err != nil {
		return nil, err
	}
	// Only what the token keeps is a master key: one that can be read out of it
	// protects no more than a file, and a short one can be guessed. Where it came from
	// cannot be told: operators may bring one of their own.
	a, err := t.module.GetAttributeValue(t.session, secret, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, nil),
	})
	if err != nil {
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	if !isTrue(a[0]) || isTrue(a[1]) {
		return nil, fmt.Errorf(
			"pkcs11: the key %q can be read out of the token: make one that is sensitive and not extractable",
			label,
		)
	}
	if n := ulong(a[2].Value); n < masterSize {
		return nil, fmt.Errorf("pkcs11: the key %q has %d bytes: make one of %d", label, n, masterSize)
	}
	err = t.module.SignInit(t.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_HMAC, nil)}, secret)
	if err != nil {
		return nil, fmt.Errorf("pkcs11: derive the master key: %w", err)
	}
	out, err := t.module.Sign(t.session, []byte(masterPurpose))
	if err != nil {
		return nil, fmt.Errorf("pkcs11: derive the master key: %w", err)
	}
	return out, nil
}

func isTrue(a *pkcs11.Attribute) bool { return len(a.Value) == 1 && a.Value[0] != 0 }

// ulong reads a CK_ULONG, which has the size and byte order of the machine.
func ulong(b []byte) uint64 {
	switch len(b) {
	case 8:
		return binary.NativeEndian.Uint64(b)
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return 0
}
