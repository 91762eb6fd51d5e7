// Package api is the HTTP service: the wire protocol of Azure Attestation, health and
// metrics.
//
// A request passes the edge (package edge: body, caller, role, errors), then one row of the
// table in routes.go, which names the handler: of the data plane (package data) or of the
// control plane (package control).
package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/api/control"
	"github.com/probity-dev/probity/internal/api/data"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/api/kbs"
	api "github.com/probity-dev/probity/internal/api/vault"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/telemetry"
	"github.com/probity-dev/probity/internal/vault"
)

// Config is what the service works with.
type Config struct {
	Registry *provider.Registry
	Store    Store
	// Ledger takes decisions; CheckpointKey verifies its checkpoints.
	Ledger        Ledger
	CheckpointKey string
	// Rotation says how signing keys follow each other.
	Rotation keys.Rotation

	Appraiser *appraisal.Appraiser
	// Baselines describes Intel's sets of collateral that are available.
	Baselines func() []collateral.About
	// Sealer keeps what clients bring back: challenges and enrolments.
	Sealer data.Sealer
	// TPM says how TPMs are challenged and enrolled.
	TPM data.TPM

	Vault Vault

	Callers Callers
	Health  Health
	Limits  edge.Limits
	// Bodies bounds the memory of request bodies; nil bounds nothing.
	Bodies *edge.Budget

	Log     *slog.Logger
	Metrics *telemetry.Metrics
	// Now is the clock of tokens.
	Now func() time.Time
	// AppraisalTime, if not zero, is when all evidence is judged. It is for
	// development only, and every answer says so.
	AppraisalTime time.Time
	// Version names the program in answers.
	Version string
	// Extra, if not nil, answers below ExtraPrefix on the service's own address, and
	// nothing that a route does.
	Extra       http.Handler
	ExtraPrefix string
}

// Vault is the keys of providers.
type Vault struct {
	*vault.Vault
	// Authorities are the issuers that release policies may name besides the provider itself.
	Authorities func() []string
}

// Callers says who calls, and by which host name a provider is addressed.
type Callers struct {
	Auth *auth.Authenticator
	// Authorization is what a refused caller is pointed to: a token endpoint's base, or empty.
	Authorization string
	// HostSuffix, if not empty, is what follows a provider's name in its host name.
	HostSuffix string
}

// Health is what the health routes report besides the state of the server itself.
type Health struct {
	// Held describes all collateral that is available. WarnBefore is how long before its end collateral
	// is reported as about to expire.
	Held       func() []collateral.Item
	WarnBefore time.Duration
	// Ready returns an error while the database does not answer. Attestation goes on without
	// it. Changes returns an error while it takes no changes.
	Ready, Changes func(context.Context) error
}

// Store is what the planes need of a store.
type Store interface {
	data.Store
	control.Store
}

// Ledger records decisions, and says which histories were changed.
type Ledger interface {
	data.Ledger
	control.Ledger
	// Stopped returns the ledgers whose history was changed.
	Stopped() []*ledger.Stop
}

// Server answers requests.
type Server struct {
	*edge.Server
	cfg Config
	// changes remembers for a moment whether changes are taken.
	changes  probe
	draining atomic.Bool
}

// New returns a server.
func New(cfg Config) *Server {
	bodies := &edge.Bodies{Limit: cfg.Limits.Body, Budget: cfg.Bodies, Refused: cfg.Metrics.BodiesRefused.Inc}
	s := &Server{cfg: cfg}
	d := data.New(data.Config{
		Registry: cfg.Registry, Appraiser: cfg.Appraiser, Baselines: cfg.Baselines,
		Concurrent: cfg.Limits.Concurrent, Bodies: bodies,
		Log: cfg.Log, Metrics: cfg.Metrics, Now: cfg.Now, AppraisalTime: cfg.AppraisalTime, Store: cfg.Store,
		Ledger: cfg.Ledger,
		Sealer: cfg.Sealer, TPM: cfg.TPM,
	})
	c := &control.Plane{
		Registry: cfg.Registry, Store: cfg.Store, Ledger: cfg.Ledger, CheckpointKey: cfg.CheckpointKey,
		Rotation: cfg.Rotation,
		Bodies:   bodies, Now: cfg.Now,
	}
	v := &api.Plane{Vault: cfg.Vault.Vault, Authorities: cfg.Vault.Authorities, Bodies: bodies, Now: cfg.Now,
		Concurrent: make(chan struct{}, max(1, cfg.Limits.Concurrent))}
	g := &kbs.Plane{Data: d, Vault: cfg.Vault.Vault, Sealer: cfg.Sealer, Store: cfg.Store, Bodies: bodies,
		Now: cfg.Now}
	if cfg.Ledger != nil {
		v.Withhold, g.Withhold = cfg.Ledger.Withhold, cfg.Ledger.Withhold
	}
	s.Server = edge.New(edge.Config{
		Routes: routes(s, d, c, v, g), Registry: cfg.Registry, Auth: cfg.Callers.Auth,
		Authorization: cfg.Callers.Authorization, HostSuffix: cfg.Callers.HostSuffix,
		Limits: cfg.Limits, Bodies: bodies, Log: cfg.Log, Metrics: cfg.Metrics,
		AppraisalTime: cfg.AppraisalTime, Version: cfg.Version,
		Extra: cfg.Extra, ExtraPrefix: cfg.ExtraPrefix,
	})
	return s
}

// now is when collateral is judged.
func (s *Server) now() time.Time {
	if !s.cfg.AppraisalTime.IsZero() {
		return s.cfg.AppraisalTime
	}
	return s.cfg.Now()
}
