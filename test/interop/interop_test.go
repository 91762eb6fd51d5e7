//go:build interop

// Package interop runs real clients against the service: Microsoft's SDKs,
// unmodified. It needs Node with the packages of js/ installed, and the Python
// environment of `make deps`; an absent one is a failure, not a skip.
package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/testtee"
)

const adminToken = "administrator-of-the-interop-tests"

// instance is a running service with evidence that it accepts.
type instance struct {
	url, folder, ca string
}

// start builds and runs the service as an operator would.
func start(t *testing.T, cfg map[string]any) instance {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "probity")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/probity").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	i := instance{url: "https://localhost:" + port, folder: dir, ca: filepath.Join(dir, "data", "ca.pem")}
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
	cmd.Env = append(os.Environ(), "PROBITY_ADMIN_TOKEN="+adminToken)
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
	i.wait(t)
	return i
}

func (i instance) wait(t *testing.T) {
	t.Helper()
	for range 100 {
		if resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: trust(i.ca)}}).Get(i.url + "/readyz"); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the service did not start")
}

// simulated starts a service that trusts a test root, and leaves evidence.
func simulated(t *testing.T) instance {
	t.Helper()
	files := t.TempDir()
	now := time.Now()
	pki := testtee.NewIntel(testtee.IntelConfig{Now: now})
	m := pki.Platform(testtee.HealthyPlatform())
	set, err := pki.Collateral(m, testtee.CollateralConfig{TCB: testtee.HealthyTCB(now)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	runtime := []byte("{ \"key\" : {\"kty\":\"EC\",\"x\":\"18w\"}, \"a\":[1,2.50] }")
	initTime := []byte(`{"config":"release"}`)
	enclave := testtee.DemoEnclave()
	enclave.ReportData = testtee.BindData(runtime)
	quote := m.Quote(testtee.QuoteConfig{Enclave: enclave})
	enclave.KSS, enclave.ConfigID = true, testtee.BindData(initTime)
	for name, b := range map[string][]byte{
		"collateral.json": set, "root.pem": pki.Root.PEM(), "quote.bin": quote, "report.bin": testtee.OpenEnclaveReport(quote),
		"quote-kss.bin": m.Quote(testtee.QuoteConfig{Enclave: enclave}), "runtime.bin": runtime, "inittime.bin": initTime,
	} {
		write(t, filepath.Join(files, name), b)
	}
	writeSigners(t, files)
	i := start(t, map[string]any{"collateral": []string{filepath.Join(files, "collateral.json")},
		"development": map[string]any{"intelRoot": filepath.Join(files, "root.pem")}})
	i.folder = files
	return i
}

// env is what a client's script needs; caVariable is where it looks for CAs.
func (i instance) env(caVariable string) []string {
	return []string{caVariable + "=" + i.ca, "PROBITY_URL=" + i.url, "PROBITY_EVIDENCE=" + i.folder, "PROBITY_ADMIN_TOKEN=" + adminToken}
}

func TestJavaScriptClient(t *testing.T) {
	i := simulated(t)
	// One after the other: the later files change policies.
	for _, file := range []string{"attest.test.mjs", "policy.test.mjs", "tenants.test.mjs", "login.test.mjs"} {
		run(t, "js", i.env("NODE_EXTRA_CA_CERTS"), "node", "--test", "--test-reporter=spec", file)
	}
}

func TestPythonClient(t *testing.T) {
	i := simulated(t)
	python, err := filepath.Abs("python/.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	run(t, "python", i.env("REQUESTS_CA_BUNDLE"), python, "-m", "unittest", "-v")
}

// TestRecordedAzureEvidence replays the evidence that Azure's SDKs test with,
// at its own time. It needs the folder that PROBITY_CORPUS names.
func TestRecordedAzureEvidence(t *testing.T) {
	corpus := os.Getenv("PROBITY_CORPUS")
	if corpus == "" {
		t.Skip("PROBITY_CORPUS names no folder with recorded evidence")
	}
	folder := filepath.Join(corpus, "openenclave", "azure-sdk-oe-debug")
	report := read(t, filepath.Join(folder, "report.bin"))
	runtime := read(t, filepath.Join(folder, "runtime_data.bin"))
	i := start(t, map[string]any{"collateral": []string{filepath.Join(folder, "collateral.json")}, "tcb": "OutOfDate",
		"development": map[string]any{"time": "2025-06-11T19:18:17Z"}})
	c, err := client.New(client.Config{URL: i.url, Roots: trust(i.ca).RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]client.Request{
		"OpenEnclave": {Kind: evidence.OpenEnclave, Evidence: report, RuntimeData: &evidence.Data{Bytes: runtime, Type: evidence.JSON}},
		"SgxEnclave":  {Kind: evidence.SGXEnclave, Evidence: report[16:], RuntimeData: &evidence.Data{Bytes: runtime, Type: evidence.Binary}},
	} {
		compact, err := c.Attest(context.Background(), r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := c.Verify(context.Background(), compact, time.Now()); err != nil {
			t.Errorf("%s: the token is not of today: %v", name, err)
		}
	}
}

func run(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%s: %v (run `make deps` if its packages are absent)", name, err)
	}
}
