package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/strict/base64text"
)

// vaultVersion is the version of Azure Key Vault's protocol that is sent with each request for keys.
const vaultVersion = "7.6"

// maxBackup bounds a backup of a key that is read, in bytes of its answer.
const maxBackup = 96 << 20

// Vault is the keys of a provider that are kept, and released to attested machines, by the
// interface of Azure Key Vault (version 7.6). It is safe for concurrent use.
type Vault struct{ c *Client }

// Vault returns the keys of the client's provider.
func (c *Client) Vault() *Vault { return &Vault{c} }

// Key is a key with one of its versions. It never has private parts.
type Key struct {
	// Public is the key; in lists it is the zero value.
	Public PublicKey `json:"key,omitzero"`
	// ListID is the URL of a key in a list, and empty elsewhere.
	ListID     string            `json:"kid,omitzero"`
	Attributes KeyAttributes     `json:"attributes"`
	Tags       map[string]string `json:"tags,omitzero"`
	Policy     *ReleasePolicy    `json:"release_policy,omitzero"`

	// RecoveryID, Deleted and Purge are of a deleted key: its URL, and when it was deleted
	// and will be purged, in seconds since 1970.
	RecoveryID string `json:"recoveryId,omitzero"`
	Deleted    int64  `json:"deletedDate,omitzero"`
	Purge      int64  `json:"scheduledPurgeDate,omitzero"`

	// Warnings are about a release policy that the request set.
	Warnings []PolicyWarning `json:"warnings,omitzero"`
}

// ID is the URL of the key: with its version, or, in a list of keys, without.
func (k *Key) ID() string {
	if k.Public.ID != "" {
		return k.Public.ID
	}
	return k.ListID
}

// PublicKey is the public part of a key as a JSON Web Key (RFC 7517); numbers are base64url.
type PublicKey struct {
	// ID is the URL of the key with its version.
	ID         string   `json:"kid"`
	Type       string   `json:"kty"`
	Operations []string `json:"key_ops,omitzero"`
	N          string   `json:"n,omitzero"`
	E          string   `json:"e,omitzero"`
	Curve      string   `json:"crv,omitzero"`
	X          string   `json:"x,omitzero"`
	Y          string   `json:"y,omitzero"`
}

// KeyAttributes are the attributes of a version. Times are in seconds since 1970; nil and zero mean, in a
// request, that nothing is said.
type KeyAttributes struct {
	Enabled *bool `json:"enabled,omitzero"`
	// Exportable keys can be released, and must have a release policy.
	Exportable *bool `json:"exportable,omitzero"`
	NotBefore  int64 `json:"nbf,omitzero"`
	Expires    int64 `json:"exp,omitzero"`

	// The service sets the others. RecoverableDays is how long a deleted key can be recovered.
	Created         int64  `json:"created,omitzero"`
	Updated         int64  `json:"updated,omitzero"`
	RecoveryLevel   string `json:"recoveryLevel,omitzero"`
	RecoverableDays int    `json:"recoverableDays,omitzero"`
}

// ReleasePolicy says which attested machines get a key. Package release reads Data.
type ReleasePolicy struct {
	ContentType string `json:"contentType,omitzero"`
	// Data is the text of the policy.
	Data base64text.Bytes `json:"data"`
	// Immutable policies can never be changed.
	Immutable bool `json:"immutable"`
}

