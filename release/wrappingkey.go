package release

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/strict/jws"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Sizes of the RSA keys that keys are wrapped to, in bits.
const (
	MinWrappingBits = 2048
	MaxWrappingBits = 4096
)

// The reasons for which a token has no key to wrap to.
var (
	// ErrNoWrappingKey is wrapped by all refusals of [Claims.WrappingKey].
	ErrNoWrappingKey = errors.New("the token has no key that a released key can be wrapped to")
	ErrNoRuntime     = errors.New("the token has no x-ms-runtime.keys")
	ErrKeyFormat     = errors.New("the key is malformed")
	ErrKeyType       = errors.New("the key is not an RSA key")
	ErrKeyUse        = errors.New("the key is not for encryption")
	ErrKeyID         = errors.New("the key has no usable kid")
	ErrKeySize       = errors.New("the key has a size that is not accepted")
	ErrKeyNumbers    = errors.New("the numbers of the key are not those of an RSA key")
)

// maxWrappingKeys bounds the keys of a token that are looked at, maxKeyID the length of a kid in
// bytes, and maxNumberText that of a number or certificate.
const maxWrappingKeys, maxKeyID, maxNumberText = 32, 256, 16 << 10

// WrappingKey is the key of an attested machine, to which a released key is wrapped.
type WrappingKey struct {
	// ID is the kid of the key in the token.
	ID     string
	Public *rsa.PublicKey
	// Thumbprint is the key's SHA-256 thumbprint (RFC 7638), base64url without padding: what
	// a record names the key by.
	Thumbprint string
}

// NoWrappingKeyError says for each key of a token why it is not used.
type NoWrappingKeyError struct {
	// Refusals has an error for each key, in the order of the token; or the one error
	// [ErrNoRuntime].
	Refusals []error
}

// Error lists the refusals and what would be accepted.
func (e *NoWrappingKeyError) Error() string {
	var texts []string
	for _, r := range e.Refusals {
		texts = append(texts, r.Error())
	}
	return fmt.Sprintf(
		"release: %v: expected in x-ms-runtime.keys an RSA key of %d to %d bits with a kid and "+
			`"use": "enc", "key_use": "enc" or "key_ops": ["encrypt"]; found: %s; put such a key into the runtime `+
			"data, and attest again",
		ErrNoWrappingKey,
		MinWrappingBits,
		MaxWrappingBits,
		strings.Join(texts, "; "),
	)
}

// Unwrap returns [ErrNoWrappingKey] and the refusals.
func (e *NoWrappingKeyError) Unwrap() []error {
	return append([]error{ErrNoWrappingKey}, e.Refusals...)
}

// WrappingKey returns the first suitable key of the token's top-level x-ms-runtime.keys (key
// release grammar 1.0.0): RSA, marked for encryption by use, key_use or key_ops, of 2048 to 4096
// bits. The error is a [*NoWrappingKeyError].
//
// Security: the keys of x-ms-isolation-tee.x-ms-runtime are never used. Among them is the
// attestation key of the vTPM, which some tokens mark for encryption.
func (c Claims) WrappingKey() (*WrappingKey, error) {
	var keys *node
	if c.top != nil {
		if runtime := c.top.member("x-ms-runtime"); runtime != nil {
			keys = runtime.member("keys")
		}
	}
	if keys == nil || keys.kind != '[' || len(keys.items) == 0 {
		return nil, &NoWrappingKeyError{[]error{ErrNoRuntime}}
	}
	refused := &NoWrappingKeyError{}
	for i, n := range keys.items {
		if i == maxWrappingKeys {
			refused.Refusals = append(refused.Refusals, fmt.Errorf("%w: %d keys, and only the first %d are read",
				ErrKeyFormat, len(keys.items), maxWrappingKeys))
			break
		}
		key, err := wrappingKey(n)
		if err == nil {
			return key, nil
		}
		name := fmt.Sprintf("key %d", i+1)
		if kid := n.member("kid"); kid != nil && kid.kind == '"' {
			name += " " + quoted(kid.text)
		}
		refused.Refusals = append(refused.Refusals, fmt.Errorf("%s: %w", name, err))
	}
	return nil, refused
}

