package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/probity-dev/probity/internal/store"
)

// rememberedChanges is how many changes are kept for nodes that were away.
const rememberedChanges = 10_000

// tx implements [store.Tx].
type tx struct {
	ctx      context.Context
	s        *Store
	q        *sql.Tx
	revision int64
}

// Update runs f in a transaction. The row of the revision is locked for its
// whole length: changes are made one after the other, and become visible in the
// order of their revisions.
func (s *Store) Update(ctx context.Context, topic, name string, f func(store.Tx) error) error {
	return s.transaction(ctx, func(t *tx) error {
		var err error
		t.revision, err = one(t.ctx, s, t.q, "revision", func(r row) (n int64, err error) { return n, r.Scan(&n) }, `UPDATE revision SET n = n + 1 RETURNING n`)
		if err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
		if err := s.exec(t.ctx, t.q, "changes", `INSERT INTO changes (revision, topic, name) VALUES ($1, $2, $3)`, t.revision, topic, name); err != nil {
			return err
		}
		if err := s.exec(t.ctx, t.q, "changes", `DELETE FROM changes WHERE revision <= $1`, t.revision-rememberedChanges); err != nil {
			return err
		}
		if s.d.Announce == "" {
			return nil
		}
		return s.exec(t.ctx, t.q, "announce", s.d.Announce)
	})
}

func (s *Store) transaction(ctx context.Context, f func(*tx) error) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	q, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap("begin", err)
	}
	defer q.Rollback() // does nothing once committed
	if err := f(&tx{ctx: ctx, s: s, q: q}); err != nil {
		return err
	}
	return s.wrap("commit", q.Commit())
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
	return t.revision, t.s.exec(t.ctx, t.q, "provider "+p.Name, `INSERT INTO providers (name, data, revision) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET data = excluded.data, revision = excluded.revision`, p.Name, text, t.revision)
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

// Policy implements [store.Tx].
func (t *tx) Policy(provider, kind string) (store.PolicyVersion, error) {
	return one(t.ctx, t.s, t.q, "policy "+kind, scanPolicy, `SELECT `+policyColumns+` FROM policy_versions
		WHERE provider = $1 AND kind = $2 ORDER BY version DESC LIMIT 1`, provider, kind)
}

// PutPolicy implements [store.Tx].
func (t *tx) PutPolicy(p store.PolicyVersion) (int64, error) {
	return one(t.ctx, t.s, t.q, "policy "+p.Kind, func(r row) (n int64, err error) { return n, r.Scan(&n) },
		`INSERT INTO policy_versions (`+policyColumns+`) VALUES (CAST($1 AS TEXT), CAST($2 AS TEXT),
			(SELECT coalesce(max(version), 0) + 1 FROM policy_versions WHERE provider = CAST($1 AS TEXT) AND kind = CAST($2 AS TEXT)), $3, $4, $5, $6, $7, $8, NULL)
		RETURNING version`, p.Provider, p.Kind, p.Action, p.JWS, p.By, p.Signer, p.From, p.At.Unix())
}

// SealPolicy implements [store.Tx].
func (t *tx) SealPolicy(provider, kind string, version int64, seal []byte) error {
	return t.s.execSome(t.ctx, t.q, "policy "+kind, `UPDATE policy_versions SET seal = $4 WHERE provider = $1 AND kind = $2 AND version = $3`, provider, kind, version, seal)
}

// Proposal implements [store.Tx].
func (t *tx) Proposal(provider, id string) (store.Proposal, error) {
	return one(t.ctx, t.s, t.q, "proposal "+id, scanProposal, selectProposal+` WHERE provider = $1 AND id = $2`, provider, id)
}

// Proposals implements [store.Tx].
func (t *tx) Proposals(provider string) ([]store.Proposal, error) {
	return list(t.ctx, t.s, t.q, "proposals", scanProposal, selectProposal+` WHERE ($1 = '' OR provider = $1) ORDER BY provider, id`, provider)
}

// PutProposal implements [store.Tx].
func (t *tx) PutProposal(p store.Proposal) error {
	text, err := marshal(p)
	if err != nil {
		return err
	}
	return t.s.exec(t.ctx, t.q, "proposal "+p.ID, `INSERT INTO proposals (provider, id, data) VALUES ($1, $2, $3)
		ON CONFLICT (provider, id) DO UPDATE SET data = excluded.data`, p.Provider, p.ID, text)
}

// DeleteProposal implements [store.Tx].
func (t *tx) DeleteProposal(provider, id string) error {
	return t.s.execSome(t.ctx, t.q, "proposal "+id, `DELETE FROM proposals WHERE provider = $1 AND id = $2`, provider, id)
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
	return t.s.exec(t.ctx, t.q, "signing key", `INSERT INTO signing_keys (id, sealed, certificate, created, data) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, certificate = excluded.certificate, data = excluded.data`, k.ID, sealed, certificate, k.Created.Unix(), text)
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
	err = t.s.execSome(t.ctx, t.q, "token "+k.Name, `INSERT INTO tokens (name, hash, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, k.Name, k.Hash, text)
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
		`SELECT count(*) FROM tpm_keys WHERE provider = $1 AND (name = $2 OR key = $3) AND endorsement_key <> $4`, k.Provider, k.Name, k.Key, k.EndorsementKey)
	if err != nil {
		return err
	}
	if others > 0 {
		return fmt.Errorf("store: TPM key of %q: %w", k.Name, store.ErrConflict)
	}
	return t.s.exec(t.ctx, t.q, "TPM key", `INSERT INTO tpm_keys (provider, key, endorsement_key, name, created) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (provider, key) DO UPDATE SET name = excluded.name`, k.Provider, k.Key, k.EndorsementKey, k.Name, k.Created.Unix())
}

// CountTPMKeys implements [store.Tx].
func (t *tx) CountTPMKeys(k store.TPMKey) (all, same int, err error) {
	type counts struct{ all, same int }
	n, err := one(t.ctx, t.s, t.q, "TPM keys", func(r row) (c counts, err error) {
		err = r.Scan(&c.all, &c.same)
		return c, err
	},
		`SELECT count(*), coalesce(sum(CASE WHEN endorsement_key = $3 THEN 1 ELSE 0 END), 0) FROM tpm_keys WHERE provider = $1 AND key <> $2`, k.Provider, k.Key, k.EndorsementKey)
	return n.all, n.same, err
}

// DeleteTPMKeys implements [store.Tx].
func (t *tx) DeleteTPMKeys(provider, name string) error {
	return t.s.execSome(t.ctx, t.q, "TPM keys of "+name, `DELETE FROM tpm_keys WHERE provider = $1 AND name = $2`, provider, name)
}
