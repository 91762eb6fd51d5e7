package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a piece of a page between fences: its commands run unless it needs what
// not every reader has.
type block struct {
	line  int
	needs []string
	text  string
}

// guide is a page for users.
type guide struct {
	name   string
	text   string
	blocks []block
}

func guides(t *testing.T) []guide {
	t.Helper()
	paths := []string{"../../README.md"}
	for _, folder := range []string{
		"guide", "tutorial", "how-to", "explanation", "explanation/evidence", "reference",
	} {
		found, err := filepath.Glob("../../docs/" + folder + "/*.md")
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	var list []guide
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		g := guide{name: strings.TrimPrefix(strings.TrimPrefix(path, "../../"), "docs/"), text: string(b)}
		fence := regexp.MustCompile("(?ms)^```sh([^\n]*)\n(.*?)^```$")
		for _, at := range fence.FindAllStringSubmatchIndex(g.text, -1) {
			one := block{line: 1 + strings.Count(g.text[:at[0]], "\n"), text: g.text[at[4]:at[5]]}
			if needs, ok := strings.CutPrefix(strings.TrimSpace(g.text[at[2]:at[3]]), "needs="); ok {
				one.needs = strings.Split(needs, ",")
			}
			g.blocks = append(g.blocks, one)
		}
		list = append(list, g)
	}
	return list
}

// TestTheGuideWorksAsWritten runs the commands of each page from its first to its last,
// in an empty folder, as a reader would who types them. Each must succeed, but for an
// answer of the service that the page is about.
func TestTheGuideWorksAsWritten(t *testing.T) {
	ran := 0
	for _, g := range guides(t) {
		var script strings.Builder
		script.WriteString("set -eu\n")
		for _, b := range g.blocks {
			if len(b.needs) == 0 {
				fmt.Fprintf(&script, "# line %d\n%s", b.line, b.text)
				ran += strings.Count(b.text, "probity ")
			}
		}
		t.Run(g.name, func(t *testing.T) { runPage(t, script.String()) })
	}
	if ran < 50 {
		t.Errorf("only %d commands found", ran)
	}
}

// runPage runs a page's commands with a port of the test's own, and ends what they left
// running.
func runPage(t *testing.T, script string) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	script = strings.ReplaceAll(script, "probity serve --dev", "probity serve --dev --listen localhost:"+port)
	script = strings.ReplaceAll(script, "localhost:8443", "localhost:"+port)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, "bash", "-x", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = time.Second
	group := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = group
	err = cmd.Run()
	group()
	if err != nil && !strings.Contains(err.Error(), "WaitDelay") {
		t.Errorf("%v\n%s", err, output.Bytes())
	}
}

// TestTheGuideNamesFilesThatReadersHave: what a block reads is made on the same page, or
// the block says that the reader must bring it.
func TestTheGuideNamesFilesThatReadersHave(t *testing.T) {
	file := regexp.MustCompile(`(?:^|[\s="'@])([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*\.(?:bin|json|pem|der|` +
		`policy|jwt|jws|ndjson|log|cbor|cose|rego|msg|sig|pcrs|txt))\b`)
	for _, g := range guides(t) {
		made := ""
		for _, b := range g.blocks {
			for _, line := range strings.Split(b.text, "\n") {
				for _, m := range file.FindAllStringSubmatch(line, -1) {
					name, _, nested := strings.Cut(m[1], "/")
					// A folder is made by --out or --data, a file behind >, or by an option for output.
					written := regexp.MustCompile(`(?:>|-out|-keyout|--out|--data|--print-evidence|` +
						`-[ucmso]|boot_measurements|bios_measurements|export|mkdir) ` + regexp.QuoteMeta(name) + `\b`)
					if slices.Contains(b.needs, m[1]) || written.MatchString(made+line) ||
						nested && (strings.Contains(made, "simulate") &&
							strings.HasPrefix(name, "simulated-") || name == "probity-data") {
						continue
					}
					t.Errorf("%s, block at line %d: no command before it makes %s, and it does not say needs=%s",
						g.name, b.line, m[1], m[1])
				}
				made += line + "\n"
			}
		}
		for i, line := range strings.Split(g.text, "\n") {
			if strings.HasPrefix(line, "    probity ") || strings.HasPrefix(line, "    curl ") ||
				strings.HasPrefix(line, "    export ") {
				t.Errorf("%s, line %d: commands are in ```sh blocks, where they are run: %s", g.name, i+1,
					strings.TrimSpace(line))
			}
		}
	}
}
