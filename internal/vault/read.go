package vault

import (
	"context"
	"errors"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

// Get returns a key with a version, the newest one if version is empty. Deleted keys are found only by
// [Vault.Deleted].
func (v *Vault) Get(ctx context.Context, p *provider.Provider, name, version string) (*Key, error) {
	return v.get(ctx, p, name, version, false)
}

// Deleted returns a key that was deleted and can be recovered.
func (v *Vault) Deleted(ctx context.Context, p *provider.Provider, name string) (*Key, error) {
	return v.get(ctx, p, name, "", true)
}

func (v *Vault) get(
	ctx context.Context, p *provider.Provider, name, version string, deleted bool,
) (*Key, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	item, err := v.cfg.Store.VaultItem(ctx, p.Name, fold(name), fold(version))
	switch {
	case errors.Is(err, provider.ErrAltered):
		return nil, err
	case errors.Is(err, store.ErrNotFound), err == nil && item.Key.Purge.IsZero() == deleted:
		return nil, notFound(name, version)
	case err != nil:
		return nil, err
	}
	return &Key{item.Key, item.Version}, nil
}

// Page is a part of a list. Next is what the following part is after, or empty at the end.
type Page struct {
	Keys []Key
	Next string
}

// MaxPage is how many keys a page has at most; Azure's have 25.
const MaxPage = 25

// List returns the keys of a provider with their newest versions, by name: those after a name, at most size of
// them.
func (v *Vault) List(
	ctx context.Context, p *provider.Provider, after string, deleted bool, size int,
) (Page, error) {
	size = min(size, MaxPage)
	items, err := v.cfg.Store.VaultKeys(ctx, p.Name, after, deleted, size+1)
	return page(items, size, func(i store.VaultItem) string { return i.Key.Name }), err
}

// Versions returns the versions of a key, by id: those after an id, at most size of them.
func (v *Vault) Versions(
	ctx context.Context, p *provider.Provider, name, after string, size int,
) (Page, error) {
	if _, err := v.Get(ctx, p, name, ""); err != nil {
		return Page{}, err
	}
	size = min(size, MaxPage)
	items, err := v.cfg.Store.VaultVersions(ctx, p.Name, fold(name), after, size+1)
	return page(items, size, func(i store.VaultItem) string { return i.Version.ID }), err
}

func page(items []store.VaultItem, size int, id func(store.VaultItem) string) (out Page) {
	for i, item := range items {
		if i == size {
			out.Next = id(items[i-1])
			break
		}
		out.Keys = append(out.Keys, Key{item.Key, item.Version})
	}
	return out
}
