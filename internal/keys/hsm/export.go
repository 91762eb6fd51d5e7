//go:build pkcs11

package hsm

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/miekg/pkcs11"

	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/strict/pubkey"
)

// keyWrapKWP is CKM_AES_KEY_WRAP_KWP of PKCS#11 3.0: RFC 5649. Before, CKM_AES_KEY_WRAP_PAD was that in some tokens,
// and padding of another kind in others.
const keyWrapKWP = 0x210B

// way is how a token wraps a key: by CKM_RSA_AES_KEY_WRAP alone, or by an AES key of the session with
// one mechanism, and that AES key by CKM_RSA_PKCS_OAEP.
type way uint

// ways are tried in this order.
var ways = []way{pkcs11.CKM_RSA_AES_KEY_WRAP, keyWrapKWP, pkcs11.CKM_AES_KEY_WRAP_PAD}

// oaepOf are the parameters of RSAES-OAEP in an algorithm: its hash, with MGF1 of the same.
func oaepOf(a keywrap.Algorithm) *pkcs11.OAEPParams {
	var hash, mgf uint = pkcs11.CKM_SHA_1, pkcs11.CKG_MGF1_SHA1
	switch a.Hash() {
	case crypto.SHA256:
		hash, mgf = pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256
	case crypto.SHA384:
		hash, mgf = pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384
	default: // SHA-1
	}
	return pkcs11.NewOAEPParams(hash, mgf, pkcs11.CKZ_DATA_SPECIFIED, nil)
}

// Algorithms returns those by which the token wraps keys, in the order of [keywrap.Algorithms]. They are tried once, with
// a secret made for it and a key pair in memory: what a token lists among its mechanisms does not tell which hashes it
// takes, and which padding it means.
func (t *Token) Algorithms(random io.Reader) (list []keywrap.Algorithm, err error) {
	err = t.turn(func() error {
		if t.ways == nil {
			if err := t.try(random); err != nil {
				return err
			}
		}
		list = nil
		for _, a := range keywrap.Algorithms() {
			if _, ok := t.ways[a]; ok {
				list = append(list, a)
			}
		}
		return nil
	})
	return list, err
}

// Pads reports whether the token adds zeros to a key until its size is a multiple of 8 bytes, before it wraps, as SoftHSM2
// 2.6 does: RFC 5649 wants the size of the key itself. PKCS#8 tells its own end, so RSA and EC keys are exported all
// the same; oct keys of other sizes are not imported. [Token.Algorithms] was called before.
func (t *Token) Pads() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pads
}

// offers reports whether the token has a mechanism that wraps.
func (t *Token) offers(mechanism uint) bool {
	info, err := t.module.GetMechanismInfo(t.slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)})
	return err == nil && info.Flags&pkcs11.CKF_WRAP != 0
}

// try finds out by which ways the token wraps.
func (t *Token) try(random io.Reader) error {
	probe, err := rsa.GenerateKey(random, keywrap.MinBits)
	if err != nil {
		return fmt.Errorf("pkcs11: %w", err)
	}
	// Its size is no multiple of 8 bytes: only then do paddings differ.
	const size = 20
	secret, err := t.module.GenerateKey(t.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN, nil)},
		append(passing(pkcs11.CKO_SECRET_KEY, pkcs11.CKK_GENERIC_SECRET), attribute(pkcs11.CKA_VALUE_LEN, size),
			attribute(pkcs11.CKA_SENSITIVE, true), attribute(pkcs11.CKA_EXTRACTABLE, true)))
	if err != nil {
		return failed("try how keys are wrapped", err)
	}
	found := map[keywrap.Algorithm]way{}
	for _, a := range keywrap.Algorithms() {
		for _, w := range ways {
			if !t.offers(uint(w)) || w != pkcs11.CKM_RSA_AES_KEY_WRAP && !t.offers(pkcs11.CKM_RSA_PKCS_OAEP) {
				continue
			}
			wrapped, err := t.wrap(w, secret, &probe.PublicKey, a)
			if errors.Is(err, ErrCannot) {
				continue
			}
			if err != nil {
				return errors.Join(err, t.module.DestroyObject(t.session, secret))
			}
			plain, err := keywrap.Unwrap(nil, a, probe, wrapped)
			padded := err == nil && len(plain) == size+4 && bytes.Equal(plain[size:], make([]byte, 4))
			if err == nil && len(plain) == size || padded {
				found[a] = w
				t.pads = t.pads || padded
				break
			}
		}
	}
	t.ways, t.probe = found, probe
	return failed("try how keys are wrapped", t.module.DestroyObject(t.session, secret))
}

