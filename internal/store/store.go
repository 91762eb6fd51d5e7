// Package store is what the service keeps: providers, the versions of their
// policies, signing keys, callers' tokens, collateral, and the rows of the
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

// Provider is an attestation provider. Members that this version does
// not know are kept, so that nodes of two versions can run together.
type Provider struct {
	Name string `json:"-"`
	// Revision grows with each change.
	Revision int64 `json:"-"`
	// Generation counts the providers of this name: one that was removed and made again
	// has 2. Zero means 1.
	Generation int64 `json:"generation,omitzero"`
	// Subscription and Group are where the control plane finds it.
	Subscription string            `json:"subscription,omitzero"`
	Group        string            `json:"group,omitzero"`
	Location     string            `json:"location,omitzero"`
	Tags         map[string]string `json:"tags,omitzero"`
	// Isolated providers take policies only from those who hold the key of one of
	// Signers, which are JSON Web Keys as they were registered.
	Isolated bool             `json:"isolated,omitzero"`
	Signers  []jsontext.Value `json:"signers,omitzero"`
	// Used are hashes of the newest requests about certificates, which are not taken
	// again.
	Used []string `json:"used,omitzero"`
	// PublicNetworkAccess and TPMAuthentication are "Enabled", "Disabled" or empty.
	PublicNetworkAccess string `json:"publicNetworkAccess,omitzero"`
	TPMAuthentication   string `json:"tpmAttestationAuthentication,omitzero"`
	// Endpoints are private endpoint connections, by name.
	Endpoints map[string]jsontext.Value `json:"privateEndpoints,omitzero"`
	// KeyUses are the kinds of keys that the provider signed with lately, signs with, and
	// is about to sign with, the oldest first. Empty until the kind is changed once.
	KeyUses []KeyUse `json:"keyUses,omitzero"`
	// Settings are the provider's own, as package provider reads them.
	Settings  jsontext.Value `json:"settings,omitzero"`
	Created   time.Time      `json:"created,omitzero"`
	CreatedBy string         `json:"createdBy,omitzero"`
	Updated   time.Time      `json:"updated,omitzero"`
	UpdatedBy string         `json:"updatedBy,omitzero"`
	// Later contains the members of later versions.
	Later jsontext.Value `json:",embed"`
}

// Identity tells a provider from earlier ones of its name, which were removed: "acme",
// then "acme.2". It names the provider's ledger, and what was sealed for it. Names of
// providers have no dot.
func (p *Provider) Identity() string {
	if p.Generation <= 1 {
		return p.Name
	}
	return p.Name + "." + strconv.FormatInt(p.Generation, 10)
}

// KeyUse is a kind of keys that a provider signs with for a while.
type KeyUse struct {
	// Own keys are the provider's, others are shared.
	Own       bool   `json:"own,omitzero"`
	Algorithm string `json:"algorithm"`
	// From is when the provider begins to sign with them; they are published before.
	From time.Time `json:"from,omitzero"`
	// Until is when they leave its key set; zero means that no date is known.
	Until time.Time `json:"until,omitzero"`
}

// What a version of a policy does.
const (
	PolicySet   = "set"
	PolicyReset = "reset"
)

// PolicyVersion is one version of the policy of a provider for one attestation
// type. The newest is in force.
type PolicyVersion struct {
	Provider string
	Kind     string
	// Version counts from 1.
	Version int64
	// Action is PolicySet or PolicyReset.
	Action string
	// JWS is the policy, or the request to reset it, exactly as it was submitted.
	JWS string
	// By is who submitted it; Signer is the SHA-256 of the certificate that signed
	// it, in hex, or empty.
	By, Signer string
	// From is the version that was rolled back to, or 0.
	From int64
	At   time.Time
	// Seal authenticates the row. Altered says that it does not; the store itself does
	// not set it.
	Seal    []byte
	Altered bool
}

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
	// Seal authenticates the row; see package signing.
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

// What a proposal does, besides PolicySet and PolicyReset.
const (
	ProviderSettings  = "settings"
	ProviderDelete    = "delete"
	CertificateAdd    = "addCertificate"
	CertificateRemove = "removeCertificate"
)

// Proposal is a change of a policy or of a provider that waits for approvals.
type Proposal struct {
	ID       string `json:"-"`
	Provider string `json:"-"`
	// Kind is the attestation type of a change of a policy, else empty.
	Kind   string `json:"kind,omitzero"`
	Action string `json:"action"`
	// JWS is what was submitted for a policy or a certificate, From the version that a
	// policy is rolled back to, or 0.
	JWS  string `json:"jws,omitzero"`
	From int64  `json:"from,omitzero"`
	// Change is what was submitted for a provider, as package provider reads it.
	Change jsontext.Value `json:"change,omitzero"`
	// Base is the version of the policy, or the revision of the provider, that was in
	// force when it was made.
	Base int64 `json:"base"`
	// Approvals are the callers who approved, first the one who proposed. Credentials
	// tells, for each that came with a static token, which token it was.
	Approvals   []string       `json:"approvals"`
	Credentials []string       `json:"credentials,omitzero"`
	Created     time.Time      `json:"created"`
	Expires     time.Time      `json:"expires"`
	Later       jsontext.Value `json:",embed"`
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

// Seal authenticates a part of the state, its scope, as package seal makes it.
type Seal struct {
	Scope string
	// Version counts the changes of the scope.
	Version int64
	MAC     []byte
}

// LedgerRow is one row of a provider's ledger.
type LedgerRow struct {
	// Seq counts from 0.
	Seq  int64
	Time time.Time
	// Entry is the text of the entry; nil once it was removed by retention.
	Entry []byte
	// Leaf is the hash of the entry, Chain that of all up to it.
	Leaf, Chain []byte
}

// LedgerNode is an inner hash of the ledger's tree, by level and place.
type LedgerNode struct {
	Level int
	N     int64
	Hash  []byte
}

// LedgerHead is where a provider's ledger ends.
type LedgerHead struct {
	Size  int64
	Chain []byte
}

// LedgerState is where the ledger of a provider ends, and the size of its newest
// checkpoint, or -1 if it has none.
type LedgerState struct {
	Provider string
	LedgerHead
	Signed int64
}

// Checkpoint is a signed statement of a ledger's size and root.
type Checkpoint struct {
	Size int64
	Note string
}

// Append is what is added to one provider's ledger in one transaction.
type Append struct {
	Rows       []LedgerRow
	Nodes      []LedgerNode
	Head       LedgerHead
	Checkpoint *Checkpoint
}

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
	LedgerTx
}
