//go:build pkcs11

package hsm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/miekg/pkcs11"

	"github.com/probity-dev/probity/release/keywrap"
)

// Built reports whether the program knows PKCS#11.
const Built = true

// Token is a logged-in session with a PKCS#11 token. It is safe for concurrent
// use: calls take turns. A session that the token ended is opened again.
type Token struct {
	mu      sync.Mutex
	module  *pkcs11.Ctx
	slot    uint
	pin     string
	session pkcs11.SessionHandle
	// logins counts sessions: handles of objects are good for one.
	logins int

	// ways are how this token exports keys, by algorithm; nil before that was tried. probe is what they were tried
	// with, pads what was found about their padding. exported remembers the handles of exported keys.
	ways     map[keywrap.Algorithm]way
	probe    *rsa.PrivateKey
	pads     bool
	exported *lru.Cache[string, handle]
}

// Open loads a module and logs in to the token of a label.
func Open(module, label, pin string) (*Token, error) {
	ctx := pkcs11.New(module)
	if ctx == nil {
		return nil, fmt.Errorf("pkcs11: the module %s cannot be loaded", module)
	}
	err := ctx.Initialize()
	if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		if err != nil || info.Label != label {
			continue
		}
		t := &Token{module: ctx, slot: slot, pin: pin}
		if t.exported, err = lru.New[string, handle](maxHandles); err != nil {
			return nil, fmt.Errorf("pkcs11: %w", err)
		}
		if err := t.login(); err != nil {
			return nil, fmt.Errorf("pkcs11: log in to %q: %w", label, err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("pkcs11: no token is labelled %q", label)
}

func (t *Token) login() error {
	if t.logins > 0 {
		_ = t.module.CloseSession(t.session) // mostly gone already; a token has few
	}
	session, err := t.module.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return err
	}
	err = t.module.Login(session, pkcs11.CKU_USER, t.pin)
	if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		return errors.Join(err, t.module.CloseSession(session))
	}
	t.session = session
	t.logins++
	return nil
}

// ended are the errors of sessions that are no more.
var ended = []pkcs11.Error{
	pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_USER_NOT_LOGGED_IN,
	pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID,
}

// turn calls f while no other call runs, and once more in a new session if the token
// ended the one it had.
func (t *Token) turn(f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := f()
	if slices.ContainsFunc(ended, func(e pkcs11.Error) bool { return errors.Is(err, e) }) {
		if again := t.login(); again != nil {
			return fmt.Errorf("pkcs11: the token ended the session: %w", again)
		}
		err = f()
	}
	return err
}

// namedCurve is a curve with its object identifier (RFC 5480, section 2.1.1.1).
type namedCurve struct {
	oid   asn1.ObjectIdentifier
	curve elliptic.Curve
}

var named = map[string]namedCurve{
	"P-256": {asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, elliptic.P256()},
	"P-384": {asn1.ObjectIdentifier{1, 3, 132, 0, 34}, elliptic.P384()},
	"P-521": {asn1.ObjectIdentifier{1, 3, 132, 0, 35}, elliptic.P521()},
}

// curves are those that sign tokens.
var curves = map[string]namedCurve{"ES256": named["P-256"], "ES384": named["P-384"]}

// Generate makes a key pair that never leaves the token.
func (t *Token) Generate(algorithm, label string) (crypto.Signer, error) {
	public := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}
	private := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN,
		true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)}
	var mechanism uint = pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN
	switch c, ec := curves[algorithm]; {
	case ec:
		params, err := asn1.Marshal(c.oid)
		if err != nil {
			return nil, err
		}
		mechanism = pkcs11.CKM_EC_KEY_PAIR_GEN
		public = append(public, pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, params))
	case algorithm == "RS256" || algorithm == "PS256":
		public = append(public, pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 2048),
			pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))
	default:
		return nil,
			fmt.Errorf("pkcs11: no keys of algorithm %s; RS256, PS256, ES256 and ES384 are made in tokens",
				algorithm)
	}
	if err := t.turn(func() error {
		_, _, err := t.module.GenerateKeyPair(t.session,
			[]*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, public, private)
		return err
	}); err != nil {
		return nil, fmt.Errorf("pkcs11: new key: %w", err)
	}
	return t.Find(label)
}

