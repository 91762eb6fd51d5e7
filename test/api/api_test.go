// Package api compares the OpenAPI documents with the service: with its table of
// routes, and with what it answered to the tests and to real clients. It is a module
// of its own, so that what reads OpenAPI documents is no dependency of the product.
package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/test/kit/traffic"
)

const (
	dataPlane    = "../../docs/api/dataplane.yaml"
	controlPlane = "../../docs/api/controlplane.yaml"
	vault        = "../../docs/api/vault.yaml"
)

func load(t *testing.T, file string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return doc
}

// described is one operation as the documents have it.
type described struct {
	doc      *openapi3.T
	path     string
	pattern  *regexp.Regexp
	names    []string
	item     *openapi3.PathItem
	method   string
	op       *openapi3.Operation
	accepted int // recorded exchanges that succeeded
}

var variable = regexp.MustCompile(`\{([^}]+)\}`)

func operations(t *testing.T) []*described {
	t.Helper()
	var all []*described
	for _, file := range []string{dataPlane, controlPlane, vault} {
		doc := load(t, file)
		for path, item := range doc.Paths.Map() {
			var names []string
			for _, m := range variable.FindAllStringSubmatch(path, -1) {
				names = append(names, m[1])
			}
			pattern := regexp.MustCompile(
				"(?i)^" + variable.ReplaceAllString(strings.ReplaceAll(path, ".", `\.`), "([^/:]+)") + "/?$",
			)
			for method, op := range item.Operations() {
				all = append(all, &described{
					doc:     doc,
					path:    path,
					pattern: pattern,
					names:   names,
					item:    item,
					method:  method,
					op:      op,
				})
			}
		}
	}
	// A path that names a segment comes before one that has a variable there.
	slices.SortFunc(all, func(a, b *described) int {
		return cmp.Or(len(a.names)-len(b.names), strings.Compare(a.path, b.path))
	})
	return all
}

func (d *described) extension(name string) string {
	text, _ := d.op.Extensions[name].(string)
	return text
}

func (d *described) versioned() bool {
	p := d.op.Parameters.GetByInAndName("query", "api-version")
	return p != nil && p.Required
}

// TestTheDocumentsHaveTheRoutes compares both with the table of routes, row by row
// and in both directions.
func TestTheDocumentsHaveTheRoutes(t *testing.T) {
	found := map[string]*described{}
	for _, d := range operations(t) {
		found[d.method+" "+d.path] = d
	}
	want := map[string]edge.Route{}
	for _, r := range api.Routes() {
		if r.Path != "/attest/{type}" {
			want[r.Method+" "+r.Path] = r
			continue
		}
		// The documents have a path for each type: their bodies differ.
		for _, kind := range evidence.Kinds() {
			want[r.Method+" /attest/"+string(kind)] = r
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		d, r := found[name], want[name]
		switch {
		case d == nil:
			t.Errorf("%s is not described", name)
			continue
		case d.versioned() != (r.Versioned != edge.Unversioned):
			t.Errorf("%s: api-version required: %v, in the table %v", name, d.versioned(), r.Versioned)
		}
		if r.Role == auth.Nobody {
			anyone := d.op.Security != nil && (len(*d.op.Security) == 0 || len((*d.op.Security)[0]) == 0)
			if !anyone || d.extension("x-probity-role") != "" {
				t.Errorf("%s is for anyone, and described otherwise", name)
			}
			continue
		}
		if d.op.Security != nil || d.extension("x-probity-role") != r.Role.String() ||
			d.extension("x-probity-at") != r.At.String() {
			t.Errorf("%s needs %s at %s, and is described with %s at %s", name, r.Role, r.At,
				d.extension("x-probity-role"), d.extension("x-probity-at"))
		}
	}
	for name := range found {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is described, and is no route", name)
		}
	}
}

// TestTheTypesAreThoseOfTheService compares the enumerations of the data plane.
func TestTheTypesAreThoseOfTheService(t *testing.T) {
	var kinds []any
	for _, k := range evidence.Kinds() {
		kinds = append(kinds, string(k))
	}
	if got := load(t, dataPlane).Components.Schemas["AttestationType"].Value.Enum; !slices.Equal(got, kinds) {
		t.Errorf("types %v, want %v", got, kinds)
	}
}

func TestTheVersionsAreThoseOfTheService(t *testing.T) {
	var versions []any
	for _, v := range edge.APIVersions() {
		versions = append(versions, v)
	}
	for _, file := range []string{dataPlane, controlPlane} {
		got := load(t, file).Components.Parameters["ApiVersion"].Value.Schema.Value.Enum
		if !slices.Equal(got, versions) {
			t.Errorf("%s: versions %v, want %v", file, got, versions)
		}
	}
	got := load(t, vault).Components.Parameters["ApiVersion"].Value.Schema.Value.Pattern
	if want := edge.KeyVaultVersion(); got != want {
		t.Errorf("%s: versions %s, want %s", vault, got, want)
	}
}

// TestTheRolesAreThoseOfTheService compares the roles that static tokens can have.
func TestTheRolesAreThoseOfTheService(t *testing.T) {
	want := []any{}
	for role := auth.Reader; role <= auth.Releaser; role++ {
		want = append(want, role.String())
	}
	if got := load(t, dataPlane).Components.Schemas["Role"].Value.Enum; !slices.Equal(got, want) {
		t.Errorf("roles %v, want %v", got, want)
	}
}

