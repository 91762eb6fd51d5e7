// Package store is what the service keeps: providers, the versions of their
// policies, signing keys, keys of vaults, callers' tokens, collateral, and the rows of the
// ledger. It defines the vocabulary and the errors. Packages sqlite and postgres
// contain the engines, package sqlstore the statements that both share, and package
// storetest the contract that every engine passes.
//
// Nothing here is on the path of an attestation: what requests need is held in
// memory by those who use a store. Nothing here judges: who may change what is
// decided before a change is made.
package store

import (
	"errors"
)

// The errors of a store.
var (
	// ErrNotFound is returned for what is not there.
	ErrNotFound = errors.New("not found")
	// ErrNewer is returned when the stored data were written by a later version
	// of the program that this one cannot run beside. Nothing is changed then.
	ErrNewer = errors.New("the data were written by a newer version")
	// ErrConflict is returned for what would take a name or a key from another,
	// or would overwrite a change that came between.
	ErrConflict = errors.New("it belongs to another")
	// ErrUnavailable is returned while the database does not answer. The same
	// call may succeed later.
	ErrUnavailable = errors.New("the store does not answer")
)

// What a change was about.
const (
	TopicProvider = "provider"
	TopicPolicy   = "policy"
	TopicKeys     = "keys"
	TopicTokens   = "tokens"
	TopicTPM      = "tpm"
)

// Change tells which part of the state changed.
type Change struct {
	Revision int64
	Topic    string
	// Name is the provider, or empty.
	Name string
}

// Changes are the changes after a revision, the oldest first.
type Changes struct {
	List []Change
	// Latest is the newest revision.
	Latest int64
	// All says that older changes were forgotten, so that everything must be read again.
	All bool
}

// Store is the whole state; each part is a role of its own.
type Store interface {
	StateStore
	ProviderStore
	PolicyStore
	KeyStore
	VaultStore
	CollateralStore
	LedgerStore
	WorkStore
}

// Tx is a transaction of [StateStore.Update]: all of it is done, or nothing. Reads
// see what the transaction wrote.
type Tx interface {
	ProviderTx
	PolicyTx
	KeyTx
	VaultTx
	LedgerTx
}
