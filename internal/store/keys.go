package store

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// SigningKey is a token signing key.
type SigningKey struct {
	ID string `json:"-"`
	// Sealed is the private key under the master key; empty for keys of a PKCS#11
	// token.
	Sealed      []byte    `json:"-"`
	Certificate []byte    `json:"-"` // DER; of no instance in particular
	Created     time.Time `json:"-"`
	// Provider is whose key it is; empty for one that is shared.
	Provider string `json:"provider,omitzero"`
	// Algorithm is the JWS algorithm; empty stands for RS256.
	Algorithm string `json:"algorithm,omitzero"`
	// Label names the key in a PKCS#11 token.
	Label string `json:"label,omitzero"`
	// SignFrom is when the key begins to sign; it is published before. SignUntil is
	// when it ends, PublishUntil when it leaves the key set; zero means never.
	SignFrom     time.Time `json:"signFrom,omitzero"`
	SignUntil    time.Time `json:"signUntil,omitzero"`
	PublishUntil time.Time `json:"publishUntil,omitzero"`
	// Version grows with each change of the row.
	Version int64 `json:"version,omitzero"`
	// Seal authenticates the row; see package keys.
	Seal  []byte         `json:"seal,omitzero"`
	Later jsontext.Value `json:",embed"`
}

// CheckpointKey is a key that signs the ledger's checkpoints.
type CheckpointKey struct {
	// ID is what verifies checkpoints, in the form of signed notes.
	ID string `json:"-"`
	// Sealed is the private key under the master key.
	Sealed  []byte    `json:"-"`
	Created time.Time `json:"-"`
	// SignFrom is when the key begins to sign, SignUntil when it ends; zero means never.
	SignFrom  time.Time `json:"signFrom,omitzero"`
	SignUntil time.Time `json:"signUntil,omitzero"`
	// Version grows with each change of the row.
	Version int64 `json:"version,omitzero"`
	// Seal authenticates the row; see package keys.
	Seal  []byte         `json:"seal,omitzero"`
	Later jsontext.Value `json:",embed"`
}

// Token is a static bearer token of a caller. Only its hash is kept.
type Token struct {
	Name string `json:"-"`
	// Hash is the SHA-256 of the token in hex.
	Hash string `json:"-"`
	Role string `json:"role"`
	// Providers lists where the role counts; "*" stands for everywhere.
	Providers []string       `json:"providers"`
	Created   time.Time      `json:"created"`
	CreatedBy string         `json:"createdBy"`
	Expires   time.Time      `json:"expires,omitzero"`
	Later     jsontext.Value `json:",embed"`
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

// Seal authenticates a part of the state, its scope, as package seal makes it.
type Seal struct {
	Scope string
	// Version counts the changes of the scope.
	Version int64
	MAC     []byte
}

// KeyStore reads signing keys, tokens of callers, attestation keys of TPMs, and seals.
type KeyStore interface {
	// SigningKeys returns all keys, the newest first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// CheckpointKeys returns the keys of checkpoints, the newest first.
	CheckpointKeys(ctx context.Context) ([]CheckpointKey, error)
	// Tokens returns all tokens, by name.
	Tokens(ctx context.Context) ([]Token, error)
	// TPMKeys returns the enrolled keys of a provider, by name and age; an empty
	// provider asks for all.
	TPMKeys(ctx context.Context, provider string) ([]TPMKey, error)
	// Seals returns all seals, by scope; Seal returns one, or an error wrapping
	// ErrNotFound.
	Seals(ctx context.Context) ([]Seal, error)
	Seal(ctx context.Context, scope string) (Seal, error)
}

// KeyTx reads and changes what KeyStore reads.
type KeyTx interface {
	SigningKeys() ([]SigningKey, error)
	// PutSigningKey creates a key, or replaces one.
	PutSigningKey(k SigningKey) error
	DeleteSigningKey(id string) error

	CheckpointKeys() ([]CheckpointKey, error)
	// PutCheckpointKey creates a key, or replaces one.
	PutCheckpointKey(k CheckpointKey) error

	Tokens() ([]Token, error)
	// PutToken creates a token, or returns an error wrapping ErrConflict if the
	// name is taken.
	PutToken(t Token) error
	DeleteToken(name string) error

	TPMKeys(provider string) ([]TPMKey, error)
	// PutTPMKey enrols a key. The error wraps ErrConflict if the name or the key
	// belongs to another endorsement key.
	PutTPMKey(k TPMKey) error
	// CountTPMKeys counts the enrolled keys of a provider, and those of them that belong
	// to an endorsement key; the key itself is not among them.
	CountTPMKeys(k TPMKey) (all, same int, err error)
	// DeleteTPMKeys removes the keys of a name, or returns an error wrapping
	// ErrNotFound.
	DeleteTPMKeys(provider, name string) error

	// Seal returns the seal of a scope, or an error wrapping ErrNotFound; PutSeal
	// creates or replaces it.
	Seal(scope string) (Seal, error)
	PutSeal(x Seal) error
}
