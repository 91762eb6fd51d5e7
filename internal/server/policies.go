package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
)

// policyStore is what this package needs of a store.
type policyStore interface {
	PutPolicy(ctx context.Context, p store.Policy) error
	DeletePolicy(ctx context.Context, provider, kind string) error
	UseOnce(ctx context.Context, word string, now, expires time.Time) (bool, error)
}

// PolicyInForce is a policy with the form in which it was submitted.
type PolicyInForce struct {
	Submitted *token.SubmittedPolicy
	Policy    *policy.Policy // nil for a type that has none
}

// policies holds the policies in force. Requests read a snapshot; changes are
// made one at a time, first in the store and then here, so that one that fails
// changes nothing.
type policies struct {
	changing sync.Mutex // held while a policy is changed
	current  atomic.Pointer[map[evidence.Kind]PolicyInForce]
}

func (p *policies) get(kind evidence.Kind) PolicyInForce { return (*p.current.Load())[kind] }

// set must be called with changing held, or before the service runs.
func (p *policies) set(kind evidence.Kind, in PolicyInForce) {
	next := map[evidence.Kind]PolicyInForce{}
	if current := p.current.Load(); current != nil {
		next = maps.Clone(*current)
	}
	next[kind] = in
	p.current.Store(&next)
}

// DefaultPolicy returns the policy of a type that has none of its own, in the
// form in which a client would have submitted it.
func DefaultPolicy(kind evidence.Kind) (PolicyInForce, error) {
	text := policy.Default(string(kind))
	if text == "" {
		return PolicyInForce{Submitted: &token.SubmittedPolicy{JWS: token.NoPolicy, Empty: true}}, nil
	}
	jws, err := token.WrapPolicy(nil, text, nil, nil)
	if err != nil {
		return PolicyInForce{}, err
	}
	return ReadPolicy(jws)
}

// ReadPolicy reads a policy from its submitted form. The error wraps
// token.ErrPolicyJWS, or is a *policy.ParseError.
func ReadPolicy(jws string) (PolicyInForce, error) {
	submitted, err := token.ParsePolicy(jws)
	if err != nil {
		return PolicyInForce{}, err
	}
	parsed, err := policy.Parse(submitted.Text)
	return PolicyInForce{submitted, parsed}, err
}

// authorize checks the administrator's bearer token.
func (s *Server) authorize(r *http.Request) error {
	refuse := func(message string) error {
		return &apiError{status: http.StatusUnauthorized, code: codeUnauthorized, message: message,
			header: http.Header{"WWW-Authenticate": {`Bearer resource="https://attest.azure.net"`}}}
	}
	if s.cfg.AdminTokenHash == [sha256.Size]byte{} {
		return refuse("no administrator token is configured, so nobody may change policies")
	}
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return refuse("this route needs the administrator's bearer token")
	}
	// Hashes have one length, so comparing them tells nothing about the token.
	sum := sha256.Sum256([]byte(strings.TrimSpace(bearer)))
	if subtle.ConstantTimeCompare(sum[:], s.cfg.AdminTokenHash[:]) != 1 {
		return refuse("the bearer token is not the administrator's")
	}
	return nil
}

// getPolicy answers GET /policies/{type}. It asks for the token only if there
// is one: without one, the policies are the defaults.
func (s *Server) getPolicy(w http.ResponseWriter, r *http.Request, kind evidence.Kind) error {
	if s.cfg.AdminTokenHash != [sha256.Size]byte{} {
		if err := s.authorize(r); err != nil {
			return err
		}
	}
	return s.answer(w, map[string]any{"x-ms-policy": s.policies.get(kind).Submitted.JWS})
}

// answer sends a management token.
func (s *Server) answer(w http.ResponseWriter, members map[string]any) error {
	payload, err := token.Management(s.cfg.Issuer, s.cfg.Now(), members)
	if err != nil {
		return err
	}
	signed, err := s.cfg.Signers[0].Sign(payload)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"token": signed})
}

