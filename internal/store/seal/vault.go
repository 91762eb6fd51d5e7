package seal

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"

	"github.com/probity-dev/probity/internal/store"
)

// Each key of a vault, and each of its versions, is a scope of its own: a vault has thousands of
// keys, and a release reads one.

func vaultKeyState(k store.VaultKey) (s state, err error) {
	return s, s.add("vault key", k.Provider, k.Name, k.Current, k)
}

func vaultVersionState(v store.VaultVersion) (s state, err error) {
	return s, s.add("vault version", v.Provider, v.Name, v.ID, sha256.Sum256(v.Sealed), v)
}

// found is the state of a row, or the absent one if it is not there.
func found[T any](row T, err error, of func(T) (state, error)) (state, error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return state{absent: true}, nil
	case err != nil:
		return state{}, err
	}
	return of(row)
}

// readVault returns the state of a scope that [store.VaultScope] names.
func readVault(tx store.Tx, scope string) (state, error) {
	part := strings.Split(strings.TrimPrefix(scope, store.VaultScopes), "/")
	if len(part) == 2 {
		k, err := tx.VaultKey(part[0], part[1])
		return found(k, err, vaultKeyState)
	}
	v, err := tx.VaultVersion(part[0], part[1], part[2])
	return found(v, err, vaultVersionState)
}

// intact checks an item that was read, and remembers the versions of its seals.
func (s *Seals) intact(item store.VaultItem) error {
	key, err := vaultKeyState(item.Key)
	if err != nil {
		return err
	}
	version, err := vaultVersionState(item.Version)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		seal store.Seal
		st   state
	}{{item.KeySeal, key}, {item.VersionSeal, version}} {
		x := &part.seal
		if part.seal.MAC == nil {
			x = nil
		}
		if err := s.check(part.seal.Scope, x, part.st); err != nil {
			return err
		}
	}
	// What cannot be remembered now is when it is next read.
	_ = s.memory.learn(map[string]int64{
		item.KeySeal.Scope: item.KeySeal.Version, item.VersionSeal.Scope: item.VersionSeal.Version})
	return nil
}

// VaultItem returns a key with a version, or an error wrapping [ErrAltered]: also for a key that is not
// there, and was not deleted by the service.
func (g guarded) VaultItem(ctx context.Context, provider, name, id string) (store.VaultItem, error) {
	item, err := g.Store.VaultItem(ctx, provider, name, id)
	if errors.Is(err, store.ErrNotFound) {
		return item, errors.Join(err, g.gone(ctx, provider, name, id))
	}
	if err == nil {
		err = g.seals.intact(item)
	}
	if err != nil {
		return store.VaultItem{}, err
	}
	return item, nil
}

// gone returns an error wrapping [ErrAltered] if a key or version is missing that the service wrote.
func (g guarded) gone(ctx context.Context, provider, name, id string) error {
	scopes := []string{store.VaultScope(provider, name, "")}
	if id != "" {
		scopes = append(scopes, store.VaultScope(provider, name, id))
	}
	for i, scope := range scopes {
		x, err := g.Seal(ctx, scope)
		switch {
		case errors.Is(err, store.ErrNotFound) && g.seals.memory.version(scope) == 0:
		case errors.Is(err, store.ErrNotFound):
			return g.seals.check(scope, nil, state{})
		case err != nil:
			return err
		case i == len(scopes)-1 || !g.present(ctx, provider, name):
			if err := g.seals.check(scope, &x, state{absent: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// present reports whether the key is there, with any version.
func (g guarded) present(ctx context.Context, provider, name string) bool {
	_, err := g.Store.VaultItem(ctx, provider, name, "")
	return err == nil
}

func (g guarded) items(list []store.VaultItem, err error) ([]store.VaultItem, error) {
	for _, item := range list {
		if err == nil {
			err = g.seals.intact(item)
		}
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// VaultKeys returns a page of keys, or an error wrapping [ErrAltered]. A key that was removed from the
// database behind the service is missed when it is asked for by name.
func (g guarded) VaultKeys(
	ctx context.Context, provider, after string, deleted bool, limit int,
) ([]store.VaultItem, error) {
	return g.items(g.Store.VaultKeys(ctx, provider, after, deleted, limit))
}

// VaultVersions returns a page of versions, or an error wrapping [ErrAltered].
func (g guarded) VaultVersions(
	ctx context.Context, provider, name, after string, limit int,
) ([]store.VaultItem, error) {
	return g.items(g.Store.VaultVersions(ctx, provider, name, after, limit))
}

// The methods below check what they read, and mark what they change.

func (t *guardedTx) VaultKey(provider, name string) (store.VaultKey, error) {
	if err := t.use(store.VaultScope(provider, name, "")); err != nil {
		return store.VaultKey{}, err
	}
	return t.Tx.VaultKey(provider, name)
}

func (t *guardedTx) VaultVersion(provider, name, id string) (store.VaultVersion, error) {
	if err := t.use(store.VaultScope(provider, name, id)); err != nil {
		return store.VaultVersion{}, err
	}
	return t.Tx.VaultVersion(provider, name, id)
}

func (t *guardedTx) VaultVersions(provider, name string) ([]store.VaultVersion, error) {
	list, err := t.Tx.VaultVersions(provider, name)
	for _, v := range list {
		if err == nil {
			err = t.use(store.VaultScope(provider, name, v.ID))
		}
	}
	return list, err
}

func (t *guardedTx) PutVaultKey(k store.VaultKey) error {
	if err := t.change(store.VaultScope(k.Provider, k.Name, "")); err != nil {
		return err
	}
	return t.Tx.PutVaultKey(k)
}

func (t *guardedTx) PutVaultVersion(v store.VaultVersion) error {
	if err := t.change(store.VaultScope(v.Provider, v.Name, v.ID)); err != nil {
		return err
	}
	return t.Tx.PutVaultVersion(v)
}

func (t *guardedTx) DeleteVaultKey(provider, name string) error {
	scopes := []string{store.VaultScope(provider, name, "")}
	versions, err := t.Tx.VaultVersions(provider, name)
	if err != nil {
		return err
	}
	for _, v := range versions {
		scopes = append(scopes, store.VaultScope(provider, name, v.ID))
	}
	if err := t.change(scopes...); err != nil {
		return err
	}
	return t.Tx.DeleteVaultKey(provider, name)
}
