// Package cli is the command line: one file a command. Answers go to standard
// output, everything else to standard error; the exit code is 0 for yes, 1 for
// no with the reason, 2 when it could not be told.
package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/wording/plainerror"
	"github.com/probity-dev/probity/wording/spelling"
)

// Exit codes.
const (
	exitYes     = 0
	exitNo      = 1
	exitTrouble = 2
)

// IO is where a command reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

type commands struct {
	NoColor bool `help:"Never use colours." name:"no-color"`
	Quiet   bool `help:"Print answers only, no hints." short:"q"`

	Serve   serveCommand   `cmd:"" help:"Run the attestation service."`
	Demo    demoCommand    `cmd:"" help:"Start a service with simulated evidence, attest it, and show what happened."`
	Verify  verifyCommands `cmd:"" help:"Verify evidence or tokens."`
	Policy  policyCommands `cmd:"" help:"Check, format, try, test and sign attestation policies."`
	Inspect inspectCommand `cmd:"" help:"Say what a file is, and decode it."`

	Attest attestCommand `cmd:"" help:"Attest this host: its TPM, or the guest's hardware."`
	Agent  agentCommands `cmd:"" help:"Keep this host attested, and enrol its TPM."`
	TPM    tpmCommands   `cmd:"" name:"tpm" help:"Authorities and enrolled keys of TPMs, at the service."`

	Provider providerCommands `cmd:"" help:"Attestation providers of a service."`
	Keys     keysCommands     `cmd:"" help:"Keys that sign tokens."`
	Token    tokenCommands    `cmd:"" help:"Static bearer tokens of those who manage a service."`
	Ledger   ledgerCommands   `cmd:"" help:"The record of decisions and changes."`
	Config   configCommands   `cmd:"" help:"Check configurations."`

	Collateral collateralCommands `cmd:"" help:"Fetch, list, carry and verify what vendors publish about their hardware."`
	Simulate   simulateCommand    `cmd:"" help:"Write evidence under test roots, for those without such hardware."`
	Version    versionCommand     `cmd:"" help:"Print the version."`
}

type verifyCommands struct {
	Evidence verifyEvidenceCommand `cmd:"" help:"Verify evidence offline, with the reason if it is refused."`
	Token    verifyTokenCommand    `cmd:"" help:"Verify a token as a relying party does."`
}

// env is what commands run with.
type env struct {
	IO
	ctx   context.Context
	ui    ui
	quiet bool
}

// exit is how a command ends with a code of its own.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// caFlag is the flag of a command that names whom to trust for TLS.
func caFlag(args []string) string {
	if args[0] == "collateral" {
		return "--tls-ca"
	}
	return "--ca"
}

// Run runs the command line and returns the exit code.
func Run(ctx context.Context, args []string, stdio IO) int {
	var c commands
	code := -1
	parser, err := kong.New(&c,
		kong.Name("probity"),
		kong.Description("Probity proves what attestation evidence shows, judges it by policy, and answers with a signed token or the exact reason why not."),
		kong.Writers(stdio.Out, stdio.Err),
		kong.Exit(func(n int) { code = n }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		fmt.Fprintln(stdio.Err, "probity:", err)
		return exitTrouble
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help
		return code
	}
	asJSON := wantsJSON(args)
	if err != nil {
		if asJSON {
			printError(stdio.Out, usageFault(err.Error()))
		}
		return usageError(stdio.Err, args, err)
	}
	ui := newUI(stdio.Out, c.NoColor)
	out := &counted{Writer: stdio.Out}
	stdio.Out = out
	err = parsed.Run(&env{IO: stdio, ctx: ctx, ui: ui, quiet: c.Quiet})
	var own exit
	switch {
	case errors.As(err, &own):
		return int(own)
	case err != nil:
		if asJSON && out.n == 0 {
			printError(out, err)
		}
		fmt.Fprintln(stdio.Err, "probity:", plainerror.Text(err))
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			fmt.Fprintf(stdio.Err, "try: %s FILE names the authority of the server's certificate; a service for development writes ca.pem into its data folder\n", caFlag(args))
		}
		return exitTrouble
	}
	return exitYes
}

func usageError(w io.Writer, args []string, err error) int {
	fmt.Fprintln(w, "probity:", plainerror.Text(err))
	help := "probity"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		help = parse.Context.Selected().FullPath()
	} else if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		names := []string{"serve", "demo", "verify", "policy", "inspect", "attest", "agent", "tpm", "provider", "keys", "token", "ledger", "config", "collateral", "simulate", "version"}
		if near := spelling.Nearest(args[0], names); near != args[0] {
			fmt.Fprintf(w, "did you mean: probity %s\n", near)
		} else {
			help = "probity " + args[0]
		}
	}
	fmt.Fprintf(w, "try: %s --help\n", help)
	return exitTrouble
}
