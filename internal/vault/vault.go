// Package vault keeps the keys of each provider, and releases them to attesters that prove what a
// key's release policy asks for (secure key release, as Azure Key Vault and Managed HSM do it).
//
// A [Vault] creates, imports, changes and deletes keys; each change is one transaction with its entry in
// the provider's ledger. Key material is sealed by a [Protection] before it is stored, and is opened only to
// be wrapped for a recipient. Who may call is decided before, by package auth; what a token proves, by the
// tokens of its issuer and by package release.
//
// The package uses keys for nothing else: it signs, encrypts and decrypts nothing with them.
package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/release/document"
)

// Store is what a vault needs of a store.
type Store interface {
	store.VaultStore
	Update(ctx context.Context, topic, name string, f func(store.Tx) error) error
	UseOnce(ctx context.Context, word string, now, expires time.Time) (bool, error)
}

// Config is what a vault is made of.
type Config struct {
	Store Store
	// Protections seal key material, by the name that is stored with it; New names the one of new keys.
	Protections map[string]Protection
	New         string
	// HSM names the protection of new keys of the -HSM types. Empty means New.
	HSM string
	// SoftwareWrapped keeps those keys under New that the protection HSM cannot keep or wrap. Without it, they are
	// refused.
	SoftwareWrapped bool
	Backups         *Backups
	// Recoverable is for how many days a deleted key can be recovered, 7 to 90.
	Recoverable int
	// MaxKeys is how many keys a provider may have, deleted ones included.
	MaxKeys int

	// Authorities are the issuers of tokens that open keys.
	Authorities Authorities
	// Challenges authenticates challenges, which can be answered for ChallengeLifetime.
	Challenges        Authenticator
	ChallengeLifetime time.Duration
	// Signer returns what signs released keys now, or nil.
	Signer func() *document.Signer
	// Record adds an entry to the ledger of a provider, by its identity. With wait it returns when the entry is
	// there.
	Record func(ctx context.Context, identity string, e ledger.Entry, wait bool) error

	Random io.Reader
	Now    func() time.Time
}

// The bounds of a vault.
const (
	DefaultRecoverable = 90
	DefaultMaxKeys     = 100_000
	// maxVersions is how many versions a key may have, as in Azure's backups.
	maxVersions = 500
)

// Vault is the keys of all providers. It is safe for concurrent use.
type Vault struct{ cfg Config }

// New returns a vault.
func New(cfg Config) (*Vault, error) {
	if cfg.Recoverable == 0 {
		cfg.Recoverable = DefaultRecoverable
	}
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = DefaultMaxKeys
	}
	if cfg.ChallengeLifetime == 0 {
		cfg.ChallengeLifetime = DefaultChallengeLifetime
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.HSM == "" {
		cfg.HSM = cfg.New
	}
	for _, name := range []string{cfg.New, cfg.HSM} {
		if cfg.Protections[name] == nil {
			return nil, fmt.Errorf("vault: no protection named %q for new keys", name)
		}
	}
	if cfg.Store == nil || cfg.Backups == nil || cfg.Challenges == nil || cfg.Authorities.Own == nil ||
		cfg.Signer == nil || cfg.Record == nil || cfg.Now == nil {
		return nil, errors.New("vault: the configuration is not complete")
	}
	return &Vault{cfg}, nil
}

// Recoverable is for how many days a deleted key can be recovered.
func (v *Vault) Recoverable() int { return v.cfg.Recoverable }

// now is the time of a change, in whole seconds as the store keeps it.
func (v *Vault) now() time.Time { return v.cfg.Now().UTC().Truncate(time.Second) }

// newID returns the id of a version: 32 hex digits.
func (v *Vault) newID() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(v.cfg.Random, b[:]); err != nil {
		return "", fmt.Errorf("vault: random: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Key is a key with one of its versions.
type Key struct {
	store.VaultKey
	Version store.VaultVersion
}

// change runs f in a transaction that is about one key, and records it.
func (v *Vault) change(
	ctx context.Context, p *provider.Provider, name string, by provider.By, action string,
	f func(tx store.Tx, details map[string]string) error,
) error {
	return v.cfg.Store.Update(ctx, store.TopicVault, p.Name+"/"+fold(name), func(tx store.Tx) error {
		details := map[string]string{}
		if err := f(tx, details); err != nil {
			return err
		}
		return ledger.Append(tx, p.Identity(), &ledger.Entry{
			Time: v.now(), Type: ledger.Change, Request: by.Request, Client: by.Client, By: by.Caller,
			Action: action, Subject: subject(name, details["version"]), Details: details,
		})
	})
}

// subject names a key, or a version of it, in the ledger.
func subject(name, version string) string {
	s := "key:" + fold(name)
	if version != "" {
		s += "/" + version
	}
	return s
}

// live reads a key that was not deleted.
func live(tx store.Tx, p *provider.Provider, name string) (store.VaultKey, error) {
	k, err := tx.VaultKey(p.Name, fold(name))
	if err == nil && !k.Purge.IsZero() {
		err = store.ErrNotFound
	}
	if errors.Is(err, store.ErrNotFound) {
		return k, notFound(name, "")
	}
	return k, err
}
