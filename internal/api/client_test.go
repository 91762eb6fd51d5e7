package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
)

// clientScope is the resource group of the story.
var clientScope = client.Scope{Subscription: "s", Group: "g"}

// clientStory is a service, and our client of it.
type clientStory struct {
	t     *testing.T
	b     *tpmBench
	c     *client.Client
	url   string
	roots *x509.CertPool
}

func (x clientStory) ok(what string, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Errorf("%s: %v", what, err)
	}
}

func (x clientStory) refused(what string, err error, status int) {
	x.t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Status != status || e.Code == "" {
		x.t.Errorf("%s: %v, want status %d", what, err, status)
	}
}

// TestTheGoClientSpeaksEveryRoute drives the service with our client alone, and sees
// to it that no route is left out.
func TestTheGoClientSpeaksEveryRoute(t *testing.T) {
	b := newTPMBench(t, bootPolicy, func(c *Config) { c.Rotation = keys.Rotation{Overlap: time.Hour} })
	var mu sync.Mutex
	seen := map[string]bool{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, path, _ := b.server.Locate(r)
		if found, _, _ := b.server.Match(r.Method, path); found != nil {
			mu.Lock()
			seen[found.Method+" "+found.Path] = true
			mu.Unlock()
		}
		b.handler.ServeHTTP(w, r)
	}))
	s.TLS = &tls.Config{GetCertificate: vaultsOwnCertificate}
	s.StartTLS()
	defer s.Close()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c, err := client.New(client.Config{URL: s.URL, Roots: roots, Token: adminToken})
	if err != nil {
		t.Fatal(err)
	}
	x := clientStory{t, b, c, s.URL, roots}
	x.providers()
	x.connections()
	x.policies()
	x.approvals()
	x.callersAndKeys()
	x.attestation()
	x.records()
	x.deletion()
	x.vault(s)
	for _, r := range routes(nil, nil, nil, nil, nil) {
		switch r.Path {
		case "/attest/tee/{type}", "/healthz", "/readyz", "/metrics", "/providers/Microsoft.Attestation/operations":
			continue // of the first version of the protocol, of operators, of Azure's portal
		}
		if strings.HasPrefix(r.Path, "/kbs/") {
			continue // spoken by the guests of Confidential Containers
		}
		if r.Path == "/keys/{key}//release" {
			continue // of older clients of Azure Key Vault
		}
		if !seen[r.Method+" "+r.Path] {
			t.Errorf("the client does not speak %s %s", r.Method, r.Path)
		}
	}
}

// providers makes one, changes it, and lists it and those that are always there.
func (x clientStory) providers() {
	x.t.Helper()
	ctx := x.t.Context()
	p, err := x.c.PutProvider(ctx, clientScope, "one", client.Provider{
		Location:   "local",
		Properties: client.ProviderProperties{Probity: []byte(`{"approvals":2}`)},
	})
	if err != nil || p.Properties.TrustModel != "AAD" {
		x.t.Fatalf("%+v, %v", p, err)
	}
	p, err = x.c.UpdateProvider(ctx, clientScope, "one", client.Provider{Tags: map[string]string{"of": "x"}})
	if err != nil || p.Tags["of"] != "x" {
		x.t.Errorf("%+v, %v", p, err)
	}
	_, err = x.c.Provider(ctx, clientScope, "one")
	x.ok("provider", err)
	for what, in := range map[string]client.Scope{"group": clientScope, "subscription": {Subscription: "s"}} {
		if list, err := x.c.Providers(ctx, in); err != nil || len(list) != 1 {
			x.t.Errorf("providers of the %s: %v, %v", what, list, err)
		}
	}
	defaults, err := x.c.DefaultProviders(ctx, "s")
	if err != nil || len(defaults) < 2 {
		x.t.Errorf("%v, %v", defaults, err)
	}
	if one, err := x.c.DefaultProvider(ctx, "s", "westeurope"); err != nil || one.Name != "sharedweu" {
		x.t.Errorf("%+v, %v", one, err)
	}
	_, err = x.c.DefaultProvider(ctx, "s", "atlantis")
	x.refused("a location that is none", err, 404)
}

// connections makes a private endpoint connection, and forgets it.
func (x clientStory) connections() {
	x.t.Helper()
	ctx := x.t.Context()
	made, err := x.c.PutEndpointConnection(ctx, clientScope, "one", "e", client.EndpointConnection{})
	if err != nil || made.Name != "e" {
		x.t.Errorf("%+v, %v", made, err)
	}
	_, err = x.c.EndpointConnection(ctx, clientScope, "one", "e")
	x.ok("connection", err)
	if list, err := x.c.EndpointConnections(ctx, clientScope, "one"); err != nil || len(list) != 1 {
		x.t.Errorf("%v, %v", list, err)
	}
	if names, err := x.c.LinkResources(ctx, clientScope, "one"); err != nil || len(names) != 1 {
		x.t.Errorf("%v, %v", names, err)
	}
	x.ok("forget the connection", x.c.DeleteEndpointConnection(ctx, clientScope, "one", "e"))
}

