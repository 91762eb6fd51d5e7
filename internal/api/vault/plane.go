// Package vault is the vault API of each provider, as Azure Key Vault and Managed HSM have it, so far as it is about
// keys that are kept and released: their clients work against it. Package internal/vault decides; this package reads
// requests and writes answers.
//
// Cryptographic operations with keys (encrypt, sign, wrapKey) are not part of it.
package vault

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/issuer"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// Plane answers the routes of the vault.
type Plane struct {
	Vault *vault.Vault
	// Authorities are the issuers that release policies may name besides the provider itself.
	Authorities func() []string
	Bodies      *edge.Bodies
	// Concurrent is how many calls that work with keys run at once, of all providers together.
	Concurrent chan struct{}
	Now        func() time.Time
	// Withhold, if not nil, records that an answer never left the service.
	Withhold func(provider string, e ledger.Entry, reason string)
}

// statuses are the HTTP statuses of the codes of refusals.
var statuses = map[string]int{
	vault.CodeBadParameter: http.StatusBadRequest,
	vault.CodeForbidden:    http.StatusForbidden,
	vault.CodeNotFound:     http.StatusNotFound,
	vault.CodeConflict:     http.StatusConflict,
	vault.CodeUnavailable:  http.StatusServiceUnavailable,
}

// Answer turns the errors of a handler into the documents of Azure Key Vault.
func Answer(handle edge.Handler) edge.Handler {
	return func(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
		return refusal(handle(w, r, c), true)
	}
}

// refusal is the document of an error. Where the reason is not for the caller, only Azure's text is.
func refusal(err error, explain bool) error {
	var refused *vault.Refusal
	switch {
	case errors.Is(err, issuer.ErrUnavailable):
		return edge.Unavailable(15, vault.CheckIssuer.FailedWith("keys of the token's issuer",
			"the issuer cannot be reached", "try again after the time in Retry-After"))
	case errors.Is(err, vault.ErrUnavailable):
		e := edge.Unavailable(15, vault.CheckAvailable.Failed("a PKCS#11 token or transit service that answers",
			"no answer, or an answer of an error"))
		e.Cause = err
		return e
	case !errors.As(err, &refused):
		return err
	}
	e := &edge.Error{Status: statuses[refused.Code], Code: refused.Code, Message: refused.Message}
	if refused.Code == vault.CodeUnavailable {
		e.Header = http.Header{"Retry-After": {"15"}}
	}
	e.Inner = &edge.Inner{Code: refused.Inner}
	if explain {
		c := refused.Check
		e.Inner.Check, e.Inner.Expected, e.Inner.Found, e.Inner.Remedy = c.ID, c.Expected, c.Found, c.Remedy
		if e.Inner.Code == "" {
			e.Inner.Code = c.ID
		}
	}
	if *e.Inner == (edge.Inner{}) {
		e.Inner = nil
	}
	return e
}

// members reads the names of members in any case, as Azure does: its client for JavaScript imports with Hsm.
var members = json.MatchCaseInsensitiveNames(true)

// read reads the body of a request. Members that this service does not know are ignored, as Azure does.
func (p *Plane) read(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return err
	}
	if jsontext.Value(body).Kind() == 'n' {
		return bad(edge.CheckBody, "a JSON object as the documentation of the route has it", "null")
	}
	if err := json.Unmarshal(body, v, members); err != nil {
		return bad(edge.CheckBody, "a JSON object as the documentation of the route has it", jsonerror.Text(err))
	}
	return nil
}

// Work is a handler that makes, opens or wraps keys: it takes one of the provider's places and one of the service's, so
// that a provider with many callers keeps no other one out.
func (p *Plane) Work(handle edge.Handler) edge.Handler {
	return func(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
		free, wait, ok := c.Provider.Take(p.Now())
		if !ok {
			return throttled(wait)
		}
		defer free()
		select {
		case p.Concurrent <- struct{}{}:
			defer func() { <-p.Concurrent }()
			return handle(w, r, c)
		default:
			return throttled(time.Second)
		}
	}
}

// throttled is Azure Key Vault's answer to too many calls.
func throttled(wait time.Duration) error {
	seconds := max(1, int((wait+time.Second-1)/time.Second))
	return &edge.Error{Status: http.StatusTooManyRequests, Code: "Throttled",
		Message: "Too many calls that work with keys are running, or the provider's quota is used up.",
		Header:  http.Header{"Retry-After": {strconv.Itoa(seconds)}}}
}

func bad(check *evidence.Definition, expected, found string) error {
	return &vault.Refusal{Code: vault.CodeBadParameter,
		Message: "The request has an invalid parameter: " + found + "; expected " + expected + ".",
		Check:   check.Failed(expected, found)}
}
