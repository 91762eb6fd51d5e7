package seal

import (
	"context"
	"errors"

	"github.com/probity-dev/probity/internal/store"
)

// Upgrade seals, once, a database that was written before there were seals. Record
// adds the entry to the ledger. A mark in the database and one outside it say that
// this was done: from then on a missing seal is an alteration, on every node that
// has seen the mark. A node whose folder is empty trusts the database that it finds.
func (s *Seals) Upgrade(
	ctx context.Context, db store.Store, record func(tx store.Tx, scopes int) error,
) error {
	done, err := s.marked(ctx, db, scopeAll)
	if err != nil {
		return err
	}
	if !done {
		err = db.Update(ctx, store.TopicProvider, "", func(tx store.Tx) error {
			sealed, err := s.sealAll(tx)
			if err != nil {
				return err
			}
			if sealed > 0 {
				if err := record(tx, sealed); err != nil {
					return err
				}
			}
			return tx.PutSeal(s.make(scopeAll, 1, state{}))
		})
		if err == nil {
			err = s.memory.learn(map[string]int64{scopeAll: 1})
		}
		if err != nil {
			return err
		}
	}
	return s.upgradeVersions(ctx, db)
}

// marked reports whether a mark says that something was sealed once and for all. It is an
// error if the mark was removed from the database, or is not the service's.
func (s *Seals) marked(ctx context.Context, db store.Store, scope string) (bool, error) {
	x, err := db.Seal(ctx, scope)
	switch {
	case err == nil:
		if err := s.check(scope, &x, state{}); err != nil {
			return false, err
		}
		return true, s.memory.learn(map[string]int64{scope: x.Version})
	case !errors.Is(err, store.ErrNotFound):
		return false, err
	case s.memory.version(scope) > 0:
		return false, s.check(scope, nil, state{})
	}
	return false, nil
}

// mark makes a mark in the database and outside it.
func (s *Seals) mark(ctx context.Context, db store.Store, scope string) error {
	if err := db.Update(ctx, store.TopicProvider, "", func(tx store.Tx) error {
		return tx.PutSeal(s.make(scope, 1, state{}))
	}); err != nil {
		return err
	}
	return s.memory.learn(map[string]int64{scope: 1})
}

// sealAll seals what there is and has no seal yet. Everything is read at once: there may
// be ten thousand providers.
func (s *Seals) sealAll(tx store.Tx) (sealed int, err error) {
	providers, err := tx.Providers()
	if err != nil {
		return 0, err
	}
	policies, err := tx.Policies("")
	if err != nil {
		return 0, err
	}
	keys, err := tx.TPMKeys("")
	if err != nil {
		return 0, err
	}
	proposals, err := tx.Proposals("")
	if err != nil {
		return 0, err
	}
	tokens, err := tx.Tokens()
	if err != nil {
		return 0, err
	}
	policiesOf, keysOf, proposalsOf := map[string][]store.PolicyVersion{}, map[string][]store.TPMKey{},
		map[string][]store.Proposal{}
	for _, p := range policies {
		policiesOf[p.Provider] = append(policiesOf[p.Provider], p)
	}
	for _, k := range keys {
		keysOf[k.Provider] = append(keysOf[k.Provider], k)
	}
	for _, p := range proposals {
		proposalsOf[p.Provider] = append(proposalsOf[p.Provider], p)
	}
	put := func(scope string, st state, err error) error {
		if err != nil || st.absent {
			return err
		}
		sealed++
		return tx.PutSeal(s.make(scope, 1, st))
	}
	for i := range providers {
		name := providers[i].Name
		st, err := providerState(&providers[i], policiesOf[name])
		if err := put(partProvider+name, st, err); err != nil {
			return sealed, err
		}
		st, err = tpmState(keysOf[name])
		if err := put(partTPM+name, st, err); err != nil {
			return sealed, err
		}
		st, err = proposalsState(proposalsOf[name])
		if err := put(partProposals+name, st, err); err != nil {
			return sealed, err
		}
	}
	st, err := tokensState(tokens)
	return sealed, put(scopeTokens, st, err)
}
