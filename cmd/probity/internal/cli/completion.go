package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/shell"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/buildinfo"
	"github.com/probity-dev/probity/wording/spelling"
)

type completionCommand struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

func (completionCommand) Page() term.Page {
	return term.Page{
		About: `Prints a script that completes commands, flags, attestation types and files. The shell reads it at
its start; probity must be in the PATH, and bash needs the package bash-completion.`,
		Examples: `
probity completion bash > ~/.local/share/bash-completion/completions/probity
probity completion zsh > ~/.zfunc/_probity
probity completion fish > ~/.config/fish/completions/probity.fish`,
		Yes:     "the script is printed",
		Trouble: "wrong usage",
	}
}

// Run prints the script.
func (c *completionCommand) Run(e *term.Env, parser *kong.Kong) error {
	return shell.WriteScript(parser.Model, c.Shell, e.Out)
}

type manCommand struct {
	Command []string `arg:"" optional:"" help:"Command whose page to print, instead of that of the program."`
	Out     string   `help:"Write the pages of all commands into this folder." placeholder:"DIR"`
}

func (manCommand) Page() term.Page {
	return term.Page{
		About: "Each command has a page, as probity-verify-evidence(1). They say what --help says.",
		Examples: `
probity man | man -l -
probity man verify evidence | man -l -
probity man --out /usr/local/share/man/man1`,
		Yes:     "the page is printed, or the pages are written",
		Trouble: "there is no such command, or a folder that cannot be written to",
	}
}

// Run prints a page, or writes all.
func (c *manCommand) Run(e *term.Env, parser *kong.Kong) error {
	info := buildinfo.Read()
	edition := shell.Edition{Version: info.Version, Date: day(info.Date)}
	if c.Out != "" {
		if len(c.Command) > 0 {
			return errors.New("--out writes the pages of all commands: name a command or the folder")
		}
		return shell.WriteManPages(parser.Model, edition, c.Out)
	}
	node, err := find(parser.Model.Node, c.Command)
	if err != nil {
		return err
	}
	return shell.WriteManPage(node, edition, e.Out)
}

// day is the date of a time of RFC 3339, or "" for a build that knows none.
func day(date string) string {
	t, err := time.Parse(time.RFC3339, date)
	if err != nil {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// find returns a command by its name.
func find(node *kong.Node, path []string) (*kong.Node, error) {
	for _, name := range path {
		var next *kong.Node
		for _, child := range node.Children {
			if child.Name == name {
				next = child
			}
		}
		if next == nil {
			var names []string
			for _, child := range node.Children {
				names = append(names, child.Name)
			}
			return nil, fmt.Errorf("%s has no command %q%s", node.FullPath(), name, spelling.After("; ", name, names))
		}
		node = next
	}
	return node, nil
}