// submitted reads the body of a policy change: a compact JWS, bare or as a JSON
// string, whatever the content type says.
func (s *Server) submitted(w http.ResponseWriter, r *http.Request) (string, error) {
	body, err := s.readBody(w, r)
	if err != nil {
		return "", err
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return "", invalidOperation("the body is empty; send the policy as a JWS")
	}
	if body[0] != '"' {
		return string(body), nil
	}
	var text string
	if err := json.Unmarshal(body, &text); err != nil {
		return "", invalidOperation("the body begins like a JSON string and is none")
	}
	return strings.TrimSpace(text), nil
}

func invalidOperation(found string) *apiError {
	return failed(http.StatusBadRequest, codeInvalidOperation, evidence.Check{ID: checkPolicyJWS,
		Expected: `a compact JWS with the payload {"AttestationPolicy": base64url(text)}`, Found: found,
		Remedy: "let the SDK make the body, or use probity policy sign"})
}

// putPolicy answers PUT /policies/{type}.
func (s *Server) putPolicy(w http.ResponseWriter, r *http.Request, kind evidence.Kind) error {
	if err := s.authorize(r); err != nil {
		return err
	}
	jws, err := s.submitted(w, r)
	if err != nil {
		return err
	}
	in, err := ReadPolicy(jws)
	if errors.Is(err, token.ErrPolicyJWS) {
		return invalidOperation(err.Error())
	}
	if err != nil {
		return err
	}
	if err := s.checkBaseline(in.Policy); err != nil {
		return err
	}
	s.policies.changing.Lock()
	defer s.policies.changing.Unlock()
	record := store.Policy{Provider: s.cfg.Provider.Name, Kind: string(kind), JWS: jws, Updated: s.cfg.Now()}
	if err := s.cfg.Store.PutPolicy(r.Context(), record); err != nil {
		return err
	}
	s.policies.set(kind, in)
	members := map[string]any{"x-ms-policy-result": "Updated", "x-ms-policy-token-hash": in.Submitted.Hash()}
	if key := in.Submitted.SignerKey(); key != nil {
		members["x-ms-policy-signer"] = key
	}
	return s.answer(w, members)
}

// checkBaseline refuses a policy that pins a TCB baseline of which there is no
// collateral: no evidence could pass it.
func (s *Server) checkBaseline(p *policy.Policy) error {
	settings, err := p.Settings()
	if err != nil {
		return err
	}
	value, pinned := settings["x-ms-sgx-tcbidentifier"]
	text, _ := value.Text()
	if !pinned || text == "azuredefault" {
		return nil
	}
	var held []string
	for _, about := range s.cfg.Baselines() {
		n := strconv.FormatUint(uint64(about.EvaluationNumber), 10)
		if n == text {
			return nil
		}
		if !slices.Contains(held, n) {
			held = append(held, n)
		}
	}
	return badRequest("policy.tcb-identifier", "azuredefault, or a TCB evaluation data number with collateral: "+strings.Join(held, ", "), value.String(),
		"provide collateral of that number first")
}

// resetPolicy answers POST /policies/{type}:reset.
func (s *Server) resetPolicy(w http.ResponseWriter, r *http.Request, kind evidence.Kind) error {
	if err := s.authorize(r); err != nil {
		return err
	}
	jws, err := s.submitted(w, r)
	if err != nil {
		return err
	}
	if _, err := token.ParsePolicy(jws); err != nil {
		return invalidOperation(err.Error())
	}
	standard, err := DefaultPolicy(kind)
	if err != nil {
		return err
	}
	s.policies.changing.Lock()
	defer s.policies.changing.Unlock()
	if err := s.cfg.Store.DeletePolicy(r.Context(), s.cfg.Provider.Name, string(kind)); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.policies.set(kind, standard)
	return s.answer(w, map[string]any{"x-ms-policy-result": "Removed"})
}

// traceDetails explains a denial rule by rule, if the provider lets clients
// see its policy's inside.
func (s *Server) traceDetails(e *apiError, trace *policy.Trace) *apiError {
	if !s.cfg.Provider.Explain {
		return e
	}
	for _, r := range trace.Report().Rules {
		if r.Section == policy.Authorization {
			found := "matched"
			if !r.Matched {
				found = r.Failed
			}
			e.details = append(e.details, detail{Code: "policy.rule", Message: fmt.Sprintf("rule %d (line %d, %s): %s", r.Rule, r.Line, r.Action, found),
				Check: "policy.rule", Expected: r.Action, Found: found, Line: r.Line})
		}
	}
	return e
}
