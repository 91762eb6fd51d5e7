package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

// Update changes attributes, operations and tags of a version, the newest one if version is empty, and, without a
// version, the key's release policy.
func (v *Vault) Update(
	ctx context.Context, p *provider.Provider, version string, r Request, by provider.By,
) (*Key, error) {
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	if r.Policy != nil && version != "" {
		return nil, skr(1016, "Release policy can only be set on the versionless key.", CheckVersionless,
			"a key without a version", "version "+version)
	}
	if err := checkPolicy(r.Policy); err != nil {
		return nil, err
	}
	var changed *Key
	err := v.change(ctx, p, r.Name, by, "key.update", func(tx store.Tx, details map[string]string) error {
		k, err := live(tx, p, r.Name)
		if err != nil {
			return err
		}
		if r.Exportable != nil && *r.Exportable != k.Exportable {
			return skr(1003, "Exportable attribute of a key cannot be changed.", CheckExportable,
				fmt.Sprintf("exportable %t, as it was created", k.Exportable),
				fmt.Sprintf("exportable %t", *r.Exportable))
		}
		one, err := versionOf(tx, k, version)
		if err != nil {
			return err
		}
		if err := r.check(Kind{one.Type, one.Size, one.Curve}); err != nil {
			return err
		}
		r.apply(&one)
		if !one.NotBefore.IsZero() && !one.Expires.IsZero() && !one.NotBefore.Before(one.Expires) {
			return bad(CheckAttributes, "nbf before exp", "nbf that is not before exp")
		}
		one.Updated = v.now()
		if err := setPolicy(&k, r.Policy); err != nil {
			return err
		}
		changed = &Key{k, one}
		describe(details, changed)
		details["enabled"] = fmt.Sprint(!one.Disabled)
		return errors.Join(tx.PutVaultKey(k), tx.PutVaultVersion(one))
	})
	return changed, err
}

// versionOf reads a version of a key, the newest one if id is empty.
func versionOf(tx store.Tx, k store.VaultKey, id string) (store.VaultVersion, error) {
	if id == "" {
		id = k.Current
	}
	one, err := tx.VaultVersion(k.Provider, k.Name, fold(id))
	if errors.Is(err, store.ErrNotFound) {
		return one, notFound(k.Spelling, id)
	}
	return one, err
}

// Rotate gives a key a new version of the kind and with the attributes of its newest one.
func (v *Vault) Rotate(ctx context.Context, p *provider.Provider, name string, by provider.By) (*Key, error) {
	k, err := v.Get(ctx, p, name, "")
	if err != nil {
		return nil, err
	}
	last := k.Version
	r := Request{Name: k.Spelling, Kind: Kind{last.Type, last.Size, last.Curve},
		Attributes: Attributes{Operations: last.Operations, Tags: last.Tags}}
	if expiry, ok := k.expiry(); ok {
		expires := expiry.after(v.now())
		r.Expires = &expires
	}
	return v.Create(ctx, p, r, by)
}

// Delete marks a key as deleted. It can be recovered until it is purged.
func (v *Vault) Delete(ctx context.Context, p *provider.Provider, name string, by provider.By) (*Key, error) {
	return v.mark(ctx, p, name, by, "key.delete", func(tx store.Tx) (store.VaultKey, error) {
		k, err := live(tx, p, name)
		k.Deleted, k.Purge = v.now(), v.now().AddDate(0, 0, v.cfg.Recoverable)
		return k, err
	})
}

// Recover makes a deleted key usable again.
func (v *Vault) Recover(
	ctx context.Context, p *provider.Provider, name string, by provider.By,
) (*Key, error) {
	return v.mark(ctx, p, name, by, "key.recover", func(tx store.Tx) (store.VaultKey, error) {
		k, err := gone(tx, p, name)
		k.Deleted, k.Purge = time.Time{}, time.Time{}
		return k, err
	})
}

// gone reads a key that was deleted.
func gone(tx store.Tx, p *provider.Provider, name string) (store.VaultKey, error) {
	k, err := tx.VaultKey(p.Name, fold(name))
	if err == nil && k.Purge.IsZero() || errors.Is(err, store.ErrNotFound) {
		return k, notFound(name, "")
	}
	return k, err
}

// mark writes a key that f read and changed.
func (v *Vault) mark(
	ctx context.Context, p *provider.Provider, name string, by provider.By, action string,
	f func(tx store.Tx) (store.VaultKey, error),
) (*Key, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	var out *Key
	err := v.change(ctx, p, name, by, action, func(tx store.Tx, details map[string]string) error {
		k, err := f(tx)
		if err != nil {
			return err
		}
		one, err := versionOf(tx, k, "")
		if err != nil {
			return err
		}
		out = &Key{k, one}
		if !k.Purge.IsZero() {
			details["purge"] = k.Purge.Format(time.RFC3339)
		}
		return tx.PutVaultKey(k)
	})
	return out, err
}

// Purge removes a deleted key permanently.
func (v *Vault) Purge(ctx context.Context, p *provider.Provider, name string, by provider.By) error {
	if err := checkName(name); err != nil {
		return err
	}
	return v.purge(ctx, p, name, by, func(store.VaultKey) bool { return true })
}

func (v *Vault) purge(
	ctx context.Context, p *provider.Provider, name string, by provider.By, due func(store.VaultKey) bool,
) error {
	var removed []store.VaultVersion
	err := v.change(ctx, p, name, by, "key.purge", func(tx store.Tx, _ map[string]string) error {
		k, err := gone(tx, p, name)
		if err != nil {
			return err
		}
		if !due(k) {
			return errNotDue
		}
		if removed, err = tx.VaultVersions(p.Name, k.Name); err != nil {
			return err
		}
		return tx.DeleteVaultKey(p.Name, k.Name)
	})
	if err != nil {
		return err
	}
	for _, version := range removed {
		err = errors.Join(err, v.discard(ctx, p, version))
	}
	return err
}

var errNotDue = errors.New("vault: the key was recovered")

// PurgeDue purges the deleted keys whose time is over, and returns how many. Find returns a
// provider by its name.
func (v *Vault) PurgeDue(
	ctx context.Context, find func(name string) (*provider.Provider, bool),
) (int, error) {
	n := 0
	for {
		due, err := v.cfg.Store.VaultKeysDue(ctx, v.now(), MaxPage)
		if err != nil || len(due) == 0 {
			return n, err
		}
		before := n
		for _, k := range due {
			p, ok := find(k.Provider)
			if !ok {
				continue // a provider that this node has not read yet
			}
			over := func(k store.VaultKey) bool { return !k.Purge.After(v.now()) }
			err := v.purge(ctx, p, k.Name, provider.By{Caller: "retention"}, over)
			switch {
			case errors.Is(err, errNotDue), errors.Is(err, CheckExists): // others were quicker
			case err != nil:
				return n, err
			default:
				n++
			}
		}
		if n == before {
			return n, nil
		}
	}
}
