package internal

import (
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/buildinfo"
)

// exitCodes are at the end of the help of each command.
const exitCodes = `
Exit codes:
  0  yes: done, accepted, valid
  1  no, with the reason: refused, not valid, different
  2  no answer: wrong flags, a file or a service that could not be read
`

// printHelp prints the help of a command, with its exit codes.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if selected := ctx.Selected(); selected == nil || selected.Leaf() {
		fmt.Fprint(ctx.Stdout, exitCodes)
	}
	return nil
}

// spelledOut turns "help [COMMAND …]" and "--version" into what the parser knows.
func spelledOut(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(append([]string{}, args[1:]...), "--help")
	case args[0] == "--version":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"Command to explain."`
}

// Help gives the examples of the help text.
func (helpCommand) Help() string {
	return "Examples:\n  probity help\n  probity help verify evidence"
}

// Run is not reached: [spelledOut] asks the command itself.
func (*helpCommand) Run(*term.Env) error { return nil }

type versionCommand struct {
	term.Output
}

// Help gives the examples of the help text.
func (versionCommand) Help() string {
	return "Examples:\n  probity version\n  probity --version\n  probity version --format json"
}

// Run prints the version.
func (c *versionCommand) Run(e *term.Env) error {
	info := buildinfo.Read()
	if e.JSON {
		return term.PrintJSON(e.Out, info)
	}
	_, err := fmt.Fprintf(e.Out, "probity %s\ncommit  %s\ndate    %s\ngo      %s\n", info.Version, info.Commit, info.Date, info.Go)
	return err
}
