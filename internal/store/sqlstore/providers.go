package sqlstore

import (
	"context"

	"github.com/probity-dev/probity/internal/store"
)

const selectProvider = `SELECT name, data, revision FROM providers`

func scanProvider(r row) (p store.Provider, err error) {
	var text string
	var name string
	var revision int64
	if err = r.Scan(&name, &text, &revision); err == nil {
		err = data(text, &p)
	}
	p.Name, p.Revision = name, revision
	return p, err
}

// Provider returns the named provider.
func (s *Store) Provider(ctx context.Context, name string) (store.Provider, error) {
	return readOne(ctx, s, "provider "+name, scanProvider, selectProvider+` WHERE name = $1`, name)
}

// Providers returns all providers.
func (s *Store) Providers(ctx context.Context) ([]store.Provider, error) {
	return read(ctx, s, "providers", scanProvider, selectProvider+` ORDER BY name`)
}

// Provider implements [store.Tx].
func (t *tx) Provider(name string) (store.Provider, error) {
	return one(t.ctx, t.s, t.q, "provider "+name, scanProvider, selectProvider+` WHERE name = $1`, name)
}

// PutProvider implements [store.Tx].
func (t *tx) PutProvider(p store.Provider) (int64, error) {
	text, err := marshal(p)
	if err != nil {
		return 0, err
	}
	return t.revision, t.s.exec(t.ctx, t.q, "provider "+p.Name,
		`INSERT INTO providers (name, data, revision) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET data = excluded.data, revision = excluded.revision`, p.Name,
		text, t.revision)
}

// DeleteProvider implements [store.Tx].
func (t *tx) DeleteProvider(name string) error {
	keys, err := t.SigningKeys()
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Provider == name {
			if err := t.DeleteSigningKey(k.ID); err != nil {
				return err
			}
		}
	}
	return t.s.execSome(t.ctx, t.q, "provider "+name, `DELETE FROM providers WHERE name = $1`, name)
}

// Providers implements [store.Tx].
func (t *tx) Providers() ([]store.Provider, error) {
	return list(t.ctx, t.s, t.q, "providers", scanProvider, selectProvider+` ORDER BY name`)
}
