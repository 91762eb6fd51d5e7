// Command probity is the attestation service and its tools; see `probity
// --help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/probity-dev/probity/cmd/probity/internal/cli"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Run(ctx, os.Args[1:], term.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
