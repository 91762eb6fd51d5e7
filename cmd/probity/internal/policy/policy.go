// Package policy is the commands about policies: check, format, evaluate, test and sign them, and
// set them at a service.
package policy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/wording/phrase"
)

type Commands struct {
	Check   checkCommand   `cmd:"" help:"Check policies: every mistake with its place and how to fix it."`
	Fmt     fmtCommand     `cmd:"" help:"Write policies in one form, comments included."`
	Eval    evalCommand    `cmd:"" help:"Apply a policy to claims or evidence, and say why."`
	Test    testCommand    `cmd:"" help:"Run test files of policies, with coverage of rules and conditions."`
	Diff    diffCommand    `cmd:"" help:"Compare what two policies say about recorded claims."`
	Explain explainCommand `cmd:"" help:"Put a policy into plain words."`
	Hash    hashCommand    `cmd:"" help:"Print the hash that tokens carry (x-ms-policy-hash)."`
	Sign    signCommand    `cmd:"" help:"Wrap a policy into the JWS that the service takes, signed or not."`
	Unwrap  unwrapCommand  `cmd:"" help:"Take a policy out of its JWS and verify the signature."`

	Set       setCommand       `cmd:"" help:"Put a policy in force at a service."`
	Reset     resetCommand     `cmd:"" help:"Put the default policy in force again."`
	History   historyCommand   `cmd:"" help:"List all versions of a policy: when, by whom, signed by whom."`
	Show      showCommand      `cmd:"" help:"Print the policy in force, or an earlier version."`
	Rollback  rollbackCommand  `cmd:"" help:"Put an earlier version in force again."`
	Proposals proposalsCommand `cmd:"" help:"List changes of policies, certificates and settings that wait for approvals."`
	Approve   approveCommand   `cmd:"" help:"Agree to a change, or reject it."`
	Signers   signersCommands  `cmd:"" help:"Certificates that may sign policies of an Isolated provider."`

	LSP lSPCommand `cmd:"" name:"lsp" help:"Serve editors over standard input and output (Language Server Protocol)."`
}

type checkCommand struct {
	Files   []string `arg:"" help:"Policy files; - reads standard input."`
	Type    string   `complete:"kind" help:"Attestation type whose claims the policy reads." placeholder:"TYPE"`
	Lenient bool     `help:"Also accept a single = in conditions, and issue in authorizationrules, with a warning."`
	Strict  bool     `help:"Warnings fail too."`
	term.Output
}

// Run checks the files.
func (c *checkCommand) Run(e *term.Env) error {
	if c.Type != "" {
		if _, err := evidence.ParseKind(c.Type); err != nil {
			return err
		}
	}
	findings, failures, warnings := []term.Finding{}, 0, 0
	for _, file := range c.Files {
		text, err := e.ReadLimited(file, policy.MaxText)
		if err != nil {
			return err
		}
		diagnostics := checkPolicy(string(text), c.Type, c.Lenient)
		if other := term.NoPolicy(file, text); other != nil {
			diagnostics = []policy.Diagnostic{{
				Pos: policy.Pos{Line: 1, Column: 1}, Severity: policy.Error, Message: other.Error(),
			}}
			text = nil // not to be shown
		}
		for _, d := range diagnostics {
			if d.Severity == policy.Error {
				failures++
			} else {
				warnings++
			}
			findings = append(findings, term.FindingOf(file, d))
			if !e.JSON {
				printDiagnostic(e, e.Out, file, string(text), d)
			}
		}
	}
	if e.JSON {
		b, err := json.Marshal(findings, jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true))
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s\n", b)
	} else if !e.Quiet || failures+warnings > 0 {
		fmt.Fprintf(e.Out, "%s, %s\n", phrase.Plural(failures, "error"), phrase.Plural(warnings, "warning"))
	}
	if c.Type == "" && !e.JSON && !e.Quiet && failures == 0 {
		fmt.Fprintln(e.Err, "claim names were not checked: give --type")
	}
	if failures > 0 || c.Strict && warnings > 0 {
		return term.Exit(term.No)
	}
	return nil
}

// checkPolicy returns all that can be said about a policy text.
func checkPolicy(text, kind string, lenient bool) []policy.Diagnostic {
	p, err := policy.ParseMode(text, term.Mode(lenient))
	var parse *policy.ParseError
	if errors.As(err, &parse) {
		return parse.Diagnostics
	}
	return policy.Lint(p, kind)
}

// printDiagnostic shows a finding with its line and a mark below its place.
func printDiagnostic(e *term.Env, w io.Writer, file, text string, d policy.Diagnostic) {
	severity := e.UI.Bad(string(d.Severity))
	if d.Severity == policy.Warning {
		severity = e.UI.Bold(string(d.Severity))
	}
	rest := strings.TrimPrefix(d.String(), fmt.Sprintf("%d:%d: %s: ", d.Pos.Line, d.Pos.Column, d.Severity))
	fmt.Fprintf(w, "%s:%d:%d: %s: %s\n", file, d.Pos.Line, d.Pos.Column, severity, rest)
	term.Mark(w, text, d.Pos.Line, d.Pos.Column)
}

type fmtCommand struct {
	Files []string `arg:"" help:"Policy files; - reads standard input."`
	Write bool     `short:"w" help:"Write the result back to the file."`
	Diff  bool     `short:"d" help:"Print names of files that would change, and fail if there are any."`
}

// Run formats the files.
func (c *fmtCommand) Run(e *term.Env) error {
	changed := false
	for _, file := range c.Files {
		p, err := e.ReadPolicy(file, false)
		if err != nil {
			return err
		}
		text := policy.Format(p)
		switch {
		case c.Diff:
			if text != p.Text {
				changed = true
				fmt.Fprintln(e.Out, file)
			}
		case c.Write && file != "-":
			if text == p.Text {
				continue
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				return err
			}
		default:
			fmt.Fprint(e.Out, text)
		}
	}
	if changed {
		return term.Exit(term.No)
	}
	return nil
}

type explainCommand struct {
	File string `arg:"" help:"Policy file; - reads standard input."`
	term.Output
}

// Run prints the policy in plain words.
func (c *explainCommand) Run(e *term.Env) error {
	p, err := e.ReadPolicy(c.File, false)
	if err != nil {
		return err
	}
	text := policy.Explain(p)
	return e.Answer(map[string]string{"text": text}, "%s", text)
}

type hashCommand struct {
	File string `arg:"" help:"Policy file; - reads standard input."`
	term.Output
}

// Run prints the hash.
func (c *hashCommand) Run(e *term.Env) error {
	text, err := e.ReadLimited(c.File, policy.MaxText)
	if err != nil {
		return err
	}
	hash := policy.Hash(string(text))
	return e.Answer(map[string]string{"hash": hash}, "%s\n", hash)
}
