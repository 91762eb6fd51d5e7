package vault

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/strict/pubkey"
)

// attributesBody are the attributes of requests and answers. Times are in seconds since 1970.
type attributesBody struct {
	Enabled         *bool  `json:"enabled,omitzero"`
	NotBefore       *int64 `json:"nbf,omitzero"`
	Expires         *int64 `json:"exp,omitzero"`
	Created         int64  `json:"created,omitzero"`
	Updated         int64  `json:"updated,omitzero"`
	RecoveryLevel   string `json:"recoveryLevel,omitzero"`
	RecoverableDays int    `json:"recoverableDays,omitzero"`
	Exportable      *bool  `json:"exportable,omitzero"`
}

// policyBody is a release policy.
type policyBody struct {
	ContentType string `json:"contentType,omitzero"`
	// Data is base64url; public clients send other alphabets and padding, too.
	Data      string `json:"data"`
	Immutable bool   `json:"immutable"`
}

// keyBody is the body of a creation, an import or an update.
type keyBody struct {
	Type       string            `json:"kty"`
	Size       int               `json:"key_size"`
	Exponent   *int64            `json:"public_exponent"`
	Curve      string            `json:"crv"`
	Operations []string          `json:"key_ops"`
	Key        *jwkBody          `json:"key"`
	HSM        bool              `json:"hsm"`
	Attributes attributesBody    `json:"attributes"`
	Tags       map[string]string `json:"tags"`
	Policy     *policyBody       `json:"release_policy"`
}

// jwkBody is the key of an import.
type jwkBody struct {
	Type       string   `json:"kty"`
	Operations []string `json:"key_ops"`
	Curve      string   `json:"crv"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	D          string   `json:"d"`
	P          string   `json:"p"`
	Q          string   `json:"q"`
	X          string   `json:"x"`
	Y          string   `json:"y"`
	K          string   `json:"k"`
}

// request is what a body asks for.
func (b *keyBody) request(name string) (vault.Request, error) {
	r := vault.Request{Name: name, Kind: vault.Kind{Type: b.Type, Size: b.Size, Curve: b.Curve},
		Attributes: vault.Attributes{Enabled: b.Attributes.Enabled, Exportable: b.Attributes.Exportable,
			NotBefore: moment(b.Attributes.NotBefore), Expires: moment(b.Attributes.Expires),
			Operations: b.Operations, Tags: b.Tags}}
	if b.Exponent != nil && *b.Exponent != 0 && *b.Exponent != 65537 {
		return r, bad(vault.CheckKeyType, "public_exponent 65537, or none", fmt.Sprint(*b.Exponent))
	}
	if b.Policy != nil {
		text, err := base64text.Decode([]byte(b.Policy.Data))
		if err != nil || len(text) == 0 {
			return r, bad(vault.CheckPolicy, "release_policy.data as base64url", "an empty one, or other characters")
		}
		r.Policy = &store.ReleasePolicy{
			ContentType: b.Policy.ContentType,
			Data:        text,
			Immutable:   b.Policy.Immutable,
		}
	}
	return r, nil
}

// imported is request with the key of an import.
func (b *keyBody) imported(name string) (vault.Request, error) {
	if b.Key == nil {
		return vault.Request{}, bad(vault.CheckMaterial, "the member key", "no key")
	}
	k := b.Key
	r, err := b.request(name)
	kty := k.Type
	if family := (vault.Kind{Type: kty}).Family(); b.HSM && family == kty && kty != "" {
		kty += "-HSM"
	}
	r.Import = &vault.JWK{
		Type: kty, Curve: k.Curve, N: k.N, E: k.E, D: k.D, P: k.P, Q: k.Q, X: k.X, Y: k.Y, K: k.K,
	}
	r.Operations = k.Operations
	return r, err
}

func moment(seconds *int64) *time.Time {
	if seconds == nil {
		return nil
	}
	t := time.Unix(*seconds, 0).UTC()
	return &t
}

func seconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	s := t.Unix()
	return &s
}

// publicKey is the public part of a key.
type publicKey struct {
	KeyID      string   `json:"kid"`
	Type       string   `json:"kty"`
	Operations []string `json:"key_ops,omitzero"`
	N          string   `json:"n,omitzero"`
	E          string   `json:"e,omitzero"`
	Curve      string   `json:"crv,omitzero"`
	X          string   `json:"x,omitzero"`
	Y          string   `json:"y,omitzero"`
}

// bundle is a key in an answer; deleted ones have the last members.
type bundle struct {
	Key        *publicKey        `json:"key,omitzero"`
	KeyID      string            `json:"kid,omitzero"` // of lists
	Attributes attributesBody    `json:"attributes"`
	Tags       map[string]string `json:"tags,omitzero"`
	Policy     *policyBody       `json:"release_policy,omitzero"`

	RecoveryID  string `json:"recoveryId,omitzero"`
	DeletedDate *int64 `json:"deletedDate,omitzero"`
	PurgeDate   *int64 `json:"scheduledPurgeDate,omitzero"`

	// Warnings are about a release policy that was just set: our own member.
	Warnings []warning `json:"warnings,omitzero"`
}

// warning is about a release policy that is probably not what was meant.
type warning struct {
	Message string `json:"message"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
}

