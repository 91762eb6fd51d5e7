// Package kbs answers stock guests of Confidential Containers in their own protocol: the challenge, the
// attestation, and the resources, which are keys of the provider's vault.
//
// Package internal/kbs reads the messages; the data plane decides about the evidence, and internal/vault
// about the keys. Between the requests of a guest the service keeps nothing: its session is in its
// cookie, sealed.
package kbs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/api/data"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/kbs"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/vault"
)

// Plane answers the routes of the protocol.
type Plane struct {
	Data  *data.Plane
	Vault *vault.Vault
	// Sealer seals sessions, and Store takes their nonces, each once.
	Sealer data.Sealer
	Store  data.Store
	Bodies *edge.Bodies
	Now    func() time.Time
	// Withhold, if not nil, records that an answer never left the service.
	Withhold func(provider string, e ledger.Entry, reason string)
}

// The error types of the protocol that guests are answered with.
const (
	typeAttestation = "AttestationError"
	typeMessage     = "SerdeError"
	typePath        = "InvalidRequestPath"
	typeDenied      = "PolicyDeny"
	typeNoToken     = "TokenNotFound"
	typeToken       = "TokenVerifierError"
	typePlugin      = "PluginInternalError"
)

// typePrefix is in front of the types in error documents. Clients compare it; it leads nowhere.
const typePrefix = "https://github.com/confidential-containers/kbs/errors/"

// Answer turns the errors of a handler into the error documents of the protocol (RFC 7807).
func Answer(handle edge.Handler) edge.Handler {
	return func(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
		err := handle(w, r, c)
		if err == nil {
			return nil
		}
		e, internal := problem(err, c)
		for name, values := range e.Header {
			w.Header()[name] = values
		}
		body, failure := json.Marshal(map[string]string{"type": typePrefix + e.Code, "detail": e.Message})
		if failure != nil {
			return failure
		}
		w.Header().Set("x-ms-error-code", e.Code)
		edge.WriteBody(w, e.Status, body)
		if internal {
			return err // the log has it
		}
		return e
	}
}

// problem is the error that a guest sees. Guests attest again after 401, and give up after the others.
func problem(err error, c *edge.Call) (e *edge.Error, internal bool) {
	var refused *kbs.Refused
	var release *vault.Refusal
	switch {
	case errors.As(err, &refused):
		e = edge.Failed(http.StatusUnauthorized, typeAttestation, refused.Check)
		switch {
		case errors.Is(err, kbs.CheckRequest), errors.Is(err, kbs.CheckMessage):
			e.Status, e.Code = http.StatusBadRequest, typeMessage
		case errors.Is(err, kbs.CheckAnonymous):
			e.Status, e.Code = http.StatusForbidden, typeDenied
		}
		e.Message += "; " + refused.Remedy
		return e, false
	case errors.As(err, &release):
		return released(release, c), false
	}
	e, internal = edge.AsError(err)
	shown := *e
	shown.Code = typeAttestation
	if shown.Status == http.StatusBadRequest {
		shown.Status = http.StatusUnauthorized // evidence, or what the provider lacks to judge it
	}
	return &shown, internal
}

// fresh are the checks of a release that another attestation may pass.
var fresh = []error{vault.CheckIssuer, vault.CheckTokenSignature, vault.CheckTokenTimes, vault.CheckTokenKind,
	vault.CheckGuestKey, vault.CheckChallenge, vault.CheckOnce}

// released is the refusal of a resource. Where the reason is not for the caller, only its text is.
func released(r *vault.Refusal, c *edge.Call) *edge.Error {
	e := edge.Failed(http.StatusForbidden, typeDenied, r.Check)
	switch {
	case r.Code == vault.CodeNotFound, errors.Is(r, vault.CheckKeyName):
		e.Status, e.Code = http.StatusNotFound, typePath
	case r.Code == vault.CodeUnavailable:
		e.Status, e.Code, e.Header = http.StatusServiceUnavailable, typePlugin,
			http.Header{"Retry-After": {"15"}}
	}
	for _, check := range fresh {
		if errors.Is(r, check) {
			e.Status, e.Code = http.StatusUnauthorized, typeToken
		}
	}
	if !c.Provider.Settings.Vault.Explain {
		e.Message = r.Message
	}
	return e
}

// once takes a nonce, on all nodes that share the store.
func (p *Plane) once(ctx context.Context, s *session) error {
	free, err := p.Store.UseOnce(ctx, "kbs nonce:"+s.Provider+" "+s.Nonce, p.Now(), s.Expires.Add(time.Second))
	if err != nil {
		return err
	}
	if !free {
		return refuse(kbs.CheckUsed, "a nonce that was not answered before", "a second answer to the nonce")
	}
	return nil
}
