// Package server is the HTTP service: the data plane of the Azure Attestation
// wire protocol, health and metrics. It is built on the verdicts of package
// appraisal and keeps what requests need in memory.
//
// [New] returns the handler, [Serve] runs it with limits and a graceful end.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/telemetry"
)

// Config is what the service works with.
type Config struct {
	Registry *provider.Registry
	// Auth tells who calls, Authorization is what a refused caller is pointed to: a
	// token endpoint's base, or empty.
	Auth          *auth.Authenticator
	Authorization string
	// HostSuffix, if not empty, is what follows a provider's name in its host name.
	HostSuffix string
	Appraiser  *appraisal.Appraiser
	// Baselines and Held describe the collateral at hand: Intel's sets, and
	// everything.
	Baselines func() []collateral.About
	Held      func() []collateral.Item
	// WarnBefore is how long before its end collateral counts as about to
	// expire.
	WarnBefore time.Duration
	Limits     Limits
	// Bodies bounds the memory of request bodies; nil bounds nothing.
	Bodies  *Budget
	Log     *slog.Logger
	Metrics *telemetry.Metrics
	// Now is the clock of tokens.
	Now func() time.Time
	// AppraisalTime, if not zero, is when all evidence is judged. It is for
	// development only, and every answer says so.
	AppraisalTime time.Time
	// Version names the program in answers.
	Version string
	Store   Store
	// Ledger takes decisions; CheckpointKey verifies its checkpoints.
	Ledger        Ledger
	CheckpointKey string
	// Rotation says how signing keys follow each other.
	Rotation keys.Rotation
	// Sealer keeps what clients bring back: challenges and enrolments.
	Sealer Sealer
	// TPM says how TPMs are challenged and enrolled.
	TPM TPM
	// Extra, if not nil, answers below ExtraPrefix on the service's own address, and
	// nothing that a route does.
	Extra       http.Handler
	ExtraPrefix string
	// Ready returns an error while the database does not answer. Attestation goes on without
	// it. Changes returns an error while it takes no changes.
	Ready, Changes func(context.Context) error
}

// Store is what this package needs of a store.
type Store interface {
	ledger.Store
	UseOnce(ctx context.Context, word string, now, expires time.Time) (bool, error)
	PolicyHistory(ctx context.Context, provider, kind string) ([]store.PolicyVersion, error)
	Proposals(ctx context.Context, provider string) ([]store.Proposal, error)
	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	Tokens(ctx context.Context) ([]store.Token, error)
}

// Ledger records decisions.
type Ledger interface {
	Record(ctx context.Context, provider string, e ledger.Entry, wait bool) error
	// Withhold puts on record that the token of a decision never left.
	Withhold(provider string, of ledger.Entry, reason string)
	// Cosigned returns the newest checkpoint that a witness cosigned, or "".
	Cosigned(provider string) (text string, size int64)
	// Stopped returns the ledgers whose history was changed.
	Stopped() []*ledger.Stop
}

// Limits bound what requests may take.
type Limits struct {
	Body       int64
	Concurrent int
	Time       time.Duration
	Shutdown   time.Duration
	// Streams is how many requests one HTTP/2 connection may have open; 0 means 32.
	Streams int
}

// Server answers requests.
type Server struct {
	cfg   Config
	slots chan struct{} // one for each running attestation
	// changes remembers for a moment whether changes are taken.
	changes  probe
	draining atomic.Bool
	// callers tells who calls; it is replaced when the configuration is read again.
	callers atomic.Pointer[auth.Authenticator]
}

// New returns a server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, slots: make(chan struct{}, cfg.Limits.Concurrent)}
	s.callers.Store(cfg.Auth)
	return s
}

// SetAuth replaces who tells callers, for the requests that begin from now on.
func (s *Server) SetAuth(a *auth.Authenticator) { s.callers.Store(a) }

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
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: cmp.Or(limits.Streams, 32),
			// What the peer may send before a handler reads it.
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			MaxReadFrameSize:              16 << 10,
			SendPingTimeout:               30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 15 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
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
