package policy

import (
	"github.com/probity-dev/probity/cmd/probity/internal/lsp"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

type lSPCommand struct {
	Type string `complete:"kind" help:"Attestation type of policies that do not name theirs in a comment." placeholder:"TYPE"`
}

// Run serves one editor.
func (c *lSPCommand) Run(e *term.Env) error {
	return lsp.Serve(e.Ctx, e.In, e.Out, c.Type)
}
