package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
)

// TestTheGoClientSpeaksEveryRoute drives the service with our client alone, and sees
// to it that no route is left out.
func TestTheGoClientSpeaksEveryRoute(t *testing.T) {
	b := newTPMBench(t, bootPolicy, func(c *Config) { c.Rotation = keys.Rotation{Overlap: time.Hour} })
	var mu sync.Mutex
	seen := map[string]bool{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, path, _ := b.server.Locate(r)
		if found, _, _ := b.server.Match(r.Method, path); found != nil {
			mu.Lock()
			seen[found.Method+" "+found.Path] = true
			mu.Unlock()
		}
		b.handler.ServeHTTP(w, r)
	}))
	defer s.Close()
	c, err := client.New(client.Config{
		URL:   s.URL,
		Roots: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
		Token: adminToken,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused := func(what string, err error, status int) {
		t.Helper()
		var e *client.Error
		if !errors.As(err, &e) || e.Status != status || e.Code == "" {
			t.Errorf("%s: %v, want status %d", what, err, status)
		}
	}
	const sgx = evidence.SGXEnclave
	scope := client.Scope{Subscription: "s", Group: "g"}

	p, err := c.PutProvider(ctx, scope, "one", client.Provider{
		Location:   "local",
		Properties: client.ProviderProperties{Probity: []byte(`{"approvals":2}`)},
	})
	if err != nil || p.Properties.TrustModel != "AAD" {
		t.Fatalf("%+v, %v", p, err)
	}
	p, err = c.UpdateProvider(ctx, scope, "one", client.Provider{Tags: map[string]string{"of": "x"}})
	if err != nil || p.Tags["of"] != "x" {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = c.Provider(ctx, scope, "one")
	ok("provider", err)
	for what, in := range map[string]client.Scope{"group": scope, "subscription": {Subscription: "s"}} {
		if list, err := c.Providers(ctx, in); err != nil || len(list) != 1 {
			t.Errorf("providers of the %s: %v, %v", what, list, err)
		}
	}
	defaults, err := c.DefaultProviders(ctx, "s")
	if err != nil || len(defaults) < 2 {
		t.Errorf("%v, %v", defaults, err)
	}
	if one, err := c.DefaultProvider(ctx, "s", "westeurope"); err != nil || one.Name != "sharedweu" {
		t.Errorf("%+v, %v", one, err)
	}
	_, err = c.DefaultProvider(ctx, "s", "atlantis")
	refused("a location that is none", err, 404)

	made, err := c.PutEndpointConnection(ctx, scope, "one", "e", client.EndpointConnection{})
	if err != nil || made.Name != "e" {
		t.Errorf("%+v, %v", made, err)
	}
	_, err = c.EndpointConnection(ctx, scope, "one", "e")
	ok("connection", err)
	if list, err := c.EndpointConnections(ctx, scope, "one"); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if names, err := c.LinkResources(ctx, scope, "one"); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	ok("forget the connection", c.DeleteEndpointConnection(ctx, scope, "one", "e"))

	// Policies: versions, and changes that name the one they replace.
	jws := wrap(t, "version=1.0;authorizationrules{=> permit();};")
	_, err = c.SetPolicy(ctx, sgx, jws)
	ok("set", err)
	history, err := c.PolicyHistory(ctx, sgx)
	if err != nil || len(history) != 1 || history[0].Version != 1 {
		t.Fatalf("%+v, %v", history, err)
	}
	_, err = c.IfMatch(9).SetPolicy(ctx, sgx, jws)
	refused("another version", err, 412)
	_, err = c.IfMatch(1).ResetPolicy(ctx, sgx, policyjws.NoPolicy)
	ok("reset of the version that is there", err)
	refused("roll back another version", c.IfMatch(1).Rollback(ctx, sgx, 1), 412)
	ok("roll back", c.Rollback(ctx, sgx, 1))
	if v, err := c.PolicyVersion(ctx, sgx, 1); err != nil || v.JWS != jws || v.Text == "" {
		t.Errorf("%+v, %v", v, err)
	}
	_, err = c.Policy(ctx, sgx)
	ok("policy", err)
	_, err = c.Baselines(ctx, sgx)
	ok("baselines", err)

	// Changes that two must agree to.
	one := c.ForProvider("one")
	_, err = one.SetPolicy(ctx, sgx, jws)
	refused("a change that waits", err, http.StatusAccepted)
	waiting, err := one.Proposals(ctx)
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%v, %v", waiting, err)
	}
	refused("one caller twice", one.Approve(ctx, waiting[0].ID), http.StatusConflict)
	ok("withdraw", one.Reject(ctx, waiting[0].ID))
	_, err = one.Certificates(ctx)
	ok("certificates", err)
	for _, add := range []bool{true, false} {
		_, err = one.ChangeCertificate(ctx, jws, add)
		refused("a certificate at a provider that has none", err, 400)
	}

	// Callers and keys.
	secret, err := c.CreateToken(ctx, client.StaticToken{Name: "ci", Role: "reader", Providers: []string{"*"}})
	if err != nil || secret == "" {
		t.Error(err)
	}
	if list, err := c.Tokens(ctx); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	ok("revoke", c.RevokeToken(ctx, "ci"))
	keys, err := c.SigningKeys(ctx)
	if err != nil || len(keys) == 0 {
		t.Fatalf("%v, %v", keys, err)
	}
	next, err := c.RotateKey(ctx, "RS256", true)
	ok("rotate", err)
	refused("retire the key that signs", c.RetireKey(ctx, next.ID), 409)
	ok("retire", c.RetireKey(ctx, keys[0].ID))

	// Attestation; the evidence of this bench is a TPM's.
	_, err = c.Attest(ctx, client.Request{Kind: sgx, Evidence: []byte("no quote")})
	refused("no quote", err, 400)
	_, err = c.ChallengeTPM(ctx, false)
	ok("challenge", err)
	_, err = c.EnrolTPM(ctx, client.EnrolTPM{Name: "m"})
	refused("no key", err, 400)
	d, err := c.Discovery(ctx)
	if err != nil || d.Issuer != issuer {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = c.Verify(ctx, base64.RawURLEncoding.EncodeToString([]byte("{}")), now)
	if err == nil {
		t.Error("the metadata are of another address")
	}
	_, err = c.Keys(ctx, token.Discovery{KeySetURL: s.URL + "/certs"})
	ok("keys", err)

	// The ledger.
	page, err := c.Ledger(ctx, map[string]string{"action": "policy.set", "by": "token:administrator"})
	if err != nil || len(page.Value) != 2 {
		t.Errorf("%+v, %v", page, err)
	}
	var exported bytes.Buffer
	ok("export", c.ExportLedger(ctx, &exported))
	b.ledger.Close(context.Background())
	if checkpoint, err := c.Checkpoint(ctx); err != nil || checkpoint.Size == 0 {
		t.Errorf("%+v, %v", checkpoint, err)
	}
	_, err = c.Proof(ctx, 0)
	ok("proof", err)
	refused("a deletion that waits", c.DeleteProvider(ctx, scope, "one"), http.StatusAccepted)
	waiting, err = one.Proposals(ctx)
	if err != nil || len(waiting) != 1 || waiting[0].Action != "delete" || waiting[0].Type != "" ||
		waiting[0].Needed != 2 {
		t.Fatalf("%+v, %v", waiting, err)
	}
	second, err := client.New(client.Config{
		URL:   s.URL,
		Roots: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
		Token: b.token(t, "owner", "one"),
	})
	ok("second caller", err)
	ok("approve", second.ForProvider("one").Approve(ctx, waiting[0].ID))
	ok("delete again", c.DeleteProvider(ctx, scope, "one"))

	for _, r := range routes(nil, nil, nil) {
		switch r.Path {
		case "/attest/tee/{type}", "/healthz", "/readyz", "/metrics", "/providers/Microsoft.Attestation/operations":
			continue // of the first version of the protocol, of operators, of Azure's portal
		}
		if !seen[r.Method+" "+r.Path] {
			t.Errorf("the client does not speak %s %s", r.Method, r.Path)
		}
	}
}