// Find returns the key pair of a label.
func (t *Token) Find(label string) (crypto.Signer, error) {
	k := &key{t: t, label: label}
	err := t.turn(func() error {
		if err := k.find(); err != nil {
			return err
		}
		object, err := t.object(pkcs11.CKO_PUBLIC_KEY, label)
		if err != nil {
			return err
		}
		k.public, err = t.public(object)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Remove destroys the key pair of a label; one that is not there is done with.
func (t *Token) Remove(label string) error {
	return t.turn(func() error {
		for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
			object, err := t.object(class, label)
			if errors.Is(err, errAbsent) {
				continue
			}
			if err == nil {
				err = t.module.DestroyObject(t.session, object)
			}
			if err != nil {
				return fmt.Errorf("pkcs11: remove %q: %w", label, err)
			}
		}
		return nil
	})
}

func (t *Token) object(class uint, label string) (pkcs11.ObjectHandle, error) {
	if err := t.module.FindObjectsInit(t.session, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}); err != nil {
		return 0, fmt.Errorf("pkcs11: %w", err)
	}
	found, _, err := t.module.FindObjects(t.session, 2)
	if err := errors.Join(err, t.module.FindObjectsFinal(t.session)); err != nil {
		return 0, fmt.Errorf("pkcs11: %w", err)
	}
	if len(found) == 0 {
		return 0, fmt.Errorf("pkcs11: %w %q", errAbsent, label)
	}
	if len(found) > 1 {
		return 0, fmt.Errorf("pkcs11: several keys are labelled %q, want one", label)
	}
	return found[0], nil
}

var errAbsent = errors.New("no key is labelled")

func (t *Token) public(object pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	if a, err := t.module.GetAttributeValue(t.session, object, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_MODULUS, nil),
		pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, nil),
	}); err == nil {
		e := new(big.Int).SetBytes(a[1].Value)
		if !e.IsInt64() || e.Int64() > 1<<31-1 {
			return nil, errors.New("pkcs11: the RSA exponent is too large")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(a[0].Value), E: int(e.Int64())}, nil
	}
	a, err := t.module.GetAttributeValue(t.session, object, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, nil), pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil),
	})
	if err != nil {
		return nil, fmt.Errorf("pkcs11: public key: %w", err)
	}
	var oid asn1.ObjectIdentifier
	var point []byte
	_, oidErr := asn1.Unmarshal(a[0].Value, &oid)
	_, pointErr := asn1.Unmarshal(a[1].Value, &point)
	if err := errors.Join(oidErr, pointErr); err != nil {
		return nil, fmt.Errorf("pkcs11: public key: %w", err)
	}
	for _, c := range named {
		if oid.Equal(c.oid) {
			return ecdsa.ParseUncompressedPublicKey(c.curve, point)
		}
	}
	return nil, fmt.Errorf("pkcs11: the curve %s is not P-256, P-384 or P-521", oid)
}

// key is a key pair of a token.
type key struct {
	t      *Token
	label  string
	public crypto.PublicKey

	private pkcs11.ObjectHandle
	login   int // whose session the handle is of
}

// find finds the private key, once for each session.
func (k *key) find() (err error) {
	if k.login != k.t.logins {
		k.private, err = k.t.object(pkcs11.CKO_PRIVATE_KEY, k.label)
	}
	if err == nil {
		k.login = k.t.logins
	}
	return err
}

// Public implements crypto.Signer.
func (k *key) Public() crypto.PublicKey { return k.public }

// digestInfo are the DER prefixes of digests in signatures of PKCS#1 v1.5 (RFC
// 8017, section 9.2).
var digestInfo = map[crypto.Hash][]byte{
	crypto.SHA256: {
		0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
		0x00, 0x04, 0x20,
	},
	crypto.SHA384: {
		0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,
		0x00, 0x04, 0x30,
	},
}

// Sign implements crypto.Signer.
func (k *key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	switch k.public.(type) {
	case *ecdsa.PublicKey:
		raw, err := k.sign(pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), digest)
		if err != nil {
			return nil, err
		}
		half := len(raw) / 2
		return asn1.Marshal(struct {
			R, S *big.Int
		}{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
	default:
		if _, pss := opts.(*rsa.PSSOptions); pss {
			if opts.HashFunc() != crypto.SHA256 {
				return nil, errors.New("pkcs11: PSS is done with SHA-256 alone")
			}
			return k.sign(pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS,
				pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32)), digest)
		}
		prefix, ok := digestInfo[opts.HashFunc()]
		if !ok {
			return nil, fmt.Errorf("pkcs11: no signatures over %v", opts.HashFunc())
		}
		return k.sign(pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil),
			append(prefix[:len(prefix):len(prefix)], digest...))
	}
}

func (k *key) sign(m *pkcs11.Mechanism, input []byte) (out []byte, err error) {
	err = k.t.turn(func() error {
		if err := k.find(); err != nil {
			return err
		}
		if err := k.t.module.SignInit(k.t.session, []*pkcs11.Mechanism{m}, k.private); err != nil {
			return fmt.Errorf("pkcs11: sign: %w", err)
		}
		if out, err = k.t.module.Sign(k.t.session, input); err != nil {
			return fmt.Errorf("pkcs11: sign: %w", err)
		}
		return nil
	})
	return out, err
}
