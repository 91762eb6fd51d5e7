// Package data is attestation itself: evidence in, a token or a refusal out, in each protocol
// of Azure Attestation; the enrolment of TPMs; and the documents that relying parties read.
//
// Each protocol is a handler with a codec: [Plane.Attest] (and its form of 2018,
// [Plane.AttestLegacy]), [Plane.AttestTPM], [Plane.AttestGuest]. All of them end in one
// decision, which the ledger records.
package data

import (
	"context"
	"log/slog"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/telemetry"
)

// Config is what the data plane works with.
type Config struct {
	Registry  *provider.Registry
	Appraiser *appraisal.Appraiser
	// Baselines describes Intel's collateral that is available.
	Baselines func() []collateral.About
	// Concurrent bounds the attestations that run at once.
	Concurrent int
	Bodies     *edge.Bodies
	Log        *slog.Logger
	Metrics    *telemetry.Metrics
	// Now is the clock of tokens.
	Now func() time.Time
	// AppraisalTime, if not zero, is when all evidence is judged.
	AppraisalTime time.Time
	Store         Store
	// Ledger, if not nil, records decisions.
	Ledger Ledger
	// Sealer keeps what clients bring back: challenges and enrolments.
	Sealer Sealer
	// TPM says how TPMs are challenged and enrolled.
	TPM TPM
}

// Store is what the data plane needs of a store.
type Store interface {
	// UseOnce takes a word, and reports whether it was free.
	UseOnce(ctx context.Context, word string, now, expires time.Time) (bool, error)
}

// Ledger records decisions.
type Ledger interface {
	Record(ctx context.Context, provider string, e ledger.Entry, wait bool) error
	// Withhold puts on record that the token of a decision never left.
	Withhold(provider string, of ledger.Entry, reason string)
}

// Plane answers the routes of the data plane.
type Plane struct {
	Config
	slots chan struct{} // one for each running attestation
}

// New returns the data plane.
func New(cfg Config) *Plane {
	return &Plane{Config: cfg, slots: make(chan struct{}, cfg.Concurrent)}
}
