// Package control is the management of providers: policies and who signs them, approvals,
// the ledger, signing keys, tokens of callers, and providers as Azure's resource manager
// shows them. Every route needs a role; changes are made by the registry of package
// provider, which decides whether they are allowed.
package control

import (
	"context"
	"time"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

// Plane answers the routes of the control plane.
type Plane struct {
	Registry *provider.Registry
	Store    Store
	// Ledger, if not nil, has the checkpoints that a witness cosigned; CheckpointKey verifies
	// checkpoints.
	Ledger        Ledger
	CheckpointKey string
	// Rotation says how signing keys follow each other.
	Rotation keys.Rotation
	Bodies   *edge.Bodies
	Now      func() time.Time
}

// Store is what the control plane reads by itself.
type Store interface {
	ledger.Store
	PolicyHistory(ctx context.Context, provider, kind string) ([]store.PolicyVersion, error)
	Proposals(ctx context.Context, provider string) ([]store.Proposal, error)
	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	Tokens(ctx context.Context) ([]store.Token, error)
}

// Ledger is what the control plane asks of the running ledger.
type Ledger interface {
	// Cosigned returns the newest checkpoint that a witness cosigned, or "".
	Cosigned(provider string) (text string, size int64)
}
