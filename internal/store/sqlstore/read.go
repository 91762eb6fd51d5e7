package sqlstore

import (
	"context"
	"time"

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

const selectPolicies = `SELECT ` + policyColumns + ` FROM policy_versions AS p WHERE ($1 = '' OR provider = $1)
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
	return read(ctx, s, "policy "+kind, scanPolicy, `SELECT provider, kind, version, action, '', submitter, signer, from_version, at, seal FROM policy_versions
		WHERE provider = $1 AND kind = $2 ORDER BY version DESC`, provider, kind)
}

// PolicyVersion returns one version.
func (s *Store) PolicyVersion(ctx context.Context, provider, kind string, version int64) (store.PolicyVersion, error) {
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

// Tokens returns all tokens.
func (s *Store) Tokens(ctx context.Context) ([]store.Token, error) {
	return read(ctx, s, "tokens", scanToken, selectTokens)
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

const selectTPMKeys = `SELECT provider, key, endorsement_key, name, created FROM tpm_keys WHERE ($1 = '' OR provider = $1) ORDER BY provider, name, created, key`

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

// Changes returns what changed after a revision.
func (s *Store) Changes(ctx context.Context, after int64) (changes []store.Change, latest int64, all bool, err error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	number := func(r row) (n int64, err error) { return n, r.Scan(&n) }
	// The newest revision is read first: what is committed between the two reads
	// is read twice, never missed.
	if latest, err = one(ctx, s, s.db, "changes", number, `SELECT n FROM revision`); err != nil || latest == after {
		return nil, latest, false, err
	}
	oldest, err := one(ctx, s, s.db, "changes", number, `SELECT coalesce(min(revision), 0) FROM changes`)
	if err != nil || oldest > after+1 || latest < after {
		return nil, latest, true, err
	}
	changes, err = list(ctx, s, s.db, "changes", func(r row) (c store.Change, err error) {
		return c, r.Scan(&c.Revision, &c.Topic, &c.Name)
	}, `SELECT revision, topic, name FROM changes WHERE revision > $1 AND revision <= $2 ORDER BY revision`, after, latest)
	return changes, latest, false, err
}

// Collateral returns the pieces whose keys begin with the prefix, by key.
func (s *Store) Collateral(ctx context.Context, prefix string) ([]store.Collateral, error) {
	return read(ctx, s, "collateral", func(r row) (c store.Collateral, err error) {
		var fetched, next int64
		err = r.Scan(&c.Key, &c.Data, &fetched, &next)
		c.Fetched, c.NextUpdate = time.Unix(0, fetched).UTC(), seconds(next)
		return c, err
	}, `SELECT key, data, fetched, next_update FROM collateral
		WHERE substr(key, 1, length(CAST($1 AS TEXT))) = CAST($1 AS TEXT) ORDER BY key`, prefix)
}
