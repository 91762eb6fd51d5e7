package edge

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/strict/ascii"
)

// Handler answers the requests of a route. An error becomes the error document.
type Handler func(w http.ResponseWriter, r *http.Request, c *Call) error

// Route is one row of the table of routes: what the service answers, and what it needs of
// the caller.
type Route struct {
	Method string
	// Path is compared without case; {type} stands for an attestation type.
	Path string
	// Types are the attestation types of the row; nil means all that no row above takes.
	Types []evidence.Kind
	// Versioned says which values of the query parameter api-version the route needs, if any.
	Versioned Versions
	Role      auth.Role
	At        Where
	Handle    Handler
}

// Roles of rows where the provider's settings say whether callers need one.
const (
	// ByProvider is for attestations and enrolments of TPMs.
	ByProvider auth.Role = -1
	// ByVault is for the release of keys.
	ByVault auth.Role = -2
)

// Versions are the versions of an interface.
type Versions int

const (
	// Unversioned routes need no api-version.
	Unversioned Versions = iota
	// Attestation is the interface of Azure Attestation.
	Attestation
	// KeyVault is that of Azure Key Vault. Its callers are challenged as its clients expect.
	KeyVault
)

// Where says at what a role is needed.
type Where int

const (
	// AtProvider is the provider of the address.
	AtProvider Where = iota
	// AtNamed is the provider that the path names; the route is of the bare address
	// alone.
	AtNamed
	// AtSome is any provider: answers hold what the caller may read.
	AtSome
	// Everywhere is all providers; the route is of the bare address alone.
	Everywhere
)

// String returns the name that describes it in the table of routes.
func (w Where) String() string { return [...]string{"provider", "named", "some", "everywhere"}[w] }

// table finds routes. Paths are split once.
type table []row

type row struct {
	*Route
	segments []string
}

func newTable(routes []Route) table {
	t := make(table, 0, len(routes))
	for i := range routes {
		t = append(t, row{&routes[i], strings.Split(routes[i].Path, "/")})
	}
	return t
}

// Match finds the route of a request. Where the path is known and the method
// is not, it returns the methods that are.
func (s *Server) Match(method, path string) (found *Route, params map[string]string, methods []string) {
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	named := 0 // variables of the last row that has the path
	for _, r := range s.table {
		params, ok := r.matches(segments)
		if !ok || len(methods) > 0 && len(params) > named && checkPathForms(params) != nil {
			continue // another path, or one whose variable would take a name in the path of an earlier row
		}
		named = len(params)
		if r.Method == method || r.Method == http.MethodGet && method == http.MethodHead {
			return r.Route, params, nil
		}
		if !slices.Contains(methods, r.Method) {
			methods = append(methods, r.Method)
		}
	}
	return nil, nil, methods
}

// matches compares segment by segment. A variable is a whole segment, or one up
// to a colon.
func (r *row) matches(have []string) (params map[string]string, ok bool) {
	if len(r.segments) != len(have) {
		return nil, false
	}
	for i, want := range r.segments {
		name, variable := strings.CutPrefix(want, "{")
		if !variable {
			if !ascii.EqualFold(want, have[i]) {
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
	return params, r.Types == nil || r.takes(params["type"])
}

// takes reports whether the row is for the attestation type. A name that is no type's is
// for the row of all types, which refuses it.
func (r *row) takes(name string) bool {
	kind, err := evidence.ParseKind(name)
	return err == nil && slices.Contains(r.Types, kind)
}

// apiVersions are the versions of the wire protocol. The routes have not
// changed their shape since 2020-10-01.
var apiVersions = []string{
	LegacyVersion, "2020-10-01", "2021-06-01", "2021-06-01-preview", "2022-08-01", "2022-09-01",
	"2022-09-01-preview", "2023-04-01-preview", "2025-06-01", "2026-03-11-preview",
}

// APIVersions returns the versions that the service speaks.
func APIVersions() []string { return slices.Clone(apiVersions) }

// keyVaultVersion is a version of Azure Key Vault from 7.3 on, or a date from 2025 on.
var keyVaultVersion = regexp.MustCompile(`^(7\.([3-9]|[1-9][0-9])|20(2[5-9]|[3-9][0-9])-[01][0-9]-[0-3][0-9])` +
	`(-preview(\.[0-9]{1,3})?)?$`)

// KeyVaultVersion returns the form of the versions of Azure Key Vault that the service speaks, as a
// regular expression.
func KeyVaultVersion() string { return keyVaultVersion.String() }

// check checks the api-version of a versioned route. Elsewhere it is
// optional, and clients leave it out.
func (v Versions) check(r *http.Request) error {
	version := r.URL.Query().Get("api-version")
	expected, example := "", ""
	switch v {
	case Unversioned:
		return nil
	case Attestation:
		if slices.ContainsFunc(apiVersions, func(v string) bool { return ascii.EqualFold(v, version) }) {
			return nil
		}
		expected, example = "one of "+strings.Join(apiVersions, ", "), "2022-08-01"
	case KeyVault:
		if keyVaultVersion.MatchString(version) {
			return nil
		}
		expected, example = "a version of Azure Key Vault from 7.3 on, or 2025-07-01", "7.4"
	}
	found := "api-version " + version
	if version == "" {
		found = "no api-version"
	}
	return BadRequest(CheckAPIVersion, expected, found,
		"add the query parameter api-version, for instance ?api-version="+example)
}
