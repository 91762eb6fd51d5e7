package seal

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/probity-dev/probity/internal/store"
)

// Guard returns the store with sealed changes: what a change reads or replaces is
// checked first, so that an altered state is never sealed as if it were the service's.
func (s *Seals) Guard(db store.Store) store.Store { return guarded{db, s} }

type guarded struct {
	store.Store
	seals *Seals
}

// Update runs f in a transaction, and seals what it changed.
func (g guarded) Update(ctx context.Context, topic, name string, f func(store.Tx) error) error {
	var made map[string]int64
	err := g.Store.Update(ctx, topic, name, func(tx store.Tx) error {
		t := &guardedTx{Tx: tx, seals: g.seals, versions: map[string]int64{}, dirty: map[string]bool{}}
		if err := f(t); err != nil {
			return err
		}
		var err error
		made, err = t.seal()
		return err
	})
	if err != nil {
		return err
	}
	// The change is done. What cannot be remembered now is when it is next read.
	_ = g.seals.memory.learn(made)
	return nil
}

// guardedTx checks each scope when it is first used.
type guardedTx struct {
	store.Tx
	seals    *Seals
	versions map[string]int64 // of the scopes that were checked
	dirty    map[string]bool
}

// read returns the state of a scope and its seal.
func read(tx store.Tx, scope string) (st state, x *store.Seal, err error) {
	found, err := tx.Seal(scope)
	switch {
	case err == nil:
		x = &found
	case !errors.Is(err, store.ErrNotFound):
		return st, nil, err
	}
	if strings.HasPrefix(scope, store.VaultScopes) {
		st, err = readVault(tx, scope)
		return st, x, err
	}
	part, name, _ := strings.Cut(scope, ":")
	switch part + ":" {
	case partProvider:
		p, err := tx.Provider(name)
		known := &p
		if errors.Is(err, store.ErrNotFound) {
			known, err = nil, nil
		}
		if err != nil {
			return st, x, err
		}
		policies, err := tx.Policies(name)
		if err != nil {
			return st, x, err
		}
		st, err = providerState(known, policies)
		return st, x, err
	case partTPM:
		keys, err := tx.TPMKeys(name)
		if err != nil {
			return st, x, err
		}
		st, err = tpmState(keys)
		return st, x, err
	case partProposals:
		list, err := tx.Proposals(name)
		if err != nil {
			return st, x, err
		}
		st, err = proposalsState(list)
		return st, x, err
	}
	tokens, err := tx.Tokens()
	if err != nil {
		return st, x, err
	}
	st, err = tokensState(tokens)
	return st, x, err
}

func (t *guardedTx) use(scopes ...string) error {
	for _, scope := range scopes {
		if _, checked := t.versions[scope]; checked {
			continue
		}
		st, x, err := read(t.Tx, scope)
		if err == nil {
			err = t.seals.check(scope, x, st)
		}
		if err != nil {
			return err
		}
		t.versions[scope] = 0
		if x != nil {
			t.versions[scope] = x.Version
		}
	}
	return nil
}

func (t *guardedTx) change(scopes ...string) error {
	for _, scope := range scopes {
		t.dirty[scope] = true
	}
	return t.use(scopes...)
}

// seal makes the seals of what was changed.
func (t *guardedTx) seal() (map[string]int64, error) {
	made := map[string]int64{}
	for _, scope := range slices.Sorted(maps.Keys(t.dirty)) {
		st, _, err := read(t.Tx, scope)
		if err != nil {
			return nil, err
		}
		// Above every version that is known, too: a scope may have been removed and made
		// again.
		version := max(t.versions[scope], t.seals.memory.version(scope)) + 1
		if err := t.Tx.PutSeal(t.seals.make(scope, version, st)); err != nil {
			return nil, err
		}
		made[scope] = version
	}
	return made, nil
}

// The methods below check what they read, and mark what they change.

func (t *guardedTx) Provider(name string) (store.Provider, error) {
	if err := t.use(partProvider + name); err != nil {
		return store.Provider{}, err
	}
	return t.Tx.Provider(name)
}

func (t *guardedTx) PutProvider(p store.Provider) (int64, error) {
	if err := t.change(partProvider + p.Name); err != nil {
		return 0, err
	}
	return t.Tx.PutProvider(p)
}

func (t *guardedTx) DeleteProvider(name string) error {
	if err := t.change(partProvider+name, partTPM+name, partProposals+name); err != nil {
		return err
	}
	return t.Tx.DeleteProvider(name)
}

func (t *guardedTx) Policy(provider, kind string) (store.PolicyVersion, error) {
	if err := t.use(partProvider + provider); err != nil {
		return store.PolicyVersion{}, err
	}
	return t.Tx.Policy(provider, kind)
}

func (t *guardedTx) PutPolicy(p store.PolicyVersion) (int64, error) {
	if err := t.change(partProvider + p.Provider); err != nil {
		return 0, err
	}
	return t.putVersion(p)
}

func (t *guardedTx) Proposal(provider, id string) (store.Proposal, error) {
	if err := t.use(partProposals + provider); err != nil {
		return store.Proposal{}, err
	}
	return t.Tx.Proposal(provider, id)
}

func (t *guardedTx) Proposals(provider string) ([]store.Proposal, error) {
	if err := t.use(partProposals + provider); err != nil {
		return nil, err
	}
	return t.Tx.Proposals(provider)
}

func (t *guardedTx) PutProposal(p store.Proposal) error {
	if err := t.change(partProposals + p.Provider); err != nil {
		return err
	}
	return t.Tx.PutProposal(p)
}

func (t *guardedTx) DeleteProposal(provider, id string) error {
	if err := t.change(partProposals + provider); err != nil {
		return err
	}
	return t.Tx.DeleteProposal(provider, id)
}

func (t *guardedTx) Tokens() ([]store.Token, error) {
	if err := t.use(scopeTokens); err != nil {
		return nil, err
	}
	return t.Tx.Tokens()
}

func (t *guardedTx) PutToken(k store.Token) error {
	if err := t.change(scopeTokens); err != nil {
		return err
	}
	return t.Tx.PutToken(k)
}

func (t *guardedTx) DeleteToken(name string) error {
	if err := t.change(scopeTokens); err != nil {
		return err
	}
	return t.Tx.DeleteToken(name)
}

func (t *guardedTx) PutTPMKey(k store.TPMKey) error {
	if err := t.change(partTPM + k.Provider); err != nil {
		return err
	}
	return t.Tx.PutTPMKey(k)
}

func (t *guardedTx) DeleteTPMKeys(provider, name string) error {
	if err := t.change(partTPM + provider); err != nil {
		return err
	}
	return t.Tx.DeleteTPMKeys(provider, name)
}
