//go:build interop

package interop

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/test/kit/servicetest"
)

// TestGoOIDC: the library that most Go programs verify tokens with finds keys by
// discovery and takes the token for its audience alone.
func TestGoOIDC(t *testing.T) {
	i, issuer, attest := servicetest.Relying(t)
	compact := attest()
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: &http.Transport{TLSClientConfig: i.Trust()}})
	p, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Verifier(&oidc.Config{ClientID: "workload"}).Verify(ctx, compact)
	if err != nil || len(got.Subject) != 64 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := p.Verifier(&oidc.Config{ClientID: "another"}).Verify(ctx, compact); err == nil {
		t.Error("taken for another audience")
	}
	other, err := oidc.NewProvider(ctx, i.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Verifier(&oidc.Config{ClientID: "workload"}).Verify(ctx, compact); err == nil {
		t.Error("taken as a token of another provider")
	}
}

// TestHAProxy: a proxy in front of a workload lets attested callers pass.
func TestHAProxy(t *testing.T) {
	i, issuer, attest := servicetest.Relying(t)
	compact := attest()
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.ForProvider("relying").Discovery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.ForProvider("relying").Keys(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(keys.Keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	write(t, filepath.Join(dir, "haproxy.cfg"), fmt.Appendf(nil, `defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend workload
  bind %s
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.issuer) var(txn.bearer),jwt_payload_query('$.iss')
  http-request return status 401 unless { var(txn.bearer) -m found }
  http-request return status 403 unless { var(txn.bearer),jwt_verify(RS256,"%s") -m int 1 }
  http-request return status 403 unless { var(txn.issuer) -m str %s }
  http-request return status 200 content-type text/plain lf-string "attested by %%[var(txn.issuer)]"
`, address, filepath.Join(dir, "key.pem"), issuer))
	var log bytes.Buffer
	proxy := exec.Command("haproxy", "-f", filepath.Join(dir, "haproxy.cfg"), "-db")
	proxy.Stdout, proxy.Stderr = &log, &log
	if err := proxy.Start(); err != nil {
		t.Fatalf("haproxy: %v (run `make deps`)", err)
	}
	t.Cleanup(func() {
		proxy.Process.Kill()
		proxy.Wait()
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	})
	ask := func(bearer string) (int, string) {
		for range 100 {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if bearer != "" {
				r.Header.Set("Authorization", "Bearer "+bearer)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(b)
		}
		t.Fatal("haproxy does not answer")
		return 0, ""
	}
	if status, body := ask(compact); status != 200 || body != "attested by "+issuer {
		t.Errorf("%d %s", status, body)
	}
	parts := strings.Split(compact, ".")
	for name, bearer := range map[string]string{
		"none":     "",
		"altered":  parts[0] + "." + parts[1][:len(parts[1])-4] + "AAAA." + parts[2],
		"unsigned": "eyJhbGciOiJub25lIn0." + parts[1] + ".",
	} {
		if status, _ := ask(bearer); status != 401 && status != 403 {
			t.Errorf("%s: %d", name, status)
		}
	}
}
