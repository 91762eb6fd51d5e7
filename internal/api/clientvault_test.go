package api

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

// vaultsOwnCertificate is the certificate of the service where it is called by its own name.
func vaultsOwnCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName != vaultCertificate().DNSNames[0] {
		return nil, nil
	}
	return &tls.Certificate{Certificate: [][]byte{vaultCertificate().Raw}, PrivateKey: vaultKeys()[0]}, nil
}

// vaultClient is a client that calls the service by its own name.
func vaultClient(t *testing.T, s *httptest.Server, token string) *client.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(vaultCertificate())
	c, err := client.New(client.Config{URL: issuer, Roots: roots, Token: token,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
		}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// vault makes keys, changes them, and has one released.
func (x clientStory) vault(s *httptest.Server) {
	x.t.Helper()
	ctx := x.t.Context()
	c := vaultClient(x.t, s, adminToken)
	keys := c.Vault()
	yes := true
	policy := &client.ReleasePolicy{Data: []byte(simplePolicy)}
	made, err := keys.Create(ctx, "Made", client.NewKey{
		Type: "EC-HSM", Curve: "P-384", Attributes: client.KeyAttributes{Exportable: &yes, Expires: 4e9},
		Tags: map[string]string{"a": "b"}, Policy: policy,
	})
	if err != nil || made.Public.Curve != "P-384" || string(made.Policy.Data) != simplePolicy ||
		!strings.HasPrefix(made.ID(), issuer+"/keys/Made/") || made.Tags["a"] != "b" {
		x.t.Fatalf("%+v, %v", made, err)
	}
	version := made.ID()[strings.LastIndex(made.ID(), "/")+1:]
	x.changes(keys, made.ID(), version)
	_, err = keys.Get(ctx, "none", "")
	x.refused("no such key", err, http.StatusNotFound)
	if !errors.Is(err, vault.CheckExists) {
		x.t.Errorf("%v does not name its check", err)
	}
	second, err := keys.Rotate(ctx, "made")
	if err != nil || second.ID() == made.ID() {
		x.t.Errorf("%+v, %v", second, err)
	}
	if _, err := keys.Import(ctx, "disk", client.ImportedKey{
		Material: &document.Material{Octets: []byte("the key of a disk")}, HSM: true,
		Operations: []string{"wrapKey"}, Attributes: client.KeyAttributes{Exportable: &yes}, Policy: policy,
	}); err != nil {
		x.t.Fatal(err)
	}
	for _, m := range []*document.Material{nil, {}} {
		if _, err := keys.Import(ctx, "nothing", client.ImportedKey{Material: m}); err == nil {
			x.t.Error("nothing was imported")
		}
	}
	x.listsOfKeys(keys)
	x.refusedReleases(keys, version)
	x.rotation(keys)
	x.endOfAKey(keys)
}

// rotation sets when a key is rotated.
func (x clientStory) rotation(keys *client.Vault) {
	x.t.Helper()
	ctx := x.t.Context()
	rotation, err := keys.SetRotationPolicy(ctx, "made", client.RotationPolicy{Actions: []client.LifetimeAction{{
		Trigger: client.RotationTrigger{AfterCreate: "P90D"}, Action: client.RotationAction{Type: "Rotate"},
	}}})
	if err != nil || rotation.ID != issuer+"/keys/made/rotationpolicy" {
		x.t.Errorf("%+v, %v", rotation, err)
	}
	if again, err := keys.RotationPolicy(ctx, "made"); err != nil || len(again.Actions) != 1 {
		x.t.Errorf("%+v, %v", again, err)
	}
}

// refusedReleases asks with tokens that are none, and for a challenge.
func (x clientStory) refusedReleases(keys *client.Vault, version string) {
	x.t.Helper()
	ctx := x.t.Context()
	_, err := keys.Release(ctx, client.ReleaseRequest{Name: "disk", Token: "no.to.ken"})
	x.refused("no token", err, http.StatusForbidden)
	_, err = keys.Release(ctx, client.ReleaseRequest{Name: "disk", Version: version, Token: "no.to.ken"})
	x.refused("no such version", err, http.StatusNotFound)
	nonce, expires, err := keys.Challenge(ctx)
	if err != nil || nonce == "" || !expires.After(now) {
		x.t.Errorf("%q, %s, %v", nonce, expires, err)
	}
}

// changes reads and changes a key with its version and without.
func (x clientStory) changes(keys *client.Vault, id, version string) {
	x.t.Helper()
	no := false
	for _, v := range []string{"", version} {
		if k, err := keys.Get(x.t.Context(), "made", v); err != nil || k.ID() != id {
			x.t.Errorf("%+v, %v", k, err)
		}
		if k, err := keys.Update(x.t.Context(), "made", v, client.KeyUpdate{
			Attributes: client.KeyAttributes{Enabled: &no},
		}); err != nil || *k.Attributes.Enabled {
			x.t.Errorf("%+v, %v", k, err)
		}
	}
}

func (x clientStory) listsOfKeys(keys *client.Vault) {
	x.t.Helper()
	ctx := x.t.Context()
	for i := range 30 { // more than a page
		_, err := keys.Create(ctx, "k"+strings.Repeat("x", i), client.NewKey{Type: "oct", Size: 128})
		x.ok("create", err)
	}
	n := 0
	for k, err := range keys.List(ctx) {
		if err != nil || !strings.HasPrefix(k.ID(), issuer+"/keys/") {
			x.t.Errorf("%+v, %v", k, err)
		}
		n++
	}
	if n != 32 {
		x.t.Errorf("%d keys", n)
	}
	n = 0
	for _, err := range keys.Versions(ctx, "made") {
		x.ok("versions", err)
		n++
	}
	if n != 2 {
		x.t.Errorf("%d versions", n)
	}
	for _, err := range keys.Versions(ctx, "none") {
		x.refused("versions of no key", err, http.StatusNotFound)
	}
}

// endOfAKey deletes, recovers, backs up, purges and restores.
func (x clientStory) endOfAKey(keys *client.Vault) {
	x.t.Helper()
	ctx := x.t.Context()
	backup, err := keys.Backup(ctx, "made")
	x.ok("backup", err)
	_, err = keys.Restore(ctx, backup)
	x.refused("restore beside the key", err, http.StatusConflict)
	gone, err := keys.Delete(ctx, "made")
	if err != nil || gone.Deleted == 0 || gone.Purge == 0 || gone.RecoveryID == "" {
		x.t.Errorf("%+v, %v", gone, err)
	}
	_, err = keys.GetDeleted(ctx, "made")
	x.ok("deleted key", err)
	for k, err := range keys.Deleted(ctx) {
		if err != nil || k.ID() != issuer+"/keys/Made" {
			x.t.Errorf("%+v, %v", k, err)
		}
	}
	_, err = keys.Recover(ctx, "made")
	x.ok("recover", err)
	x.refused("purge a key that is in use", keys.Purge(ctx, "made"), http.StatusNotFound)
	_, err = keys.Delete(ctx, "made")
	x.ok("delete again", err)
	x.ok("purge", keys.Purge(ctx, "made"))
	k, err := keys.Restore(ctx, backup)
	if err != nil || k.Public.Curve != "P-384" {
		x.t.Errorf("%+v, %v", k, err)
	}
}

// TestTheGoClientUnlocksAKey gets keys as a machine does.
func TestTheGoClientUnlocksAKey(t *testing.T) {
	b := newBench(t, nil)
	s := httptest.NewUnstartedServer(b.handler)
	s.TLS = &tls.Config{GetCertificate: vaultsOwnCertificate}
	s.StartTLS()
	defer s.Close()
	c := vaultClient(t, s, adminToken)
	keys, ctx, yes := c.Vault(), t.Context(), true
	x := clientStory{t: t, c: c}
	policy := &client.ReleasePolicy{Data: []byte(simplePolicy)}
	_, err := keys.Import(ctx, "disk", client.ImportedKey{Policy: policy,
		Material: &document.Material{Octets: []byte("the key of a disk")}, HSM: true,
		Attributes: client.KeyAttributes{Exportable: &yes}})
	x.ok("import", err)
	_, err = keys.Create(ctx, "made", client.NewKey{Type: "EC", Curve: "P-256", Policy: policy,
		Attributes: client.KeyAttributes{Exportable: &yes}})
	x.ok("create", err)
	_, err = keys.Create(ctx, "k", client.NewKey{Type: "oct"})
	x.ok("create", err)
	attest := func(ctx context.Context, data []byte) (string, error) {
		quote, err := base64.RawURLEncoding.DecodeString(b.quoteOf(string(data)))
		x.ok("quote", err)
		return x.c.Attest(ctx, client.Request{Kind: evidence.SGXEnclave, Evidence: quote,
			RuntimeData: &evidence.Data{Bytes: data, Type: evidence.JSON}})
	}
	for _, algorithm := range append(keywrap.Algorithms(), "") {
		out, err := keys.Unlock(ctx, client.Unlock{
			Name: "disk", Attest: attest, Challenge: true, Algorithm: algorithm,
		})
		if err != nil || string(out.Material.Octets) != "the key of a disk" || out.Document.Key.Type != "oct-HSM" {
			x.t.Fatalf("%s: %+v, %v", algorithm, out, err)
		}
	}
	if out, err := keys.Unlock(ctx, client.Unlock{Name: "made", Attest: attest}); err != nil ||
		out.Material.EC == nil {
		x.t.Errorf("%+v, %v", out, err)
	}
	machine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		x.t.Fatal(err)
	}
	data, err := client.RuntimeData(&machine.PublicKey, "")
	x.ok("runtime data", err)
	token, err := attest(ctx, data)
	x.ok("attest", err)
	version := ""
	for k, err := range keys.Versions(ctx, "disk") {
		x.ok("versions", err)
		version = k.ID()[strings.LastIndex(k.ID(), "/")+1:]
	}
	r := client.ReleaseRequest{Name: "disk", Version: version, Token: token, Nonce: "n"}
	compact, err := keys.Release(ctx, r)
	x.ok("release of a version", err)
	if d, err := keys.Verify(compact, r, now); err != nil || d.Request.Nonce != "n" {
		x.t.Errorf("%+v, %v", d, err)
	}
	for what, other := range map[string]client.ReleaseRequest{
		"another nonce":    {Name: "disk", Version: version, Nonce: "m"},
		"another key":      {Name: "made", Nonce: "n"},
		"another wrapping": {Name: "disk", Version: version, Nonce: "n", Algorithm: keywrap.RSAAESKeyWrap},
	} {
		if _, err := keys.Verify(compact, other, now); !errors.Is(err, document.ErrRequest) {
			x.t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := keys.Verify(compact, r, now.AddDate(60, 0, 0)); !errors.Is(err, document.ErrCertificate) {
		x.t.Errorf("an expired certificate: %v", err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		x.t.Fatal(err)
	}
	if out, err := keys.Open(ctx, r, other); !errors.Is(err, keywrap.ErrUnwrap) {
		x.t.Errorf("the key of another machine: %+v, %v", out, err)
	}
	_, err = keys.Unlock(ctx, client.Unlock{Name: "k", Attest: attest})
	x.refused("a key that is not exportable", err, http.StatusBadRequest)
	failure := errors.New("no TEE here")
	_, err = keys.Unlock(ctx, client.Unlock{Name: "disk",
		Attest: func(context.Context, []byte) (string, error) { return "", failure }})
	if !errors.Is(err, failure) {
		x.t.Errorf("an attestation that failed: %v", err)
	}
}
