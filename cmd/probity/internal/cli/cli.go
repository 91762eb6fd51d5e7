// Package cli is the command line: one file a command. Answers go to standard
// output, everything else to standard error; the exit code is 0 for yes, 1 for
// no with the reason, 2 when there is no verdict.
package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/collateral"
	"github.com/probity-dev/probity/cmd/probity/internal/disk"
	"github.com/probity-dev/probity/cmd/probity/internal/host"
	"github.com/probity-dev/probity/cmd/probity/internal/inspect"
	"github.com/probity-dev/probity/cmd/probity/internal/key"
	"github.com/probity-dev/probity/cmd/probity/internal/manage"
	"github.com/probity-dev/probity/cmd/probity/internal/policy"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/serve"
	"github.com/probity-dev/probity/cmd/probity/internal/shell"
	"github.com/probity-dev/probity/cmd/probity/internal/sidecar"
	"github.com/probity-dev/probity/cmd/probity/internal/simulate"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/cmd/probity/internal/verify"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/wording/plainerror"
	"github.com/probity-dev/probity/wording/spelling"
)

type commands struct {
	NoColor bool `help:"Never use colours." name:"no-color"`
	Quiet   bool `help:"Print answers only, no hints." short:"q"`

	Serve   serve.Command     `cmd:"" help:"Run the attestation service."`
	Demo    serve.DemoCommand `cmd:"" help:"Start a service with simulated evidence, attest it, and show what happened."`
	Verify  verifyCommands    `cmd:"" help:"Verify evidence or tokens."`
	Policy  policy.Commands   `cmd:"" help:"Check, format, try, test and sign attestation policies."`
	Inspect inspect.Command   `cmd:"" help:"Say what a file is, and decode it."`

	Attest host.AttestCommand `cmd:"" help:"Attest this host: its TPM, or the guest's hardware."`
	Agent  host.AgentCommands `cmd:"" help:"Keep this host attested, and enrol its TPM."`

	Sidecar sidecar.Command `cmd:"" help:"Attest this guest and get its keys by local HTTP calls, as Azure's side-car does."`

	TPM manage.TpmCommands `cmd:"" name:"tpm" help:"Authorities and enrolled keys of TPMs, at the service."`

	Provider manage.ProviderCommands `cmd:"" help:"Attestation providers of a service."`
	Key      key.Commands            `cmd:"" help:"Keys that are released to attested machines."`
	Disk     disk.Commands           `cmd:"" help:"Encrypted disks that open for this machine once it is attested."`
	Keys     manage.KeysCommands     `cmd:"" help:"Keys that sign tokens."`
	Token    manage.TokenCommands    `cmd:"" help:"Static bearer tokens of those who manage a service."`
	Ledger   manage.LedgerCommands   `cmd:"" help:"The record of decisions and changes."`
	Config   serve.ConfigCommands    `cmd:"" help:"Check configurations."`

	Collateral collateral.Commands `cmd:"" help:"Fetch, list, carry and verify what vendors publish about their hardware."`
	Simulate   simulate.Command    `cmd:"" help:"Write evidence under test roots, for those without such hardware."`
	Version    versionCommand      `cmd:"" help:"Print the version."`
	Help       helpCommand         `cmd:"" help:"Explain a command."`
	Completion completionCommand   `cmd:"" help:"Print the completion script of a shell."`
	Man        manCommand          `cmd:"" help:"Print the manual page of a command."`
}

type verifyCommands struct {
	Evidence verify.EvidenceCommand `cmd:"" help:"Verify evidence offline, with the reason if it is refused."`
	Token    verify.TokenCommand    `cmd:"" help:"Verify a token as a relying party does."`
}

// caFlag is the flag of a command that names whom to trust for TLS.
func caFlag(args []string) string {
	if args[0] == "collateral" {
		return "--tls-ca"
	}
	return "--ca"
}