func (p *Plane) attributes(k *vault.Key) attributesBody {
	one := k.Version
	enabled, exportable := !one.Disabled, k.Exportable
	return attributesBody{Enabled: &enabled, NotBefore: seconds(one.NotBefore), Expires: seconds(one.Expires),
		Created: one.Created.Unix(), Updated: one.Updated.Unix(), RecoveryLevel: p.Vault.RecoveryLevel(),
		RecoverableDays: p.Vault.Recoverable(), Exportable: &exportable}
}

// bundle is a key with its public part.
func (p *Plane) bundle(base string, k *vault.Key) (*bundle, error) {
	one := k.Version
	public := &publicKey{KeyID: k.URL(base), Type: one.Type, Operations: one.Operations}
	if one.Public != nil {
		key, err := pubkey.Parse(one.Public)
		var numbers document.Key
		if err == nil {
			err = numbers.SetPublic(key)
		}
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.Name, err)
		}
		public.N, public.E, public.Curve, public.X, public.Y = numbers.N, numbers.E, numbers.Curve,
			numbers.X, numbers.Y
	}
	b := &bundle{Key: public, Attributes: p.attributes(k), Tags: one.Tags}
	if k.Policy != nil {
		b.Policy = &policyBody{ContentType: k.Policy.ContentType, Immutable: k.Policy.Immutable,
			Data: base64.RawURLEncoding.EncodeToString(k.Policy.Data)}
	}
	b.deleted(base, k)
	return b, nil
}

func (b *bundle) deleted(base string, k *vault.Key) {
	if !k.Purge.IsZero() {
		b.RecoveryID = base + "/deletedkeys/" + k.Spelling
		b.DeletedDate, b.PurgeDate = seconds(k.Deleted), seconds(k.Purge)
	}
}

// item is a key in a list, or, with a version, one in a list of versions.
func (p *Plane) item(base string, k *vault.Key, version bool) *bundle {
	b := &bundle{KeyID: base + "/keys/" + k.Spelling, Attributes: p.attributes(k), Tags: k.Version.Tags}
	if version {
		b.KeyID = k.URL(base)
	}
	b.deleted(base, k)
	return b
}

// warnings are about a policy that was just set.
func (p *Plane) warnings(provider string, policy *store.ReleasePolicy) (list []warning) {
	if policy == nil {
		return nil
	}
	parsed, err := release.Parse(policy.Data)
	if err != nil {
		return nil // refused before
	}
	for _, d := range parsed.Lint(append(p.Authorities(), provider)...) {
		list = append(list, warning{d.String(), d.Pos.Line, d.Pos.Column})
	}
	return list
}
