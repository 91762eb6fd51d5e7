//go:build interop

// Package interop runs real clients against the service: Microsoft's SDKs,
// unmodified. It needs Node with the packages of js/, and the Python and Maven
// packages of `make deps`; an absent one is a failure, not a skip.
package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/test/kit/servicetest"
)

const adminToken = servicetest.AdminToken

// instance is a running service with evidence that it accepts.
type instance = servicetest.Instance

func start(t *testing.T, cfg map[string]any) instance { return servicetest.Start(t, cfg) }

// simulated starts a service that trusts a test root, and leaves evidence and policy
// signers.
func simulated(t *testing.T, more ...map[string]any) instance {
	t.Helper()
	i := servicetest.Simulated(t, more...)
	writeSigners(t, i.Folder)
	return i
}

// env is what a client's script needs; caVariable is where it looks for CAs.
func env(i instance, caVariable string) []string {
	return []string{
		caVariable + "=" + i.CA,
		"PROBITY_URL=" + i.URL,
		"PROBITY_EVIDENCE=" + i.Folder,
		"PROBITY_ADMIN_TOKEN=" + adminToken,
	}
}

func TestJavaScriptClient(t *testing.T) {
	i := simulated(t)
	// One after the other: the later files change policies.
	for _, file := range []string{"attest.test.mjs", "policy.test.mjs", "providers.test.mjs", "login.test.mjs"} {
		run(t, "js", env(i, "NODE_EXTRA_CA_CERTS"), "node", "--test", "--test-reporter=spec", file)
	}
}

func TestPythonClient(t *testing.T) {
	i := simulated(t)
	python, err := filepath.Abs("python/.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	run(t, "python", env(i, "REQUESTS_CA_BUNDLE"), python, "-m", "unittest", "-v")
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
	i := start(t,
		map[string]any{"collateral": []string{filepath.Join(folder, "collateral.json")}, "tcb": "OutOfDate",
			"development": map[string]any{"time": "2025-06-11T19:18:17Z"}})
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]client.Request{
		"OpenEnclave": {
			Kind:        evidence.OpenEnclave,
			Evidence:    report,
			RuntimeData: &evidence.Data{Bytes: runtime, Type: evidence.JSON},
		},
		"SgxEnclave": {
			Kind:        evidence.SGXEnclave,
			Evidence:    report[16:],
			RuntimeData: &evidence.Data{Bytes: runtime, Type: evidence.Binary},
		},
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
