package azureguest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/go-json-experiment/json"
)

// Sealed is a token that only the TPM with the ephemeral key can open, in the form
// that Azure's clients read.
type Sealed struct {
	JWT      string       `json:"Jwt"`
	InnerKey string       `json:"EncryptedInnerKey"`
	Params   sealedParams `json:"EncryptionParams"`
	Tag      string       `json:"AuthenticationData"`
}

type sealedParams struct {
	BlockMode    string `json:"BlockMode"`
	BlockPadding string `json:"BlockPadding"`
	Cipher       string `json:"Cipher"`
	Bits         int    `json:"KeySizeInBits"`
	IV           string `json:"Iv"`
}

// transportKey is what the clients authenticate besides the token.
const transportKey = "Transport Key"

// ErrNoKey is returned for evidence without an ephemeral key.
var ErrNoKey = errors.New("no EncKeyPub: the answer is sealed to that key")

// Seal encrypts a token to the ephemeral key of verified evidence: AES-256-GCM with
// a fresh key, which goes by RSAES-PKCS1-v1_5 to the TPM. The clients accept no
// other form. The result is JSON.
func Seal(random io.Reader, raw []byte, token string) ([]byte, error) {
	i, err := ParseInfo(raw)
	if err != nil {
		return nil, err
	}
	if i.Key == nil {
		return nil, ErrNoKey
	}
	key, ok := i.Key.Public.Key.(*rsa.PublicKey)
	if !ok {
		return nil, ErrNoKey
	}
	var inner [32]byte
	var iv [12]byte
	if _, err := io.ReadFull(random, inner[:]); err != nil {
		return nil, fmt.Errorf("azureguest: %w", err)
	}
	if _, err := io.ReadFull(random, iv[:]); err != nil {
		return nil, fmt.Errorf("azureguest: %w", err)
	}
	block, err := aes.NewCipher(inner[:])
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	sealed := gcm.Seal(nil, iv[:], []byte(token), []byte(transportKey))
	// The padding is the one that TPM2_RSA_Decrypt of the clients asks for; the
	// oracle that it can be is the TPM, which is the client's own.
	wrapped, err := wrap(random, key, inner[:])
	if err != nil {
		return nil, fmt.Errorf("azureguest: %w", err)
	}
	encode := base64.StdEncoding.EncodeToString
	at := len(sealed) - gcm.Overhead()
	return json.Marshal(Sealed{JWT: encode(sealed[:at]), InnerKey: encode(wrapped), Tag: encode(sealed[at:]),
		Params: sealedParams{"ChainingModeGCM", "PKCS7", "AES", 256, encode(iv[:])}})
}

// wrap is RSAES-PKCS1-v1_5 encryption (RFC 8017, section 7.2.1). The standard library's
// ignores the source of randomness that it is given.
func wrap(random io.Reader, key *rsa.PublicKey, secret []byte) ([]byte, error) {
	const minBits, maxBits = 2048, 8192
	if bits := key.N.BitLen(); bits < minBits || bits > maxBits || key.N.Bit(0) == 0 || key.E < 3 {
		return nil, fmt.Errorf("the ephemeral key is an RSA key of %d bits; want %d to %d", bits, minBits, maxBits)
	}
	block := make([]byte, key.Size())
	block[1] = 2
	padding := block[2 : len(block)-len(secret)-1]
	if _, err := io.ReadFull(random, padding); err != nil {
		return nil, err
	}
	for i, tries := 0, 0; i < len(padding); {
		if padding[i] != 0 {
			i, tries = i+1, 0
			continue
		}
		if tries++; tries > 64 {
			return nil, errors.New("the source of randomness returns only zeros")
		}
		if _, err := io.ReadFull(random, padding[i:i+1]); err != nil {
			return nil, err
		}
	}
	copy(block[len(block)-len(secret):], secret)
	c := new(big.Int).Exp(new(big.Int).SetBytes(block), big.NewInt(int64(key.E)), key.N)
	return c.FillBytes(block), nil
}
