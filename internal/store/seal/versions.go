package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/store"
)

// Each version of a policy has a seal of its own beside it: the SHA-256 of what was
// submitted, and an HMAC over that and the rest of the row. A version can be put in force
// again, so that an earlier one must be as authentic as the newest.

// useVersion is the subkey's name.
const useVersion = "version of a policy"

// scopeVersions is the mark that all versions were sealed: from then on a missing seal is an
// alteration.
const scopeVersions = "versions"

// versionFields are what the HMAC of a version covers. The identity is that of the provider:
// a version of one that was deleted is none of its successor.
func versionFields(identity string, p store.PolicyVersion, submitted []byte) ([][]byte, error) {
	b, err := json.Marshal([]any{
		identity, p.Provider, p.Kind, p.Version, p.Action, p.By, p.Signer, p.From, p.At.Unix(),
	}, json.Deterministic(true))
	return [][]byte{b, submitted}, err
}

// version makes the seal of a version.
func (s *Seals) version(identity string, p store.PolicyVersion) ([]byte, error) {
	submitted := sha256.Sum256([]byte(p.JWS))
	fields, err := versionFields(identity, p, submitted[:])
	if err != nil {
		return nil, err
	}
	return append(submitted[:], s.key.Authenticate(useVersion, fields...)...), nil
}

// authentic reports whether a version is as it was written. Lists come without what was
// submitted: its hash is in the seal.
func (s *Seals) authentic(identity string, p store.PolicyVersion, whole bool) bool {
	if len(p.Seal) <= sha256.Size {
		return false
	}
	submitted, mac := p.Seal[:sha256.Size], p.Seal[sha256.Size:]
	fields, err := versionFields(identity, p, submitted)
	if err != nil || !s.key.Authentic(mac, useVersion, fields...) {
		return false
	}
	sum := sha256.Sum256([]byte(p.JWS))
	return !whole || bytes.Equal(sum[:], submitted)
}

// identity is that of a provider, or its name where it is gone.
func identity(name string, p store.Provider, err error) (string, error) {
	if errors.Is(err, store.ErrNotFound) {
		return name, nil
	}
	return p.Identity(), err
}

// PolicyHistory returns all versions, and says about those that were altered that they are.
func (g guarded) PolicyHistory(ctx context.Context, provider, kind string) ([]store.PolicyVersion, error) {
	list, err := g.Store.PolicyHistory(ctx, provider, kind)
	if err != nil {
		return nil, err
	}
	p, err := g.Provider(ctx, provider)
	id, err := identity(provider, p, err)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Altered = !g.seals.authentic(id, list[i], false)
	}
	return list, nil
}

// PolicyVersion returns one version, or an error wrapping [ErrAltered].
func (g guarded) PolicyVersion(
	ctx context.Context, provider, kind string, version int64,
) (store.PolicyVersion, error) {
	v, err := g.Store.PolicyVersion(ctx, provider, kind, version)
	if err != nil {
		return v, err
	}
	p, err := g.Provider(ctx, provider)
	id, err := identity(provider, p, err)
	if err == nil && !g.seals.authentic(id, v, true) {
		err = fmt.Errorf("%w: version %d of the policy of %s at %s does not match its seal; "+
			"restore a backup of the database, or set the policy again", ErrAltered, version, kind, provider)
	}
	if err != nil {
		return store.PolicyVersion{}, err
	}
	return v, nil
}

// putVersion adds a version with its seal.
func (t *guardedTx) putVersion(p store.PolicyVersion) (int64, error) {
	owner, err := t.Tx.Provider(p.Provider)
	if err != nil {
		return 0, err
	}
	if p.Version, err = t.Tx.PutPolicy(p); err != nil {
		return 0, err
	}
	x, err := t.seals.version(owner.Identity(), p)
	if err != nil {
		return 0, err
	}
	return p.Version, t.Tx.SealPolicy(p.Provider, p.Kind, p.Version, x)
}

// upgradeVersions seals, once, the versions of policies that were written without.
func (s *Seals) upgradeVersions(ctx context.Context, db store.Store) error {
	if done, err := s.marked(ctx, db, scopeVersions); done || err != nil {
		return err
	}
	newest, err := db.Policies(ctx, "")
	if err != nil {
		return err
	}
	for _, last := range newest {
		p, err := db.Provider(ctx, last.Provider)
		if err != nil {
			return err
		}
		for n := range last.Version {
			v, err := db.PolicyVersion(ctx, last.Provider, last.Kind, n+1)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if len(v.Seal) > 0 {
				continue // another node was here
			}
			x, err := s.version(p.Identity(), v)
			if err == nil {
				err = db.Update(ctx, store.TopicPolicy, v.Provider,
					func(tx store.Tx) error { return tx.SealPolicy(v.Provider, v.Kind, v.Version, x) })
			}
			if err != nil {
				return err
			}
		}
	}
	return s.mark(ctx, db, scopeVersions)
}
