package cli

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/probity-dev/probity/strict/bounds"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/strict/pubkey"
	"github.com/probity-dev/probity/token"
)

type policyCommands struct {
	Check   policyCheckCommand   `cmd:"" help:"Check policies: every mistake with its place and how to fix it."`
	Fmt     policyFmtCommand     `cmd:"" help:"Write policies in one form, comments included."`
	Eval    policyEvalCommand    `cmd:"" help:"Apply a policy to claims or evidence, and say why."`
	Test    policyTestCommand    `cmd:"" help:"Run test files of policies, with coverage of rules and conditions."`
	Diff    policyDiffCommand    `cmd:"" help:"Compare what two policies say of recorded claims."`
	Explain policyExplainCommand `cmd:"" help:"Put a policy into plain words."`
	Hash    policyHashCommand    `cmd:"" help:"Print the hash that tokens carry (x-ms-policy-hash)."`
	Sign    policySignCommand    `cmd:"" help:"Wrap a policy into the JWS that the service takes, signed or not."`
	Unwrap  policyUnwrapCommand  `cmd:"" help:"Take a policy out of its JWS and verify the signature."`

	Set       policySetCommand       `cmd:"" help:"Put a policy in force at a service."`
	Reset     policyResetCommand     `cmd:"" help:"Put the default policy in force again."`
	History   policyHistoryCommand   `cmd:"" help:"List all versions of a policy: when, by whom, signed by whom."`
	Show      policyShowCommand      `cmd:"" help:"Print one version of a policy."`
	Rollback  policyRollbackCommand  `cmd:"" help:"Put an earlier version in force again."`
	Proposals policyProposalsCommand `cmd:"" help:"List changes of policies, certificates and settings that wait for approvals."`
	Approve   policyApproveCommand   `cmd:"" help:"Agree to a change, or reject it."`
	Signers   policySignersCommands  `cmd:"" help:"Certificates that may sign policies of an Isolated provider."`

	LSP policyLSPCommand `cmd:"" name:"lsp" help:"Serve editors over standard input and output (Language Server Protocol)."`
}

type policyCheckCommand struct {
	Files   []string `arg:"" help:"Policy files; - reads standard input."`
	Type    string   `help:"Attestation type whose claims the policy reads." placeholder:"TYPE"`
	Lenient bool     `help:"Also accept a single = in conditions, and issue in authorizationrules, with a warning."`
	Strict  bool     `help:"Warnings fail too."`
	Format  string   `help:"Output: text or json." enum:"text,json" default:"text"`
}

// Help gives the examples of the help text.
func (policyCheckCommand) Help() string {
	return `Exit code 0: every policy can be used; 1: one cannot; 2: a file cannot be read.

Examples:
  probity policy check enclave.policy --type SgxEnclave
  probity policy check policies/*.policy --strict --format json`
}

// finding is a diagnostic for programs.
type finding struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column"`
	Severity   string `json:"severity"`
	Message    string `json:"message"`
	Found      string `json:"found,omitzero"`
	Expected   string `json:"expected,omitzero"`
	Suggestion string `json:"suggestion,omitzero"`
}

func findingOf(file string, d policy.Diagnostic) finding {
	return finding{file, d.Pos.Line, d.Pos.Column, string(d.Severity), d.Message, d.Found, d.Expected, d.Suggestion}
}

// Run checks the files.
func (c *policyCheckCommand) Run(e *env) error {
	if c.Type != "" {
		if _, err := evidence.ParseKind(c.Type); err != nil {
			return err
		}
	}
	findings, failures, warnings := []finding{}, 0, 0
	for _, file := range c.Files {
		text, err := e.readLimited(file, policy.MaxText)
		if err != nil {
			return err
		}
		for _, d := range checkPolicy(string(text), c.Type, c.Lenient) {
			if d.Severity == policy.Error {
				failures++
			} else {
				warnings++
			}
			findings = append(findings, findingOf(file, d))
			if c.Format == "text" {
				printDiagnostic(e, file, string(text), d)
			}
		}
	}
	if c.Format == "json" {
		b, err := json.Marshal(findings, jsontext.WithIndent("  "))
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s\n", b)
	} else if !e.quiet || failures+warnings > 0 {
		fmt.Fprintf(e.Out, "%s, %s\n", plural(failures, "error"), plural(warnings, "warning"))
	}
	if failures > 0 || c.Strict && warnings > 0 {
		return exit(exitNo)
	}
	return nil
}