// PolicyWarning is about a release policy that is probably not what was meant.
type PolicyWarning struct {
	Message string `json:"message"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
}

// NewKey asks for a key that the service makes.
type NewKey struct {
	// Type is RSA, EC or oct, or one of them with -HSM.
	Type string `json:"kty"`
	// Size is in bits, for RSA and oct; zero means the service's default.
	Size int `json:"key_size,omitzero"`
	// Curve is P-256, P-384 or P-521, for EC.
	Curve      string            `json:"crv,omitzero"`
	Operations []string          `json:"key_ops,omitzero"`
	Attributes KeyAttributes     `json:"attributes"`
	Tags       map[string]string `json:"tags,omitzero"`
	Policy     *ReleasePolicy    `json:"release_policy,omitzero"`
}

// ImportedKey is a key that was made elsewhere.
type ImportedKey struct {
	Material *document.Material
	// HSM asks for a type with -HSM.
	HSM        bool
	Operations []string
	Attributes KeyAttributes
	Tags       map[string]string
	Policy     *ReleasePolicy
}

// KeyUpdate changes what it names.
type KeyUpdate struct {
	Operations []string          `json:"key_ops,omitzero"`
	Attributes KeyAttributes     `json:"attributes"`
	Tags       map[string]string `json:"tags,omitzero"`
	Policy     *ReleasePolicy    `json:"release_policy,omitzero"`
}

// vaultPath is a path below the provider with its version of the protocol.
func vaultPath(parts ...string) string {
	var path string
	for _, part := range parts {
		if part != "" {
			path += "/" + url.PathEscape(part)
		}
	}
	return path + "?api-version=" + vaultVersion
}

func (v *Vault) key(ctx context.Context, method, path string, body any) (*Key, error) {
	var k Key
	if err := v.c.call(ctx, method, path, body, &k); err != nil {
		return nil, err
	}
	return &k, nil
}

// Create makes a key. If the name is that of a key, it gets a new version.
func (v *Vault) Create(ctx context.Context, name string, k NewKey) (*Key, error) {
	return v.key(ctx, http.MethodPost, vaultPath("keys", name, "create"), k)
}

// Import keeps a key that was made elsewhere. If the name is that of a key, it gets a new version.
func (v *Vault) Import(ctx context.Context, name string, k ImportedKey) (*Key, error) {
	private, err := privateJWK(k.Material, k.Operations)
	if err != nil {
		return nil, err
	}
	return v.key(ctx, http.MethodPut, vaultPath("keys", name), struct {
		Key        jsontext.Value    `json:"key"`
		HSM        bool              `json:"hsm,omitzero"`
		Attributes KeyAttributes     `json:"attributes"`
		Tags       map[string]string `json:"tags,omitzero"`
		Policy     *ReleasePolicy    `json:"release_policy,omitzero"`
	}{private, k.HSM, k.Attributes, k.Tags, k.Policy})
}

// privateJWK is a key with its private parts as a JSON Web Key (RFC 7518, section 6).
func privateJWK(m *document.Material, operations []string) (jsontext.Value, error) {
	var key any
	switch {
	case m == nil:
	case m.RSA != nil:
		key = m.RSA
	case m.EC != nil:
		key = m.EC
	case len(m.Octets) > 0:
		key = m.Octets
	}
	if key == nil {
		return nil, errors.New("client: no key to import")
	}
	text, err := (&jose.JSONWebKey{Key: key}).MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("client: key to import: %w", err)
	}
	members := map[string]jsontext.Value{}
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("client: key to import: %w", err)
	}
	if operations != nil {
		if members["key_ops"], err = json.Marshal(operations); err != nil {
			return nil, fmt.Errorf("client: key to import: %w", err)
		}
	}
	return json.Marshal(members)
}

// Get returns a key with a version, the newest one if version is empty.
func (v *Vault) Get(ctx context.Context, name, version string) (*Key, error) {
	return v.key(ctx, http.MethodGet, vaultPath("keys", name, version), nil)
}

// Update changes a version, the newest one if version is empty. A release policy is that of all
// versions, and goes with an empty version.
func (v *Vault) Update(ctx context.Context, name, version string, u KeyUpdate) (*Key, error) {
	return v.key(ctx, http.MethodPatch, vaultPath("keys", name, version), u)
}

// Rotate gives a key a new version of the kind and with the attributes of its newest one.
func (v *Vault) Rotate(ctx context.Context, name string) (*Key, error) {
	return v.key(ctx, http.MethodPost, vaultPath("keys", name, "rotate"), nil)
}

// Delete deletes a key with its versions. It can be recovered until it is purged.
func (v *Vault) Delete(ctx context.Context, name string) (*Key, error) {
	return v.key(ctx, http.MethodDelete, vaultPath("keys", name), nil)
}

// GetDeleted returns a deleted key.
func (v *Vault) GetDeleted(ctx context.Context, name string) (*Key, error) {
	return v.key(ctx, http.MethodGet, vaultPath("deletedkeys", name), nil)
}

// Recover makes a deleted key usable again.
func (v *Vault) Recover(ctx context.Context, name string) (*Key, error) {
	return v.key(ctx, http.MethodPost, vaultPath("deletedkeys", name, "recover"), nil)
}

// Purge removes a deleted key permanently.
func (v *Vault) Purge(ctx context.Context, name string) error {
	return v.c.call(ctx, http.MethodDelete, vaultPath("deletedkeys", name), nil, nil)
}

// List lists the keys by name, each without its public part. An error ends the list.
func (v *Vault) List(ctx context.Context) iter.Seq2[*Key, error] {
	return v.list(ctx, vaultPath("keys"))
}

// Deleted lists the deleted keys that can be recovered.
func (v *Vault) Deleted(ctx context.Context) iter.Seq2[*Key, error] {
	return v.list(ctx, vaultPath("deletedkeys"))
}

// Versions lists the versions of a key.
func (v *Vault) Versions(ctx context.Context, name string) iter.Seq2[*Key, error] {
	return v.list(ctx, vaultPath("keys", name, "versions"))
}

// maxPages bounds the pages of a list: a hundred thousand keys have four thousand.
const maxPages = 10_000

// list reads page by page. Of the next page's URL it takes the place alone, so that no answer leads
// to another host.
func (v *Vault) list(ctx context.Context, path string) iter.Seq2[*Key, error] {
	return func(yield func(*Key, error) bool) {
		next := path
		for range maxPages {
			var page struct {
				Value []*Key `json:"value"`
				Next  string `json:"nextLink"`
			}
			if err := v.c.call(ctx, http.MethodGet, next, nil, &page); err != nil {
				yield(nil, err)
				return
			}
			for _, k := range page.Value {
				if k != nil && !yield(k, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			u, err := url.Parse(page.Next)
			if err != nil || u.Query().Get("$skiptoken") == "" {
				yield(nil, fmt.Errorf("client: nextLink: expected a URL with $skiptoken, found %.200q", page.Next))
				return
			}
			next = path + "&" + url.Values{"$skiptoken": {u.Query().Get("$skiptoken")}}.Encode()
		}
		yield(nil, errors.New("client: the list has no end: more than "+strconv.Itoa(maxPages)+" pages"))
	}
}

// Backup returns a key with all of its versions, encrypted for the service that made it.
func (v *Vault) Backup(ctx context.Context, name string) ([]byte, error) {
	var answer struct {
		Value base64text.Bytes `json:"value"`
	}
	err := v.c.within(ctx, maxBackup, http.MethodPost, v.c.base+vaultPath("keys", name, "backup"), nil, &answer)
	if err == nil && len(answer.Value) == 0 {
		err = errors.New("client: the answer contains no backup")
	}
	return answer.Value, err
}

// Restore brings a key back from a backup, at the provider that made it, if its name is free.
func (v *Vault) Restore(ctx context.Context, backup []byte) (*Key, error) {
	return v.key(ctx, http.MethodPost, vaultPath("keys", "restore"),
		map[string]base64text.Bytes{"value": backup})
}

// RotationPolicy says when a key gets a new version. Durations are ISO 8601, for instance P90D.
type RotationPolicy struct {
	ID         string             `json:"id,omitzero"`
	Actions    []LifetimeAction   `json:"lifetimeActions"`
	Attributes RotationAttributes `json:"attributes"`
}

// LifetimeAction is Rotate or Notify, with its time after a version was created or before it expires.
type LifetimeAction struct {
	Trigger RotationTrigger `json:"trigger"`
	Action  RotationAction  `json:"action"`
}

// RotationTrigger is one of two times.
type RotationTrigger struct {
	AfterCreate  string `json:"timeAfterCreate,omitzero"`
	BeforeExpiry string `json:"timeBeforeExpiry,omitzero"`
}

// RotationAction is of type Rotate or Notify.
type RotationAction struct {
	Type string `json:"type"`
}

// RotationAttributes are for the versions to come; Created and Updated are those of the policy, in seconds
// since 1970.
type RotationAttributes struct {
	ExpiryTime string `json:"expiryTime,omitzero"`
	Created    int64  `json:"created,omitzero"`
	Updated    int64  `json:"updated,omitzero"`
}

// RotationPolicy returns the rotation policy of a key.
func (v *Vault) RotationPolicy(ctx context.Context, name string) (*RotationPolicy, error) {
	return v.rotation(ctx, http.MethodGet, name, nil)
}

// SetRotationPolicy sets the rotation policy of a key.
func (v *Vault) SetRotationPolicy(ctx context.Context, name string, p RotationPolicy) (*RotationPolicy, error) {
	p.ID, p.Attributes.Created, p.Attributes.Updated = "", 0, 0
	return v.rotation(ctx, http.MethodPut, name, p)
}

func (v *Vault) rotation(ctx context.Context, method, name string, body any) (*RotationPolicy, error) {
	var p RotationPolicy
	if err := v.c.call(ctx, method, vaultPath("keys", name, "rotationpolicy"), body, &p); err != nil {
		return nil, err
	}
	return &p, nil
}