// TestTheVaultsKeysAreThoseOfTheService compares the types of keys.
func TestTheVaultsKeysAreThoseOfTheService(t *testing.T) {
	var want []any
	for _, kty := range document.Types() {
		want = append(want, kty)
	}
	if got := load(t, vault).Components.Schemas["KeyType"].Value.Enum; !slices.Equal(got, want) {
		t.Errorf("types %v, want %v", got, want)
	}
	want = nil
	for _, a := range keywrap.Algorithms() {
		want = append(want, string(a))
	}
	got := load(t, vault).Components.Schemas["Release"].Value.Properties["enc"].Value.Enum
	if !slices.Equal(got, want) {
		t.Errorf("wrapping %v, want %v", got, want)
	}
}

// TestTheDocumentsAgreeWithTraffic validates what the service was sent and what it
// answered: in the tests of package api, which it runs, and in the recording that
// the environment names, of Microsoft's clients.
func TestTheDocumentsAgreeWithTraffic(t *testing.T) {
	own := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./internal/api/...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), traffic.Env+"="+own)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := exchanges(t, own)
	fromTests := len(all)
	if clients := os.Getenv(traffic.Env); clients != "" {
		all = append(all, exchanges(t, clients)...)
	}
	ops := operations(t)
	validated := 0
	problems := map[string]bool{}
	for _, e := range all {
		d, params := find(ops, &e)
		if d == nil {
			continue
		}
		validated++
		if err := validate(d, params, &e); err != nil {
			problems[fmt.Sprintf("%s %s: %d: %v", e.Method, d.path, e.Status, err)] = true
		} else if e.Status < 300 {
			d.accepted++
		}
	}
	for _, p := range slices.Sorted(maps.Keys(problems)) {
		t.Error(p)
	}
	for _, d := range ops {
		if d.accepted == 0 {
			t.Errorf("%s %s: no recorded request succeeded", d.method, d.path)
		}
	}
	t.Logf("%d operations; %d exchanges of the tests and %d of clients, %d of them with an operation",
		len(ops), fromTests, len(all)-fromTests, validated)
}

func exchanges(t *testing.T, folder string) []traffic.Exchange {
	t.Helper()
	all, err := traffic.Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("nothing was recorded in %s", folder)
	}
	return all
}

var prefix = regexp.MustCompile(`(?i)^/p/[^/]+`)

// find returns the operation of an exchange. The provider's prefix is of the server's
// address, not of the path.
func find(ops []*described, e *traffic.Exchange) (*described, map[string]string) {
	if e.Status == http.StatusMethodNotAllowed {
		return nil, nil // a path with a name where an operation has a variable
	}
	path, _, _ := strings.Cut(e.URL, "?")
	path = prefix.ReplaceAllString(path, "")
	for _, d := range ops {
		if m := d.pattern.FindStringSubmatch(path); m != nil && d.method == e.Method {
			params := map[string]string{}
			for i, name := range d.names {
				params[name], _ = url.PathUnescape(m[i+1])
			}
			return d, params
		}
	}
	return nil, nil
}

func init() {
	text := func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef,
		_ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(body)
		return string(b), err
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", text)
	openapi3filter.RegisterBodyDecoder("application/jose", text)
}

func requestSchema(d *described) *openapi3.Schema {
	if d.op.RequestBody == nil || !strings.HasPrefix(d.path, "/attest/") {
		return nil
	}
	return d.op.RequestBody.Value.Content.Get("application/json").Schema.Value
}

// canonical writes the members of an attestation request as the documents do: the
// service compares them without case.
func canonical(schema *openapi3.Schema, body []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return body
	}
	out := map[string]json.RawMessage{}
	for name, value := range members {
		for want, property := range schema.Properties {
			if strings.EqualFold(name, want) {
				name, value = want, canonical(property.Value, value)
			}
		}
		out[name] = value
	}
	b, err := json.Marshal(out)
	if err != nil {
		return body
	}
	return b
}

// validate checks the answer, and the request if it was accepted.
func validate(d *described, params map[string]string, e *traffic.Exchange) error {
	body := e.Body
	if content := requestSchema(d); content != nil {
		body = canonical(content, body)
	}
	req, err := http.NewRequest(e.Method, "https://localhost"+e.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = e.Header.Clone()
	// The service looks neither at the case of types, nor at content types; the
	// documents say so.
	for _, kind := range evidence.Kinds() {
		if strings.EqualFold(params["type"], string(kind)) {
			params["type"] = string(kind)
		}
	}
	req.Header.Set("Content-Type", "text/plain")
	if json.Valid(e.Body) {
		req.Header.Set("Content-Type", "application/json")
	}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params,
		Route: &routers.Route{Spec: d.doc, Path: d.path, PathItem: d.item, Method: d.method, Operation: d.op},
		Options: &openapi3filter.Options{
			AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
			IncludeResponseStatus: true,
			MultiError:            true,
		}}
	if e.Status < 300 {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: e.Status, Header: e.AnswerHeader,
		Body: io.NopCloser(bytes.NewReader(e.Answer)), Options: in.Options,
	}
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if want := "x-ms-request-id"; e.AnswerHeader.Get(want) == "" {
		return fmt.Errorf("answer: no %s", want)
	}
	if e.Status >= 400 && e.AnswerHeader.Get("x-ms-error-code") == "" {
		return fmt.Errorf("answer: no x-ms-error-code")
	}
	return nil
}
