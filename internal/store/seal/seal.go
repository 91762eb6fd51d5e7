// Package seal authenticates what the service trusts in its database: providers with
// their settings and policies, enrolled TPM keys, proposals with their approvals, keys of
// vaults with their release policies, and the tokens of callers. Anyone who can write the database but has no master key can
// neither change these nor put back an earlier state unseen.
//
// The state has scopes, each with an HMAC over all that is in it and a version that
// grows with each change. [Seals.Guard] returns a store that checks the seal of a
// scope before it is used in a change, and makes a new one in the same transaction.
// The newest version of each scope is also kept in a folder outside the database.
//
// Each version of a policy has a seal of its own. Signing keys (package signing), the
// ledger (package ledger), collateral, which its vendors signed, and which challenges
// were used are not covered.
package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
)

// Key authenticates fields under a subkey of the master key.
type Key interface {
	Authenticate(use string, fields ...[]byte) []byte
	Authentic(mac []byte, use string, fields ...[]byte) bool
}

// use is the subkey's name.
const use = "state of providers and callers"

// ErrAltered is wrapped by errors about state that this service did not write as it
// is.
var ErrAltered = errors.New("the database is not as this service wrote it")

// Scopes that do not belong to a provider.
const (
	scopeTokens = "tokens"
	// scopeAll is the mark that all scopes were sealed: from then on a missing seal is
	// an alteration.
	scopeAll = "all"
)

// The parts of a provider's state.
const (
	partProvider  = "provider:"
	partTPM       = "tpm:"
	partProposals = "proposals:"
)

// Seals makes and checks seals. It is safe for concurrent use.
type Seals struct {
	key    Key
	memory *memory
}

// Open reads what is known of the newest seals from a folder outside the database.
func Open(key Key, folder *anchor.Folder) (*Seals, error) {
	m, err := openMemory(folder)
	if err != nil {
		return nil, err
	}
	return &Seals{key, m}, nil
}

// state is all that is in a scope; absent says that nothing is.
type state struct {
	fields [][]byte
	absent bool
}

func (s *state) add(what string, values ...any) error {
	b, err := json.Marshal(values, json.Deterministic(true))
	s.fields = append(s.fields, []byte(what), b)
	return err
}

func providerState(p *store.Provider, policies []store.PolicyVersion) (state, error) {
	if p == nil {
		return state{absent: len(policies) == 0}, nil
	}
	var s state
	err := s.add("provider", p.Name, p.Revision, p)
	for _, v := range policies {
		sum := sha256.Sum256([]byte(v.JWS))
		err = errors.Join(err, s.add("policy", v.Provider, v.Kind, v.Version, v.Action, sum, v.By, v.Signer,
			v.From, v.At.Unix()))
	}
	return s, err
}

func tpmState(keys []store.TPMKey) (s state, err error) {
	s.absent = len(keys) == 0
	for _, k := range keys {
		err = errors.Join(err, s.add("key", k.Provider, k.Key, k.EndorsementKey, k.Name, k.Created.Unix()))
	}
	return s, err
}

func proposalsState(list []store.Proposal) (s state, err error) {
	s.absent = len(list) == 0
	for _, p := range list {
		err = errors.Join(err, s.add("proposal", p.Provider, p.ID, p))
	}
	return s, err
}

func tokensState(tokens []store.Token) (s state, err error) {
	s.absent = len(tokens) == 0
	for _, t := range tokens {
		err = errors.Join(err, s.add("token", t.Name, t.Hash, t))
	}
	return s, err
}

// fields are what the HMAC of a scope covers.
func fields(scope string, version int64, s state) [][]byte {
	return append([][]byte{[]byte(scope), binary.BigEndian.AppendUint64(nil, uint64(version))}, s.fields...)
}

func (s *Seals) make(scope string, version int64, st state) store.Seal {
	return store.Seal{
		Scope:   scope,
		Version: version,
		MAC:     s.key.Authenticate(use, fields(scope, version, st)...),
	}
}

// check compares a state with its seal; x is nil where there is none. The error wraps
// [ErrAltered].
func (s *Seals) check(scope string, x *store.Seal, st state) error {
	altered := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s; restore a backup of the database. If you restored an old one on "+
			"purpose, remove %s and start again",
			ErrAltered, scope, fmt.Sprintf(format, args...), s.memory.path())
	}
	known := s.memory.version(scope)
	switch {
	case x == nil && known == 0 && st.absent:
		return nil // nothing was ever there
	case x == nil:
		return altered("its seal is missing")
	case !s.key.Authentic(x.MAC, use, fields(scope, x.Version, st)...):
		return altered("its rows do not match their seal")
	case x.Version < known:
		return altered("it has version %d, and version %d was there before", x.Version, known)
	}
	return nil
}

// Loaded checks what a node read of a provider; seals are by scope. The versions are for
// [Seals.Remember].
func (s *Seals) Loaded(
	p *store.Provider, name string, policies []store.PolicyVersion, keys []store.TPMKey,
	seals func(scope string) *store.Seal,
) (map[string]int64, error) {
	st, err := providerState(p, policies)
	if err != nil {
		return nil, err
	}
	tpm, err := tpmState(keys)
	if err != nil {
		return nil, err
	}
	versions := map[string]int64{}
	for scope, st := range map[string]state{partProvider + name: st, partTPM + name: tpm} {
		x := seals(scope)
		if err := s.check(scope, x, st); err != nil {
			return nil, err
		}
		if x != nil {
			versions[scope] = x.Version
		}
	}
	return versions, nil
}

// LoadedTokens is [Seals.Loaded] for the tokens of callers.
func (s *Seals) LoadedTokens(tokens []store.Token, x *store.Seal) (map[string]int64, error) {
	st, err := tokensState(tokens)
	if err == nil {
		err = s.check(scopeTokens, x, st)
	}
	if err != nil || x == nil {
		return nil, err
	}
	return map[string]int64{scopeTokens: x.Version}, nil
}

// Remember keeps versions that were read outside the database.
func (s *Seals) Remember(versions map[string]int64) error { return s.memory.learn(versions) }

// ScopeTokens is the scope of the tokens of callers; ProviderScopes are those that a
// node reads of a provider.
const ScopeTokens = scopeTokens

// ProviderScopes returns the scopes that [Seals.Loaded] asks for.
func ProviderScopes(name string) []string { return []string{partProvider + name, partTPM + name} }

// Known returns the providers that were there, by what is remembered.
func (s *Seals) Known() []string { return s.memory.providers() }
