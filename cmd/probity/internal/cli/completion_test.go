package internal

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

func TestTheShellIsAnsweredWithCommandsAndFlags(t *testing.T) {
	for line, want := range map[string][]string{
		"probity ver":                            {"verify", "version"},
		"probity verify ":                        {"evidence", "token"},
		"probity verify evidence --form":         {"--format"},
		"probity verify evidence --format ":      {"json", "text"},
		"probity policy signers ":                {"add", "list", "remove"},
		"probity tpm roots import x --for ":      {"attestation", "endorsement"},
		"probity no-such-command --no-such-flag": nil,
	} {
		t.Run(line, func(t *testing.T) {
			t.Setenv("COMP_LINE", line)
			code, out, _ := runCLI(t)
			got := strings.Fields(out)
			slices.Sort(got)
			if code != term.Yes || !slices.Equal(got, want) {
				t.Errorf("%d %q, want %q", code, got, want)
			}
		})
	}
}

// TestACommandRunsWhileAShellCompletes: it does not answer with words, and yes.
func TestACommandRunsWhileAShellCompletes(t *testing.T) {
	t.Setenv("COMP_LINE", "probity ver")
	if code, _, _ := runCLI(t, "verify", "token", "absent"); code != term.Trouble {
		t.Errorf("verify token of a file that is absent: %d", code)
	}
	if code, out, _ := runCLI(t, "probity", "ver", "probity"); code != term.Yes || !strings.Contains(out, "verify") {
		t.Errorf("as bash asks: %d %q", code, out)
	}
}

// TestCompletionScriptsLoad: each shell that is here reads its script.
func TestCompletionScriptsLoad(t *testing.T) {
	for shell, check := range map[string]string{"bash": "complete -p probity", "zsh": "true", "fish": "functions -q __complete_probity"} {
		code, script, _ := runCLI(t, "completion", shell)
		if code != term.Yes || !strings.Contains(script, "probity") {
			t.Fatalf("%s: %d %q", shell, code, script)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		if out, err := exec.Command(path, "-c", script+"\n"+check).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", shell, err, out)
		}
	}
	if code, _, text := runCLI(t, "completion", "tcsh"); code != term.Trouble || !strings.Contains(text, "bash") {
		t.Errorf("an unknown shell: %d %s", code, text)
	}
}

// TestTheManualPageHasEveryCommand: it is made of the command tree.
func TestTheManualPageHasEveryCommand(t *testing.T) {
	code, page, _ := runCLI(t, "man")
	if code != term.Yes || !strings.HasPrefix(page, ".TH PROBITY 1") || !strings.Contains(page, "EXIT STATUS") {
		t.Fatalf("%d %.200q", code, page)
	}
	plain := strings.NewReplacer(`\-`, "-", `\&`, "").Replace(page)
	for _, n := range leaves(t) {
		if path := strings.TrimPrefix(n.FullPath(), "probity "); !strings.Contains(plain, path) {
			t.Errorf("%s is missing", path)
		}
	}
}
