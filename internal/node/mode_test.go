package node

import (
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/test/kit/pgtest"
)

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// startOnce opens a service in a data folder and closes it again.
func startOnce(t *testing.T, dir string, dev bool) error {
	t.Helper()
	cfg := config.Config{Listen: "localhost:0", DataDir: dir}
	if !dev {
		cfg.TLS = pairFor(t)
	}
	if err := cfg.Complete(dev); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg, dev, quietLog())
	if err == nil {
		s.Close()
	}
	return err
}

func pairFor(t *testing.T) config.TLS {
	t.Helper()
	dir := t.TempDir()
	if _, err := edge.DevCertificate(dir, "localhost", time.Now()); err != nil {
		t.Fatal(err)
	}
	return config.TLS{Certificate: filepath.Join(dir, "ca.pem"), Key: filepath.Join(dir, "ca-key.pem")}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %q", err, want)
	}
}

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
}

// Production data is never opened with an issuer that makes every caller an owner,
// and data of such a service never becomes production's.
func TestADataFolderStaysInItsMode(t *testing.T) {
	production, development := filepath.Join(t.TempDir(), "p"), filepath.Join(t.TempDir(), "d")
	for range 2 {
		if err := startOnce(t, production, false); err != nil {
			t.Fatal(err)
		}
		if err := startOnce(t, development, true); err != nil {
			t.Fatal(err)
		}
		wantError(t, startOnce(t, production, true), "was used in production")
		wantError(t, startOnce(t, development, false), "was used with --dev")
	}
	// The mark is in the database as well, and in what earlier versions left.
	remove(t, production, "mode", "master.key", "anchor")
	wantError(t, startOnce(t, production, true), "was used in production")
	remove(t, development, "mode")
	wantError(t, startOnce(t, development, false), "was used with --dev")
	remove(t, production, "mode")
	wantError(t, startOnce(t, production, true), "was used in production")
	remove(t, development, "mode", "ca.pem", "ca-key.pem")
	wantError(t, startOnce(t, development, false), "was used with --dev")
	if err := os.WriteFile(filepath.Join(production, "mode"), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, startOnce(t, production, false), "neither production nor development")
}

// A database that several folders share has the mark too.
func TestASharedDatabaseStaysInItsMode(t *testing.T) {
	pg := pgtest.Start(t)
	t.Setenv(masterKeyEnv, base64.StdEncoding.EncodeToString(make([]byte, 32)))
	for _, dev := range []bool{false, true} {
		t.Setenv(config.PostgresEnv, pg.Database(t))
		for range 2 { // two nodes
			if err := startOnce(t, t.TempDir(), dev); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, startOnce(t, t.TempDir(), !dev), "database was used")
	}
}

func TestNamesAreResolvedBeforeDevelopmentListens(t *testing.T) {
	for _, address := range []string{"0:0", "0x0:0"} { // the system's resolver reads these as 0.0.0.0
		if err := resolvesToLoopback(t.Context(), address); err == nil {
			t.Errorf("%s was accepted", address)
		}
	}
	if err := resolvesToLoopback(t.Context(), "localhost:0"); err != nil {
		t.Error(err)
	}
}
