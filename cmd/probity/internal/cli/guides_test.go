package cli

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestCommandsOfTheDocumentationParse: those of blocks that need what a test does not have are not run; their
// commands and flags must exist.
func TestCommandsOfTheDocumentationParse(t *testing.T) {
	block := regexp.MustCompile("(?ms)^```sh needs=[^\n]*\n(.*?)^```$")
	parsed := 0
	for _, root := range []string{"../../../../docs", "../../../../README.md", "../../../../deploy"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, found := range block.FindAllSubmatch(text, -1) {
				for line := range strings.Lines(strings.ReplaceAll(string(found[1]), "\\\n", " ")) {
					if commandParses(t, path, strings.TrimSpace(line)) {
						parsed++
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if parsed < 30 {
		t.Errorf("only %d commands were found", parsed)
	}
}

// commandParses reports whether a line of a shell calls the program, and parses it if so.
func commandParses(t *testing.T, path, line string) bool {
	t.Helper()
	at := strings.Index(line, "probity ")
	if at < 0 || strings.HasPrefix(line, "#") || at > 0 && !strings.HasSuffix(line[:at], " ") {
		return false
	}
	before := strings.TrimSpace(line[:at])
	if before != "" && before != "sudo" && !strings.HasSuffix(before, "|") && !strings.Contains(before, "=") {
		return false // the name of something else
	}
	line = line[at:]
	for _, end := range []string{" | ", " > ", " >> ", " # ", " && ", " || ", " & ", "; "} {
		line, _, _ = strings.Cut(line, end)
	}
	explained := false
	parser, err := newParser(&commands{}, kong.Exit(func(int) { explained = true }),
		kong.Writers(&bytes.Buffer{}, &bytes.Buffer{}))
	if err != nil {
		t.Fatal(err)
	}
	line = strings.TrimSuffix(strings.TrimSpace(line), " &")
	if _, err := parser.Parse(spelledOut(shellWords(line)[1:])); err != nil && !explained {
		t.Errorf("%s: %q: %v", filepath.Base(path), line, err)
	}
	return true
}
