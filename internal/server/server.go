// Package server is the HTTP service: the data plane of the Azure Attestation
// wire protocol, health and metrics. It is built on the verdicts of package
// appraisal and keeps what requests need in memory.
//
// [New] returns the handler, [Serve] runs it with limits and a graceful end.
package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/telemetry"
	"github.com/probity-dev/probity/token"
)

// Config is what the service works with.
type Config struct {
	// Issuer is the instance URL, without a trailing slash.
	Issuer    string
	Appraiser *appraisal.Appraiser
	Provider  Provider
	// Signers are the keys of the key set; the first one signs.
	Signers []*token.Signer
	// Baselines and Held describe the collateral at hand: Intel's sets, and
	// everything.
	Baselines func() []collateral.About
	Held      func() []collateral.Item
	// WarnBefore is how long before its end collateral counts as about to
	// expire.
	WarnBefore time.Duration
	Limits     Limits
	Log        *slog.Logger
	Metrics    *telemetry.Metrics
	// Now is the clock of tokens.
	Now func() time.Time
	// AppraisalTime, if not zero, is when all evidence is judged. It is for
	// development only, and every answer says so.
	AppraisalTime time.Time
	// Version names the program in answers.
	Version string
	// Store keeps changes of policies.
	Store policyStore
	// Sealer keeps what clients bring back: challenges and enrolments.
	Sealer Sealer
	// TPM says how TPMs are challenged and enrolled.
	TPM TPM
	// AdminTokenHash is the SHA-256 of the bearer token that may read and
	// change policies. Zero means that nobody may change them.
	AdminTokenHash [sha256.Size]byte
	// Ready returns an error while the service should get no requests.
	Ready func(context.Context) error
}

// Provider is the tenant that the service answers for.
type Provider struct {
	Name string
	// Policies are those in force, by type. A type without an entry has none.
	Policies map[evidence.Kind]PolicyInForce
	TCB      appraisal.TCBPolicy
	// Explain lets clients see rule by rule why a policy denied.
	Explain bool
	// MaxValidity caps what a policy may ask for with
	// report_validity_in_minutes. Zero means 8 hours.
	MaxValidity time.Duration
}

// Limits bound what requests may take.
type Limits struct {
	Body       int64
	Concurrent int
	Time       time.Duration
	Shutdown   time.Duration
}

// Server answers requests.
type Server struct {
	cfg   Config
	slots chan struct{} // one for each running attestation

	policies policies
}

// New returns a server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, slots: make(chan struct{}, cfg.Limits.Concurrent)}
	for kind, in := range cfg.Provider.Policies {
		s.policies.set(kind, in)
	}
	return s
}

// Serve answers requests on l until ctx ends; then it lets running requests
// end, and returns.
func Serve(ctx context.Context, l net.Listener, certificates *tls.Config, handler http.Handler, limits Limits, log *slog.Logger) error {
	s := &http.Server{
		Handler:           handler,
		TLSConfig:         certificates,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       limits.Time,
		WriteTimeout:      limits.Time + 5*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, "", "") }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping", "grace", limits.Shutdown.String())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.Shutdown)
	defer cancel()
	err := s.Shutdown(end)
	if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
