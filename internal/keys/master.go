package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/probity-dev/probity/internal/private"
)

const masterSize = 32

// MasterKey is the root of all keys that protect what the service keeps or hands
// out. It encrypts nothing itself: each use has a subkey of its own, derived with
// HKDF-SHA-256 (RFC 5869), so that what was made for one use proves nothing in
// another.
type MasterKey struct {
	key []byte // pseudorandom key of HKDF
	// first is AES-256-GCM under the master key itself, as the first versions sealed.
	first cipher.AEAD
}

// The uses of subkeys. Other packages name their own in [MasterKey.Subkey] and
// [MasterKey.Authenticate]; a name is never used for two things.
const (
	useTokenKeys     = "token signing keys"
	useCheckpointKey = "checkpoint key"
	useKeyRows       = "rows of signing keys"
	// UseRows authenticates rows of the database other than those of signing keys.
	UseRows = "rows of the database"
)

// NewMasterKey returns a master key of 32 bytes.
func NewMasterKey(key []byte) (MasterKey, error) {
	if len(key) != masterSize {
		return MasterKey{}, fmt.Errorf("signing: master key is %d bytes, want %d", len(key), masterSize)
	}
	prk, err := hkdf.Extract(sha256.New, key, []byte("probity master key"))
	if err != nil {
		return MasterKey{}, err
	}
	first, err := newGCM(key)
	return MasterKey{prk, first}, err
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Subkey derives the 32 bytes of a use.
func (m MasterKey) Subkey(use string) []byte {
	key, err := hkdf.Expand(sha256.New, m.key, "probity 1 "+use, sha256.Size)
	if err != nil {
		// Only a result of more than 255 hashes fails, or a hash that FIPS mode forbids.
		panic("signing: HKDF-SHA-256: " + err.Error())
	}
	return key
}

// Authenticate returns the HMAC-SHA-256 of fields under the subkey of a use. Each
// field goes in with its length, so that bytes cannot move from one to the next.
// [MasterKey.Authentic] checks it.
func (m MasterKey) Authenticate(use string, fields ...[]byte) []byte {
	mac := hmac.New(sha256.New, m.Subkey(use))
	for _, f := range fields {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(f))))
		mac.Write(f)
	}
	return mac.Sum(nil)
}

// Authentic reports whether mac is what [MasterKey.Authenticate] returns.
func (m MasterKey) Authentic(mac []byte, use string, fields ...[]byte) bool {
	return hmac.Equal(mac, m.Authenticate(use, fields...))
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
	text, err := private.ReadSecret(path)
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

func (m MasterKey) aead(use string) cipher.AEAD {
	aead, err := newGCM(m.Subkey(use))
	if err != nil {
		panic("signing: AES-256-GCM: " + err.Error()) // a key of 32 bytes always fits
	}
	return aead
}

// seal encrypts a private key; the key's id is bound to the result, so that
// rows of the database cannot be swapped.
func (m MasterKey) seal(use string, plain []byte, id string) []byte {
	return m.aead(use).Seal(nil, nil, plain, []byte(id))
}

var errUnseal = errors.New("the master key does not open it: use the master key of this data directory")

func (m MasterKey) unseal(use string, sealed []byte, id string) ([]byte, error) {
	plain, err := m.aead(use).Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return nil, errUnseal
	}
	return plain, nil
}

// unsealFirst opens what the first versions sealed.
func (m MasterKey) unsealFirst(sealed []byte, id string) ([]byte, error) {
	plain, err := m.first.Open(nil, nil, sealed, []byte("probity signing key "+id))
	if err != nil {
		return nil, errUnseal
	}
	return plain, nil
}

// Seal encrypts what clients are handed to bring back, under the subkey of the
// purpose.
func (m MasterKey) Seal(plain []byte, purpose string) []byte {
	return m.aead("sealed "+purpose).Seal(nil, nil, plain, []byte(purpose))
}

// ErrSealed is returned for what this key did not seal for the purpose.
var ErrSealed = errors.New("not sealed by this service for this purpose")

// Open decrypts what Seal made. It also opens what a node of the first versions
// sealed: during an upgrade clients bring that back for some minutes.
func (m MasterKey) Open(sealed []byte, purpose string) ([]byte, error) {
	plain, err := m.aead("sealed "+purpose).Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		plain, err = m.first.Open(nil, nil, sealed, []byte("probity "+purpose))
	}
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
