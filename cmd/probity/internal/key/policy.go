package key

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/jsonerror"
	"github.com/probity-dev/probity/wording/phrase"
)

type policyCommands struct {
	Check policyCheckCommand `cmd:"" help:"Check release policies: every mistake with its place and how to fix it."`
	Test  policyTestCommand  `cmd:"" help:"Apply a release policy to a token or claims, and show each condition."`
}

type policyCheckCommand struct {
	Files     []string `arg:"" help:"Files with release policies; - reads standard input."`
	Authority []string `help:"Issuers that the service knows: a policy that names another one is warned of." placeholder:"URL"`
	Strict    bool     `help:"Warnings fail too."`
	term.Output
}

// Run checks the files.
func (c *policyCheckCommand) Run(e *term.Env) error {
	findings, failures, warnings := []term.Finding{}, 0, 0
	for _, file := range c.Files {
		text, err := e.ReadLimited(file, release.MaxPolicySize)
		if err != nil {
			return err
		}
		for _, d := range checkPolicy(text, c.Authority) {
			if d.Severity == release.Error {
				failures++
			} else {
				warnings++
			}
			f := term.Finding{
				File: file, Line: d.Pos.Line, Column: d.Pos.Column, Severity: string(d.Severity),
				Message: d.Message, Found: d.Found, Expected: d.Expected, Suggestion: d.Suggestion,
			}
			findings = append(findings, f)
			if !e.JSON {
				fmt.Fprintf(e.Out, "%s:%s\n", file, d)
				term.Mark(e.Out, string(text), d.Pos.Line, d.Pos.Column)
			}
		}
	}
	if e.JSON {
		if err := term.PrintJSON(e.Out, findings); err != nil {
			return err
		}
	} else if !e.Quiet || failures+warnings > 0 {
		fmt.Fprintf(e.Out, "%s, %s\n", phrase.Plural(failures, "error"), phrase.Plural(warnings, "warning"))
	}
	if failures > 0 || c.Strict && warnings > 0 {
		return term.Exit(term.No)
	}
	return nil
}

// checkPolicy returns all that can be said about the text of a policy.
func checkPolicy(text []byte, known []string) []release.Diagnostic {
	p, err := release.Parse(text)
	var parse *release.ParseError
	if errors.As(err, &parse) {
		return parse.Diagnostics
	}
	return p.Lint(known...)
}

type policyTestCommand struct {
	File   string `arg:"" help:"File with the release policy; - reads standard input."`
	Token  string `arg:"" optional:"" help:"A token, or a file that contains one."`
	Claims string `help:"JSON file with the claims of a token, instead of the token." placeholder:"FILE"`
	Issuer string `help:"Issuer of the token, instead of its claim iss." placeholder:"URL"`
	term.Output
}

// tested is what key policy test prints for programs.
type tested struct {
	*release.Decision
	// WrappingKey is the kid of the key that a released key would be wrapped to, or why there is none.
	WrappingKey   string `json:"wrappingKey,omitzero"`
	NoWrappingKey string `json:"noWrappingKey,omitzero"`
}

// maxClaims bounds a file with claims, in bytes.
const maxClaims = 4 << 20

// Run applies the policy.
func (c *policyTestCommand) Run(e *term.Env) error {
	if (c.Token == "") == (c.Claims == "") {
		return term.Usage("give either a token or --claims FILE")
	}
	text, err := e.ReadLimited(c.File, release.MaxPolicySize)
	if err != nil {
		return err
	}
	policy, err := release.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	payload, err := c.payload(e)
	if err != nil {
		return err
	}
	claims, err := release.ParseClaims(payload)
	if err != nil {
		return err
	}
	issuer := c.Issuer
	if issuer == "" {
		var in struct {
			Issuer string `json:"iss"`
		}
		if err := json.Unmarshal(payload, &in); err != nil {
			return fmt.Errorf("claims: %s", jsonerror.Text(err))
		}
		issuer = in.Issuer
	}
	out := tested{Decision: policy.Evaluate(issuer, claims)}
	key, err := claims.WrappingKey()
	if err == nil {
		out.WrappingKey = key.ID
	} else {
		out.NoWrappingKey = err.Error()
	}
	return c.print(e, out)
}

func (c *policyTestCommand) payload(e *term.Env) ([]byte, error) {
	if c.Claims != "" {
		return e.ReadLimited(c.Claims, maxClaims)
	}
	compact, err := readToken(e, c.Token)
	if err != nil {
		return nil, err
	}
	_, payload, err := token.Decode(compact)
	if err == nil && !e.Quiet {
		fmt.Fprintln(e.Err, "probity: only the claims are looked at; a service also verifies signature and times: "+
			"probity verify token")
	}
	return payload, err
}

// print says no also if a token has no key that a key could be wrapped to. Claims alone may leave it
// out.
func (c *policyTestCommand) print(e *term.Env, t tested) error {
	no := !t.Satisfied || c.Token != "" && t.WrappingKey == ""
	if e.JSON {
		if err := term.PrintJSON(e.Out, t); err != nil {
			return err
		}
	} else {
		fmt.Fprint(e.Out, t.String())
		if t.WrappingKey != "" {
			fmt.Fprintf(e.Out, "the key would be wrapped to %.100q\n", t.WrappingKey)
		} else if c.Token != "" {
			fmt.Fprintln(e.Out, t.NoWrappingKey)
		}
	}
	if no {
		return term.Exit(term.No)
	}
	return nil
}
