package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/probity-dev/probity/client"
)

// State is how the last attestation went.
type State string

// The states of a host.
const (
	// Pending: nothing was attested yet.
	Pending State = "pending"
	// Healthy: the service answered with a token.
	Healthy State = "healthy"
	// Unhealthy: the service refused. The token is gone.
	Unhealthy State = "unhealthy"
	// Unreachable: the service could not be reached, or the evidence could not be collected. The last token
	// stays until it expires.
	Unreachable State = "unreachable"
)

// Status is what the agent says about itself.
type Status struct {
	State State `json:"state"`
	// Since is when the state was reached, Attested when the last token was made.
	Since    time.Time `json:"since"`
	Attested time.Time `json:"attested,omitzero"`
	Next     time.Time `json:"next,omitzero"`
	// Reason says why the state is not healthy: the failed check, if there is one.
	Reason string         `json:"reason,omitempty"`
	Check  *client.Detail `json:"check,omitempty"`
	Misses int            `json:"misses"`
}

// Loop attests on a schedule.
type Loop struct {
	// Attest collects evidence and returns a token.
	Attest func(context.Context) (string, error)
	// Every is the time between attestations; up to Jitter is added at random, so
	// that a fleet does not ask all at once. Retry is the time after a failure.
	Every, Jitter, Retry time.Duration
	// TokenFile is where the token is kept, for its owner alone.
	TokenFile string
	Log       *slog.Logger
	// Now is the clock; nil means the system's.
	Now func() time.Time

	mu     sync.Mutex
	status Status
}

func (l *Loop) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// Run attests until ctx ends. It returns an error only for problems that do not go away by waiting.
func (l *Loop) Run(ctx context.Context) error {
	l.set(Status{State: Pending, Since: l.now()})
	for {
		wait := l.once(ctx)
		l.mu.Lock()
		l.status.Next = l.now().Add(wait)
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// once attests and returns how long to wait. Whatever goes wrong, the state is never
// the one before: an error must not leave a host attested.
func (l *Loop) once(ctx context.Context) time.Duration {
	token, err := l.Attest(ctx)
	if err == nil {
		err = l.keep(token)
	}
	if ctx.Err() != nil {
		return 0
	}
	before := l.Status()
	next := Status{Since: l.now(), Attested: before.Attested}
	var answer *client.Error
	switch {
	case err == nil:
		next.State, next.Attested = Healthy, l.now()
	case errors.As(err, &answer) && answer.Status >= 400 && answer.Status < 500 &&
		answer.Status != http.StatusTooManyRequests:
		next.State, next.Reason, next.Misses = Unhealthy, answer.Message, before.Misses+1
		if len(answer.Details) > 0 {
			next.Check = &answer.Details[0]
		}
		if l.TokenFile != "" {
			if err := os.Remove(l.TokenFile); err != nil && !errors.Is(err, os.ErrNotExist) {
				next.Reason += "; the old token could not be removed: " + err.Error()
			}
		}
	default:
		next.State, next.Reason, next.Misses = Unreachable, err.Error(), before.Misses+1
	}
	if next.State == before.State {
		next.Since = before.Since
	}
	l.set(next)
	if next.State == Healthy {
		l.Log.Info("attested", "token", l.TokenFile)
		return l.Every + jitter(l.Jitter)
	}
	l.Log.Warn("not attested", "state", string(next.State), "reason", next.Reason, "misses", next.Misses)
	return min(l.Every, l.Retry) + jitter(l.Jitter/4)
}

func jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most) // spreads load; no secret
}

func (l *Loop) keep(token string) error {
	if l.TokenFile == "" {
		return nil
	}
	if err := WriteSecret(l.TokenFile, []byte(token+"\n")); err != nil {
		return fmt.Errorf("token file: %w", err)
	}
	return nil
}

func (l *Loop) set(s Status) {
	l.mu.Lock()
	l.status = s
	l.mu.Unlock()
}

// Status returns how the last attestation went.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// ServeHTTP answers with the status as JSON: 200 if the host is healthy, otherwise
// 503.
func (l *Loop) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s := l.Status()
	w.Header().Set("Content-Type", "application/json")
	if s.State != Healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(s) // a client that went away is not an error of this program
}
