package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

// backup is what is in a backup: the key with all of its versions, and the material in the clear. It
// exists only inside its encryption.
type backup struct {
	Format   string           `json:"format"`
	Identity string           `json:"identity"`
	Name     string           `json:"name"`
	Current  string           `json:"current"`
	Key      store.VaultKey   `json:"key"`
	Versions []backupOfOneKey `json:"versions"`
}

type backupOfOneKey struct {
	ID       string             `json:"id"`
	Version  store.VaultVersion `json:"version"`
	Material []byte             `json:"material"`
}

const backupFormat = "probity-key-backup/1"

// maxBackup bounds a backup that is restored, in bytes.
const maxBackup = maxVersions * (2*MaxOct + 4<<10)

// Backups encrypts backups.
type Backups struct{ aead cipher.AEAD }

// NewBackups returns the encryption of backups under a key of 32 bytes, a subkey of the master key.
func NewBackups(key []byte) (*Backups, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &Backups{aead}, nil
}

// Backup returns a key with all of its versions, encrypted for this service alone.
func (v *Vault) Backup(
	ctx context.Context, p *provider.Provider, name string, by provider.By,
) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	var k store.VaultKey
	var versions []store.VaultVersion
	err := v.change(ctx, p, name, by, "key.backup", func(tx store.Tx, _ map[string]string) (err error) {
		if k, err = live(tx, p, name); err == nil {
			versions, err = tx.VaultVersions(p.Name, k.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	b := backup{Format: backupFormat, Identity: p.Identity(), Name: k.Name, Current: k.Current, Key: k}
	defer func() {
		for _, one := range b.Versions {
			clear(one.Material)
		}
	}()
	for _, one := range versions {
		protection, err := v.protection(one.Protection)
		if err != nil {
			return nil, err
		}
		material, err := protection.Open(ctx, identify(p, &one), one.Sealed)
		if errors.Is(err, ErrNotOpened) {
			return nil, bad(CheckBackup, "a key that its protection gives out",
				"version "+one.ID+", which never leaves "+one.Protection)
		}
		if err != nil {
			return nil, err
		}
		b.Versions = append(b.Versions, backupOfOneKey{one.ID, one, material})
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("vault: backup: %w", err)
	}
	defer clear(text)
	return v.cfg.Backups.aead.Seal(nil, nil, text, []byte(backupFormat)), nil
}

// Restore brings a key back from a backup, at the provider that it was backed up at, if no key has its name.
func (v *Vault) Restore(
	ctx context.Context, p *provider.Provider, blob []byte, by provider.By,
) (*Key, error) {
	b, err := v.open(p, blob)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, one := range b.Versions {
			clear(one.Material)
		}
	}()
	k := b.Key
	k.Provider, k.Name, k.Current = p.Name, b.Name, b.Current
	if !slices.ContainsFunc(b.Versions, func(one backupOfOneKey) bool { return one.ID == k.Current }) {
		return nil, bad(CheckBackup, "a backup with its newest version", "no version "+k.Current)
	}
	versions, err := v.restore(ctx, p, b)
	if err != nil {
		return nil, errors.Join(err, v.discardAll(ctx, p, versions))
	}
	newest := &Key{VaultKey: k}
	for _, version := range versions {
		if version.ID == k.Current {
			newest.Version = version
		}
	}
	err = v.change(ctx, p, k.Name, by, "key.restore", func(tx store.Tx, details map[string]string) error {
		describe(details, newest)
		existing, err := tx.VaultKey(p.Name, k.Name)
		switch {
		case err == nil && !existing.Purge.IsZero():
			return deletedKey(existing.Spelling)
		case err == nil:
			return refuse(CodeConflict, "Key "+k.Spelling+" already exists.", CheckBackup, "a name that is free",
				"the name of an existing key")
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if n, err := tx.CountVaultKeys(p.Name); err != nil || n >= v.cfg.MaxKeys {
			return errors.Join(err, refuse(CodeForbidden, "The key vault has too many keys.", CheckLimit,
				fmt.Sprintf("a provider of less than %d keys", v.cfg.MaxKeys), fmt.Sprint(n)))
		}
		err = tx.PutVaultKey(k)
		for _, version := range versions {
			err = errors.Join(err, tx.PutVaultVersion(version))
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, v.discardAll(ctx, p, versions))
	}
	return newest, nil
}

// restore seals the versions of a backup, and returns those that it sealed.
func (v *Vault) restore(
	ctx context.Context, p *provider.Provider, b *backup,
) (versions []store.VaultVersion, err error) {
	for _, one := range b.Versions {
		version := one.Version
		version.Provider, version.Name, version.ID = p.Name, b.Name, one.ID
		kind := Kind{version.Type, version.Size, version.Curve}
		err := v.protect(ctx, identify(p, &version), kind,
			&Material{Kind: kind, Private: one.Material, Public: version.Public}, &version)
		if err != nil {
			return versions, err
		}
		versions = append(versions, version)
	}
	return versions, nil
}

// discardAll removes what protections keep of versions that were not stored.
func (v *Vault) discardAll(
	ctx context.Context, p *provider.Provider, versions []store.VaultVersion,
) (err error) {
	for _, version := range versions {
		err = errors.Join(err, v.discard(ctx, p, version))
	}
	return err
}

// open decrypts a backup.
func (v *Vault) open(p *provider.Provider, blob []byte) (*backup, error) {
	if len(blob) > maxBackup {
		return nil, bad(CheckBackup, fmt.Sprintf("a backup of at most %d bytes", maxBackup), fmt.Sprint(len(blob)))
	}
	text, err := v.cfg.Backups.aead.Open(nil, nil, blob, []byte(backupFormat))
	if err != nil {
		return nil, bad(CheckBackup, "a backup that this service made",
			"bytes that do not open under its master key")
	}
	defer clear(text)
	var b backup
	if err := json.Unmarshal(text, &b); err != nil || b.Format != backupFormat {
		return nil, bad(CheckBackup, "a backup of "+backupFormat, "a backup of a later version")
	}
	if b.Identity != p.Identity() {
		return nil, bad(CheckBackup, "a backup of a key of provider "+p.Name, "one of a key of another provider")
	}
	return &b, nil
}
