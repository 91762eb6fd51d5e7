package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// Scopes of seals are written as [store.VaultScope] does, so that a row and its seal are read at once.
const (
	keyColumns     = `k.provider, k.name, k.current, k.data`
	versionColumns = `v.provider, v.name, v.id, v.sealed, v.data`

	selectVaultItem = `SELECT ` + keyColumns + `, ` + versionColumns + `, ks.version, ks.mac, vs.version, vs.mac
		FROM vault_keys k JOIN vault_versions v ON v.provider = k.provider AND v.name = k.name
		LEFT JOIN seals ks ON ks.scope = 'vault:' || k.provider || '/' || k.name
		LEFT JOIN seals vs ON vs.scope = 'vault:' || v.provider || '/' || v.name || '/' || v.id`
	selectVaultKey     = `SELECT ` + keyColumns + ` FROM vault_keys k`
	selectVaultVersion = `SELECT ` + versionColumns + ` FROM vault_versions v`
)

// keyRow and versionRow are rows as they are read, before their JSON is.
type keyRow struct{ provider, name, current, data string }

func (k *keyRow) columns() []any { return []any{&k.provider, &k.name, &k.current, &k.data} }

func (k *keyRow) key() (out store.VaultKey, err error) {
	err = data(k.data, &out)
	out.Provider, out.Name, out.Current = k.provider, k.name, k.current
	return out, err
}

type versionRow struct {
	provider, name, id, data string
	sealed                   []byte
}

func (v *versionRow) columns() []any { return []any{&v.provider, &v.name, &v.id, &v.sealed, &v.data} }

func (v *versionRow) version() (out store.VaultVersion, err error) {
	err = data(v.data, &out)
	out.Provider, out.Name, out.ID, out.Sealed = v.provider, v.name, v.id, v.sealed
	return out, err
}

func scanVaultKey(r row) (store.VaultKey, error) {
	var k keyRow
	if err := r.Scan(k.columns()...); err != nil {
		return store.VaultKey{}, err
	}
	return k.key()
}

func scanVaultVersion(r row) (store.VaultVersion, error) {
	var v versionRow
	if err := r.Scan(v.columns()...); err != nil {
		return store.VaultVersion{}, err
	}
	return v.version()
}

func scanVaultItem(r row) (out store.VaultItem, err error) {
	var k keyRow
	var v versionRow
	var keySeal, versionSeal sql.NullInt64
	columns := append(append(k.columns(), v.columns()...), &keySeal, &out.KeySeal.MAC, &versionSeal,
		&out.VersionSeal.MAC)
	if err := r.Scan(columns...); err != nil {
		return out, err
	}
	if out.Key, err = k.key(); err == nil {
		out.Version, err = v.version()
	}
	out.KeySeal.Scope, out.KeySeal.Version = store.VaultScope(k.provider, k.name, ""), keySeal.Int64
	out.VersionSeal.Scope, out.VersionSeal.Version = store.VaultScope(k.provider, k.name, v.id), versionSeal.Int64
	return out, err
}

const (
	whereVaultKey     = ` WHERE k.provider = $1 AND k.name = $2`
	whereVaultVersion = ` WHERE v.provider = $1 AND v.name = $2 AND v.id = $3`
)

// VaultItem implements [store.VaultStore].
func (s *Store) VaultItem(ctx context.Context, provider, name, id string) (store.VaultItem, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	if id == "" {
		return one(ctx, s, prepared{s}, "key "+name, scanVaultItem,
			selectVaultItem+whereVaultKey+` AND v.id = k.current`, provider, name)
	}
	return one(ctx, s, prepared{s}, "version of key "+name, scanVaultItem,
		selectVaultItem+whereVaultKey+` AND v.id = $3`, provider, name, id)
}

// VaultKeys implements [store.VaultStore].
func (s *Store) VaultKeys(
	ctx context.Context, provider, after string, deleted bool, limit int,
) ([]store.VaultItem, error) {
	which := `k.purge = 0`
	if deleted {
		which = `k.purge > 0`
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return list(ctx, s, prepared{s}, "keys", scanVaultItem, selectVaultItem+` WHERE k.provider = $1 AND k.name > $2 AND `+which+
		` AND v.id = k.current ORDER BY k.name LIMIT $3`, provider, after, limit)
}

// VaultVersions implements [store.VaultStore].
func (s *Store) VaultVersions(
	ctx context.Context, provider, name, after string, limit int,
) ([]store.VaultItem, error) {
	return read(ctx, s, "versions of key "+name, scanVaultItem, selectVaultItem+whereVaultKey+
		` AND v.id > $3 ORDER BY v.id LIMIT $4`, provider, name, after, limit)
}

// VaultKeysDue implements [store.VaultStore].
func (s *Store) VaultKeysDue(ctx context.Context, by time.Time, limit int) ([]store.VaultKey, error) {
	return read(ctx, s, "keys to purge", scanVaultKey, selectVaultKey+
		` WHERE k.purge > 0 AND k.purge <= $1 ORDER BY k.purge LIMIT $2`, by.Unix(), limit)
}

// VaultKey implements [store.Tx].
func (t *tx) VaultKey(provider, name string) (store.VaultKey, error) {
	return one(t.ctx, t.s, t.q, "key "+name, scanVaultKey, selectVaultKey+whereVaultKey, provider, name)
}

// VaultVersion implements [store.Tx].
func (t *tx) VaultVersion(provider, name, id string) (store.VaultVersion, error) {
	return one(t.ctx, t.s, t.q, "version of key "+name, scanVaultVersion, selectVaultVersion+whereVaultVersion,
		provider, name, id)
}

// VaultVersions implements [store.Tx].
func (t *tx) VaultVersions(provider, name string) ([]store.VaultVersion, error) {
	return list(t.ctx, t.s, t.q, "versions of key "+name, scanVaultVersion, selectVaultVersion+
		` WHERE v.provider = $1 AND v.name = $2 ORDER BY v.id`, provider, name)
}

// CountVaultKeys implements [store.Tx].
func (t *tx) CountVaultKeys(provider string) (int, error) {
	n, err := one(t.ctx, t.s, t.q, "keys", number, `SELECT count(*) FROM vault_keys WHERE provider = $1`, provider)
	return int(n), err
}

// PutVaultKey implements [store.Tx].
func (t *tx) PutVaultKey(k store.VaultKey) error {
	text, err := marshal(k)
	if err != nil {
		return err
	}
	var purge int64
	if !k.Purge.IsZero() {
		purge = k.Purge.Unix()
	}
	return t.s.exec(t.ctx, t.q, "key "+k.Name,
		`INSERT INTO vault_keys (provider, name, current, purge, data) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (provider, name) DO UPDATE SET current = excluded.current, purge = excluded.purge,
		data = excluded.data`, k.Provider, k.Name, k.Current, purge, text)
}

// PutVaultVersion implements [store.Tx].
func (t *tx) PutVaultVersion(v store.VaultVersion) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	return t.s.exec(t.ctx, t.q, "version of key "+v.Name,
		`INSERT INTO vault_versions (provider, name, id, sealed, data) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (provider, name, id) DO UPDATE SET sealed = excluded.sealed, data = excluded.data`,
		v.Provider, v.Name, v.ID, append([]byte{}, v.Sealed...), text)
}

// DeleteVaultKey implements [store.Tx].
func (t *tx) DeleteVaultKey(provider, name string) error {
	return t.s.execSome(t.ctx, t.q, "key "+name, `DELETE FROM vault_keys WHERE provider = $1 AND name = $2`,
		provider, name)
}