// Run runs the command line and returns the exit code.
func Run(ctx context.Context, args []string, stdio term.IO) int {
	var c commands
	code := -1
	parser, err := newParser(&c,
		kong.Writers(stdio.Out, stdio.Err),
		kong.Exit(func(n int) { code = n }),
	)
	if err != nil {
		fmt.Fprintln(stdio.Err, "probity:", err)
		return term.Trouble
	}
	if shell.Asks(args) {
		if err := shell.Answer(parser.Model, args, stdio.Out, stdio.Err); err != nil {
			fmt.Fprintln(stdio.Err, "probity:", err)
			return term.Trouble
		}
		return term.Yes
	}
	args = spelledOut(args)
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help
		return code
	}
	asJSON := term.WantsJSON(args)
	if err != nil {
		if asJSON {
			term.PrintError(stdio.Out, term.UsageFault(err.Error()))
		}
		return usageError(stdio.Err, args, err)
	}
	ui := term.NewUI(stdio.Out, c.NoColor)
	out := &term.Counted{Writer: stdio.Out}
	stdio.Out = out
	asJSON = formatOf(parsed) == "json"
	err = parsed.Run(&term.Env{IO: stdio, Ctx: ctx, UI: ui, Quiet: c.Quiet, JSON: asJSON})
	var own term.Exit
	switch {
	case errors.As(err, &own):
		return int(own)
	case err != nil:
		if asJSON && out.N == 0 {
			term.PrintError(out, err)
		}
		fmt.Fprintln(stdio.Err, "probity:", plainerror.Text(err))
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			fmt.Fprintf(stdio.Err, "try: %s FILE names the authority of the server's certificate; "+
				"a service for development writes ca.pem into its data folder\n", caFlag(args))
		}
		return term.Trouble
	}
	return term.Yes
}

// formatOf returns the value of --format, or "" for a command without it.
func formatOf(parsed *kong.Context) string {
	for _, flag := range parsed.Flags() {
		if flag.Name == "format" {
			format, _ := parsed.FlagValue(flag).(string)
			return format
		}
	}
	return ""
}

// Model is the tree of all commands.
func Model() (*kong.Application, error) {
	parser, err := newParser(&commands{})
	if err != nil {
		return nil, err
	}
	return parser.Model, nil
}

// newParser returns the parser of the command tree.
func newParser(c *commands, options ...kong.Option) (*kong.Kong, error) {
	parser, err := kong.New(c, append([]kong.Option{
		kong.Name("probity"),
		kong.Description("Probity proves what attestation evidence shows, judges it by policy, " +
			"and answers with a signed token or the exact reason why not."),
		longHelp(),
		kong.UsageOnError(),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	addDetails(parser.Model.Node)
	return parser, nil
}

// longHelp has the texts of flags that do not fit into their tags.
func longHelp() kong.Vars {
	all := kong.Vars{}
	for _, texts := range []kong.Vars{
		collateral.LongHelp(), disk.LongHelp(), host.LongHelp(), manage.LongHelp(), remote.LongHelp(),
		sidecar.LongHelp(), simulate.LongHelp(), verify.LongHelp(),
	} {
		maps.Copy(all, texts)
	}
	return all
}

// typeFirst is an example of a command whose attestation type was left out, or "".
func typeFirst(parse *kong.ParseError) string {
	node := parse.Context.Selected()
	if len(node.Positional) < 2 || node.Positional[0].Tag.Get("complete") != "kind" {
		return ""
	}
	value := parse.Context.Value(&kong.Path{Positional: node.Positional[0]})
	if !value.IsValid() {
		return "" // nothing was given
	}
	file, _ := value.Interface().(string)
	if _, err := evidence.ParseKind(file); err == nil || !strings.HasPrefix(parse.Error(), "expected ") {
		return ""
	}
	return fmt.Sprintf("the type comes first: %s %s %s", node.FullPath(), term.KindOf(file), file)
}

// isGroup reports whether a group of commands was named, and nothing after it.
func isGroup(parse *kong.ParseError) bool {
	return len(parse.Context.Selected().Children) > 0 && strings.HasPrefix(parse.Error(), "expected one of ")
}

func usageError(w io.Writer, args []string, err error) int {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		if isGroup(parse) {
			parse.Context.Stdout = w // the help is not the answer to what was typed
			if parse.Context.PrintUsage(false) == nil {
				return term.Trouble
			}
		}
		message := plainerror.Text(err)
		if example := typeFirst(parse); example != "" {
			message = example
		}
		fmt.Fprintf(w, "probity: %s\ntry: %s --help\n", message, parse.Context.Selected().FullPath())
		return term.Trouble
	}
	message, _, _ := strings.Cut(plainerror.Text(err), ", did you mean ") // it is said below
	fmt.Fprintln(w, "probity:", message)
	help := "probity"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		names := []string{
			"serve", "demo", "verify", "policy", "inspect", "attest", "agent", "sidecar", "tpm", "provider",
			"key", "keys", "disk", "token", "ledger", "config", "collateral", "simulate", "version",
		}
		switch near := spelling.Nearest(args[0], names); {
		case near == args[0]:
			help = "probity " + args[0]
		case spelling.Hint(args[0], names) != "":
			fmt.Fprintf(w, "did you mean: probity %s\n", near)
		}
	}
	fmt.Fprintf(w, "try: %s --help\n", help)
	return term.Trouble
}
