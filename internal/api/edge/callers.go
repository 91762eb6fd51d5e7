package edge

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/strict/ascii"
)

// Locate finds the provider of a request: by the path prefix /p/NAME, by the host
// name, or else the default one. It returns the path behind the prefix.
func (s *Server) Locate(r *http.Request) (t *provider.Provider, path string, err error) {
	path = r.URL.Path
	name := ""
	atHost, err := s.providerOfHost(r.Host)
	if err != nil {
		return nil, path, err
	}
	rest, prefixed := cutPrefixFold(path, "/p/")
	if prefixed {
		name, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	} else {
		name = atHost
	}
	if name == "" && !prefixed {
		return s.Registry.Default(), path, nil
	}
	t, ok := s.Registry.Get(name)
	if !ok {
		return nil, path, Failed(http.StatusNotFound, CodeNotFound,
			provider.CheckProvider.FailedWith("an attestation provider",
				fmt.Sprintf("no provider named %.64q", name),
				"compare the address with the provider's attestUri"))
	}
	return t, path, nil
}

// providerOfHost returns the provider that a host name names, or "" for the service's own. A
// name under the suffix that is no provider's is refused, whatever the path is.
func (s *Server) providerOfHost(host string) (name string, err error) {
	if s.HostSuffix == "" {
		return "", nil
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	suffix, _, _ := strings.Cut(s.HostSuffix, ":")
	label, ok := strings.CutSuffix(ascii.Lower(strings.TrimSuffix(host, ".")), "."+ascii.Lower(suffix))
	if ok && !strings.Contains(label, ".") {
		name = label
	}
	if _, known := s.Registry.Get(name); ok && !known {
		// Security: the default provider must not answer under a name that is not its own.
		return "", Failed(http.StatusMisdirectedRequest, CodeMisdirected,
			provider.CheckProvider.FailedWith("the host name of an attestation provider",
				fmt.Sprintf("host %.140q, at which no provider is", host),
				"compare the address with the provider's attestUri"))
	}
	return name, nil
}

func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !ascii.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// privateAddress reports whether a provider without public access may answer: to
// addresses of private networks alone.
func privateAddress(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast())
}

// crossOrigin refuses what a browser sends for a page of another site, unless it only
// reads: a client certificate of the browser would be shown to the service.
var crossOrigin = http.NewCrossOriginProtection()

// Allow finds the caller where a route needs one, and checks the role.
func (s *Server) Allow(r *http.Request, found *Route, c *Call) error {
	// By name: the provider may have been read again since the request was located.
	isDefault := c.Provider.Name == store.DefaultProvider
	if !isDefault && found.At != AtProvider {
		return Failed(http.StatusNotFound, CodeNotFound,
			CheckPath.FailedWith("the base URL of the service, which alone serves this path",
				"a request to provider "+c.Provider.Name, "send it without the provider's prefix or host name"))
	}
	if found.At == AtProvider && ascii.EqualFold(c.Provider.PublicNetworkAccess, "Disabled") &&
		!privateAddress(r) {
		return &Error{
			Status:  http.StatusForbidden,
			Code:    CodeForbidden,
			Message: "the provider answers only clients of private networks (publicNetworkAccess is Disabled)",
		}
	}
	need := needed(found.Role, c)
	if need == auth.Nobody {
		return nil
	}
	if err := crossOrigin.Check(r); err != nil {
		return Failed(http.StatusForbidden, CodeForbidden, CheckOrigin.FailedWith(
			"a change that does not come from a page of another site",
			fmt.Sprintf("Origin %.140q, Sec-Fetch-Site %.20q", r.Header.Get("Origin"),
				r.Header.Get("Sec-Fetch-Site")),
			"send changes from a program, or from a page of the service's own address",
		))
	}
	caller, err := s.callers.Load().Caller(r)
	if err != nil {
		return s.challenge401(r, found, err)
	}
	c.Caller = caller
	at, ok := c.Provider.Name, false
	switch found.At {
	case AtProvider:
		ok = caller.May(need, at)
	case AtNamed:
		at = c.Params["provider"]
		ok = caller.May(need, at)
	case Everywhere:
		at = "all providers"
		ok = caller.May(need, auth.Everywhere)
	case AtSome:
		at, ok = "any provider", len(caller.Grants) > 0
	}
	if !ok {
		return Failed(http.StatusForbidden, CodeForbidden, CheckRole.FailedWith("the role "+need.String()+" at "+at,
			"a caller without it: "+caller.Name,
			"let an owner grant the role: a rule under callers in the configuration, "+
				"or probity token create"))
	}
	return nil
}

// needed is the role that a row needs at the provider of a call.
func needed(role auth.Role, c *Call) auth.Role {
	switch {
	case role == ByProvider && c.Provider.TPMNeedsCaller():
		return auth.Reader
	case role == ByVault && !c.Provider.Settings.Vault.Anonymous:
		return auth.Releaser
	case role == ByProvider, role == ByVault:
		return auth.Nobody
	}
	return role
}

// VaultResource is what tokens of callers of a vault are for, by the host (HOST or HOST:PORT) at which they call it: the
// parent domain, if there is one. Clients of Key Vault compare it with the end of the vault's own name.
func VaultResource(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if _, parent, ok := strings.Cut(host, "."); ok && net.ParseIP(host) == nil {
		host = parent
	}
	return "https://" + host
}

// resource is what tokens of callers are for.
func (s *Server) resource(r *http.Request, found *Route) string {
	if found.Versioned != KeyVault {
		return "https://attest.azure.net"
	}
	return printable(VaultResource(r.Host))
}

// challenge401 says how to authenticate, in the form that Key Vault's clients
// read.
func (s *Server) challenge401(r *http.Request, found *Route, err error) error {
	if errors.Is(err, auth.ErrUnavailable) {
		s.Log.WarnContext(r.Context(), "a caller cannot be known", "err", err.Error())
		return &Error{
			Status:  http.StatusServiceUnavailable,
			Code:    CodeUnavailable,
			Message: auth.ErrUnavailable.Error(),
			Header:  http.Header{"Retry-After": {"5"}},
		}
	}
	e := Failed(http.StatusUnauthorized, CodeUnauthorized,
		CheckCaller.FailedWith(
			"a credential that this service knows",
			err.Error(),
			"send Authorization: Bearer with the administrator's token, one of probity token create made "+
				"at this service, or one of an issuer that its configuration lists",
		))
	resource := strings.ReplaceAll(s.resource(r, found), `"`, "")
	challenge := `Bearer resource="` + resource + `"`
	if s.Authorization != "" {
		challenge = `Bearer authorization="` + s.Authorization + `", resource="` + resource + `"`
	}
	e.Header = http.Header{"WWW-Authenticate": {challenge}}
	return e
}
