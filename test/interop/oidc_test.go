//go:build interop

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/policy/policyjws"
)

// TestAnOpenIDProvider: callers log in at a provider that is not ours, and have the
// roles that the configuration gives them.
func TestAnOpenIDProvider(t *testing.T) {
	dir := t.TempDir()
	ca, key := localCertificate(t, dir)
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	issuer := "https://localhost:" + port
	startProvider(t, issuer, ca, key)
	login := func(id, resource string) string {
		browser := &http.Client{Transport: &http.Transport{TLSClientConfig: trust(ca)}}
		for range 100 {
			resp, err := browser.PostForm(issuer+"/token", url.Values{
				"grant_type":    {"client_credentials"},
				"client_id":     {id},
				"client_secret": {"secret"},
				"resource":      {resource},
			})
			if err != nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			defer resp.Body.Close()
			var v struct {
				Token string `json:"access_token"`
				Error string `json:"error_description"`
			}
			if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || v.Token == "" {
				t.Fatalf("%+v, %v", v, err)
			}
			return v.Token
		}
		t.Fatal("the provider does not answer")
		return ""
	}
	platform := login("platform", "https://attest.azure.net")
	i := start(t, map[string]any{
		"callers": map[string]any{"issuers": []any{map[string]any{"url": issuer, "ca": ca, "rules": []any{
			map[string]any{"claim": "groups", "value": "platform", "role": "owner"},
			map[string]any{"claim": "groups", "value": "staff", "role": "reader"}}}}},
	})
	as := func(bearer string) *client.Client {
		c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs, Token: bearer})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	jws, err := policyjws.Wrap(nil, "version=1.0;authorizationrules{=> permit();};", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := as(platform).SetPolicy(t.Context(), evidence.SGXEnclave, jws); err != nil {
		t.Errorf("an owner: %v", err)
	}
	if _, err := as(login("intern", "https://attest.azure.net")).Policy(t.Context(),
		evidence.SGXEnclave); err != nil {
		t.Errorf("a reader: %v", err)
	}
	for name, tc := range map[string]struct {
		bearer string
		status int
	}{
		"a reader who writes":         {login("intern", "https://attest.azure.net"), 403},
		"a token for another service": {login("platform", "https://other.example.org"), 401},
		"altered":                     {platform[:len(platform)-4] + "AAAA", 401},
	} {
		_, err := as(tc.bearer).SetPolicy(t.Context(), evidence.SGXEnclave, jws)
		var answer *client.Error
		if !errors.As(err, &answer) || answer.Status != tc.status {
			t.Errorf("%s: %v", name, err)
		}
	}
	history, err := as(platform).PolicyHistory(t.Context(), evidence.SGXEnclave)
	if err != nil || len(history) != 1 || history[0].By != "oidc:"+issuer+"#platform" {
		t.Errorf("%+v, %v", history, err)
	}
}

// localCertificate makes a certificate for localhost, and its key, in two files.
func localCertificate(t *testing.T, dir string) (ca, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(dir, "ca.pem")
	write(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyFile = filepath.Join(dir, "key.pem")
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return ca, keyFile
}

// startProvider starts a provider of OpenID Connect, until the test ends.
func startProvider(t *testing.T, issuer, ca, key string) {
	t.Helper()
	var log bytes.Buffer
	node := exec.Command("node", "provider.mjs")
	node.Dir, node.Stdout, node.Stderr = "js", &log, &log
	node.Env = append(os.Environ(), "OIDC_ISSUER="+issuer, "OIDC_CERT="+ca,
		"OIDC_KEY="+key)
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		node.Process.Kill()
		node.Wait()
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	})
}
