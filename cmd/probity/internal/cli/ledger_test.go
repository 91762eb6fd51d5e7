package cli

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

// started runs a service on a data directory until f returns.
func started(t *testing.T, dir string, f func(s *node.Node, log *bytes.Buffer)) error {
	t.Helper()
	var log bytes.Buffer
	cfg := config.Config{URL: "https://localhost:8443", Listen: "127.0.0.1:0", DataDir: dir}
	if err := cfg.Complete(true); err != nil {
		t.Fatal(err)
	}
	s, err := node.Open(t.Context(), cfg, true, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		return err
	}
	defer s.Close()
	f(s, &log)
	return nil
}

func record(t *testing.T, s *node.Node, n int) {
	t.Helper()
	for range n {
		if err := s.Ledger.Record(t.Context(), "default", ledger.Entry{
			Type:    ledger.Decision,
			Kind:    "SgxEnclave",
			Outcome: ledger.Accepted,
		}, true); err != nil {
			t.Fatal(err)
		}
	}
}

func execute(t *testing.T, dir string, statements ...string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, statement := range statements {
		if _, err := s.DB().Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// A ledger that lost its end: verify names what is missing, the service does not
// sign it, and goes on after the operator accepted it.
func TestLedgerVerifyAndAccept(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(started(t, dir, func(s *node.Node, _ *bytes.Buffer) { record(t, s, 10) }))
	code, out, _ := runCLI(t, "ledger", "verify", "--data", dir)
	if code != 0 || !strings.Contains(out, "intact  default: 13 entries") ||
		!strings.Contains(out, "compared with the checkpoint outside the database") {
		t.Errorf("%d %s", code, out)
	}
	kept, err := os.ReadFile(filepath.Join(dir, anchor.Dir, node.LedgerFolder, "default"))
	must(err)
	keptFile := filepath.Join(t.TempDir(), "kept.txt")
	must(os.WriteFile(keptFile, kept, 0o600))

	execute(t, dir, `DELETE FROM ledger WHERE seq >= 5`, `DELETE FROM ledger_checkpoints`,
		`UPDATE ledger_heads SET size = 5, chain = (SELECT chain FROM ledger WHERE seq = 4)`)
	code, out, _ = runCLI(t, "ledger", "verify", "--data", dir)
	if code != 1 || !strings.Contains(out, "damaged  default") ||
		!strings.Contains(out, "says 13 entries, but there are 5") ||
		!strings.Contains(out, "no checkpoint covers entries 0 to 4") {
		t.Errorf("%d %s", code, out)
	}
	must(started(t, dir, func(s *node.Node, log *bytes.Buffer) {
		if len(s.Ledger.Stopped()) != 1 || !strings.Contains(log.String(), "LEDGER STOPPED") {
			t.Errorf("stopped %v; log:\n%s", s.Ledger.Stopped(), log)
		}
	}))
	if code, out, errText := runCLI(t, "ledger", "accept", "--data", dir, "--provider",
		"default"); code != 0 ||
		!strings.Contains(out, "accepted  default: 5 entries") {
		t.Errorf("%d %s %s", code, out, errText)
	}
	must(started(t, dir, func(s *node.Node, _ *bytes.Buffer) { record(t, s, 1) }))
	if code, out, _ := runCLI(t, "ledger", "verify", "--data", dir); code != 0 ||
		!strings.Contains(out, "intact  default: 7 entries") {
		t.Errorf("%d %s", code, out)
	}
	// A checkpoint that was kept elsewhere still tells.
	if code, out, _ := runCLI(t, "ledger", "verify", "--data", dir, "--checkpoint",
		keptFile); code != 1 ||
		!strings.Contains(out, "says 13 entries") {
		t.Errorf("%d %s", code, out)
	}
}

// Without any checkpoint nothing shows that entries are the recorded ones.
func TestLedgerVerifyNeedsACheckpoint(t *testing.T) {
	dir := t.TempDir()
	if err := started(t, dir, func(s *node.Node, _ *bytes.Buffer) { record(t, s, 3) }); err != nil {
		t.Fatal(err)
	}
	execute(t, dir, `DELETE FROM ledger_checkpoints`)
	if err := os.RemoveAll(filepath.Join(dir, anchor.Dir)); err != nil {
		t.Fatal(err)
	}
	code, out, _ := runCLI(t, "ledger", "verify", "--data", dir)
	if code != 1 || !strings.Contains(out, "no checkpoint of this key") ||
		!strings.Contains(out, "an older copy of the whole database would look intact") {
		t.Errorf("%d %s", code, out)
	}
	if err := started(t, dir, func(s *node.Node, _ *bytes.Buffer) {
		if len(s.Ledger.Stopped()) != 1 {
			t.Error("the service signs entries that nothing vouches for")
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// A checkpoint of another provider, or without a signature, is no comparison.
func TestLedgerVerifyRefusesForeignCheckpoints(t *testing.T) {
	dir := t.TempDir()
	if err := started(t, dir, func(s *node.Node, _ *bytes.Buffer) {
		record(t, s, 3)
		if err := s.Ledger.Record(t.Context(), "other", ledger.Entry{Type: ledger.Decision}, true); err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, anchor.Dir, node.LedgerFolder, "other")
	code, out, _ := runCLI(t, "ledger", "verify", "--data", dir, "--checkpoint", other)
	if code != 0 || strings.Count(out, "intact") != 2 {
		t.Errorf("a checkpoint of one of two ledgers: %d %s", code, out)
	}
	if code, _, text := runCLI(t, "ledger", "verify", "--data", dir, "--provider", "default",
		"--checkpoint", other); code != 2 || !strings.Contains(text, "not among the ledgers") {
		t.Errorf("a checkpoint of another ledger: %d %s", code, text)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("no note"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, text := runCLI(t, "ledger", "verify", "--data", dir, "--checkpoint", bad); code != 2 ||
		!strings.Contains(text, "not a checkpoint signed by this key") {
		t.Errorf("no checkpoint: %d %s", code, text)
	}
}

// The key of checkpoints is made at the first start alone.
func TestACheckpointKeyFromNowhereIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		statement string
		forget    bool // the folder outside the database
		want      string
	}{
		"removed": {
			`DELETE FROM checkpoint_keys`, false, "no checkpoint key",
		},
		"removed, with an empty folder": {
			`DELETE FROM checkpoint_keys`, true, "no checkpoint key",
		},
		"removed with all of the ledger": {`DELETE FROM checkpoint_keys; ` +
			`DELETE FROM ledger; DELETE FROM ledger_heads; DELETE FROM ledger_checkpoints`, false,
			"no checkpoint key"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := started(t, dir, func(s *node.Node, _ *bytes.Buffer) { record(t, s, 3) }); err != nil {
				t.Fatal(err)
			}
			execute(t, dir, tc.statement)
			if tc.forget {
				if err := os.RemoveAll(filepath.Join(dir, anchor.Dir)); err != nil {
					t.Fatal(err)
				}
			}
			err := started(t, dir, func(*node.Node, *bytes.Buffer) {})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("started: %v", err)
			}
		})
	}
	// A key of another service, whose master key is the same.
	dir, other := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, other} {
		if err := started(t, d, func(*node.Node, *bytes.Buffer) {}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "master.key"))
		if err != nil {
			t.Fatal(err)
		}
		if d == dir {
			if err := os.WriteFile(filepath.Join(other, "master.key"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			execute(t, other) // an empty database, to which the key belongs
		}
	}
	execute(t, dir, `ATTACH '`+filepath.Join(other,
		sqlite.FileName)+`' AS other; DELETE FROM checkpoint_keys; `+
		`INSERT INTO checkpoint_keys SELECT * FROM other.checkpoint_keys`)
	err := started(t, dir, func(*node.Node, *bytes.Buffer) {})
	if err == nil || !strings.Contains(err.Error(), "the key was exchanged") {
		t.Errorf("started: %v", err)
	}
}

// A new key is an entry under a checkpoint of both keys. Everything still verifies,
// on a node that knew the old key alone too.
func TestTheCheckpointKeyIsRotated(t *testing.T) {
	dir := t.TempDir()
	keyFile := filepath.Join(dir, anchor.Dir, node.LedgerFolder, "key%3acheckpoint")
	if err := started(t, dir, func(s *node.Node, _ *bytes.Buffer) { record(t, s, 3) }); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, dir, `CREATE TABLE first_key AS SELECT * FROM checkpoint_keys`)
	for range 2 {
		code, out, text := runCLI(t, "ledger", "rotate-key", "--data", dir)
		if code != 0 || !strings.Contains(out, "localhost:8443+") ||
			strings.Contains(string(old), strings.TrimSpace(out)) {
			t.Fatalf("%d %s %s", code, out, text)
		}
		if err := os.WriteFile(keyFile, old, 0o600); err != nil { // the first key alone
			t.Fatal(err)
		}
		if err := started(t, dir, func(s *node.Node, _ *bytes.Buffer) {
			if len(s.Ledger.Stopped()) != 0 {
				t.Errorf("stopped: %v", s.Ledger.Stopped())
			}
			record(t, s, 2)
		}); err != nil {
			t.Fatal(err)
		}
		if code, out, text := runCLI(t, "ledger", "verify", "--data", dir); code != 0 || text != "" {
			t.Errorf("%d %s %s", code, out, text)
		}
	}
	// The rotation is not undone by the old key's own row.
	execute(t, dir, `CREATE TABLE kept AS SELECT * FROM checkpoint_keys`, `DELETE FROM checkpoint_keys`,
		`INSERT INTO checkpoint_keys SELECT * FROM first_key`)
	err = started(t, dir, func(*node.Node, *bytes.Buffer) {})
	if err == nil || !strings.Contains(err.Error(), "the rotation was undone") {
		t.Errorf("started: %v", err)
	}
	execute(t, dir, `DELETE FROM checkpoint_keys`, `INSERT INTO checkpoint_keys SELECT * FROM kept`)
	// Without the checkpoints that both keys signed, the new key is one from nowhere.
	if err := os.WriteFile(keyFile, old, 0o600); err != nil {
		t.Fatal(err)
	}
	execute(t, dir, `DELETE FROM ledger_checkpoints WHERE note LIKE '%—%—%'`)
	err = started(t, dir, func(*node.Node, *bytes.Buffer) {})
	if err == nil || !strings.Contains(err.Error(), "the key was exchanged") {
		t.Errorf("started: %v", err)
	}
}

// TestARotationIsRememberedBeforeANodeStarts: the old row comes back after the rotation, before any node saw the new
// key.
func TestARotationIsRememberedBeforeANodeStarts(t *testing.T) {
	dir := t.TempDir()
	if err := started(t, dir, func(s *node.Node, _ *bytes.Buffer) { record(t, s, 1) }); err != nil {
		t.Fatal(err)
	}
	execute(t, dir, `CREATE TABLE first_key AS SELECT * FROM checkpoint_keys`)
	if code, out, text := runCLI(t, "ledger", "rotate-key", "--data", dir); code != 0 {
		t.Fatalf("%d %s %s", code, out, text)
	}
	execute(t, dir, `DELETE FROM checkpoint_keys`, `INSERT INTO checkpoint_keys SELECT * FROM first_key`)
	err := started(t, dir, func(*node.Node, *bytes.Buffer) {})
	if err == nil || !strings.Contains(err.Error(), "the rotation was undone") {
		t.Errorf("started: %v", err)
	}
}
