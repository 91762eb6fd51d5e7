package store

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

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

// PolicyStore reads policies, and changes that wait for approvals.
type PolicyStore interface {
	// Policies returns the newest version of each policy, by provider and kind; an
	// empty provider asks for all.
	Policies(ctx context.Context, provider string) ([]PolicyVersion, error)
	// PolicyHistory returns all versions of a policy, the newest first, without
	// their JWS; PolicyVersion returns one.
	PolicyHistory(ctx context.Context, provider, kind string) ([]PolicyVersion, error)
	PolicyVersion(ctx context.Context, provider, kind string, version int64) (PolicyVersion, error)
	// Proposals returns those of a provider, the oldest first.
	Proposals(ctx context.Context, provider string) ([]Proposal, error)
}

// PolicyTx reads and changes policies, and changes that wait for approvals.
type PolicyTx interface {
	// Policy returns the newest version, or an error wrapping ErrNotFound.
	Policy(provider, kind string) (PolicyVersion, error)
	// Policies is as in PolicyStore.
	Policies(provider string) ([]PolicyVersion, error)
	// PutPolicy adds the next version and returns its number. The provider must
	// exist.
	PutPolicy(p PolicyVersion) (int64, error)
	// SealPolicy puts the seal of a version beside it.
	SealPolicy(provider, kind string, version int64, seal []byte) error

	Proposal(provider, id string) (Proposal, error)
	// Proposals returns those of a provider, or all if provider is empty.
	Proposals(provider string) ([]Proposal, error)
	PutProposal(p Proposal) error
	DeleteProposal(provider, id string) error
}
