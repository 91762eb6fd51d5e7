package keywrap

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // the hash of CKM_RSA_AES_KEY_WRAP, which the protocol has as its default
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/probity-dev/probity/strict/pubkey"
	"github.com/probity-dev/probity/wording/spelling"
)

// Algorithm is how a secret is wrapped, by the name that the member enc of the protocol has.
type Algorithm string

// The algorithms. They differ in the hash of OAEP, which its mask generation uses as well.
const (
	// RSAAESKeyWrap is with SHA-1, as in PKCS #11. It is the default of the protocol. OAEP does not
	// rest on the resistance of its hash to collisions, which SHA-1 has lost.
	RSAAESKeyWrap Algorithm = "CKM_RSA_AES_KEY_WRAP"
	// RSAAESKeyWrap256 is with SHA-256, and RSAAESKeyWrap384 with SHA-384.
	RSAAESKeyWrap256 Algorithm = "RSA_AES_KEY_WRAP_256"
	RSAAESKeyWrap384 Algorithm = "RSA_AES_KEY_WRAP_384"
)

// ErrAlgorithm says that an algorithm is unknown.
var ErrAlgorithm = errors.New("the key wrapping algorithm is unknown")

// ErrKey says that an RSA key cannot wrap or unwrap.
var ErrKey = errors.New("the key does not wrap")

// Algorithms lists the algorithms.
func Algorithms() []Algorithm { return []Algorithm{RSAAESKeyWrap, RSAAESKeyWrap256, RSAAESKeyWrap384} }

// ParseAlgorithm reads the name of an algorithm. An empty name is the default, [RSAAESKeyWrap]. The
// error wraps [ErrAlgorithm].
func ParseAlgorithm(name string) (Algorithm, error) {
	if name == "" {
		return RSAAESKeyWrap, nil
	}
	if a := Algorithm(name); slices.Contains(Algorithms(), a) {
		return a, nil
	}
	return "", unknown(name)
}

func unknown(name string) error {
	var names []string
	for _, a := range Algorithms() {
		names = append(names, string(a))
	}
	return fmt.Errorf("keywrap: %w: expected %s, %s or %s, found %.60q; nearest: %s", ErrAlgorithm, names[0],
		names[1], names[2], name, spelling.Nearest(name, names))
}

// Hash is the hash of OAEP, or 0 for an unknown algorithm.
func (a Algorithm) Hash() crypto.Hash {
	switch a {
	case RSAAESKeyWrap:
		return crypto.SHA1
	case RSAAESKeyWrap256:
		return crypto.SHA256
	case RSAAESKeyWrap384:
		return crypto.SHA384
	default:
		return 0
	}
}

// MinBits is the size of the smallest RSA key that is wrapped to, in bits.
const MinBits = 2048

// aesKey is the length of the AES key, in bytes.
const aesKey = 32

// Wrap wraps a secret of 1 to [MaxSecret] bytes to a public key of at least [MinBits] bits. The
// result is the AES key encrypted with RSAES-OAEP, as long as the modulus, and after it the wrapped
// secret. The AES key and the seed of OAEP are read from random, the random source of the
// system except in tests. The error wraps [ErrAlgorithm], [ErrKey] or [ErrSize], or is that of random.
func Wrap(random io.Reader, a Algorithm, to *rsa.PublicKey, secret []byte) ([]byte, error) {
	hash := a.Hash()
	switch {
	case hash == 0:
		return nil, unknown(string(a))
	case to == nil || to.N == nil:
		return nil, fmt.Errorf("keywrap: expected an RSA public key, found nil: %w", ErrKey)
	case to.N.BitLen() < MinBits:
		return nil, fmt.Errorf("keywrap: expected at least %d bits, found %d: %w", MinBits, to.N.BitLen(), ErrKey)
	}
	if err := pubkey.Check(to); err != nil {
		return nil, fmt.Errorf("keywrap: found %w: %w", err, ErrKey)
	}
	var key [aesKey]byte
	defer clear(key[:])
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return nil, fmt.Errorf("keywrap: reading random bytes: %w", err)
	}
	wrapped, err := WrapAES(key[:], secret)
	if err != nil {
		return nil, err
	}
	sealed, err := rsa.EncryptOAEP(hash.New(), random, to, key[:], nil)
	if err != nil {
		return nil, fmt.Errorf("keywrap: RSAES-OAEP: %w: %w", ErrKey, err)
	}
	return append(sealed, wrapped...), nil
}

// Unwrap returns the secret that [Wrap] wrapped to the public key of the given private key, which may be in
// a TPM: it is asked for one decryption with rsa.OAEPOptions. random is passed to it, and may be nil if it
// needs none. The error wraps [ErrAlgorithm], [ErrKey], [ErrSize] or [ErrUnwrap].
func Unwrap(random io.Reader, a Algorithm, private crypto.Decrypter, wrapped []byte) ([]byte, error) {
	hash := a.Hash()
	if hash == 0 {
		return nil, unknown(string(a))
	}
	if private == nil {
		return nil, fmt.Errorf("keywrap: expected an RSA private key, found nil: %w", ErrKey)
	}
	public, ok := private.Public().(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf(
			"keywrap: expected an RSA private key, found one with a %T: %w",
			private.Public(),
			ErrKey,
		)
	}
	size := public.Size()
	if len(wrapped) <= size {
		return nil, fmt.Errorf(
			"keywrap: %d bytes, expected more than the %d of the modulus: %w",
			len(wrapped),
			size,
			ErrSize,
		)
	}
	key, err := private.Decrypt(random, wrapped[:size], &rsa.OAEPOptions{Hash: hash})
	if err != nil {
		return nil, fmt.Errorf("keywrap: RSAES-OAEP with %v: %w: %w", hash, ErrUnwrap, err)
	}
	defer clear(key)
	if len(key) != aesKey {
		return nil, fmt.Errorf("keywrap: %w", ErrUnwrap)
	}
	return UnwrapAES(key, wrapped[size:])
}
