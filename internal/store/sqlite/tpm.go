package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// TPMKeys returns the enrolled keys of a provider.
func (s *Store) TPMKeys(ctx context.Context, provider string) ([]store.TPMKey, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT key, endorsement_key, name, created FROM tpm_keys WHERE provider = ? ORDER BY name, created, key`, provider)
	if err != nil {
		return nil, wrap("TPM keys", err)
	}
	defer rows.Close()
	var list []store.TPMKey
	for rows.Next() {
		k := store.TPMKey{Provider: provider}
		var created int64
		if err := rows.Scan(&k.Key, &k.EndorsementKey, &k.Name, &created); err != nil {
			return nil, wrap("TPM keys", err)
		}
		k.Created = time.Unix(created, 0).UTC()
		list = append(list, k)
	}
	return list, wrap("TPM keys", rows.Err())
}

// PutTPMKey enrols a key.
func (s *Store) PutTPMKey(ctx context.Context, k store.TPMKey) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return wrap("TPM key", err)
	}
	defer tx.Rollback() // does nothing once committed
	var others int
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM tpm_keys WHERE provider = ? AND (name = ? OR key = ?) AND endorsement_key <> ?`,
		k.Provider, k.Name, k.Key, k.EndorsementKey).Scan(&others)
	if err != nil {
		return wrap("TPM key", err)
	}
	if others > 0 {
		return fmt.Errorf("store: TPM key of %q: %w", k.Name, store.ErrConflict)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO tpm_keys (provider, key, endorsement_key, name, created) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (provider, key) DO UPDATE SET name = excluded.name`, k.Provider, k.Key, k.EndorsementKey, k.Name, k.Created.Unix()); err != nil {
		return wrap("TPM key", err)
	}
	return wrap("TPM key", tx.Commit())
}

// DeleteTPMKeys removes the keys of a name.
func (s *Store) DeleteTPMKeys(ctx context.Context, provider, name string) error {
	result, err := s.db.ExecContext(ctx, `DELETE FROM tpm_keys WHERE provider = ? AND name = ?`, provider, name)
	if err != nil {
		return wrap("TPM keys", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return fmt.Errorf("store: TPM keys of %q: %w", name, store.ErrNotFound)
	}
	return nil
}

// UseOnce takes a word. Those that expired are forgotten.
func (s *Store) UseOnce(ctx context.Context, word string, now, expires time.Time) (bool, error) {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM used_words WHERE expires <= ?`, now.Unix()); err != nil {
		return false, wrap("challenge", err)
	}
	result, err := s.db.ExecContext(ctx, `INSERT INTO used_words (word, expires) VALUES (?, ?) ON CONFLICT DO NOTHING`, word, expires.Unix())
	if err != nil {
		return false, wrap("challenge", err)
	}
	n, err := result.RowsAffected()
	return n == 1, wrap("challenge", err)
}
