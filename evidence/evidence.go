// Package evidence is the vocabulary of verification: what evidence is, what a
// verifier answers, and how each proven or failed fact is reported. The words
// are those of RFC 9334 (RATS).
//
// Each kind of evidence has a package below this one with a New and a verifier: snp, tdx, sgx,
// openenclave, azureguest, tpm, vbs, nitro and cca. Start with the example of the kind that you have;
// to judge evidence by a policy, too, start with package appraisal.
//
// A [Verifier] turns [Evidence] of one [Kind] into a [Result]: every [Check] that it made, in order,
// and the claims that they prove. The first failed check ends the verification and is returned as a
// [*Rejection], which names the check, what was expected, what was found, and the remedy. Each check is
// a value of its package, so that programs compare and do not parse:
//
//	if errors.Is(err, snp.CheckSignature) {
//
// A verifier says what is proven. It refuses what a vendor's standard says must never pass, and what
// the caller has to accept by name in [Evidence].Accept, such as a guest that its host can read
// ([DebugGuest]). It has no opinion on measurements or an old TCB; opinions belong to package policy
// and to the caller.
//
// For those who write a verifier of their own: [Checks] defines its checks, and the methods of [Result]
// record them. Importers need neither.
package evidence

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral"
)

// MaxSize bounds the raw evidence that any verifier reads, in bytes.
const MaxSize = 1 << 20

// Evidence is what an attester sent, and the circumstances under which it is
// to be verified. Raw and Time are always needed, and Collateral for Intel's kinds.
type Evidence struct {
	// Raw is the evidence in the vendor's own encoding, at most [MaxSize] bytes. The verifier of each
	// kind says which forms it reads.
	Raw []byte
	// RuntimeData, if not nil, must be bound by the evidence's report data: their SHA-256 is there.
	// An attester puts the hash of its public key there, to prove that the key is its own.
	RuntimeData *Data
	// InitTimeData, if not nil, must be bound by the evidence's launch-time
	// configuration field.
	InitTimeData *Data
	// EventLog, if not empty, is a log of measured boot that must lead to the
	// registers in the evidence.
	EventLog []byte
	// Challenge, if not nil, is what the evidence must have been made for: the qualifying data of a TPM's
	// quote; the report data of SEV-SNP and TDX, which end in zeros. Verifiers of other kinds do not read it.
	Challenge []byte
	// TPM is what the policy asks of evidence with a TPM in it.
	TPM TPMDemands
	// Enrolled tells whether an attestation key without a certificate was bound to
	// a TPM before, and to which: the fingerprint of its endorsement key. The key is
	// given by the SHA-256 of its SubjectPublicKeyInfo. Nil means none.
	Enrolled func(key [sha256.Size]byte) (endorsementKey string, ok bool)
	// Collateral is where the verifier asks for endorsements. Nil means that
	// there are none.
	Collateral collateral.Source
	// TCBEvaluationNumber, if not zero, asks for collateral of this TCB
	// evaluation data number.
	TCBEvaluationNumber uint32
	// Accept lists the reservations that are accepted, [BoundServiceTD] and [DebugGuest].
	// Evidence with any other is refused.
	Accept []string
	// DebugByPolicy leaves the debug flag of SGX enclaves to a policy. They are then not refused
	// for it, and the reservation stays in the result. Guests are refused all the same.
	DebugByPolicy bool
	// Time is the instant at which everything is judged: certificate
	// validity, CRL and collateral freshness.
	Time time.Time
}

// TPMDemands is what a policy asks of evidence with a TPM in it. Its zero value asks
// for a validated attestation key and a quote over all registers.
type TPMDemands struct {
	// AnyKey takes attestation keys without a trusted certificate or an enrolment.
	AnyKey bool
	// Mask, if not nil, are the registers that the quote must cover, bit n for
	// PCR n.
	Mask *uint32
	// NoEvents and NoPCRs say that no one reads the events, and the registers, as
	// JSON, so that they need not be written.
	NoEvents, NoPCRs bool
}