// Export wraps the key of an id to a public key, inside the token: the result is what [keywrap.Unwrap] opens. The error
// may wrap [ErrCannot] or [ErrAbsent]. [Token.Algorithms] was called before.
func (t *Token) Export(id []byte, to *rsa.PublicKey, a keywrap.Algorithm) (out []byte, err error) {
	if to == nil || to.N == nil || to.N.BitLen() < keywrap.MinBits {
		return nil, fmt.Errorf("pkcs11: expected an RSA key of at least %d bits: %w", keywrap.MinBits, keywrap.ErrKey)
	}
	if err := pubkey.Check(to); err != nil {
		return nil, fmt.Errorf("pkcs11: found %w: %w", err, keywrap.ErrKey)
	}
	err = t.turn(func() (err error) {
		w, ok := t.ways[a]
		if !ok {
			return fmt.Errorf("pkcs11: wrap by %s: %w", a, ErrCannot)
		}
		object, err := t.kept(id)
		if err != nil {
			return err
		}
		out, err = t.wrap(w, object, to, a)
		return err
	})
	return out, err
}

// wrap wraps an object.
func (t *Token) wrap(
	w way, object pkcs11.ObjectHandle, to *rsa.PublicKey, a keywrap.Algorithm,
) (out []byte, err error) {
	public, err := t.module.CreateObject(t.session, append(passing(pkcs11.CKO_PUBLIC_KEY, pkcs11.CKK_RSA),
		attribute(pkcs11.CKA_WRAP, true), attribute(pkcs11.CKA_ENCRYPT, true),
		attribute(pkcs11.CKA_MODULUS, to.N.Bytes()),
		attribute(pkcs11.CKA_PUBLIC_EXPONENT, big.NewInt(int64(to.E)).Bytes())))
	if err != nil {
		return nil, failed("the key of the machine", err)
	}
	defer func() { err = errors.Join(err, t.module.DestroyObject(t.session, public)) }()
	if w == pkcs11.CKM_RSA_AES_KEY_WRAP {
		out, err = t.module.WrapKey(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_AES_KEY_WRAP,
			&pkcs11.RSAAESKeyWrapParams{AESKeyBits: 256, OAEPParams: *oaepOf(a)})}, public, object)
		return out, failed("wrap by CKM_RSA_AES_KEY_WRAP", err)
	}
	aes, err := t.module.GenerateKey(t.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)},
		append(passing(pkcs11.CKO_SECRET_KEY, pkcs11.CKK_AES), attribute(pkcs11.CKA_VALUE_LEN, 32),
			attribute(pkcs11.CKA_WRAP, true), attribute(pkcs11.CKA_SENSITIVE, true),
			attribute(pkcs11.CKA_EXTRACTABLE, true)))
	if err != nil {
		return nil, failed("new AES key of the session", err)
	}
	defer func() { err = errors.Join(err, t.module.DestroyObject(t.session, aes)) }()
	sealed, err := t.module.WrapKey(t.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_OAEP, oaepOf(a))}, public, aes)
	if err != nil {
		return nil, failed(fmt.Sprintf("wrap by CKM_RSA_PKCS_OAEP with %v", a.Hash()), err)
	}
	wrapped, err := t.module.WrapKey(t.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(uint(w), nil)}, aes, object)
	return append(sealed, wrapped...), failed(fmt.Sprintf("wrap by the mechanism 0x%x", uint(w)), err)
}

// ImportExported brings a key into the token: PKCS#8 of RSA and EC keys, the bytes of oct keys. It is wrapped
// to a key pair of the session, and unwrapped in the token; then it is exported and compared. The error may wrap
// [ErrCannot] or [ErrExists]. [Token.Algorithms] was called before.
func (t *Token) ImportExported(id []byte, label string, s Spec, private []byte, random io.Reader) error {
	begun := false
	return t.turn(func() error {
		if begun {
			if err := t.remove(id); err != nil {
				return err
			}
		}
		if err := t.free(id); err != nil {
			return err
		}
		begun = true
		err := t.bring(id, label, s, private, random)
		if err == nil {
			err = t.checkKept(id)
		}
		if err == nil {
			err = t.compare(id, s, private)
		}
		if err != nil {
			err = errors.Join(err, t.remove(id))
		}
		return err
	})
}

// strongest is the last algorithm that the token can.
func (t *Token) strongest() (a keywrap.Algorithm, err error) {
	for _, one := range keywrap.Algorithms() {
		if _, ok := t.ways[one]; ok {
			a = one
		}
	}
	if a == "" {
		err = fmt.Errorf("pkcs11: wrap keys: %w", ErrCannot)
	}
	return a, err
}

