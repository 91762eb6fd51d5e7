package sqlstore

import (
	"context"

	"github.com/probity-dev/probity/internal/store"
)

const selectSeals = `SELECT scope, version, mac FROM seals`

func scanSeal(r row) (x store.Seal, err error) { return x, r.Scan(&x.Scope, &x.Version, &x.MAC) }

// Seals returns all seals, by scope.
func (s *Store) Seals(ctx context.Context) ([]store.Seal, error) {
	return read(ctx, s, "seals", scanSeal, selectSeals+` ORDER BY scope`)
}

// Seal returns the seal of a scope.
func (s *Store) Seal(ctx context.Context, scope string) (store.Seal, error) {
	return readOne(ctx, s, "seal of "+scope, scanSeal, selectSeals+` WHERE scope = $1`, scope)
}

// Seal implements [store.Tx].
func (t *tx) Seal(scope string) (store.Seal, error) {
	return one(t.ctx, t.s, t.q, "seal of "+scope, scanSeal, selectSeals+` WHERE scope = $1`, scope)
}

// PutSeal implements [store.Tx].
func (t *tx) PutSeal(x store.Seal) error {
	return t.s.exec(t.ctx, t.q, "seal of "+x.Scope, `INSERT INTO seals (scope, version, mac) VALUES ($1, $2, $3)
		ON CONFLICT (scope) DO UPDATE SET version = excluded.version, mac = excluded.mac`, x.Scope,
		x.Version, x.MAC)
}
