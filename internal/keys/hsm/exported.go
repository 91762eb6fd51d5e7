//go:build pkcs11

package hsm

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"
)

// maxHandles is of how many exported keys the handles are remembered.
const maxHandles = 4096

// handle is an object of a session.
type handle struct {
	object pkcs11.ObjectHandle
	login  int
}

// cannot are the errors of a token that does not offer something, or not for this key.
var cannot = []pkcs11.Error{
	pkcs11.CKR_ARGUMENTS_BAD, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID,
	pkcs11.CKR_CURVE_NOT_SUPPORTED, pkcs11.CKR_DOMAIN_PARAMS_INVALID, pkcs11.CKR_FUNCTION_NOT_SUPPORTED,
	pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_KEY_NOT_WRAPPABLE, pkcs11.CKR_KEY_SIZE_RANGE,
	pkcs11.CKR_KEY_UNEXTRACTABLE, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_MECHANISM_PARAM_INVALID,
	pkcs11.CKR_TEMPLATE_INCOMPLETE, pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_UNWRAPPING_KEY_SIZE_RANGE,
	pkcs11.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, pkcs11.CKR_WRAPPED_KEY_INVALID, pkcs11.CKR_WRAPPED_KEY_LEN_RANGE,
	pkcs11.CKR_WRAPPING_KEY_SIZE_RANGE, pkcs11.CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
}

// failed says what a token did not do, and marks what it cannot do with [ErrCannot].
func failed(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case slices.ContainsFunc(cannot, func(e pkcs11.Error) bool { return errors.Is(err, e) }):
		return fmt.Errorf("pkcs11: %s: %w: %w", what, ErrCannot, err)
	}
	return fmt.Errorf("pkcs11: %s: %w", what, err)
}

func attribute(kind uint, value any) *pkcs11.Attribute { return pkcs11.NewAttribute(kind, value) }

// kept are the attributes of a key that leaves the token only wrapped, and is for nothing else.
func kept(class uint, id []byte, label string) []*pkcs11.Attribute {
	list := []*pkcs11.Attribute{
		attribute(pkcs11.CKA_CLASS, class), attribute(pkcs11.CKA_TOKEN, true), attribute(pkcs11.CKA_PRIVATE, true),
		attribute(pkcs11.CKA_SENSITIVE, true), attribute(pkcs11.CKA_EXTRACTABLE, true),
		attribute(pkcs11.CKA_SIGN, false), attribute(pkcs11.CKA_DECRYPT, false), attribute(pkcs11.CKA_UNWRAP, false),
		attribute(pkcs11.CKA_DERIVE, false), attribute(pkcs11.CKA_ID, id), attribute(pkcs11.CKA_LABEL, label),
	}
	if class == pkcs11.CKO_SECRET_KEY {
		list = append(list, attribute(pkcs11.CKA_ENCRYPT, false), attribute(pkcs11.CKA_VERIFY, false),
			attribute(pkcs11.CKA_WRAP, false))
	}
	return list
}

// passing are the attributes of a key of one session.
func passing(class, kind uint) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{attribute(pkcs11.CKA_CLASS, class), attribute(pkcs11.CKA_KEY_TYPE, kind),
		attribute(pkcs11.CKA_TOKEN, false)}
}

// GenerateExported makes a key that [Token.Export] exports, with an id and a label for people, and returns its
// SubjectPublicKeyInfo, or nil for oct. The error may wrap [ErrCannot] or [ErrExists].
func (t *Token) GenerateExported(id []byte, label string, s Spec) (public []byte, err error) {
	begun := false
	err = t.turn(func() error {
		if begun { // the session ended in the middle
			if err := t.remove(id); err != nil {
				return err
			}
		}
		if err := t.free(id); err != nil {
			return err
		}
		begun = true
		if public, err = t.generate(id, label, s); err == nil {
			err = t.checkKept(id)
		}
		if err != nil {
			err = errors.Join(err, t.remove(id))
		}
		return err
	})
	return public, err
}

