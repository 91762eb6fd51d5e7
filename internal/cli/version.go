package cli

import (
	"fmt"

	"github.com/probity-dev/probity/internal/buildinfo"
	"github.com/probity-dev/probity/internal/cli/term"
)

type versionCommand struct {
	Format string `help:"Output: text or json." enum:"text,json" default:"text"`
}

// Help gives the examples of the help text.
func (versionCommand) Help() string {
	return "Examples:\n  probity version\n  probity version --format json"
}

// Run prints the version.
func (c *versionCommand) Run(e *term.Env) error {
	info := buildinfo.Read()
	if c.Format == "json" {
		return term.PrintJSON(e.Out, info)
	}
	fmt.Fprintf(e.Out, "probity %s\ncommit  %s\ndate    %s\ngo      %s\n", info.Version, info.Commit,
		info.Date, info.Go)
	return nil
}
