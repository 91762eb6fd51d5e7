package store

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TopicVault is the topic of changes of keys in a vault; the name is that of the provider, a slash, and
// that of the key.
const TopicVault = "vault"

// VaultKey is a key of a provider's vault: what all of its versions have in common.
type VaultKey struct {
	Provider string `json:"-"`
	// Name is in lower case; Spelling is the name as it was asked for.
	Name     string `json:"-"`
	Spelling string `json:"spelling"`
	// Current is the newest version.
	Current string    `json:"-"`
	Created time.Time `json:"created"`
	// Exportable keys can be released. Policy says to whom; it is for all versions.
	Exportable bool           `json:"exportable,omitzero"`
	Policy     *ReleasePolicy `json:"releasePolicy,omitzero"`
	// Rotation is the rotation policy, as package vault reads it.
	Rotation jsontext.Value `json:"rotation,omitzero"`
	// Deleted is when the key was deleted, Purge when it is removed permanently. Both are zero for a key
	// that is in use.
	Deleted time.Time      `json:"deleted,omitzero"`
	Purge   time.Time      `json:"purge,omitzero"`
	Later   jsontext.Value `json:",embed"`
}

// ReleasePolicy is a release policy as it was submitted.
type ReleasePolicy struct {
	ContentType string `json:"contentType"`
	Data        []byte `json:"data"`
	// Immutable policies are never changed.
	Immutable bool `json:"immutable,omitzero"`
}

// VaultVersion is a version of a key in a vault.
type VaultVersion struct {
	Provider string `json:"-"`
	Name     string `json:"-"`
	// ID is 32 hex digits.
	ID string `json:"-"`
	// Sealed is the key material as its protection seals it.
	Sealed []byte `json:"-"`
	// Type is the kind of the key as it was asked for, for instance RSA-HSM. Size is in bits, Curve the
	// name of an elliptic curve.
	Type  string `json:"type"`
	Size  int    `json:"size,omitzero"`
	Curve string `json:"curve,omitzero"`
	// Operations are what the key is for, as they were asked for.
	Operations []string `json:"operations,omitzero"`
	// Public is the SubjectPublicKeyInfo of an RSA or EC key, DER.
	Public []byte `json:"public,omitzero"`
	// Protection says what seals the key material: package vault names them.
	Protection string            `json:"protection"`
	Disabled   bool              `json:"disabled,omitzero"`
	NotBefore  time.Time         `json:"notBefore,omitzero"`
	Expires    time.Time         `json:"expires,omitzero"`
	Created    time.Time         `json:"created"`
	Updated    time.Time         `json:"updated"`
	Tags       map[string]string `json:"tags,omitzero"`
	Later      jsontext.Value    `json:",embed"`
}

// VaultScope is the scope of the seal of a key, or, if version is not empty, of one of its versions.
func VaultScope(provider, name, version string) string {
	scope := VaultScopes + provider + "/" + name
	if version != "" {
		scope += "/" + version
	}
	return scope
}

// VaultScopes begins the scopes of all vaults.
const VaultScopes = "vault:"

// VaultItem is a key with one of its versions, and the seals of both at the same moment. A row without
// a seal has one without a MAC.
type VaultItem struct {
	Key         VaultKey
	Version     VaultVersion
	KeySeal     Seal
	VersionSeal Seal
}

// VaultStore reads the keys of vaults.
type VaultStore interface {
	// VaultItem returns a key with a version, or with the newest one if id is empty. The error wraps
	// ErrNotFound if there is no such key or version.
	VaultItem(ctx context.Context, provider, name, id string) (VaultItem, error)
	// VaultKeys returns up to limit keys of a provider with their newest versions, by name, after a
	// name: those that were deleted, or those that were not.
	VaultKeys(ctx context.Context, provider, after string, deleted bool, limit int) ([]VaultItem, error)
	// VaultVersions returns up to limit versions of a key, by id, after an id.
	VaultVersions(ctx context.Context, provider, name, after string, limit int) ([]VaultItem, error)
	// VaultKeysDue returns up to limit keys of all providers that are to be purged by a time.
	VaultKeysDue(ctx context.Context, by time.Time, limit int) ([]VaultKey, error)
}

// VaultTx reads and changes the keys of vaults.
type VaultTx interface {
	VaultKey(provider, name string) (VaultKey, error)
	VaultVersion(provider, name, id string) (VaultVersion, error)
	// VaultVersions returns all versions of a key, by id.
	VaultVersions(provider, name string) ([]VaultVersion, error)
	// CountVaultKeys counts the keys of a provider, deleted ones too.
	CountVaultKeys(provider string) (int, error)
	// PutVaultKey creates or replaces a key, PutVaultVersion a version.
	PutVaultKey(k VaultKey) error
	PutVaultVersion(v VaultVersion) error
	// DeleteVaultKey removes a key with all of its versions.
	DeleteVaultKey(provider, name string) error
}
