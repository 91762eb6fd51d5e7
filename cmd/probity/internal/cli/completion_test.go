package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/cmd/probity/internal/shell"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// TestTheTreesAgree: cobra's tree, which completion scripts ask, has the commands and flags of
// kong's, and no others.
func TestTheTreesAgree(t *testing.T) {
	model, err := Model()
	if err != nil {
		t.Fatal(err)
	}
	root := shell.Tree(model)
	for _, n := range nodes(t) {
		c, rest, err := root.Find(strings.Fields(n.FullPath())[1:])
		if err != nil || len(rest) > 0 || c.Name() != n.Name {
			t.Errorf("%s is not in the tree: %v", n.FullPath(), err)
			continue
		}
		if len(c.Commands()) != len(n.Children) {
			t.Errorf("%s: %d commands, want %d", n.FullPath(), len(c.Commands()), len(n.Children))
		}
		for _, f := range n.Flags {
			if f.Name != "help" && c.Flags().Lookup(f.Name) == nil && c.PersistentFlags().Lookup(f.Name) == nil {
				t.Errorf("%s has no flag --%s", n.FullPath(), f.Name)
			}
		}
	}
}

// TestAnswersToShellsAreAskedForByArgument: a command that runs while a shell completes does not
// answer with words, and yes.
func TestAnswersToShellsAreAskedForByArgument(t *testing.T) {
	t.Setenv("COMP_LINE", "probity ver")
	if code, _, _ := runCLI(t, "verify", "token", "absent"); code != term.Trouble {
		t.Errorf("verify token of a file that is absent: %d", code)
	}
	if code, out, _ := runCLI(t, "__complete", "policy", "signers", ""); code != term.Yes ||
		!strings.Contains(out, "add\tAdd a certificate") {
		t.Errorf("%d %q", code, out)
	}
	if code, _, text := runCLI(t, "completion", "tcsh"); code != term.Trouble || !strings.Contains(text, "bash") {
		t.Errorf("an unknown shell: %d %s", code, text)
	}
}

// TestEachCommandHasAManualPage: it has what --help has, and man reads it without a warning.
func TestEachCommandHasAManualPage(t *testing.T) {
	dir := t.TempDir()
	if code, _, text := runCLI(t, "man", "--out", dir); code != term.Yes {
		t.Fatal(text)
	}
	plain := strings.NewReplacer(`\-`, "-", `\&`, "", `\e`, `\`)
	want := nodes(t)
	for _, n := range want {
		b, err := os.ReadFile(filepath.Join(dir, shell.PageName(n)+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		code, one, _ := runCLI(t, append([]string{"man"}, strings.Fields(n.FullPath())[1:]...)...)
		if code != term.Yes || one != string(b) {
			t.Errorf("%s: its page by itself is another: %d", n.FullPath(), code)
		}
		page, text := term.PageOf(n), plain.Replace(string(b))
		expected := append(page.ExitCodes(), strings.Split(page.Examples, "\n")...)
		for _, f := range n.Flags {
			expected = append(expected, f.String())
		}
		for _, child := range n.Children {
			expected = append(expected, shell.PageName(child)+"(1)")
		}
		for _, words := range expected {
			for line := range strings.SplitSeq(words, "  ") {
				if !strings.Contains(text, line) {
					t.Errorf("the page of %s does not say %q", n.FullPath(), line)
				}
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(want) {
		t.Errorf("%d pages of %d commands: %v", len(files), len(want), err)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff not found")
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(pages, 20) {
		args := append([]string{"-man", "-ww", "-Tutf8", "-Kutf8", "-z"}, chunk...)
		if out, err := exec.CommandContext(t.Context(), groff, args...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %.2000s", err, out)
		}
	}
	if code, _, text := runCLI(t, "man", "verify", "evidenc"); code != term.Trouble || !strings.Contains(text, "evidenc") {
		t.Errorf("an unknown command: %d %s", code, text)
	}
}
