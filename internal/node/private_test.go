//go:build unix

package node

import (
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/probity-dev/probity/internal/config"
)

// umask makes the files of a test as open as their modes say.
func umask(t *testing.T) {
	old := syscall.Umask(0)
	t.Cleanup(func() { syscall.Umask(old) })
}

// TestTheDataFolderIsPrivateWhateverTheUmask: while the service runs, and afterwards.
func TestTheDataFolderIsPrivateWhateverTheUmask(t *testing.T) {
	umask(t)
	dir := filepath.Join(t.TempDir(), "data")
	look := func(when string) {
		t.Helper()
		found := map[string]bool{}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s, %s: %v", when, path, info.Mode())
			}
			found[filepath.Base(path)] = true
			return err
		})
		if err != nil || !found["master.key"] || !found["probity.db"] || !found["ca-key.pem"] {
			t.Errorf("%s: %v, %v", when, found, err)
		}
	}
	cfg := config.Config{Listen: "localhost:0", DataDir: dir}
	if err := cfg.Complete(true); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg, true, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "probity.db-wal")); err != nil {
		t.Error(err)
	}
	look("running")
	s.Close()
	look("closed")

	// A folder that was opened in the meantime is closed again; its key is not trusted.
	for _, name := range []string{".", "probity.db", "anchor"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := startOnce(t, dir, true); err != nil {
		t.Fatal(err)
	}
	look("started again")
}

func TestSecretsThatOthersCanReadAreRefused(t *testing.T) {
	umask(t)
	secrets := t.TempDir()
	file := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(secrets, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	pair := pairFor(t)
	openKey := filepath.Join(secrets, "tls.pem")
	b, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(openKey, b, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*config.Config) string{
		"master key": func(c *config.Config) string {
			c.MasterKeyFile = file("master", key, 0o644)
			return c.MasterKeyFile
		},
		"administrator": func(c *config.Config) string {
			c.AdminTokenFile = file("admin", strings.Repeat("a", 32), 0o640)
			return c.AdminTokenFile
		},
		"database": func(c *config.Config) string {
			c.Store.PostgresFile = file("pg", "host=localhost", 0o604)
			return c.Store.PostgresFile
		},
		"TLS key": func(c *config.Config) string { c.TLS.Key = openKey; return openKey },
	} {
		cfg := config.Config{Listen: "localhost:0", DataDir: t.TempDir(), TLS: pair}
		path := edit(&cfg)
		if err := cfg.Complete(false); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), cfg, false, quietLog())
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The key in the data folder, too: it may have been copied while it was open.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "master.key"), []byte(key), 0o644); err != nil {
		t.Fatal(err)
	}
	wantError(t, startOnce(t, dir, true), "chmod 600 "+filepath.Join(dir, "master.key"))
}
