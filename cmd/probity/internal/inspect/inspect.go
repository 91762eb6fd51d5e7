// Package inspect is the command that says what a file is, and prints what it holds, without
// verifying anything.
package inspect

import (
	"fmt"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/describe"
	"github.com/probity-dev/probity/wording/phrase"
)

type Command struct {
	File string `arg:"" help:"File to look at; - reads standard input."`
	term.Output
}

// Run decodes the file and prints what it is.
func (c *Command) Run(e *term.Env) error {
	b, err := e.ReadLimited(c.File, evidence.MaxSize*4)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return fmt.Errorf("%s is empty", c.File)
	}
	found := describe.File(b)
	if found == nil {
		return fmt.Errorf("%s: not of a known form (%s)", c.File, phrase.Plural(len(b), "byte"))
	}
	if e.JSON {
		return found.Write(e.Out)
	}
	found.Print(e.Out, e.UI.Bold, "")
	return nil
}