func (t *Token) generate(id []byte, label string, s Spec) ([]byte, error) {
	if s.Family == "oct" {
		_, err := t.module.GenerateKey(t.session,
			[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)},
			append(kept(pkcs11.CKO_SECRET_KEY, id, label), attribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
				attribute(pkcs11.CKA_VALUE_LEN, s.Bits/8)))
		return nil, failed(fmt.Sprintf("new AES key of %d bits", s.Bits), err)
	}
	var mechanism uint = pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN
	// The public key is in the database.
	template := passing(pkcs11.CKO_PUBLIC_KEY, pkcs11.CKK_RSA)
	if s.Family == "EC" {
		mechanism = pkcs11.CKM_EC_KEY_PAIR_GEN
		params, err := asn1.Marshal(named[s.Curve].oid)
		if err != nil {
			return nil, fmt.Errorf("pkcs11: the curve %q: %w", s.Curve, err)
		}
		template = append(passing(pkcs11.CKO_PUBLIC_KEY, pkcs11.CKK_EC), attribute(pkcs11.CKA_EC_PARAMS, params))
	} else {
		template = append(template, attribute(pkcs11.CKA_MODULUS_BITS, s.Bits),
			attribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))
	}
	object, _, err := t.module.GenerateKeyPair(t.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, template, kept(pkcs11.CKO_PRIVATE_KEY, id, label))
	if err != nil {
		return nil, failed("new "+s.Family+" key", err)
	}
	key, err := t.public(object)
	if err := errors.Join(err, failed("public key", t.module.DestroyObject(t.session, object))); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("pkcs11: public key: %w", err)
	}
	return der, nil
}

// free refuses an id that an object of the token has.
func (t *Token) free(id []byte) error {
	_, err := t.kept(id)
	if err == nil {
		return fmt.Errorf("pkcs11: %w", ErrExists)
	}
	if errors.Is(err, ErrAbsent) {
		return nil
	}
	return err
}

// kept finds the key of an id.
func (t *Token) kept(id []byte) (pkcs11.ObjectHandle, error) {
	// Security: a handle may come to mean another object once its own was destroyed.
	if h, ok := t.exported.Get(string(id)); ok && h.login == t.logins && t.has(h.object, id) {
		return h.object, nil
	}
	objects, err := t.objects(id)
	switch {
	case err != nil:
		return 0, err
	case len(objects) == 0:
		return 0, fmt.Errorf("pkcs11: %w", ErrAbsent)
	case len(objects) > 1:
		return 0, errors.New("pkcs11: several keys have one id")
	}
	t.exported.Add(string(id), handle{objects[0], t.logins})
	return objects[0], nil
}

func (t *Token) has(object pkcs11.ObjectHandle, id []byte) bool {
	a, err := t.module.GetAttributeValue(t.session, object, []*pkcs11.Attribute{attribute(pkcs11.CKA_ID, nil)})
	return err == nil && bytes.Equal(a[0].Value, id)
}

// objects are those of an id, two at most.
func (t *Token) objects(id []byte) ([]pkcs11.ObjectHandle, error) {
	if err := t.module.FindObjectsInit(t.session, []*pkcs11.Attribute{
		attribute(pkcs11.CKA_ID, id), attribute(pkcs11.CKA_TOKEN, true),
	}); err != nil {
		return nil, failed("find a key", err)
	}
	found, _, err := t.module.FindObjects(t.session, 2)
	return found, failed("find a key", errors.Join(err, t.module.FindObjectsFinal(t.session)))
}

// checkKept checks that the token made what it was asked for.
func (t *Token) checkKept(id []byte) error {
	object, err := t.kept(id)
	if err != nil {
		return err
	}
	a, err := t.module.GetAttributeValue(t.session, object, []*pkcs11.Attribute{
		attribute(pkcs11.CKA_SENSITIVE, nil), attribute(pkcs11.CKA_EXTRACTABLE, nil),
	})
	if err != nil {
		return failed("attributes of a key", err)
	}
	if !isTrue(a[0]) || !isTrue(a[1]) {
		return fmt.Errorf("pkcs11: %w: its new keys are not both sensitive and extractable", ErrCannot)
	}
	return nil
}

// RemoveExported destroys the key of an id. One that is not there is done with.
func (t *Token) RemoveExported(id []byte) error { return t.turn(func() error { return t.remove(id) }) }

func (t *Token) remove(id []byte) error {
	t.exported.Remove(string(id))
	for {
		objects, err := t.objects(id)
		if err != nil || len(objects) == 0 {
			return err
		}
		for _, object := range objects {
			if err := t.module.DestroyObject(t.session, object); err != nil {
				return failed("remove a key", err)
			}
		}
	}
}
