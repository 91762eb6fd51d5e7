// Package transit protects the keys of vaults with a key of another service: the transit secrets engine of OpenBao (API of
// version 2) or HashiCorp Vault (version 1.9 and later, which know associated_data). Each key is sealed with AES-256-GCM under
// a key of its own, and that is encrypted by transit; without an answer of transit, no key opens. [New] returns the
// protection, [Client.Run] renews the client's token.
//
// Keys are made and wrapped in this process, and are in its memory while they are. There is no cache: each release asks
// transit, and so each can be seen and stopped there.
package transit

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/keywrap"
)

// Name is the name of this protection.
const Name = "transit"

type protection struct {
	client *Client
	key    []byte
	random io.Reader
}

// New returns the protection by a transit key. It also wants key, a subkey of the master key, so that who may decrypt with
// transit and reads the database opens nothing.
func New(client *Client, key []byte, random io.Reader) vault.Protection {
	return &protection{client, key, random}
}

// What is stored of a key: the mark, the length of the wrapped data key in two bytes, the wrapped data key as
// transit writes it, and the sealed material.
const (
	mark       = "transit/1:"
	maxWrapped = 4096
	// overhead is what AES-GCM adds: nonce and tag.
	overhead = 12 + 16
	dataKey  = 32
)

// split reads what was stored.
func split(stored []byte) (wrapped string, sealed []byte, ok bool) {
	rest, ok := strings.CutPrefix(string(stored), mark)
	if !ok || len(rest) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16([]byte(rest)))
	rest = rest[2:]
	if n == 0 || n > maxWrapped || len(rest) < n+overhead+1 || len(rest) > n+overhead+maxMaterial {
		return "", nil, false
	}
	return rest[:n], []byte(rest[n:]), true
}

// maxMaterial bounds the material of a key, in bytes.
const maxMaterial = max(vault.MaxOct, 8<<10)

// aead seals material under a data key and the subkey of the master key.
func (p *protection) aead(data []byte) (cipher.AEAD, error) {
	mac := hmac.New(sha256.New, p.key)
	mac.Write(data)
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("transit: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("transit: %w", err)
	}
	return aead, nil
}

// bound is what the seal of the material covers beside it.
func bound(id vault.ID, wrapped string) []byte { return append(id.Bytes(), wrapped...) }

func (p *protection) Generate(
	ctx context.Context, id vault.ID, k vault.Kind,
) (sealed, public []byte, err error) {
	m, err := vault.NewMaterial(p.random, k)
	if err != nil {
		return nil, nil, err
	}
	defer m.Wipe()
	sealed, err = p.Seal(ctx, id, m)
	return sealed, m.Public, err
}

func (p *protection) Seal(ctx context.Context, id vault.ID, m *vault.Material) ([]byte, error) {
	if len(m.Private) == 0 || len(m.Private) > maxMaterial {
		return nil, fmt.Errorf("transit: a key of %d bytes, expected 1 to %d", len(m.Private), maxMaterial)
	}
	data := make([]byte, dataKey)
	defer clear(data)
	if _, err := io.ReadFull(p.random, data); err != nil {
		return nil, fmt.Errorf("transit: random: %w", err)
	}
	wrapped, err := p.client.encrypt(ctx, id.Bytes(), data)
	if err != nil {
		return nil, err
	}
	aead, err := p.aead(data)
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint16([]byte(mark), uint16(len(wrapped)))
	out = append(out, wrapped...)
	return aead.Seal(out, nil, m.Private, bound(id, wrapped)), nil
}

func (p *protection) Open(ctx context.Context, id vault.ID, stored []byte) ([]byte, error) {
	refused := func(why string) error {
		return fmt.Errorf("key %s/%s of %s: %w%s", id.Name, id.Version, id.Provider, vault.ErrSealed, why)
	}
	wrapped, sealed, ok := split(stored)
	if !ok {
		return nil, refused("")
	}
	data, err := p.client.decrypt(ctx, id.Bytes(), wrapped)
	var no *answerError
	if errors.As(err, &no) {
		return nil, refused(" and the transit key: " + no.Error())
	}
	if err != nil {
		return nil, err
	}
	defer clear(data)
	aead, err := p.aead(data)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, nil, sealed, bound(id, wrapped))
	if err != nil {
		return nil, refused("")
	}
	return secret, nil
}

func (p *protection) Wrap(
	ctx context.Context, id vault.ID, stored []byte, to *rsa.PublicKey, a keywrap.Algorithm,
) ([]byte, error) {
	secret, err := p.Open(ctx, id, stored)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return keywrap.Wrap(p.random, a, to, secret)
}

// Destroy does nothing: transit keeps nothing of a key.
func (p *protection) Destroy(context.Context, vault.ID, []byte) error { return nil }
