package kbs

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"io"
	"slices"

	"github.com/go-jose/go-jose/v4"
	josecipher "github.com/go-jose/go-jose/v4/cipher"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/strict/pubkey"
)

// The algorithms by which the key of a message is wrapped (RFC 7518, section 4.1).
const (
	RSAOAEP    = "RSA-OAEP"
	RSAOAEP256 = "RSA-OAEP-256"
	ECDHES     = "ECDH-ES+A256KW"
)

// Recipient is the public key of a guest, to which secrets are encrypted.
type Recipient struct {
	// JWK is the key as canonical JSON, with the members that the guest sent.
	JWK jsontext.Value
	// Algorithm is the algorithm that the guest chose, Thumbprint the SHA-256 thumbprint of the key
	// (RFC 7638), base64url without padding.
	Algorithm, Thumbprint string

	key any
}

// maxKey bounds the key of a guest as JSON, in bytes; the bounds of its size in bits follow.
const maxKey, minBits, maxBits = 4 << 10, 2048, 4096

// members are those of the key of a guest, by its type.
var members = map[string][]string{"RSA": {"kty", "alg", "n", "e"}, "EC": {"kty", "alg", "crv", "x", "y"}}

// ParseRecipient reads the key of a guest, the JSON Web Key tee-pubkey. The error is a *[Refused].
func ParseRecipient(text []byte) (*Recipient, error) {
	bad := func(found string) (*Recipient, error) {
		return nil, refuse(CheckKey,
			"an RSA key with alg "+RSAOAEP256+" or "+RSAOAEP+", or an EC key with alg "+ECDHES,
			found)
	}
	if len(text) == 0 {
		return bad("no key")
	}
	if len(text) > maxKey {
		return bad(fmt.Sprintf("%d bytes", len(text)))
	}
	if err := bounds.Nesting(text); err != nil {
		return bad(err.Error())
	}
	var in map[string]string
	if err := json.Unmarshal(text, &in); err != nil {
		return bad("a key that is not an object of texts")
	}
	kty := in["kty"]
	for name := range in {
		if !slices.Contains(members[kty], name) {
			return bad(fmt.Sprintf("kty %.20q with the member %.40q", kty, name))
		}
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(text); err != nil {
		return bad("numbers that are none of such a key")
	}
	r := &Recipient{Algorithm: in["alg"], key: jwk.Key}
	switch key := jwk.Key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minBits || bits > maxBits {
			return bad(fmt.Sprintf("an RSA key of %d bits, not %d to %d", bits, minBits, maxBits))
		}
		if r.Algorithm != RSAOAEP && r.Algorithm != RSAOAEP256 {
			return bad(fmt.Sprintf("an RSA key with alg %.40q", r.Algorithm))
		}
	case *ecdsa.PublicKey:
		if r.Algorithm != ECDHES {
			return bad(fmt.Sprintf("an EC key with alg %.40q", r.Algorithm))
		}
	default:
		return bad(fmt.Sprintf("a key of kty %.20q", kty))
	}
	if err := pubkey.Check(jwk.Key); err != nil {
		return bad(err.Error())
	}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return bad("numbers that are none of such a key")
	}
	r.Thumbprint = base64.RawURLEncoding.EncodeToString(thumbprint)
	r.JWK = slices.Clone(jsontext.Value(text))
	if err := r.JWK.Canonicalize(); err != nil {
		return bad("JSON that has no canonical form")
	}
	return r, nil
}

// Encrypt encrypts a secret to the guest by AES-256-GCM, and returns the flattened JSON of RFC 7516,
// section 7.2.2.
func (r *Recipient) Encrypt(secret []byte) ([]byte, error) {
	if key, ok := r.key.(*ecdsa.PublicKey); ok {
		return encryptEC(key, secret)
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM,
		jose.Recipient{Algorithm: jose.KeyAlgorithm(r.Algorithm), Key: r.key}, nil)
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	message, err := encrypter.Encrypt(secret)
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	return []byte(message.FullSerialize()), nil
}

// header is the protected header of a message to an EC key. Stock guests do not authenticate the header that
// they received, but the one that they write again: alg, enc, and then the members of epk by their names.
// Go-jose writes epk in another order, so that the message is put together here, of its parts.
type header struct {
	Algorithm  string    `json:"alg"`
	Encryption string    `json:"enc"`
	Ephemeral  ephemeral `json:"epk"`
}

type ephemeral struct {
	Curve string `json:"crv"`
	Type  string `json:"kty"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

const cekSize = 32

func encryptEC(key *ecdsa.PublicKey, secret []byte) ([]byte, error) {
	encode := base64.RawURLEncoding.EncodeToString
	one, err := ecdsa.GenerateKey(key.Curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	point, err := one.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	size := (len(point) - 1) / 2
	protected, err := json.Marshal(header{ECDHES, string(jose.A256GCM), ephemeral{
		key.Curve.Params().Name, "EC", encode(point[1 : 1+size]), encode(point[1+size:])}})
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	wrapping := josecipher.DeriveECDHES(ECDHES, nil, nil, one, key, cekSize)
	defer clear(wrapping)
	cek := make([]byte, cekSize)
	defer clear(cek)
	if _, err := io.ReadFull(rand.Reader, cek); err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	block, err := aes.NewCipher(wrapping)
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	wrapped, err := josecipher.KeyWrap(block, cek)
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	if block, err = aes.NewCipher(cek); err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	aad := encode(protected)
	sealed := aead.Seal(nil, nil, secret, []byte(aad)) // iv, ciphertext, tag
	const iv, tag = 12, 16
	return json.Marshal(map[string]string{
		"protected": aad, "encrypted_key": encode(wrapped), "iv": encode(sealed[:iv]),
		"ciphertext": encode(sealed[iv : len(sealed)-tag]), "tag": encode(sealed[len(sealed)-tag:]),
	}, json.Deterministic(true))
}
