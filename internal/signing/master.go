package signing

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const masterSize = 32

// MasterKey seals keys at rest with AES-256-GCM.
type MasterKey struct{ aead cipher.AEAD }

// NewMasterKey returns a master key of 32 bytes.
func NewMasterKey(key []byte) (MasterKey, error) {
	if len(key) != masterSize {
		return MasterKey{}, fmt.Errorf("signing: master key is %d bytes, want %d", len(key), masterSize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return MasterKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return MasterKey{aead}, err
}

// ParseMasterKey reads a master key from base64 text.
func ParseMasterKey(text string) (MasterKey, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return MasterKey{}, errors.New("signing: master key is not base64") // the text itself is a secret
	}
	return NewMasterKey(key)
}

// LoadMasterKey reads the master key in a file, or makes one there if the file
// does not exist and create is set.
func LoadMasterKey(path string, random io.Reader, create bool) (MasterKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		return createMasterKey(path, random)
	}
	if err != nil {
		return MasterKey{}, fmt.Errorf("signing: master key: %w", err)
	}
	key, err := ParseMasterKey(string(text))
	if err != nil {
		return MasterKey{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func createMasterKey(path string, random io.Reader) (MasterKey, error) {
	key := make([]byte, masterSize)
	if _, err := io.ReadFull(random, key); err != nil {
		return MasterKey{}, fmt.Errorf("signing: master key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return MasterKey{}, fmt.Errorf("signing: master key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return MasterKey{}, fmt.Errorf("signing: master key: %w", err)
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return MasterKey{}, fmt.Errorf("signing: master key: %w", err)
	}
	return NewMasterKey(key)
}

// seal encrypts a private key; the key's id is bound to the result, so that
// rows of the database cannot be swapped.
func (m MasterKey) seal(plain []byte, id string) []byte {
	return m.aead.Seal(nil, nil, plain, []byte("probity signing key "+id))
}

func (m MasterKey) unseal(sealed []byte, id string) ([]byte, error) {
	plain, err := m.aead.Open(nil, nil, sealed, []byte("probity signing key "+id))
	if err != nil {
		return nil, errors.New("the master key does not open it: use the master key of this data directory")
	}
	return plain, nil
}

// Seal encrypts what clients are handed to bring back; the purpose is bound to it.
func (m MasterKey) Seal(plain []byte, purpose string) []byte {
	return m.aead.Seal(nil, nil, plain, []byte("probity "+purpose))
}

// ErrSealed is returned for what this key did not seal for the purpose.
var ErrSealed = errors.New("not sealed by this service for this purpose")

// Open decrypts what Seal made.
func (m MasterKey) Open(sealed []byte, purpose string) ([]byte, error) {
	plain, err := m.aead.Open(nil, nil, sealed, []byte("probity "+purpose))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