// PCRMask returns the registers that the quote must cover.
func (t TPMDemands) PCRMask() uint32 {
	if t.Mask == nil {
		return 0xffffff
	}
	return *t.Mask
}

// Verifier verifies one kind of evidence. Implementations are safe for
// concurrent use and neither read the clock nor dial.
type Verifier interface {
	// Kind is the kind of evidence that is verified.
	Kind() Kind
	// Verify checks ev. The result is never nil and has the checks made so
	// far. The error is a *[Rejection] if the evidence is refused, also by a
	// reservation that ev does not accept; any other error means that no
	// verdict was reached (for instance a cancelled context).
	Verify(ctx context.Context, ev Evidence) (*Result, error)
}

// Result is what a verification has proven.
type Result struct {
	// Checks are those that were made, in order; of refused evidence the last one failed.
	Checks []Check
	// Claims are the facts that go into the token and that policies read. docs/threat-model.md
	// says for each claim which bytes of the evidence it comes from and who covers them.
	Claims claims.Set
	// Aliases are further claims that policies may read but that the service
	// does not put into tokens by itself. What a TPM measured is among them.
	Aliases claims.Set
	// TCB is the platform's patch level, where the vendor defines one.
	TCB *TCB
	// Stale says that collateral was used that has outlived itself, as its
	// source was told to go on while it cannot get newer (outage mode).
	Stale bool
	// Reservations are proven facts that evidence is refused for unless [Evidence] accepts them.
	Reservations []Reservation
}

// Reservation is a fact that is refused unless the relying side accepts it by
// name.
type Reservation struct {
	// Accept is the word with which it is accepted.
	Accept string
	// Check is the check that fails otherwise.
	Check Check
	// ByPolicy says that the fact may be left to a policy, see [Evidence].DebugByPolicy: the debug
	// flag of SGX enclaves, which policies read.
	ByPolicy bool
}

// The words with which reservations are accepted.
const (
	// BoundServiceTD: a service TD is bound to a TD, one that may, for
	// instance, migrate it to another platform.
	BoundServiceTD = "BoundServiceTD"
	// DebugGuest: the host can read the guest's memory.
	DebugGuest = "DebugGuest"
)

// TCB is the state of a platform's trusted computing base by its vendor's
// collateral. It is a fact, not a verdict.
type TCB struct {
	// Status is the converged status of all parts, in the vendor's words.
	Status string `json:"status"`
	// Date is the earliest date of the levels that were met.
	Date time.Time `json:"date,omitzero"`
	// Advisories lists the open security advisories, sorted.
	Advisories []string `json:"advisories"`
	// EvaluationDataNumber tells which release of the vendor's TCB baseline
	// was used: for Intel the lower number of TCB info and QE identity.
	EvaluationDataNumber uint32 `json:"evaluationDataNumber"`

	PlatformStatus string    `json:"platformStatus,omitempty"`
	PlatformDate   time.Time `json:"platformDate,omitzero"`
	QEStatus       string    `json:"qeStatus,omitempty"`
	// ModuleStatus is the TDX module's; LaunchStatus and CurrentStatus are the
	// converged statuses of a TD at its launch and now.
	ModuleStatus  string `json:"moduleStatus,omitempty"`
	LaunchStatus  string `json:"launchStatus,omitempty"`
	CurrentStatus string `json:"currentStatus,omitempty"`

	// Shortfall names the components that are below the newest level.
	Shortfall Components `json:"shortfall,omitempty"`
	// BelowLowest names the components that are below the vendor's lowest level. Such
	// a platform is refused, and Status is NotSupported.
	BelowLowest Components `json:"belowLowest,omitempty"`
}

// NotSupported is the status of a platform below every level of its vendor.
const NotSupported = "NotSupported"

// Summary writes the status with the level that it comes from.
func (t *TCB) Summary() string {
	level := "level of " + t.Date.UTC().Format(time.DateOnly)
	if t.EvaluationDataNumber != 0 {
		level += fmt.Sprintf(", evaluation %d", t.EvaluationDataNumber)
	}
	return t.Status + " (" + level + ")"
}
