package cli

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/node"
)

// startService runs a service for the test, and names it in the environment of the commands.
func startService(t *testing.T) (url string) {
	t.Helper()
	const administrator = "administrator-of-the-tests"
	t.Setenv("PROBITY_ADMIN_TOKEN", administrator)
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cfg := config.Config{Listen: "localhost:" + port, DataDir: filepath.Join(t.TempDir(), "data")}
	if err := cfg.Complete(true); err != nil {
		t.Fatal(err)
	}
	service, err := node.Open(t.Context(), cfg, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error)
	go func() { ended <- service.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		service.Close()
	})
	t.Setenv("PROBITY_URL", cfg.URL)
	t.Setenv("PROBITY_CA", filepath.Join(cfg.DataDir, edge.DevCAFile))
	t.Setenv("PROBITY_TOKEN", administrator)
	return cfg.URL
}

// writeFile writes a file into a folder of the test, and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers runs a command and compares exit code and texts; want are parts of what it prints.
func answers(t *testing.T, wantCode int, want []string, args ...string) (text string) {
	t.Helper()
	code, out, errText := runCLI(t, args...)
	text = out + errText
	if code != wantCode {
		t.Errorf("probity %s: exit %d, want %d: %.600s", strings.Join(args, " "), code, wantCode, text)
	}
	for _, part := range want {
		if !strings.Contains(text, part) {
			t.Errorf("probity %s: no %q in: %.600s", strings.Join(args, " "), part, text)
		}
	}
	return text
}

// TestCreateRefusesAProviderThatExists: a second creation would replace the settings of the first.
func TestCreateRefusesAProviderThatExists(t *testing.T) {
	startService(t)
	first := writeFile(t, "first.json", `{"signingAlgorithm":"ES256"}`)
	second := writeFile(t, "second.json", `{"audience":["workload"]}`)
	answers(t, 0, []string{"payments  AAD"}, "provider", "create", "payments", "--settings", first)
	answers(t, 1, []string{"payments exists; change it with: probity provider update payments"},
		"provider", "create", "payments", "--settings", second)
	answers(t, 1, []string{`"verdict": "rejected"`, "provider update payments"},
		"provider", "create", "payments", "--format", "json")
	text := answers(t, 0, []string{"ES256"}, "provider", "show", "payments")
	if strings.Contains(text, "workload") {
		t.Errorf("the settings were replaced: %s", text)
	}
	answers(t, 1, []string{"default exists; change it with: probity provider update default"},
		"provider", "create", "default")
}

// TestDeleteNamesAProviderThatDoesNotExist: a misspelt name is not reported as deleted.
func TestDeleteNamesAProviderThatDoesNotExist(t *testing.T) {
	startService(t)
	answers(t, 0, nil, "provider", "create", "payments")
	answers(t, 1, []string{"no provider is named nope", "list them: probity provider list"},
		"provider", "delete", "nope")
	answers(t, 1, []string{`"verdict": "rejected"`}, "provider", "delete", "nope", "--format", "json")
	answers(t, 0, []string{"payments is deleted"}, "provider", "delete", "payments")
	answers(t, 1, []string{"list them: probity provider list"}, "provider", "show", "payments")
}

// TestAWrongTokenIsNamed: the remedy is the variable of the environment, and where tokens come from.
func TestAWrongTokenIsNamed(t *testing.T) {
	startService(t)
	t.Setenv("PROBITY_TOKEN", "a-token-of-another-service")
	answers(t, 1, []string{"a credential that this service knows",
		"set PROBITY_TOKEN to the administrator's token, or to one of probity token create, made at this service"},
		"provider", "list")
}
