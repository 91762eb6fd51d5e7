package sqlstore

import (
	"context"

	"github.com/probity-dev/probity/internal/store"
)

const selectPolicies = `SELECT ` + policyColumns +
	` FROM policy_versions AS p WHERE ($1 = '' OR provider = $1)
	AND version = (SELECT max(version) FROM policy_versions AS q WHERE q.provider = p.provider AND q.kind = p.kind) ORDER BY provider, kind`

const policyColumns = `provider, kind, version, action, jws, submitter, signer, from_version, at, seal`

func scanPolicy(r row) (p store.PolicyVersion, err error) {
	var at int64
	err = r.Scan(&p.Provider, &p.Kind, &p.Version, &p.Action, &p.JWS, &p.By, &p.Signer, &p.From, &at, &p.Seal)
	p.At = seconds(at)
	return p, err
}

// Policies returns the newest version of each policy.
func (s *Store) Policies(ctx context.Context, provider string) ([]store.PolicyVersion, error) {
	return read(ctx, s, "policies", scanPolicy, selectPolicies, provider)
}

// PolicyHistory returns all versions of a policy, the newest first.
func (s *Store) PolicyHistory(ctx context.Context, provider, kind string) ([]store.PolicyVersion, error) {
	return read(ctx, s, "policy "+kind, scanPolicy,
		`SELECT provider, kind, version, action, '', submitter, signer, from_version, at, seal FROM policy_versions
		WHERE provider = $1 AND kind = $2 ORDER BY version DESC`, provider, kind)
}

// PolicyVersion returns one version.
func (s *Store) PolicyVersion(
	ctx context.Context, provider, kind string, version int64,
) (store.PolicyVersion, error) {
	return readOne(ctx, s, "policy "+kind, scanPolicy, `SELECT `+policyColumns+` FROM policy_versions
		WHERE provider = $1 AND kind = $2 AND version = $3`, provider, kind, version)
}

const selectProposal = `SELECT provider, id, data FROM proposals`

func scanProposal(r row) (p store.Proposal, err error) {
	var provider, id, text string
	if err = r.Scan(&provider, &id, &text); err == nil {
		err = data(text, &p)
	}
	p.Provider, p.ID = provider, id
	return p, err
}

// Proposals returns those of a provider.
func (s *Store) Proposals(ctx context.Context, provider string) ([]store.Proposal, error) {
	return read(ctx, s, "proposals", scanProposal, selectProposal+` WHERE provider = $1 ORDER BY id`, provider)
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
			(SELECT coalesce(max(version), 0) + 1 FROM policy_versions WHERE provider = CAST($1 AS TEXT) AND kind = CAST($2 AS TEXT)),
			$3, $4, $5, $6, $7, $8, NULL)
		RETURNING version`, p.Provider, p.Kind, p.Action, p.JWS, p.By, p.Signer, p.From, p.At.Unix())
}

// SealPolicy implements [store.Tx].
func (t *tx) SealPolicy(provider, kind string, version int64, seal []byte) error {
	return t.s.execSome(t.ctx, t.q, "policy "+kind,
		`UPDATE policy_versions SET seal = $4 WHERE provider = $1 AND kind = $2 AND version = $3`,
		provider, kind, version, seal)
}

// Proposal implements [store.Tx].
func (t *tx) Proposal(provider, id string) (store.Proposal, error) {
	return one(t.ctx, t.s, t.q, "proposal "+id, scanProposal,
		selectProposal+` WHERE provider = $1 AND id = $2`, provider, id)
}

// Proposals implements [store.Tx].
func (t *tx) Proposals(provider string) ([]store.Proposal, error) {
	return list(t.ctx, t.s, t.q, "proposals", scanProposal,
		selectProposal+` WHERE ($1 = '' OR provider = $1) ORDER BY provider, id`, provider)
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
	return t.s.execSome(t.ctx, t.q, "proposal "+id, `DELETE FROM proposals WHERE provider = $1 AND id = $2`,
		provider, id)
}

// Policies implements [store.Tx].
func (t *tx) Policies(provider string) ([]store.PolicyVersion, error) {
	return list(t.ctx, t.s, t.q, "policies", scanPolicy, selectPolicies, provider)
}
