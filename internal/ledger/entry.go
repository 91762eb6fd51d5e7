// Package ledger is the record of what the service decided and of what was
// changed: append-only, hash-chained for each provider, with a Merkle tree (RFC
// 6962, as the library tlog computes it) whose size and root are signed from time
// to time as a note (C2SP tlog-checkpoint). A row that was altered, removed or
// added, and a history that was rewritten, are found by [Verify].
//
// [Append] adds to a ledger within a transaction of the store: changes and their
// entries are one. A [Writer] takes decisions off the path of requests and adds
// them in batches.
//
// Entries contain hashes and identifiers, never evidence, tokens or secrets. The
// package cannot tell what was never handed to it, and anyone who holds both the
// database and the signing key can write another history; compare checkpoints
// kept elsewhere against that.
package ledger

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Types of entries.
const (
	Decision = "decision"
	Change   = "change"
	// Release is the release of a key, or its refusal.
	Release = "release"
	// Loss says how many decisions could not be recorded before it.
	Loss = "loss"
	// Withheld says that the token of an earlier decision never left the service.
	Withheld = "withheld"
)

// Types returns the types of entries.
func Types() []string { return []string{Decision, Change, Release, Loss, Withheld} }

// Outcomes of decisions.
const (
	Accepted = "accepted"
	Refused  = "refused"
)

// Entry is one entry. Hashes are SHA-256 in hex, but for those of policies,
// which are written as in tokens.
type Entry struct {
	Seq      int64     `json:"seq"`
	Provider string    `json:"provider"`
	Time     time.Time `json:"time"`
	Type     string    `json:"type"`
	// Request is the id that the service gave the request that led to it.
	Request string `json:"request,omitzero"`
	// Client is what the client sent as ids of its own, by header. They are its
	// claims: others may have sent the same.
	Client map[string]string `json:"client,omitzero"`

	// Of decisions: the attestation type, the outcome, and the check that failed.
	Kind    string `json:"kind,omitzero"`
	Outcome string `json:"outcome,omitzero"`
	Check   string `json:"check,omitzero"`
	// Evidence and RuntimeData are hashes of what was sent, Collateral that of the
	// endorsements that were used.
	Evidence    string `json:"evidence,omitzero"`
	RuntimeData string `json:"runtimeData,omitzero"`
	Collateral  string `json:"collateral,omitzero"`
	// Policy is the hash of the policy, Version its version. Draft says that it was
	// the caller's own and the token unsecured.
	Policy  string `json:"policy,omitzero"`
	Version int64  `json:"policyVersion,omitzero"`
	Draft   bool   `json:"draft,omitzero"`
	// Token is the token's id (jti).
	Token string `json:"token,omitzero"`
	// Reason says why the token never left the service.
	Reason string `json:"reason,omitzero"`

	// Of changes: what was done, to what, and by whom.
	Action  string            `json:"action,omitzero"`
	Subject string            `json:"subject,omitzero"`
	By      string            `json:"by,omitzero"`
	Details map[string]string `json:"details,omitzero"`

	// Lost is how many decisions were lost.
	Lost int64 `json:"lost,omitzero"`
}

func (e *Entry) text() ([]byte, error) {
	b, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return b, nil
}

// Parse reads the text of an entry. Members of later versions are ignored.
func Parse(text []byte) (*Entry, error) {
	var e Entry
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("ledger: entry: %w", err)
	}
	return &e, nil
}
