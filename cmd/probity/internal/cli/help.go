package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/buildinfo"
)

// Page is the page of the program itself.
func (commands) Page() term.Page {
	return term.Page{
		About: "Answers go to standard output, everything else to standard error.",
		Examples: `
probity inspect quote.bin
probity help verify evidence
probity verify evidence --help`,
		Yes:     "yes: done, accepted, valid",
		No:      "no, with the reason: refused, not valid, different",
		Trouble: "no answer: wrong usage, a file or a service that could not be read",
	}
}

// addDetails gives each command what its page says about it.
func addDetails(node *kong.Node) {
	node.Detail = term.PageOf(node).About
	for _, child := range node.Children {
		addDetails(child)
	}
}

// printHelp prints the help of a command. Examples and exit codes are at its end.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	node := ctx.Selected()
	if node == nil {
		node = ctx.Model.Node
	}
	_, err := fmt.Fprint(ctx.Stdout, term.PageOf(node).End())
	return err
}

// spelledOut turns "help [COMMAND …]" and "--version" into what the parser knows.
func spelledOut(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case len(args) == 2 && args[0] == "help" && strings.Contains(args[1], "."):
		return args // the id of a check
	case args[0] == "help":
		return append(append([]string{}, args[1:]...), "--help")
	case args[0] == "--version":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"Command, or id of a check, to explain."`
}

func (helpCommand) Page() term.Page {
	return term.Page{
		About: `The same as the command with --help. With the id of a check, as refusals print it: when it passes,
and what to do if it fails.`,
		Examples: `
probity help
probity help verify evidence
probity help dcap.pck.root`,
		Yes:     "the help is printed",
		Trouble: "there is no such command or check",
	}
}

// Run explains a check. For commands [spelledOut] asks the command itself.
func (c *helpCommand) Run(e *term.Env) error { return explainCheck(e, strings.Join(c.Command, " ")) }

type versionCommand struct {
	term.Output
}

func (versionCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity version
probity --version
probity version --format json`,
		Yes:     "the version is printed",
		Trouble: "wrong usage",
	}
}

// Run prints the version.
func (c *versionCommand) Run(e *term.Env) error {
	info := buildinfo.Read()
	return e.Answer(info, "probity %s\ncommit  %s\ndate    %s\ngo      %s\n",
		info.Version, info.Commit, info.Date, info.Go)
}
