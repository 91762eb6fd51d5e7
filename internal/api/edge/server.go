// Package edge is what every request passes before its route and after it: the limits of
// connections, bodies and time, the provider that the address names, the caller and its role,
// the error document, and TLS.
//
// It knows no route: [New] gets the table.
package edge

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/telemetry"
)

// Config is what the edge works with.
type Config struct {
	Routes   []Route
	Registry *provider.Registry
	// Auth tells who calls, Authorization is what a refused caller is pointed to: a
	// token endpoint's base, or empty.
	Auth          *auth.Authenticator
	Authorization string
	// HostSuffix, if not empty, is what follows a provider's name in its host name.
	HostSuffix string
	Limits     Limits
	Bodies     *Bodies
	Log        *slog.Logger
	Metrics    *telemetry.Metrics
	// AppraisalTime, if not zero, is when all evidence is judged; every answer says so.
	AppraisalTime time.Time
	// Version names the program in answers.
	Version string
	// Extra, if not nil, answers below ExtraPrefix on the service's own address, and
	// nothing that a route does.
	Extra       http.Handler
	ExtraPrefix string
}

// Server finds the route of each request and runs it.
type Server struct {
	Config
	table table
	// callers tells who calls; it is replaced when the configuration is read again.
	callers atomic.Pointer[auth.Authenticator]
}

// New returns a server of the routes.
func New(cfg Config) *Server {
	s := &Server{Config: cfg, table: newTable(cfg.Routes)}
	s.callers.Store(cfg.Auth)
	return s
}

// SetAuth replaces who tells callers, for the requests that begin from now on.
func (s *Server) SetAuth(a *auth.Authenticator) { s.callers.Store(a) }