func wrappingKey(n *node) (*WrappingKey, error) {
	if n.kind != '{' {
		return nil, fmt.Errorf("%w: expected an object, found %s", ErrKeyFormat, kindName(n.kind))
	}
	if kty := n.member("kty"); kty == nil || kty.kind != '"' || kty.text != "RSA" {
		return nil, fmt.Errorf("%w: expected kty \"RSA\", found %s", ErrKeyType, textOf(kty))
	}
	if err := forEncryption(n); err != nil {
		return nil, err
	}
	kid := n.member("kid")
	if kid == nil || kid.kind != '"' || kid.text == "" || len(kid.text) > maxKeyID {
		return nil, fmt.Errorf("%w: expected 1 to %d bytes, found %s", ErrKeyID, maxKeyID, textOf(kid))
	}
	public, err := publicKey(n)
	if err != nil {
		return nil, err
	}
	if bits := public.N.BitLen(); bits < MinWrappingBits || bits > MaxWrappingBits {
		return nil, fmt.Errorf("%w: expected %d to %d bits, found %d", ErrKeySize, MinWrappingBits,
			MaxWrappingBits, bits)
	}
	if err := pubkey.Check(public); err != nil {
		return nil, fmt.Errorf("%w: found %w", ErrKeyNumbers, err)
	}
	key := jose.JSONWebKey{Key: public}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFormat, err)
	}
	return &WrappingKey{kid.text, public, base64.RawURLEncoding.EncodeToString(thumbprint)}, nil
}

// textOf is a member for a message.
func textOf(n *node) string {
	if n == nil {
		return "not found"
	}
	return n.String()
}

// forEncryption checks what the key says it is for. A use that names something else is a refusal, even
// if key_ops has encrypt: RFC 7517, section 4.3, wants them to agree.
func forEncryption(n *node) error {
	marked := false
	for _, name := range []string{"key_use", "use"} {
		use := n.member(name)
		switch {
		case use == nil:
		case use.kind == '"' && use.text == "enc":
			marked = true
		default:
			return fmt.Errorf("%w: expected %s \"enc\", found %s", ErrKeyUse, name, use)
		}
	}
	operations := n.member("key_ops")
	if operations != nil && operations.kind != '[' {
		return fmt.Errorf("%w: expected key_ops to be an array, found %s", ErrKeyUse, operations)
	}
	if marked || operations != nil && equals(operations, scalar{kind: '"', text: "encrypt"}) {
		return nil
	}
	return fmt.Errorf(`%w: expected use "enc" or key_ops with "encrypt", found key_ops %s`, ErrKeyUse,
		textOf(operations))
}

// publicKey reads n and e, or the first certificate of x5c. If there are both, they must be the same key.
func publicKey(n *node) (*rsa.PublicKey, error) {
	var fromNumbers, fromCertificate *rsa.PublicKey
	var err error
	if n.member("n") != nil || n.member("e") != nil {
		if fromNumbers, err = numbers(n); err != nil {
			return nil, err
		}
	}
	if chain := n.member("x5c"); chain != nil {
		if fromCertificate, err = certified(chain); err != nil {
			return nil, err
		}
	}
	switch {
	case fromNumbers == nil && fromCertificate == nil:
		return nil, fmt.Errorf("%w: expected n and e, or x5c; found neither of them", ErrKeyFormat)
	case fromNumbers == nil:
		return fromCertificate, nil
	case fromCertificate != nil && !fromNumbers.Equal(fromCertificate):
		return nil, fmt.Errorf("%w: n and e are not the key of the certificate in x5c", ErrKeyFormat)
	default:
		return fromNumbers, nil
	}
}

func numbers(n *node) (*rsa.PublicKey, error) {
	var list [2]*big.Int
	for i, name := range []string{"n", "e"} {
		m := n.member(name)
		if m == nil || m.kind != '"' || m.text == "" || len(m.text) > maxNumberText {
			return nil, fmt.Errorf("%w: expected %s in base64url, found %s", ErrKeyFormat, name, textOf(m))
		}
		b, err := jws.Decode(m.text)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrKeyFormat, name, err)
		}
		list[i] = new(big.Int).SetBytes(b)
	}
	if list[1].BitLen() > 31 {
		return nil, fmt.Errorf("%w: expected an exponent up to %d, found one of %d bits", ErrKeyNumbers,
			pubkey.MaxExponent, list[1].BitLen())
	}
	return &rsa.PublicKey{N: list[0], E: int(list[1].Int64())}, nil
}

// certified returns the key of the first certificate of x5c. The chain is not verified: the machine
// chose it, and the token says that it did.
func certified(chain *node) (*rsa.PublicKey, error) {
	if chain.kind != '[' || len(chain.items) == 0 || chain.items[0].kind != '"' ||
		len(chain.items[0].text) > maxNumberText {
		return nil, fmt.Errorf(
			"%w: expected x5c to be an array of certificates in base64, found %s",
			ErrKeyFormat,
			chain,
		)
	}
	der, err := base64.StdEncoding.Strict().DecodeString(chain.items[0].text)
	if err != nil {
		return nil, fmt.Errorf("%w: the first certificate of x5c is not base64", ErrKeyFormat)
	}
	var cert *x509.Certificate
	if cert, err = pubkey.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("%w: the first certificate of x5c does not decode: %w", ErrKeyFormat, err)
	}
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: found %T in the first certificate of x5c", ErrKeyType, cert.PublicKey)
	}
	return public, nil
}
