package internal

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	"github.com/muesli/roff"
	"github.com/willabides/kongplete"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// scripts make a shell ask the program itself, so that completion always fits the program.
var scripts = map[string]string{
	"bash": "complete -o default -o bashdefault -C probity probity\n",
	"zsh": "#compdef probity\nautoload -U +X bashcompinit && bashcompinit\n" +
		"complete -o default -C probity probity\n",
	"fish": `function __complete_probity
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    probity
end
complete -c probity -a "(__complete_probity)"
`,
}

type completionCommand struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

func (completionCommand) Page() term.Page {
	return term.Page{
		About: "Prints what makes a shell complete commands and flags of probity, which must be in the PATH.",
		Examples: `
probity completion bash > /etc/bash_completion.d/probity
probity completion zsh > ~/.zshrc.d/probity
probity completion fish > ~/.config/fish/completions/probity.fish`,
		Yes:     "the script is printed",
		Trouble: "wrong usage",
	}
}

// Run prints the script.
func (c *completionCommand) Run(e *term.Env) error {
	_, err := fmt.Fprint(e.Out, scripts[c.Shell])
	return err
}

// complete answers the shell that completes a command line. It reports whether one asked.
func complete(parser *kong.Kong, args []string) (asked bool) {
	words := strings.Fields(os.Getenv("COMP_LINE"))
	// Security: a command that runs while a shell completes must not seem to succeed. The shell
	// passes nothing, or the command's name, the word and the one before it.
	if len(words) == 0 || len(args) != 0 && (len(args) != 3 || args[0] != words[0]) {
		return false
	}
	kongplete.Complete(parser, kongplete.WithExitFunc(func(int) {}))
	return true
}

type manCommand struct{}

func (manCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity man > probity.1
probity man | man -l -`,
		Yes:     "the page is printed",
		Trouble: "wrong usage",
	}
}

// Run prints the manual page.
func (*manCommand) Run(e *term.Env, parser *kong.Kong) error {
	page := mangokong.NewManPage(1, parser.Model).
		WithSection("Exit Status", "0: done, accepted, valid. 1: refused, not valid, different, with the reason. "+
			"2: no answer, as flags are wrong, or a file or a service could not be read.")
	_, err := fmt.Fprint(e.Out, page.Build(roff.NewDocument()))
	return err
}
