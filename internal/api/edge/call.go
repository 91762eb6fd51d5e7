package edge

import (
	"net/http"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/strict/ascii"
)

// Call is what is known of a request when its route runs.
type Call struct {
	Provider *provider.Provider
	// Kind is the attestation type that the path names, or "".
	Kind evidence.Kind
	// Caller is nil on routes that need no role.
	Caller *auth.Caller
	// Params are the variable parts of the path.
	Params map[string]string
	// ID is the service's own; ClientIDs are what the client sent as its ids.
	ID        string
	ClientIDs map[string]string
	// Undelivered, if the route sets it, is called with the reason when the answer did not
	// reach the client.
	Undelivered func(reason string)
}

// By names the caller in records of changes.
func (c *Call) By() provider.By {
	by := provider.By{Request: c.ID, Client: c.ClientIDs}
	if c.Caller != nil {
		by.Caller, by.Role = c.Caller.Name, c.Caller.RoleAt(c.Provider.Name)
	}
	return by
}

// LegacyVersion has its own names for members and answers.
const LegacyVersion = "2018-09-01-preview"

// Legacy reports whether a request speaks [LegacyVersion].
func Legacy(r *http.Request) bool {
	return ascii.EqualFold(r.URL.Query().Get("api-version"), LegacyVersion)
}