// policies sets and rolls back: versions, and changes that name the one they replace.
func (x clientStory) policies() {
	x.t.Helper()
	ctx := x.t.Context()
	jws := wrap(x.t, "version=1.0;authorizationrules{=> permit();};")
	_, err := x.c.SetPolicy(ctx, evidence.SGXEnclave, jws)
	x.ok("set", err)
	history, err := x.c.PolicyHistory(ctx, evidence.SGXEnclave)
	if err != nil || len(history) != 1 || history[0].Version != 1 {
		x.t.Fatalf("%+v, %v", history, err)
	}
	_, err = x.c.IfMatch(9).SetPolicy(ctx, evidence.SGXEnclave, jws)
	x.refused("another version", err, 412)
	_, err = x.c.IfMatch(1).ResetPolicy(ctx, evidence.SGXEnclave, policyjws.NoPolicy)
	x.ok("reset of the version that is there", err)
	x.refused("roll back another version", x.c.IfMatch(1).Rollback(ctx, evidence.SGXEnclave, 1), 412)
	x.ok("roll back", x.c.Rollback(ctx, evidence.SGXEnclave, 1))
	if v, err := x.c.PolicyVersion(ctx, evidence.SGXEnclave, 1); err != nil || v.JWS != jws || v.Text == "" {
		x.t.Errorf("%+v, %v", v, err)
	}
	_, err = x.c.Policy(ctx, evidence.SGXEnclave)
	x.ok("policy", err)
	_, err = x.c.Baselines(ctx, evidence.SGXEnclave)
	x.ok("baselines", err)
}

// approvals are of changes that two must agree to.
func (x clientStory) approvals() {
	x.t.Helper()
	ctx := x.t.Context()
	jws := wrap(x.t, "version=1.0;authorizationrules{=> permit();};")
	one := x.c.ForProvider("one")
	_, err := one.SetPolicy(ctx, evidence.SGXEnclave, jws)
	x.refused("a change that waits", err, http.StatusAccepted)
	waiting, err := one.Proposals(ctx)
	if err != nil || len(waiting) != 1 {
		x.t.Fatalf("%v, %v", waiting, err)
	}
	x.refused("one caller twice", one.Approve(ctx, waiting[0].ID), http.StatusConflict)
	x.ok("withdraw", one.Reject(ctx, waiting[0].ID))
	_, err = one.Certificates(ctx)
	x.ok("certificates", err)
	for _, add := range []bool{true, false} {
		_, err = one.ChangeCertificate(ctx, jws, add)
		x.refused("a certificate at a provider that has none", err, 400)
	}
}

// callersAndKeys makes a static token and a signing key, and retires both.
func (x clientStory) callersAndKeys() {
	x.t.Helper()
	ctx := x.t.Context()
	secret, err := x.c.CreateToken(ctx, client.StaticToken{Name: "ci", Role: "reader", Providers: []string{"*"}})
	if err != nil || secret == "" {
		x.t.Error(err)
	}
	if list, err := x.c.Tokens(ctx); err != nil || len(list) != 1 {
		x.t.Errorf("%v, %v", list, err)
	}
	x.ok("revoke", x.c.RevokeToken(ctx, "ci"))
	keys, err := x.c.SigningKeys(ctx)
	if err != nil || len(keys) == 0 {
		x.t.Fatalf("%v, %v", keys, err)
	}
	next, err := x.c.RotateKey(ctx, "RS256", true)
	x.ok("rotate", err)
	x.refused("retire the key that signs", x.c.RetireKey(ctx, next.ID), 409)
	x.ok("retire", x.c.RetireKey(ctx, keys[0].ID))
}

// attestation reaches each protocol; the evidence of this bench is a TPM's.
func (x clientStory) attestation() {
	x.t.Helper()
	ctx := x.t.Context()
	_, err := x.c.Attest(ctx, client.Request{Kind: evidence.SGXEnclave, Evidence: []byte("no quote")})
	x.refused("no quote", err, 400)
	_, err = x.c.ChallengeTPM(ctx, false)
	x.ok("challenge", err)
	_, err = x.c.EnrolTPM(ctx, client.EnrolTPM{Name: "m"})
	x.refused("no key", err, 400)
	d, err := x.c.Discovery(ctx)
	if err != nil || d.Issuer != issuer {
		x.t.Errorf("%+v, %v", d, err)
	}
	_, err = x.c.Verify(ctx, base64.RawURLEncoding.EncodeToString([]byte("{}")), now)
	if err == nil {
		x.t.Error("the metadata are of another address")
	}
	_, err = x.c.Keys(ctx, token.Discovery{KeySetURL: x.url + "/certs"})
	x.ok("keys", err)
}

// records reads the ledger in each way.
func (x clientStory) records() {
	x.t.Helper()
	ctx := x.t.Context()
	page, err := x.c.Ledger(ctx, map[string]string{"action": "policy.set", "by": "token:administrator"})
	if err != nil || len(page.Value) != 2 {
		x.t.Errorf("%+v, %v", page, err)
	}
	var exported bytes.Buffer
	x.ok("export", x.c.ExportLedger(ctx, &exported))
	x.b.ledger.Close(context.Background())
	if checkpoint, err := x.c.Checkpoint(ctx); err != nil || checkpoint.Size == 0 {
		x.t.Errorf("%+v, %v", checkpoint, err)
	}
	_, err = x.c.Proof(ctx, 0)
	x.ok("proof", err)
}

// deletion waits for a second caller.
func (x clientStory) deletion() {
	x.t.Helper()
	ctx := x.t.Context()
	one := x.c.ForProvider("one")
	x.refused("a deletion that waits", x.c.DeleteProvider(ctx, clientScope, "one"), http.StatusAccepted)
	waiting, err := one.Proposals(ctx)
	if err != nil || len(waiting) != 1 || waiting[0].Action != "delete" || waiting[0].Type != "" ||
		waiting[0].Needed != 2 {
		x.t.Fatalf("%+v, %v", waiting, err)
	}
	second, err := client.New(client.Config{URL: x.url, Roots: x.roots, Token: x.b.token(x.t, "owner", "one")})
	x.ok("second caller", err)
	x.ok("approve", second.ForProvider("one").Approve(ctx, waiting[0].ID))
	x.ok("delete again", x.c.DeleteProvider(ctx, clientScope, "one"))
}
