package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/strict/ascii"
)

// apiVersions are the versions of the wire protocol. The routes have not
// changed their shape since 2020-10-01.
var apiVersions = []string{legacyVersion, "2020-10-01", "2021-06-01", "2021-06-01-preview", "2022-08-01", "2022-09-01", "2022-09-01-preview",
	"2023-04-01-preview", "2025-06-01", "2026-03-11-preview"}

// legacyVersion has its own names for members and answers.
const legacyVersion = "2018-09-01-preview"

// call is what is known of a request when its route runs.
type call struct {
	provider *provider.Provider
	kind     evidence.Kind
	caller   *auth.Caller // nil on routes for anybody
	// params are the variable parts of the path.
	params map[string]string
	// legacyPath says that the request came by the path of version 2018-09-01-preview.
	legacyPath bool
	// id is the service's own; clientIDs are what the client sent as its ids.
	id        string
	clientIDs map[string]string
	// decision is what was recorded, if the route made one.
	decision *ledger.Entry
}

// by names the caller in records of changes.
func (c *call) by() provider.By {
	by := provider.By{Request: c.id, Client: c.clientIDs}
	if c.caller != nil {
		by.Caller, by.Role = c.caller.Name, c.caller.RoleAt(c.provider.Name)
	}
	return by
}

// where says at what a role is needed.
type where int

const (
	// atProvider is the provider of the address.
	atProvider where = iota
	// atNamed is the provider that the path names; the route is of the bare address
	// alone.
	atNamed
	// atSome is any provider: answers hold what the caller may read.
	atSome
	// everywhere is all providers; the route is of the bare address alone.
	everywhere
)

// route is one row of the table: everything that the service answers, and what it
// needs of the caller.
type route struct {
	method string
	// path is compared without case; {type} stands for an attestation type.
	path string
	// versioned routes need the query parameter api-version.
	versioned bool
	need      auth.Role
	where     where
	handle    func(*Server, http.ResponseWriter, *http.Request, *call) error
}

const (
	anybody     = auth.Nobody
	reader      = auth.Reader
	contributor = auth.Contributor
	owner       = auth.Owner
)

var routes = []route{
	{"GET", "/.well-known/openid-configuration", false, anybody, atProvider, (*Server).discovery},
	{"GET", "/certs", false, anybody, atProvider, (*Server).keySet},
	{"POST", "/attest/{type}", true, anybody, atProvider, (*Server).attest}, // and see attestationNeed
	{"POST", "/attest/tee/{type}", true, anybody, atProvider, (*Server).attest},
	{"POST", "/tpm/enroll", false, anybody, atProvider, (*Server).enroll},
	{"GET", "/tcbbaselines/{type}", true, anybody, atProvider, (*Server).baselines},
	{"GET", "/healthz", false, anybody, atProvider, (*Server).healthz},
	{"GET", "/readyz", false, anybody, atProvider, (*Server).readyz},
	{"GET", "/metrics", false, anybody, atProvider, (*Server).metrics},

	{"GET", "/policies/{type}", true, reader, atProvider, (*Server).getPolicy},
	{"PUT", "/policies/{type}", true, contributor, atProvider, (*Server).putPolicy},
	{"POST", "/policies/{type}:reset", true, contributor, atProvider, (*Server).resetPolicy},
	{"POST", "/policies/{type}:rollback", false, contributor, atProvider, (*Server).rollbackPolicy},
	{"GET", "/policies/{type}/versions", false, reader, atProvider, (*Server).policyHistory},
	{"GET", "/policies/{type}/versions/{version}", false, reader, atProvider, (*Server).policyVersion},
	{"GET", "/proposals", false, reader, atProvider, (*Server).proposals},
	{"POST", "/proposals/{proposal}:approve", false, contributor, atProvider, (*Server).approve},
	{"DELETE", "/proposals/{proposal}", false, contributor, atProvider, (*Server).reject},
	{"GET", "/certificates", true, reader, atProvider, (*Server).getCertificates},
	{"POST", "/certificates:add", true, contributor, atProvider, (*Server).addCertificate},
	{"POST", "/certificates:remove", true, contributor, atProvider, (*Server).removeCertificate},

	{"GET", "/ledger", false, reader, atProvider, (*Server).searchLedger},
	{"GET", "/ledger/export", false, reader, atProvider, (*Server).exportLedger},
	{"GET", "/ledger/checkpoint", false, reader, atProvider, (*Server).checkpoint},
	{"GET", "/ledger/proof/{seq}", false, reader, atProvider, (*Server).proof},

	{"GET", "/signingkeys", false, reader, atProvider, (*Server).listKeys},
	{"POST", "/signingkeys:rotate", false, owner, atProvider, (*Server).rotateKey},
	{"POST", "/signingkeys:retire", false, owner, everywhere, (*Server).retireKey},
	{"GET", "/tokens", false, owner, everywhere, (*Server).listTokens},
	{"POST", "/tokens", false, owner, everywhere, (*Server).createToken},
	{"DELETE", "/tokens/{token}", false, owner, everywhere, (*Server).revokeToken},

	{"GET", "/providers/Microsoft.Attestation/operations", true, anybody, atSome, (*Server).operations},
	{"GET", armSubscription + "/attestationProviders", true, reader, atSome, (*Server).listProviders},
	{"GET", armGroup + "/attestationProviders", true, reader, atSome, (*Server).listProviders},
	{"GET", armSubscription + "/defaultProviders", true, reader, atSome, (*Server).listDefaults},
	{"GET", armSubscription + "/locations/{location}/defaultProvider", true, reader, atSome, (*Server).defaultProvider},
	{"GET", armProvider, true, reader, atNamed, (*Server).getProvider},
	{"PUT", armProvider, true, owner, atNamed, (*Server).createProvider},
	{"PATCH", armProvider, true, owner, atNamed, (*Server).updateProvider},
	{"DELETE", armProvider, true, owner, atNamed, (*Server).deleteProvider},
	{"GET", armProvider + "/privateEndpointConnections", true, reader, atNamed, (*Server).listEndpoints},
	{"GET", armProvider + "/privateEndpointConnections/{endpoint}", true, reader, atNamed, (*Server).getEndpoint},
	{"PUT", armProvider + "/privateEndpointConnections/{endpoint}", true, owner, atNamed, (*Server).putEndpoint},
	{"DELETE", armProvider + "/privateEndpointConnections/{endpoint}", true, owner, atNamed, (*Server).deleteEndpoint},
	{"GET", armProvider + "/privateLinkResources", true, reader, atNamed, (*Server).linkResources},
}

