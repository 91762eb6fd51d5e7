package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// command puts probity, its completion script and two files into a folder.
func command(t *testing.T, shell string) (dir string, env []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	program := filepath.Join(dir, "probity")
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	script, err := exec.CommandContext(t.Context(), program, "completion", shell).Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"script": string(script), "quote.bin": "", "folder/x": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
}

// cases are lines of which the last word is completed, and what the completions have and lack.
var cases = []struct {
	line       string
	have, lack []string
}{
	{"probity ver", []string{"verify", "version"}, []string{"serve"}},
	{"probity policy s", []string{"set", "sign", "show", "signers"}, []string{"check", "serve"}},
	{"probity tpm roots ", []string{"import", "list", "vendors"}, nil},
	{"probity verify evidence S", []string{"SgxEnclave", "SevSnpVm"}, []string{"TdxVm", "quote.bin"}},
	{"probity verify evidence SgxEnclave q", []string{"quote.bin"}, []string{"SgxEnclave"}},
	{"probity verify evidence --run", []string{"--runtime-data"}, []string{"--root"}},
	{"probity verify evidence SgxEnclave quote.bin --format ", []string{"text", "json"}, []string{"quote.bin"}},
	{"probity ledger verify --data f", []string{"folder"}, nil},
	{"probity keys list --da", nil, []string{"--data"}},
	{"probity help ledger p", []string{"prove"}, nil},
	{"probity -", []string{"--no-color", "--quiet"}, []string{"--format"}},
}

func completes(t *testing.T, line, output string, have, lack []string) {
	t.Helper()
	words := strings.Fields(output)
	for _, word := range have {
		if !slices.Contains(words, word) && !slices.Contains(words, word+"/") {
			t.Errorf("%q is not completed by %s: %q", line, word, words)
		}
	}
	for _, word := range lack {
		if slices.Contains(words, word) {
			t.Errorf("%q is completed by %s", line, word)
		}
	}
}

// TestBashCompletes runs the script in bash, as the Tab key does. What it needs of the package
// bash-completion is two functions, which are defined here where it is not installed.
func TestBashCompletes(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash not found")
	}
	dir, env := command(t, "bash")
	const press = `
if [ -r /usr/share/bash-completion/bash_completion ]; then . /usr/share/bash-completion/bash_completion; else
  _init_completion() {
    cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
  }
  _filedir() { COMPREPLY=($(compgen "${1:--f}" -- "$cur")); }
fi
. ./script
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
read -ra COMP_WORDS <<< "$1"
case $1 in *' ') COMP_WORDS+=('');; esac
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
__start_probity
printf '%s\n' "${COMPREPLY[@]}"
# Where the script leaves it to the shell, readline completes files.
if [ ${#COMPREPLY[@]} = 0 ]; then
  complete -p probity | grep -q -- '-o default' && compgen -f -- "${COMP_WORDS[COMP_CWORD]}"
fi
true`
	for _, c := range cases {
		cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c", press, "bash", c.line)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", c.line, err, out)
		}
		completes(t, c.line, string(out), c.have, c.lack)
	}
}

// TestFishCompletes runs the script in fish.
func TestFishCompletes(t *testing.T) {
	if _, err := exec.LookPath("fish"); err != nil {
		t.Skip("fish not found")
	}
	dir, env := command(t, "fish")
	for _, c := range cases {
		const press = "source ./script; complete --do-complete $argv[1]"
		cmd := exec.CommandContext(t.Context(), "fish", "--no-config", "-c", press, c.line)
		cmd.Dir, cmd.Env = dir, append(env, "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", c.line, err, out)
		}
		completes(t, c.line, string(out), c.have, c.lack)
	}
}

// TestZshReadsItsScript: zsh completes on terminals only; here it reads the script and knows the
// function.
func TestZshReadsItsScript(t *testing.T) {
	if _, err := exec.LookPath("zsh"); err != nil {
		t.Skip("zsh not found")
	}
	dir, env := command(t, "zsh")
	const load = "autoload -U compinit; compinit -D; source ./script; print -r -- ${_comps[probity]}"
	cmd := exec.CommandContext(t.Context(), "zsh", "-f", "-c", load)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "_probity" {
		t.Errorf("%v: %s", err, out)
	}
}
