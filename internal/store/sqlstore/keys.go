package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/probity-dev/probity/internal/store"
)

const selectKeys = `SELECT id, sealed, certificate, created, data FROM signing_keys ORDER BY created DESC, id`

func scanKey(r row) (k store.SigningKey, err error) {
	var id, text string
	var sealed, certificate []byte
	var created int64
	if err = r.Scan(&id, &sealed, &certificate, &created, &text); err == nil {
		err = data(text, &k)
	}
	k.ID, k.Sealed, k.Certificate, k.Created = id, sealed, certificate, seconds(created)
	return k, err
}

// SigningKeys returns all keys, the newest first.
func (s *Store) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	return read(ctx, s, "signing keys", scanKey, selectKeys)
}

const selectTokens = `SELECT name, hash, data FROM tokens ORDER BY name`

func scanToken(r row) (t store.Token, err error) {
	var name, hash, text string
	if err = r.Scan(&name, &hash, &text); err == nil {
		err = data(text, &t)
	}
	t.Name, t.Hash = name, hash
	return t, err
}

// Tokens returns all tokens.
func (s *Store) Tokens(ctx context.Context) ([]store.Token, error) {
	return read(ctx, s, "tokens", scanToken, selectTokens)
}

const selectTPMKeys = `SELECT provider, key, endorsement_key, name, created FROM tpm_keys ` +
	`WHERE ($1 = '' OR provider = $1) ORDER BY provider, name, created, key`

func scanTPMKey(r row) (k store.TPMKey, err error) {
	var created int64
	err = r.Scan(&k.Provider, &k.Key, &k.EndorsementKey, &k.Name, &created)
	k.Created = seconds(created)
	return k, err
}

// TPMKeys returns enrolled keys.
func (s *Store) TPMKeys(ctx context.Context, provider string) ([]store.TPMKey, error) {
	return read(ctx, s, "TPM keys", scanTPMKey, selectTPMKeys, provider)
}

// SigningKeys implements [store.Tx].
func (t *tx) SigningKeys() ([]store.SigningKey, error) {
	return list(t.ctx, t.s, t.q, "signing keys", scanKey, selectKeys)
}

// PutSigningKey implements [store.Tx].
func (t *tx) PutSigningKey(k store.SigningKey) error {
	text, err := marshal(k)
	if err != nil {
		return err
	}
	// An empty value is not an absent one.
	sealed, certificate := append([]byte{}, k.Sealed...), append([]byte{}, k.Certificate...)
	return t.s.exec(t.ctx, t.q, "signing key",
		`INSERT INTO signing_keys (id, sealed, certificate, created, data) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, certificate = excluded.certificate, data = excluded.data`,
		k.ID, sealed, certificate, k.Created.Unix(), text)
}

// DeleteSigningKey implements [store.Tx].
func (t *tx) DeleteSigningKey(id string) error {
	return t.s.execSome(t.ctx, t.q, "signing key", `DELETE FROM signing_keys WHERE id = $1`, id)
}

// PutToken implements [store.Tx].
func (t *tx) PutToken(k store.Token) error {
	text, err := marshal(k)
	if err != nil {
		return err
	}
	err = t.s.execSome(t.ctx, t.q, "token "+k.Name,
		`INSERT INTO tokens (name, hash, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, k.Name, k.Hash,
		text)
	if errors.Is(err, store.ErrNotFound) { // nothing was inserted
		return fmt.Errorf("store: token %q: %w", k.Name, store.ErrConflict)
	}
	return err
}

// DeleteToken implements [store.Tx].
func (t *tx) DeleteToken(name string) error {
	return t.s.execSome(t.ctx, t.q, "token "+name, `DELETE FROM tokens WHERE name = $1`, name)
}

// PutTPMKey implements [store.Tx].
func (t *tx) PutTPMKey(k store.TPMKey) error {
	others, err := one(t.ctx, t.s, t.q, "TPM key", func(r row) (n int, err error) { return n, r.Scan(&n) },
		`SELECT count(*) FROM tpm_keys WHERE provider = $1 AND (name = $2 OR key = $3) `+
			`AND endorsement_key <> $4`,
		k.Provider, k.Name, k.Key, k.EndorsementKey)
	if err != nil {
		return err
	}
	if others > 0 {
		return fmt.Errorf("store: TPM key of %q: %w", k.Name, store.ErrConflict)
	}
	return t.s.exec(t.ctx, t.q, "TPM key",
		`INSERT INTO tpm_keys (provider, key, endorsement_key, name, created) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (provider, key) DO UPDATE SET name = excluded.name`, k.Provider, k.Key, k.EndorsementKey,
		k.Name, k.Created.Unix())
}

// CountTPMKeys implements [store.Tx].
func (t *tx) CountTPMKeys(k store.TPMKey) (all, same int, err error) {
	type counts struct{ all, same int }
	n, err := one(t.ctx, t.s, t.q, "TPM keys", func(r row) (c counts, err error) {
		err = r.Scan(&c.all, &c.same)
		return c, err
	},
		`SELECT count(*), coalesce(sum(CASE WHEN endorsement_key = $3 THEN 1 ELSE 0 END), 0) `+
			`FROM tpm_keys WHERE provider = $1 AND key <> $2`, k.Provider, k.Key, k.EndorsementKey)
	return n.all, n.same, err
}

// DeleteTPMKeys implements [store.Tx].
func (t *tx) DeleteTPMKeys(provider, name string) error {
	return t.s.execSome(t.ctx, t.q, "TPM keys of "+name,
		`DELETE FROM tpm_keys WHERE provider = $1 AND name = $2`, provider, name)
}

// Tokens implements [store.Tx].
func (t *tx) Tokens() ([]store.Token, error) {
	return list(t.ctx, t.s, t.q, "tokens", scanToken, selectTokens)
}

// TPMKeys implements [store.Tx].
func (t *tx) TPMKeys(provider string) ([]store.TPMKey, error) {
	return list(t.ctx, t.s, t.q, "TPM keys", scanTPMKey, selectTPMKeys, provider)
}

const selectCheckpointKeys = `SELECT id, sealed, created, data FROM checkpoint_keys ORDER BY created DESC, id`

func scanCheckpointKey(r row) (k store.CheckpointKey, err error) {
	var id, text string
	var sealed []byte
	var created int64
	if err = r.Scan(&id, &sealed, &created, &text); err == nil {
		err = data(text, &k)
	}
	k.ID, k.Sealed, k.Created = id, sealed, seconds(created)
	return k, err
}

// CheckpointKeys returns the keys of checkpoints, the newest first.
func (s *Store) CheckpointKeys(ctx context.Context) ([]store.CheckpointKey, error) {
	return read(ctx, s, "checkpoint keys", scanCheckpointKey, selectCheckpointKeys)
}

// CheckpointKeys implements [store.Tx].
func (t *tx) CheckpointKeys() ([]store.CheckpointKey, error) {
	return list(t.ctx, t.s, t.q, "checkpoint keys", scanCheckpointKey, selectCheckpointKeys)
}

// PutCheckpointKey implements [store.Tx].
func (t *tx) PutCheckpointKey(k store.CheckpointKey) error {
	text, err := marshal(k)
	if err != nil {
		return err
	}
	return t.s.exec(t.ctx, t.q, "checkpoint key",
		`INSERT INTO checkpoint_keys (id, sealed, created, data) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, data = excluded.data`, k.ID,
		append([]byte{}, k.Sealed...), k.Created.Unix(), text)
}
