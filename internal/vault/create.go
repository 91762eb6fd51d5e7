package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

// Attributes are what a caller may state about a version of a key; nil means that nothing was stated.
type Attributes struct {
	Enabled    *bool
	NotBefore  *time.Time
	Expires    *time.Time
	Exportable *bool
	Operations []string
	Tags       map[string]string
}

// Request asks for a key, or for a new version of one.
type Request struct {
	Name string
	Kind Kind
	// Import, if not nil, is the key; otherwise one of the kind is made.
	Import *JWK
	Attributes
	Policy *store.ReleasePolicy
}

const (
	maxTags    = 15
	maxTagText = 256
	maxPolicy  = 32 << 10
)

// check checks the attributes of a kind of key.
func (a *Attributes) check(k Kind) error {
	if _, err := k.checkOperations(a.Operations); err != nil {
		return err
	}
	if len(a.Tags) > maxTags {
		return bad(CheckAttributes, fmt.Sprintf("at most %d tags", maxTags), fmt.Sprint(len(a.Tags)))
	}
	for name, value := range a.Tags {
		if len(name) == 0 || len(name) > maxTagText || len(value) > maxTagText {
			return bad(CheckAttributes, fmt.Sprintf("tags of at most %d bytes", maxTagText),
				"a longer one, or one without a name")
		}
	}
	for name, t := range map[string]*time.Time{"nbf": a.NotBefore, "exp": a.Expires} {
		if t != nil && (t.Unix() <= 0 || t.Year() > 9999) {
			return bad(CheckAttributes, name+" in seconds since 1970, until the year 9999",
				fmt.Sprintf("%s %d (Azure's client for JavaScript sends such numbers for times after 2038-01-19)",
					name, t.Unix()))
		}
	}
	if a.NotBefore != nil && a.Expires != nil && !a.NotBefore.Before(*a.Expires) {
		return bad(CheckAttributes, "nbf before exp", "nbf that is not before exp")
	}
	return nil
}

// apply writes the attributes that were given into a version.
func (a *Attributes) apply(v *store.VaultVersion) {
	if a.Enabled != nil {
		v.Disabled = !*a.Enabled
	}
	if a.NotBefore != nil {
		v.NotBefore = a.NotBefore.UTC()
	}
	if a.Expires != nil {
		v.Expires = a.Expires.UTC()
	}
	if a.Operations != nil {
		v.Operations = a.Operations
	}
	if a.Tags != nil {
		v.Tags = a.Tags
	}
}

// Create makes or imports a key. If the name is that of a key, it gets a new version.
func (v *Vault) Create(ctx context.Context, p *provider.Provider, r Request, by provider.By) (*Key, error) {
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	var material *Material
	var err error
	if r.Import != nil {
		if material, err = r.Import.Import(); err != nil {
			return nil, err
		}
		defer material.Wipe()
		r.Kind = material.Kind
	} else if r.Kind, err = r.Kind.generated(); err != nil {
		return nil, err
	}
	if err := r.check(r.Kind); err != nil {
		return nil, err
	}
	if r.Operations, err = r.Kind.checkOperations(r.Operations); err != nil {
		return nil, err
	}
	if err := checkPolicy(r.Policy); err != nil {
		return nil, err
	}
	version, err := v.make(ctx, p, r, material)
	if err != nil {
		return nil, err
	}
	var made *Key
	err = v.change(ctx, p, r.Name, by, action(r.Import != nil),
		func(tx store.Tx, details map[string]string) error {
			k, err := v.prepare(tx, p, r)
			if err != nil {
				return err
			}
			k.Current = version.ID
			made = &Key{k, version}
			describe(details, made)
			return errors.Join(tx.PutVaultKey(k), tx.PutVaultVersion(version))
		})
	if err != nil {
		return nil, errors.Join(err, v.discard(ctx, p, version))
	}
	return made, nil
}

func action(imported bool) string {
	if imported {
		return "key.import"
	}
	return "key.create"
}

// describe puts what a ledger should know of a version into an entry; never the key.
func describe(details map[string]string, k *Key) {
	details["version"], details["type"], details["protection"] = k.Version.ID, k.Version.Type,
		k.Version.Protection
	if k.Exportable {
		details["releasePolicy"] = PolicyHash(k.Policy)
	}
}

// make makes a version with its sealed key. Nothing of it is stored yet.
func (v *Vault) make(
	ctx context.Context, p *provider.Provider, r Request, material *Material,
) (store.VaultVersion, error) {
	out := store.VaultVersion{Provider: p.Name, Name: fold(r.Name), Type: r.Kind.Type, Size: r.Kind.Size,
		Curve: r.Kind.Curve, Created: v.now(), Updated: v.now()}
	r.apply(&out)
	var err error
	if out.ID, err = v.newID(); err != nil {
		return out, err
	}
	return out, v.protect(ctx, identify(p, &out), r.Kind, material, &out)
}

// identify says which key a version is, for its protection.
func identify(p *provider.Provider, v *store.VaultVersion) ID {
	return ID{p.Identity(), v.Name, v.ID}
}

// discard removes what a protection keeps of a version that was not stored.
func (v *Vault) discard(ctx context.Context, p *provider.Provider, version store.VaultVersion) error {
	protection, err := v.protection(version.Protection)
	if err != nil {
		return err
	}
	return protection.Destroy(context.WithoutCancel(ctx), identify(p, &version), version.Sealed)
}

// prepare checks a request against the key of its name, if there is one, and returns the key as it will be.
func (v *Vault) prepare(tx store.Tx, p *provider.Provider, r Request) (store.VaultKey, error) {
	k, err := tx.VaultKey(p.Name, fold(r.Name))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return v.first(tx, p, r)
	case err != nil:
		return k, err
	case !k.Purge.IsZero():
		return k, deletedKey(k.Spelling)
	case r.Exportable != nil && *r.Exportable != k.Exportable:
		return k, skr(1003, "Exportable attribute of a key cannot be changed.", CheckExportable,
			fmt.Sprintf("exportable %t, as it was created", k.Exportable), fmt.Sprintf("exportable %t", *r.Exportable))
	}
	versions, err := tx.VaultVersions(p.Name, k.Name)
	if err != nil {
		return k, err
	}
	if len(versions) >= maxVersions {
		return k, refuse(CodeForbidden, "The key has too many versions.", CheckLimit,
			fmt.Sprintf("a key of less than %d versions", maxVersions), fmt.Sprint(len(versions)))
	}
	return k, setPolicy(&k, r.Policy)
}

// first is the key of a name that is free.
func (v *Vault) first(tx store.Tx, p *provider.Provider, r Request) (k store.VaultKey, err error) {
	n, err := tx.CountVaultKeys(p.Name)
	if err != nil {
		return k, err
	}
	if n >= v.cfg.MaxKeys {
		return k, refuse(CodeForbidden, "The key vault has too many keys.", CheckLimit,
			fmt.Sprintf("a provider of less than %d keys", v.cfg.MaxKeys), fmt.Sprint(n))
	}
	k = store.VaultKey{Provider: p.Name, Name: fold(r.Name), Spelling: r.Name, Created: v.now(),
		Exportable: r.Exportable != nil && *r.Exportable, Policy: r.Policy}
	switch {
	case k.Exportable && k.Policy == nil:
		return k, skr(1004, "Exportable keys must have release policy.", CheckExportable,
			"a release policy for an exportable key", "no release policy")
	case !k.Exportable && k.Policy != nil:
		return k, skr(1005, "Non-exportable keys must not have release policy.", CheckExportable,
			"no release policy, or exportable true", "a release policy for a key that is not exportable")
	}
	return k, nil
}