// checkPolicy returns all that can be said of a policy text.
func checkPolicy(text, kind string, lenient bool) []policy.Diagnostic {
	p, err := policy.ParseMode(text, mode(lenient))
	var parse *policy.ParseError
	if errors.As(err, &parse) {
		return parse.Diagnostics
	}
	return policy.Lint(p, kind)
}

func mode(lenient bool) policy.Mode {
	if lenient {
		return policy.Lenient
	}
	return policy.Strict
}

// printDiagnostic shows a finding with its line and a mark below its place.
func printDiagnostic(e *env, file, text string, d policy.Diagnostic) {
	severity := e.ui.bad(string(d.Severity))
	if d.Severity == policy.Warning {
		severity = e.ui.bold(string(d.Severity))
	}
	rest := strings.TrimPrefix(d.String(), fmt.Sprintf("%d:%d: %s: ", d.Pos.Line, d.Pos.Column, d.Severity))
	fmt.Fprintf(e.Out, "%s:%d:%d: %s: %s\n", file, d.Pos.Line, d.Pos.Column, severity, rest)
	lines := strings.Split(text, "\n")
	if d.Pos.Line > len(lines) {
		return
	}
	line := strings.TrimRight(lines[d.Pos.Line-1], "\r")
	if len(line) > 160 || strings.TrimSpace(line) == "" {
		return
	}
	var indent strings.Builder
	for i, r := range []rune(line) {
		if i+1 >= d.Pos.Column {
			break
		}
		if r == '\t' {
			indent.WriteByte('\t')
		} else {
			indent.WriteByte(' ')
		}
	}
	fmt.Fprintf(e.Out, "    %s\n    %s^\n", line, indent.String())
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

var errNoPolicy = errors.New("no policy: it does not begin with version")

// readPolicy reads a policy file; what is wrong with it goes to standard error.
func (e *env) readPolicy(file string, lenient bool) (*policy.Policy, error) {
	text, err := e.readLimited(file, policy.MaxText)
	if err != nil {
		return nil, err
	}
	p, err := policy.ParseMode(string(text), mode(lenient))
	var parse *policy.ParseError
	if errors.As(err, &parse) {
		for _, d := range parse.Diagnostics {
			fmt.Fprintf(e.Err, "%s:%s\n", file, d)
		}
		if other := insteadOf(text, errNoPolicy); !strings.HasPrefix(strings.TrimSpace(string(text)), "version") && other != errNoPolicy {
			return nil, fmt.Errorf("%s: %w", file, other)
		}
		return nil, &policyFault{file, parse.Diagnostics}
	}
	return p, err
}

type policyFmtCommand struct {
	Files []string `arg:"" help:"Policy files; - reads standard input."`
	Write bool     `short:"w" help:"Write the result back to the file."`
	Diff  bool     `short:"d" help:"Print names of files that would change, and fail if there are any."`
}

// Help gives the examples of the help text.
func (policyFmtCommand) Help() string {
	return `Formatting never changes what a policy decides; it does change its hash.

Examples:
  probity policy fmt enclave.policy
  probity policy fmt -w policies/*.policy`
}

// Run formats the files.
func (c *policyFmtCommand) Run(e *env) error {
	changed := false
	for _, file := range c.Files {
		p, err := e.readPolicy(file, false)
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
		return exit(exitNo)
	}
	return nil
}

type policyExplainCommand struct {
	File string `arg:"" help:"Policy file; - reads standard input."`
}

// Help gives the examples of the help text.
func (policyExplainCommand) Help() string {
	return "Examples:\n  probity policy explain enclave.policy"
}

// Run prints the policy in plain words.
func (c *policyExplainCommand) Run(e *env) error {
	p, err := e.readPolicy(c.File, false)
	if err != nil {
		return err
	}
	fmt.Fprint(e.Out, policy.Explain(p))
	return nil
}

type policyHashCommand struct {
	File string `arg:"" help:"Policy file; - reads standard input."`
}

// Help gives the examples of the help text.
func (policyHashCommand) Help() string {
	return "The hash is over the exact text: one line break more or less changes it.\n\nExamples:\n  probity policy hash enclave.policy"
}

// Run prints the hash.
func (c *policyHashCommand) Run(e *env) error {
	text, err := e.readLimited(c.File, policy.MaxText)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.Out, policy.Hash(string(text)))
	return nil
}

