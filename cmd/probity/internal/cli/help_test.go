package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// nodes are all commands and groups, and the program.
func nodes(t *testing.T) (list []*kong.Node) {
	t.Helper()
	parser, err := newParser(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(*kong.Node)
	walk = func(n *kong.Node) {
		list = append(list, n)
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(parser.Model.Node)
	return list
}

// leaves are the commands that do something.
func leaves(t *testing.T) (list []*kong.Node) {
	t.Helper()
	for _, n := range nodes(t) {
		if n.Leaf() {
			list = append(list, n)
		}
	}
	if len(list) < 50 {
		t.Fatalf("only %d commands", len(list))
	}
	return list
}

// TestEachExampleParses: an example with a flag that does not exist misleads.
func TestEachExampleParses(t *testing.T) {
	for _, n := range nodes(t) {
		own := 0
		for _, example := range term.PageOf(n).Lines() {
			line := example
			for _, end := range []string{" | ", " > ", " < ", " # "} {
				line, _, _ = strings.Cut(line, end)
			}
			if !strings.HasPrefix(line, "probity ") {
				continue // what a shell does before
			}
			if strings.HasPrefix(line, n.FullPath()) {
				own++
			}
			explained := false
			parser, err := newParser(&commands{}, kong.Exit(func(int) { explained = true }),
				kong.Writers(&bytes.Buffer{}, &bytes.Buffer{}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(spelledOut(shellWords(line)[1:])); err != nil && !explained {
				t.Errorf("%s: %q: %v", n.FullPath(), line, err)
			}
		}
		if own == 0 {
			t.Errorf("%s has no example of its own", n.FullPath())
		}
	}
}

// shellWords splits a line of the shell; quotes keep spaces.
func shellWords(line string) (list []string) {
	for _, m := range regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^ '"])+`).FindAllString(line, -1) {
		list = append(list, strings.NewReplacer("'", "", `"`, "").Replace(m))
	}
	return list
}

// TestEachHelpEndsWithExamplesAndExitCodes: of commands, of groups and of the program; by the flag,
// and by the command help.
func TestEachHelpEndsWithExamplesAndExitCodes(t *testing.T) {
	for _, n := range nodes(t) {
		path := strings.Fields(n.FullPath())[1:]
		if n.Name == "help" {
			continue // its help is that of the whole
		}
		page := term.PageOf(n)
		if page.Examples == "" || page.Yes == "" {
			t.Errorf("%s: %+v", n.FullPath(), page)
		}
		for _, args := range [][]string{
			append(slices.Clip(path), "--help"), append([]string{"help"}, path...),
		} {
			code, out, _ := runCLI(t, args...)
			summary := strings.Contains(strings.Join(strings.Fields(out), " "), n.Help)
			if code != term.Yes || !summary || !strings.HasSuffix(out, page.End()) {
				t.Errorf("%q: %d %s", args, code, out)
			}
		}
	}
}

// TestEachSummaryIsASentence: of commands, flags and arguments.
func TestEachSummaryIsASentence(t *testing.T) {
	for _, n := range nodes(t) {
		if n.Help == "" || !strings.HasSuffix(n.Help, ".") || strings.Contains(n.Help, "\n") {
			t.Errorf("%s: %q", n.FullPath(), n.Help)
		}
		for _, f := range n.Flags {
			if f.Help == "" {
				t.Errorf("%s --%s has no help", n.FullPath(), f.Name)
			}
		}
		for _, p := range n.Positional {
			if p.Help == "" {
				t.Errorf("%s: the argument %s has no help", n.FullPath(), p.Name)
			}
		}
	}
}

// TestOneSpellingOfEachFlag: --format, --data (the data directory), --bearer-file (who asks), --out
// (what a command writes) and --runtime-data are the only names of what they are.
func TestOneSpellingOfEachFlag(t *testing.T) {
	for _, n := range leaves(t) {
		for _, group := range n.AllFlags(true) {
			for _, flag := range group {
				switch flag.Name {
				case "json", "output", "data-dir", "datadir", "token", "token-file", "verifier-from":
					t.Errorf("%s has --%s", n.FullPath(), flag.Name)
				case "data":
					if flag.PlaceHolder != "DIR" {
						t.Errorf("%s: --data takes %s", n.FullPath(), flag.PlaceHolder)
					}
				case "format":
					if flag.Enum != "text,json" || flag.Default != "text" {
						t.Errorf("%s: --format takes %q", n.FullPath(), flag.Enum)
					}
				}
			}
		}
	}
}

// formless are the commands without --format, and why.
var formless = map[string]string{
	"serve":               "it runs until it is stopped, and logs JSON",
	"demo":                "it shows a person how attestation goes",
	"agent run":           "it runs until it is stopped",
	"sidecar":             "it runs until it is stopped, and answers calls in JSON",
	"disk clevis encrypt": "its answer is a JWE, as Clevis expects it of a pin",
	"disk clevis decrypt": "its answer is a secret, as Clevis expects it of a pin",
	"policy fmt":          "its answer is a policy",
	"policy lsp":          "it speaks the protocol of editors",
	"collateral export":   "its answer is a file",
	"ledger export":       "its answer is NDJSON",
	"help":                "its answer is a page",
	"completion":          "its answer is a script",
	"man":                 "its answer is a page",
}

// TestEveryAnswerHasAFormat: a program reads the answer of each command.
func TestEveryAnswerHasAFormat(t *testing.T) {
	seen := 0
	for _, n := range leaves(t) {
		name := strings.TrimPrefix(n.FullPath(), "probity ")
		has := slices.ContainsFunc(n.Flags, func(f *kong.Flag) bool { return f.Name == "format" })
		if formless[name] != "" {
			seen++
		}
		if has == (formless[name] != "") {
			t.Errorf("%s: --format %t, but %q", name, has, formless[name])
		}
	}
	if seen != len(formless) {
		t.Errorf("%d of %d commands without --format were found", seen, len(formless))
	}
}

// TestEarlierNamesOfFlagsStillWork: units and scripts use them.
func TestEarlierNamesOfFlagsStillWork(t *testing.T) {
	for line, now := range map[string]string{
		"agent run --service https://localhost:1 --token-file /no-such-folder/token": "--out: ",
		"keys list --token-file no-such-file":                                        "no-such-file: no such file",
	} {
		if code, _, text := runCLI(t, strings.Fields(line)...); code != term.Trouble || !strings.Contains(text, now) {
			t.Errorf("%s: %d %s", line, code, text)
		}
	}
}

func TestTheVersionIsAFlagToo(t *testing.T) {
	code, out, _ := runCLI(t, "--version")
	_, same, _ := runCLI(t, "version")
	if code != term.Yes || out != same || !strings.HasPrefix(out, "probity ") {
		t.Errorf("%d %q, %q", code, out, same)
	}
}