const (
	armSubscription = "/subscriptions/{subscription}/providers/Microsoft.Attestation"
	armGroup        = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Attestation"
	armProvider     = armGroup + "/attestationProviders/{provider}"
)

// Route is a row of the table, for those who describe the interface.
type Route struct {
	Method, Path string
	// Versioned says that api-version is needed, Role which role is, and Where at
	// what: the provider of the address, the named one, some, or everywhere.
	Versioned   bool
	Role, Where string
}

// APIVersions returns the versions that it speaks.
func APIVersions() []string { return slices.Clone(apiVersions) }

// Routes returns what the service answers.
func Routes() []Route {
	out := make([]Route, 0, len(routes))
	for _, r := range routes {
		out = append(out, Route{r.method, r.path, r.versioned, r.need.String(), []string{"provider", "named", "some", "everywhere"}[r.where]})
	}
	return out
}

// match finds the route of a request. Where the path is known and the method
// is not, it returns the methods that are.
func match(method, path string) (found *route, params map[string]string, methods []string) {
	path = strings.TrimSuffix(path, "/")
	for i := range routes {
		r := &routes[i]
		params, ok := r.matches(path)
		if !ok {
			continue
		}
		if r.method == method || r.method == http.MethodGet && method == http.MethodHead {
			return r, params, nil
		}
		methods = append(methods, r.method)
	}
	return nil, nil, methods
}

// matches compares segment by segment. A variable is a whole segment, or one up
// to a colon.
func (r *route) matches(path string) (params map[string]string, ok bool) {
	want, have := strings.Split(r.path, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	for i, w := range want {
		name, variable := strings.CutPrefix(w, "{")
		if !variable {
			if !ascii.EqualFold(w, have[i]) {
				return nil, false
			}
			continue
		}
		name, suffix, _ := strings.Cut(name, "}")
		end := len(have[i]) - len(suffix)
		if end <= 0 || !ascii.EqualFold(have[i][end:], suffix) || strings.Contains(have[i][:end], ":") {
			return nil, false
		}
		if params == nil {
			params = map[string]string{}
		}
		params[name] = have[i][:end]
	}
	return params, true
}

// checkVersion checks the api-version of a versioned route. Elsewhere it is
// optional, and clients leave it out.
func checkVersion(r *http.Request) error {
	version := r.URL.Query().Get("api-version")
	if slices.ContainsFunc(apiVersions, func(v string) bool { return ascii.EqualFold(v, version) }) {
		return nil
	}
	found := "api-version " + version
	if version == "" {
		found = "no api-version"
	}
	return badRequest(CheckAPIVersion, "one of "+strings.Join(apiVersions, ", "), found,
		"add the query parameter api-version, for instance ?api-version=2022-08-01")
}
