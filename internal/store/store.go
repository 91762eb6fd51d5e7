// Package store is what the service keeps: providers, their policies,
// signing keys, and collateral. It holds the vocabulary and the errors; package sqlite holds
// the embedded engine, and package storetest the contract that every engine
// passes.
//
// Nothing here is on the path of an attestation: what requests need is held in
// memory by those who use a store.
package store

import (
	"context"
	"errors"
	"time"
)

// DefaultProvider is the provider that answers on the bare address.
const DefaultProvider = "default"

// ErrNotFound is returned for what is not there.
var ErrNotFound = errors.New("not found")

// ErrNewer is returned when the stored data were written by a later version of
// the program. Nothing is changed then.
var ErrNewer = errors.New("the data were written by a newer version")

// Provider is an attestation provider, a tenant.
type Provider struct {
	Name string
	// TCB is the accepted TCB statuses as appraisal.ParseTCBPolicy reads them.
	TCB     string
	Created time.Time
}

// Policy is the policy of a provider for one attestation type.
type Policy struct {
	Provider string
	Kind     string
	// JWS is the policy exactly as it was submitted.
	JWS     string
	Updated time.Time
}

// SigningKey is a token signing key, sealed.
type SigningKey struct {
	ID string
	// Sealed is the private key under the master key.
	Sealed      []byte
	Certificate []byte // DER
	Created     time.Time
}

// Collateral is a piece of endorsements as it was fetched and verified.
type Collateral struct {
	Key string
	// Data is a bundle of the one piece.
	Data                []byte
	Fetched, NextUpdate time.Time
}

// TPMKey is an attestation key that was bound to a TPM's endorsement key.
type TPMKey struct {
	Provider string
	// Key is the SHA-256 of the key's SubjectPublicKeyInfo, EndorsementKey that of
	// the TPM's, in hex.
	Key, EndorsementKey string
	// Name is the machine's name. It belongs to the TPM that took it first.
	Name    string
	Created time.Time
}

// ErrConflict is returned for what would take a name or a key from another.
var ErrConflict = errors.New("it belongs to another")

// Store keeps the service's state. Implementations are safe for concurrent
// use; each method is atomic.
type Store interface {
	// Provider returns the named provider or an error wrapping ErrNotFound.
	Provider(ctx context.Context, name string) (Provider, error)
	// PutProvider creates or replaces a provider.
	PutProvider(ctx context.Context, p Provider) error

	// Policies returns the policies of a provider, ordered by kind.
	Policies(ctx context.Context, provider string) ([]Policy, error)
	// PutPolicy creates or replaces a policy. The provider must exist.
	PutPolicy(ctx context.Context, p Policy) error
	// DeletePolicy removes a policy, or returns an error wrapping ErrNotFound.
	DeletePolicy(ctx context.Context, provider, kind string) error

	// SigningKeys returns all keys, the newest first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// PutSigningKey creates a key or replaces its certificate.
	PutSigningKey(ctx context.Context, k SigningKey) error

	// Collateral returns the pieces whose keys begin with the prefix, by key.
	Collateral(ctx context.Context, prefix string) ([]Collateral, error)
	// PutCollateral creates or replaces a piece.
	PutCollateral(ctx context.Context, c Collateral) error
	// NextSlot takes the first time, not before now, at which a request to a
	// vendor may be made, and keeps the next one away from it by every. All
	// processes that share the store share the slots.
	NextSlot(ctx context.Context, vendor string, now time.Time, every time.Duration) (time.Time, error)
	// HoldSlots keeps requests to the vendor back until then.
	HoldSlots(ctx context.Context, vendor string, until time.Time) error

	// TPMKeys returns the enrolled keys of a provider, by name and age.
	TPMKeys(ctx context.Context, provider string) ([]TPMKey, error)
	// PutTPMKey enrols a key. The error wraps ErrConflict if the name or the key
	// belongs to another endorsement key.
	PutTPMKey(ctx context.Context, k TPMKey) error
	// DeleteTPMKeys removes the keys of a name, or returns an error wrapping
	// ErrNotFound.
	DeleteTPMKeys(ctx context.Context, provider, name string) error
	// UseOnce takes a word that may be taken once until it expires, and reports
	// whether it was free.
	UseOnce(ctx context.Context, word string, now, expires time.Time) (bool, error)

	// Ping reports whether the store answers.
	Ping(ctx context.Context) error
	Close() error
}