type policySignCommand struct {
	File string `arg:"" help:"Policy file; - reads standard input."`
	Key  string `help:"PEM file with the private key (PKCS#8, RSA or EC); without it the JWS is not signed." placeholder:"FILE"`
	Cert string `help:"PEM file with the key's certificate chain, leaf first." placeholder:"FILE"`

	For      string        `help:"Sign for this provider alone: its attest URI." placeholder:"URL"`
	Type     string        `help:"With --for: the attestation type." placeholder:"TYPE"`
	Replaces int64         `help:"With --for: the version that is in force before; 0 is the default policy." placeholder:"N"`
	Valid    time.Duration `help:"With --for: how long it can be submitted, at most 744h." default:"24h" placeholder:"DURATION"`
}

func (c *policySignCommand) binding(signed bool) ([]token.Binding, error) {
	if c.For == "" {
		return nil, nil
	}
	if !signed {
		return nil, errors.New("--for needs --key and --cert: only a signature binds")
	}
	kind, err := evidence.ParseKind(c.Type)
	if err == nil {
		err = errors.Join(bounds.Check("--valid", c.Valid, time.Second, 744*time.Hour), bounds.Check[int64]("--replaces", c.Replaces, 0, 1<<53))
	}
	now := time.Now()
	return []token.Binding{{Purpose: token.PurposeSet, Provider: strings.TrimSuffix(c.For, "/"), Kind: string(kind), Version: &c.Replaces, Issued: now.Unix(), Expires: now.Add(c.Valid).Unix()}}, err
}

// Help gives the examples of the help text.
func (policySignCommand) Help() string {
	return `Prints the compact JWS that PUT /policies/{type} takes.

Examples:
  probity policy sign enclave.policy > enclave.jws
  probity policy sign enclave.policy --key signer-key.pem --cert signer.pem > enclave.jws
  probity policy sign enclave.policy --key signer-key.pem --cert signer.pem --for https://localhost:8443/p/payments --type SgxEnclave > enclave.jws`
}

// Run prints the JWS.
func (c *policySignCommand) Run(e *env) error {
	p, err := e.readPolicy(c.File, false)
	if err != nil {
		return err
	}
	if (c.Key == "") != (c.Cert == "") {
		return errors.New("--key and --cert belong together")
	}
	var key crypto.Signer
	var chain []*x509.Certificate
	if c.Key != "" {
		if key, err = readKey(c.Key); err != nil {
			return err
		}
		if chain, err = readChain(c.Cert); err != nil {
			return err
		}
	}
	binding, err := c.binding(key != nil)
	if err != nil {
		return err
	}
	jws, err := token.WrapPolicy(rand.Reader, p.Text, key, chain, binding...)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.Out, jws)
	return nil
}

func readKey(path string) (crypto.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", path)
	}
	var key any
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: no private key that can sign", path)
	}
	return signer, nil
}

func readChain(path string) ([]*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	chain, err := pubkey.Certificates(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return chain, nil
}

type policyUnwrapCommand struct {
	File string `arg:"" help:"File with the compact JWS; - reads standard input."`
}

// Help gives the examples of the help text.
func (policyUnwrapCommand) Help() string {
	return `Prints the policy text on standard output, and who signed it on standard error.

Examples:
  probity policy unwrap enclave.jws`
}

// Run prints the policy.
func (c *policyUnwrapCommand) Run(e *env) error {
	b, err := e.readLimited(c.File, token.MaxPolicyJWS)
	if err != nil {
		return err
	}
	p, err := token.ParsePolicy(strings.Trim(strings.TrimSpace(string(b)), `"`))
	if errors.Is(err, token.ErrPolicyJWS) {
		fmt.Fprintln(e.Err, "probity:", err)
		return exit(exitNo)
	}
	if err != nil {
		return err
	}
	signer := "not signed"
	if len(p.Signer) > 0 {
		signer = "signed by " + p.Signer[0].Subject.String() + "; whether that is the right signer is for you to say"
	}
	if !e.quiet {
		fmt.Fprintf(e.Err, "%s\ntoken hash %s\n", signer, p.Hash())
	}
	fmt.Fprint(e.Out, p.Text)
	return nil
}