func (t *Token) bring(id []byte, label string, s Spec, private []byte, random io.Reader) (err error) {
	a, err := t.strongest()
	if err != nil {
		return err
	}
	var secret [32]byte
	defer clear(secret[:])
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return fmt.Errorf("pkcs11: random: %w", err)
	}
	wrapped, err := keywrap.WrapAES(secret[:], private)
	if err != nil {
		return fmt.Errorf("pkcs11: import: %w", err)
	}
	aes, err := t.bringAES(a, secret[:], random)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.module.DestroyObject(t.session, aes)) }()
	class, kind := uint(pkcs11.CKO_PRIVATE_KEY), uint(pkcs11.CKK_RSA)
	switch s.Family {
	case "EC":
		kind = pkcs11.CKK_EC
	case "oct":
		class, kind = pkcs11.CKO_SECRET_KEY, pkcs11.CKK_GENERIC_SECRET
		if s.Bits == 128 || s.Bits == 192 || s.Bits == 256 {
			kind = pkcs11.CKK_AES
		}
	}
	mechanism := t.ways[a]
	if mechanism == pkcs11.CKM_RSA_AES_KEY_WRAP { // its second half has a name of its own
		mechanism = keyWrapKWP
		if !t.offers(keyWrapKWP) {
			mechanism = pkcs11.CKM_AES_KEY_WRAP_PAD
		}
	}
	_, err = t.module.UnwrapKey(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(uint(mechanism), nil)}, aes, wrapped,
		append(kept(class, id, label), attribute(pkcs11.CKA_KEY_TYPE, kind)))
	return failed("unwrap the imported key", err)
}

// bringAES brings an AES key into the session.
func (t *Token) bringAES(
	a keywrap.Algorithm, secret []byte, random io.Reader,
) (aes pkcs11.ObjectHandle, err error) {
	public, private, err := t.module.GenerateKeyPair(t.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
		append(passing(pkcs11.CKO_PUBLIC_KEY, pkcs11.CKK_RSA), attribute(pkcs11.CKA_MODULUS_BITS, 3072),
			attribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})),
		append(passing(pkcs11.CKO_PRIVATE_KEY, pkcs11.CKK_RSA), attribute(pkcs11.CKA_UNWRAP, true),
			attribute(pkcs11.CKA_SENSITIVE, true), attribute(pkcs11.CKA_EXTRACTABLE, false)))
	if err != nil {
		return 0, failed("new RSA key of the session", err)
	}
	defer func() {
		err = errors.Join(err, t.module.DestroyObject(t.session, public),
			t.module.DestroyObject(t.session, private))
	}()
	key, err := t.public(public)
	if err != nil {
		return 0, err
	}
	to, ok := key.(*rsa.PublicKey)
	if !ok {
		return 0, fmt.Errorf("pkcs11: the token made a key of type %T, want RSA", key)
	}
	sealed, err := rsa.EncryptOAEP(a.Hash().New(), random, to, secret, nil)
	if err != nil {
		return 0, fmt.Errorf("pkcs11: import: %w", err)
	}
	aes, err = t.module.UnwrapKey(t.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_OAEP, oaepOf(a))}, private, sealed,
		append(passing(pkcs11.CKO_SECRET_KEY, pkcs11.CKK_AES), attribute(pkcs11.CKA_UNWRAP, true),
			attribute(pkcs11.CKA_SENSITIVE, true), attribute(pkcs11.CKA_EXTRACTABLE, false)))
	return aes, failed("unwrap the AES key of the session", err)
}

// compare exports an imported key, and compares it with what was imported. Generated keys are never exported to
// this process.
func (t *Token) compare(id []byte, s Spec, private []byte) error {
	a, err := t.strongest()
	if err != nil {
		return err
	}
	object, err := t.kept(id)
	if err != nil {
		return err
	}
	wrapped, err := t.wrap(t.ways[a], object, &t.probe.PublicKey, a)
	if err != nil {
		return err
	}
	back, err := keywrap.Unwrap(nil, a, t.probe, wrapped)
	defer clear(back)
	if err == nil && same(s, back, private) {
		return nil
	}
	return fmt.Errorf("pkcs11: %w: what it exports of an imported key is another one", ErrCannot)
}

// same compares keys: PKCS#8 has several spellings.
func same(s Spec, a, b []byte) bool {
	if s.Family == "oct" {
		return bytes.Equal(a, b)
	}
	x, err1 := x509.ParsePKCS8PrivateKey(a)
	y, err2 := x509.ParsePKCS8PrivateKey(b)
	key, ok := x.(interface {
		Equal(x crypto.PrivateKey) bool
	})
	return err1 == nil && err2 == nil && ok && key.Equal(y)
}
