package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/strict/ascii"
)

// readiness is the answer of GET /readyz to all callers. It names no chip, no platform and no
// provider: those who may see them ask the operations listener.
type readiness struct {
	Status string `json:"status"`
	// Away lists what the service works without at the moment.
	Away []away `json:"away,omitzero"`
	// Collateral counts the pieces that are stored.
	Collateral collateralCounts `json:"collateral"`
	// StoppedLedgers counts alerts: the database was changed.
	StoppedLedgers int `json:"stoppedLedgers"`
	// AlteredState counts alerts of the same kind: providers, and the tokens of callers, that
	// the database holds and the service did not write.
	AlteredState int `json:"alteredState"`
}

// away is a part that does not answer, with what goes on and what does not.
type away struct {
	What   string `json:"what"`
	Effect string `json:"effect"`
}

type collateralCounts struct {
	Held     int `json:"held"`
	Expiring int `json:"expiring"`
	Expired  int `json:"expired"`
}

// details is the answer of GET /readyz on the operations listener.
type details struct {
	readiness
	Collateral []collateralItem `json:"collateral"`
	// StoppedLedgers are alerts: the database was changed.
	StoppedLedgers []stoppedLedger `json:"stoppedLedgers,omitzero"`
	// AlteredState has the reasons, by what was altered.
	AlteredState map[string]string `json:"alteredState,omitzero"`
	// Problems are the errors of the parts that are unavailable.
	Problems []string `json:"problems,omitzero"`
}

// stoppedLedger is a ledger whose history in the database is not the one that was
// signed.
type stoppedLedger struct {
	Provider string    `json:"provider"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason"`
	Remedy   string    `json:"remedy"`
}

// collateralItem is a piece of collateral with what is to be known of its age.
type collateralItem struct {
	collateral.Item
	Expired bool `json:"expired"`
	// Expiring says that it is about to expire, or has.
	Expiring bool `json:"expiring"`
}

// maxReadyItems bounds the answer; chips' certificates may be many.
const maxReadyItems = 500

var readyFor = edge.Shaped(`attestation|changes`, "attestation or changes")

// readyz answers whether the service can attest, or with ?for=changes whether it takes
// changes, and what it works without.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request, _ *edge.Call) error {
	if s.draining.Load() {
		return errDraining()
	}
	purpose, _, err := edge.QueryText(r, "for", readyFor)
	if err != nil {
		return err
	}
	if purpose == "changes" {
		if err := s.changes.ask(r.Context(), s.cfg.Health.Changes); err != nil {
			s.cfg.Log.WarnContext(r.Context(), "not ready for changes", "err", err.Error())
			return &edge.Error{Status: http.StatusServiceUnavailable, Code: edge.CodeUnavailable,
				Message: "the database takes no changes now: it is unavailable, read-only or full; " +
					"attestation goes on",
				Header: http.Header{"Retry-After": {"5"}}}
		}
	}
	answer, _ := s.readiness(r.Context())
	return edge.WriteJSON(w, answer)
}

// Drain makes /readyz answer that the service is about to stop. All else goes on.
func (s *Server) Drain() { s.draining.Store(true) }

func errDraining() *edge.Error {
	return &edge.Error{
		Status:  http.StatusServiceUnavailable,
		Code:    edge.CodeUnavailable,
		Message: "draining: the service is about to stop; send requests to another node",
		Header:  http.Header{"Retry-After": {"5"}},
	}
}

func (s *Server) readiness(ctx context.Context) (answer readiness, problems []string) {
	answer = readiness{Status: "ready", StoppedLedgers: len(s.stopped())}
	if s.cfg.Registry != nil {
		answer.AlteredState = len(s.cfg.Registry.Altered())
	}
	for _, item := range s.items() {
		answer.Collateral.Held++
		if item.Expired {
			answer.Collateral.Expired++
		} else if item.Expiring {
			answer.Collateral.Expiring++
		}
	}
	if s.cfg.Health.Ready != nil {
		if err := s.cfg.Health.Ready(ctx); err != nil {
			s.cfg.Log.WarnContext(ctx, "the database does not answer", "err", err.Error())
			problems = append(problems, "database: "+err.Error())
			answer.Away = append(answer.Away, away{"database", "attestation goes on; " +
				"changes are refused, decisions wait to be recorded, and providers that fail closed refuse"})
		}
	}
	return answer, problems
}

// items describes the collateral that is stored.
func (s *Server) items() []collateralItem {
	list := []collateralItem{}
	at := s.now()
	for _, item := range s.cfg.Health.Held() {
		list = append(list,
			collateralItem{item, at.After(item.NextUpdate), at.After(item.NextUpdate.Add(-s.cfg.Health.WarnBefore))})
	}
	return list
}

// Operations returns what operators see: all metrics and readiness in detail, with the
// names of chips, platforms and providers. It asks no caller who he is: it belongs on a
// loopback address.
func (s *Server) Operations() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.cfg.Metrics.Details())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { _ = s.healthz(w, r, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		brief, problems := s.readiness(r.Context())
		answer := details{readiness: brief, Collateral: s.items(), Problems: problems}
		answer.Collateral = answer.Collateral[:min(len(answer.Collateral), maxReadyItems)]
		if s.cfg.Registry != nil {
			answer.AlteredState = s.cfg.Registry.Altered()
		}
		for _, stop := range s.stopped() {
			answer.StoppedLedgers = append(answer.StoppedLedgers,
				stoppedLedger{stop.Provider, stop.Since, stop.Reason, ledger.RemedyStopped})
		}
		if s.draining.Load() {
			answer.Status = "draining"
		}
		body, err := json.Marshal(answer, json.Deterministic(true))
		if err != nil {
			http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
			return
		}
		status := http.StatusOK
		if s.draining.Load() {
			status = http.StatusServiceUnavailable
		}
		edge.WriteBody(w, status, body)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Security: a page that a browser on this machine shows must not read it under a name
		// that its owner points here.
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if !ascii.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "use localhost or a loopback address", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// probe asks at most once a second: any client may ask, and each question writes.
type probe struct {
	mu   sync.Mutex
	at   time.Time
	last error
}

func (p *probe) ask(ctx context.Context, f func(context.Context) error) error {
	if f == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.at).Abs() >= time.Second {
		p.last, p.at = f(context.WithoutCancel(ctx)), now
	}
	return p.last
}

// healthz answers whether the process lives.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request, _ *edge.Call) error {
	return edge.WriteJSON(w, map[string]string{"status": "ok", "version": s.cfg.Version})
}

// stopped returns the first of the ledgers that are stopped.
func (s *Server) stopped() []*ledger.Stop {
	if s.cfg.Ledger == nil {
		return nil
	}
	all := s.cfg.Ledger.Stopped()
	return all[:min(len(all), maxReadyItems)]
}

// metrics answers GET /metrics.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request, _ *edge.Call) error {
	s.cfg.Metrics.Handler().ServeHTTP(w, r)
	return nil
}
