// Package term is what all commands share: where they read and write, how they end, and the
// forms of their answers.
package term

import (
	"context"
	"fmt"
	"io"
)

// Exit codes: the answer is yes; the answer is no, with the reason; there is no answer.
const (
	Yes     = 0
	No      = 1
	Trouble = 2
)

// IO is where a command reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// Env is what commands run with.
type Env struct {
	IO
	Ctx   context.Context
	UI    UI
	Quiet bool
	// JSON is set where the answer is asked for as JSON: --format json.
	JSON bool
}

// Exit is how a command ends with a code of its own.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// Watched reports whether a person sees the messages as they come: standard error is a terminal.
func (e *Env) Watched() bool { return isTerminal(e.Err) }
