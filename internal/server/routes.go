package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence"
)

// apiVersions are the versions of the wire protocol. The routes have not
// changed their shape since 2020-10-01.
var apiVersions = []string{legacyVersion, "2020-10-01", "2022-08-01", "2022-09-01", "2022-09-01-preview",
	"2023-04-01-preview", "2025-06-01", "2026-03-11-preview"}

// legacyVersion has its own names for members and answers.
const legacyVersion = "2018-09-01-preview"

// route is one row of the table: everything that the service answers.
type route struct {
	method string
	// path is compared without case; {type} stands for an attestation type.
	path string
	// versioned routes need the query parameter api-version.
	versioned bool
	handle    func(*Server, http.ResponseWriter, *http.Request, evidence.Kind) error
}

var routes = []route{
	{"GET", "/.well-known/openid-configuration", false, (*Server).discovery},
	{"GET", "/certs", false, (*Server).keySet},
	{"POST", "/attest/{type}", true, (*Server).attest},
	{"POST", "/attest/tee/{type}", true, (*Server).attest},
	{"POST", "/tpm/enroll", false, (*Server).enroll},
	{"POST", "/policies/{type}:reset", true, (*Server).resetPolicy},
	{"GET", "/policies/{type}", true, (*Server).getPolicy},
	{"PUT", "/policies/{type}", true, (*Server).putPolicy},
	{"GET", "/tcbbaselines/{type}", true, (*Server).baselines},
	{"GET", "/healthz", false, (*Server).healthz},
	{"GET", "/readyz", false, (*Server).readyz},
	{"GET", "/metrics", false, (*Server).metrics},
}

// match finds the route of a request. Where the path is known and the method
// is not, it returns the methods that are.
func match(method, path string) (found *route, typeName string, methods []string) {
	path = strings.TrimSuffix(path, "/")
	for i := range routes {
		r := &routes[i]
		name, ok := r.matches(path)
		if !ok {
			continue
		}
		if r.method == method || r.method == http.MethodGet && method == http.MethodHead {
			return r, name, nil
		}
		methods = append(methods, r.method)
	}
	return nil, "", methods
}

func (r *route) matches(path string) (typeName string, ok bool) {
	prefix, suffix, variable := strings.Cut(r.path, "{type}")
	if !variable {
		return "", strings.EqualFold(path, r.path)
	}
	if len(path) <= len(prefix)+len(suffix) || !strings.EqualFold(path[:len(prefix)], prefix) || !strings.EqualFold(path[len(path)-len(suffix):], suffix) {
		return "", false
	}
	name := path[len(prefix) : len(path)-len(suffix)]
	return name, !strings.ContainsAny(name, "/:")
}

// checkVersion checks the api-version of a versioned route. Elsewhere it is
// optional, and clients leave it out.
func checkVersion(r *http.Request) error {
	version := r.URL.Query().Get("api-version")
	if slices.ContainsFunc(apiVersions, func(v string) bool { return strings.EqualFold(v, version) }) {
		return nil
	}
	found := "api-version " + version
	if version == "" {
		found = "no api-version"
	}
	return badRequest(checkAPIVersion, "one of "+strings.Join(apiVersions, ", "), found,
		"add the query parameter api-version, for instance ?api-version=2022-08-01")
}
