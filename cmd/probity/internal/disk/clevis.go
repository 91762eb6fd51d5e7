package disk

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/strict/jws"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// clevisType is the type of the tokens of Clevis.
const clevisType = "clevis"

// pin is the name of the pin.
const pin = "probity"

// maxSecret bounds what Clevis encrypts and decrypts, in bytes.
const maxSecret = 1 << 20

type clevisCommand struct {
	Encrypt clevisEncryptCommand `cmd:"" help:"Encrypt standard input, as clevis-encrypt-probity."`
	Decrypt clevisDecryptCommand `cmd:"" help:"Decrypt standard input, as clevis-decrypt-probity."`
}

// clevisFlags name the file with the disks of the machine.
type clevisFlags struct {
	Disks string `help:"${disksHelp}" env:"PROBITY_DISKS" default:"/etc/probity/disks.json" placeholder:"FILE"`
}

type clevisEncryptCommand struct {
	Settings string `arg:"" help:"Object with url and key, and provider and kind if wanted."`
	clevisFlags
}

type clevisDecryptCommand struct{ clevisFlags }

// header is the member clevis of the protected header of a JWE.
type header struct {
	Pin     string       `json:"pin"`
	Probity luks.Binding `json:"probity"`
}

// Run encrypts standard input with a key that the key of the vault gives.
func (c *clevisEncryptCommand) Run(e *term.Env) error {
	var b luks.Binding
	if err := json.Unmarshal([]byte(c.Settings), &b, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("the settings of the pin: %s", jsonerror.Text(err))
	}
	b.URL = strings.TrimRight(b.URL, "/")
	d, err := c.find(e, b)
	if err != nil {
		return err
	}
	secret, err := e.ReadLimited("-", maxSecret)
	if err != nil {
		return err
	}
	defer clear(secret)
	compact, err := seal(e.Ctx, d.passphrase(e), b, secret)
	if err != nil {
		return err
	}
	_, err = io.WriteString(e.Out, compact)
	return err
}

// Run decrypts standard input.
func (c *clevisDecryptCommand) Run(e *term.Env) error {
	text, err := e.ReadLimited("-", 2*maxSecret)
	if err != nil {
		return err
	}
	s, err := parseSealed(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	d, err := c.find(e, s.binding)
	if err != nil {
		return err
	}
	if d.Device != "" {
		o, err := open(d.Device, d.expected(true))
		if err != nil {
			return refused(e, d.Device, err)
		}
		o.close()
	}
	secret, err := s.unseal(e.Ctx, d.passphrase(e))
	if err != nil {
		return err
	}
	defer clear(secret)
	_, err = e.Out.Write(secret)
	return err
}

// find returns the disk of the machine that has the binding.
//
// Security: the binding is what a disk says. One that no file of the machine names could be of a service, or of a key,
// whose owner knows the passphrase, and with it the contents of the disk.
func (c *clevisFlags) find(e *term.Env, b luks.Binding) (*Disk, error) {
	disks, err := readDisks(e, c.Disks)
	if err != nil {
		return nil, fmt.Errorf("the disks that this machine expects: %w", err)
	}
	var known []string
	for n := range disks {
		if disks[n].Binding.Covers(b) {
			return &disks[n], nil
		}
		known = append(known, disks[n].Binding.String())
	}
	return nil, fmt.Errorf("%s does not name %s, but %s: add it only if you chose it yourself", c.Disks, b,
		strings.Join(known, "; "))
}

// contentKey derives the key of a JWE from that of the vault (HKDF, RFC 5869), which may open key slots, too.
func contentKey(ctx context.Context, get Passphrase, b luks.Binding) ([]byte, string, error) {
	key, version, err := get(ctx, b)
	if err != nil {
		return nil, "", err
	}
	defer clear(key)
	if len(key) < minPassphrase {
		return nil, "", errShort(b.Key, key)
	}
	content, err := hkdf.Key(sha256.New, key, nil, "probity clevis pin, version 1", 32)
	return content, version, err
}

// seal makes a JWE in compact form (RFC 7516): A256GCM with a key that is used directly.
func seal(ctx context.Context, get Passphrase, b luks.Binding, secret []byte) (string, error) {
	key, version, err := contentKey(ctx, get, b)
	if err != nil {
		return "", err
	}
	defer clear(key)
	if b.Version == "" {
		b.Version = version // a rotation of the key does not change what was encrypted
	}
	options := (&jose.EncrypterOptions{}).WithHeader("clevis", header{pin, b})
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: key}, options)
	if err != nil {
		return "", err
	}
	object, err := encrypter.Encrypt(secret)
	if err != nil {
		return "", err
	}
	return object.CompactSerialize()
}

var errSealed = errors.New("expected a JWE of this pin in compact form (dir, A256GCM)")

// sealed is a JWE of the pin, read strictly.
type sealed struct {
	binding               luks.Binding
	aad, nonce, text, mac []byte
}

// parseSealed reads a JWE (RFC 7516, section 7.1): five parts, of which the second, an encrypted key, is empty.
func parseSealed(compact string) (*sealed, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 5 || parts[1] != "" {
		return nil, errSealed
	}
	var raw [5][]byte
	for n, part := range parts {
		var err error
		if raw[n], err = jws.Decode(part); err != nil {
			return nil, errSealed
		}
	}
	var h struct {
		Algorithm  string `json:"alg"`
		Encryption string `json:"enc"`
		Clevis     header `json:"clevis"`
	}
	err := json.Unmarshal(raw[0], &h, json.RejectUnknownMembers(true))
	if err != nil || h.Algorithm != string(jose.DIRECT) || h.Encryption != string(jose.A256GCM) ||
		h.Clevis.Pin != pin || h.Clevis.Probity.URL == "" || len(raw[2]) != 12 || len(raw[4]) != 16 {
		return nil, errSealed
	}
	return &sealed{h.Clevis.Probity, []byte(parts[0]), raw[2], raw[3], raw[4]}, nil
}

// unseal decrypts a JWE.
func (s *sealed) unseal(ctx context.Context, get Passphrase) ([]byte, error) {
	key, _, err := contentKey(ctx, get, s.binding)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, s.nonce, slices.Concat(s.text, s.mac), s.aad)
	if err != nil {
		return nil, fmt.Errorf("the secret was encrypted with another key than %s: it was rotated, or the disk was changed",
			s.binding)
	}
	return secret, nil
}
