// Package servicetest runs the service for tests as an operator would: the program,
// its configuration, its certificate.
package servicetest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/test/kit/traffic"
)

// AdminToken is the administrator's.
const AdminToken = "administrator-of-the-interop-tests"

// Instance is a running service: its URL, a folder with evidence that it accepts, and
// the file with the CA of its certificate. Program is the program that runs.
type Instance struct{ URL, Folder, CA, Program string }

// Trust is the configuration of TLS clients of the service.
func (i Instance) Trust() *tls.Config {
	pool := x509.NewCertPool()
	if b, err := os.ReadFile(i.CA); err == nil {
		pool.AppendCertsFromPEM(b)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// Start builds and runs the service as an operator would.
func Start(t *testing.T, cfg map[string]any) Instance {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "probity")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", binary,
		"./cmd/probity").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	i := Instance{URL: "https://localhost:" + port, Folder: dir, CA: filepath.Join(dir, "data", "ca.pem"),
		Program: binary}
	recorder := recordingProxy(t, &i, cfg)
	cfg["listen"] = "localhost:" + port
	cfg["dataDir"] = filepath.Join(dir, "data")
	b, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "probity.json")
	write(t, file, b)
	var log bytes.Buffer
	cmd := exec.Command(binary, "serve", "--dev", "--config", file)
	cmd.Env = append(os.Environ(), "PROBITY_ADMIN_TOKEN="+AdminToken)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Logf("log of the service:\n%s", log.Bytes())
		}
	})
	direct := i
	direct.URL = "https://localhost:" + port
	direct.wait(t)
	recorder(direct)
	return i
}

// recordingProxy puts a proxy before the service if traffic is to be recorded: clients and tokens then name
// the proxy. A configuration that names a URL has a proxy of its own. The returned function starts it.
func recordingProxy(t *testing.T, i *Instance, cfg map[string]any) func(service Instance) {
	t.Helper()
	if os.Getenv(traffic.Env) == "" || cfg["url"] != nil {
		return func(Instance) {}
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	i.URL = "https://localhost:" + port
	cfg["url"] = i.URL
	return func(service Instance) {
		target, err := url.Parse(service.URL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := &httputil.ReverseProxy{
			Transport: &http.Transport{TLSClientConfig: service.Trust()},
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = r.In.Host
			},
		}
		// The whole body first: the service may answer before the proxy has seen where
		// the body ends, and the proxy then breaks the answer off.
		whole := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			proxy.ServeHTTP(w, r)
		})
		handler, err := traffic.Record(whole)
		if err != nil {
			t.Fatal(err)
		}
		config, err := edge.DevCertificate(filepath.Dir(service.CA), "localhost", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: handler, TLSConfig: config}
		go s.ServeTLS(l, "", "")
		t.Cleanup(func() { s.Close() })
	}
}

func (i Instance) wait(t *testing.T) {
	t.Helper()
	for range 100 {
		resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: i.Trust()}}).Get(i.URL +
			"/readyz")
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the service did not start")
}

// Simulated starts a service that trusts a test root, and leaves evidence. More
// members of its configuration may be given.
func Simulated(t *testing.T, more ...map[string]any) Instance {
	t.Helper()
	files := t.TempDir()
	now := time.Now()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	set, err := pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	runtime := []byte("{ \"key\" : {\"kty\":\"EC\",\"x\":\"18w\"}, \"a\":[1,2.50] }")
	initTime := []byte(`{"config":"release"}`)
	enclave := evidencetest.DemoEnclave()
	enclave.ReportData = evidencetest.BindData(runtime)
	quote := m.Quote(evidencetest.QuoteConfig{Enclave: enclave})
	enclave.KSS, enclave.ConfigID = true, evidencetest.BindData(initTime)
	for name, b := range map[string][]byte{
		"collateral.json": set, "root.pem": pki.Root.PEM(), "quote.bin": quote,
		"report.bin":    evidencetest.OpenEnclaveReport(quote),
		"quote-kss.bin": m.Quote(evidencetest.QuoteConfig{Enclave: enclave}), "runtime.bin": runtime,
		"inittime.bin": initTime,
	} {
		write(t, filepath.Join(files, name), b)
	}
	cfg := map[string]any{"collateral": []string{filepath.Join(files, "collateral.json")},
		"development": map[string]any{"intelRoot": filepath.Join(files, "root.pem")}}
	for _, members := range more {
		maps.Copy(cfg, members)
	}
	for name, b := range machine(t, m, evidencetest.DemoEnclave()) {
		write(t, filepath.Join(files, name), b)
	}
	i := Start(t, cfg)
	i.Folder = files
	return i
}

// Relying starts a service with a provider whose tokens are for the audience
// "workload" and name the enclave's MRENCLAVE as their subject. It returns the
// provider's URL, and what attests there and returns a token.
func Relying(t *testing.T) (i Instance, issuer string, attest func() string) {
	t.Helper()
	i = Simulated(t)
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs, Token: AdminToken})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.PutProvider(t.Context(), client.Scope{Subscription: "s", Group: "g"}, "relying",
		client.Provider{Location: "local",
			Properties: client.ProviderProperties{
				Probity: []byte(`{"audience":["workload"],"subjectClaim":"x-ms-sgx-mrenclave"}`),
			}})
	if err != nil {
		t.Fatal(err)
	}
	quote, err := os.ReadFile(filepath.Join(i.Folder, "quote.bin"))
	if err != nil {
		t.Fatal(err)
	}
	return i, p.Properties.AttestURI, func() string {
		t.Helper()
		compact, err := c.ForProvider("relying").Attest(t.Context(),
			client.Request{Kind: evidence.SGXEnclave, Evidence: quote})
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
