package cli

import "github.com/probity-dev/probity/internal/cli/lsp"

type policyLSPCommand struct {
	Type string `help:"Attestation type of policies that do not name theirs in a comment." placeholder:"TYPE"`
}

// Help gives the examples of the help text.
func (policyLSPCommand) Help() string {
	return `Editors start this command. A comment "// type: SgxEnclave" in a policy says whose claims it reads.

Examples:
  probity policy lsp --type SgxEnclave`
}

// Run serves one editor.
func (c *policyLSPCommand) Run(e *env) error {
	return lsp.Serve(e.ctx, e.In, e.Out, c.Type)
}
