package verify

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/phrase"
	"github.com/probity-dev/probity/wording/plainerror"
)

type TokenCommand struct {
	Token  string `arg:"" help:"The token itself, or a file with it; - reads standard input."`
	Issuer string `required:"" help:"URL of the service that the token must come from." placeholder:"URL"`
	CA     string `name:"ca" help:"PEM file with the CA of the service's certificate; the system's CAs otherwise." placeholder:"FILE"`
	term.Output
}

// refusals are the errors that mean no; all others mean that there is no answer.
var refusals = []error{token.ErrFormat, token.ErrUnsecured, token.ErrKey, token.ErrSignature, token.ErrIssuer,
	token.ErrExpired, token.ErrNotYet, token.ErrClaims}

// Run verifies the token and prints what it says.
func (c *TokenCommand) Run(e *term.Env) error {
	compact := c.Token
	if _, err := os.Stat(c.Token); err == nil || c.Token == "-" {
		b, err := e.ReadLimited(c.Token, token.MaxSize)
		if err != nil {
			return err
		}
		compact = string(b)
	}
	pool, err := files.CertPool(c.CA)
	if err != nil {
		return fmt.Errorf("--ca: %w", err)
	}
	service, err := client.New(client.Config{URL: c.Issuer, Roots: pool})
	if err != nil {
		return fmt.Errorf("--issuer: %w", err)
	}
	now := time.Now()
	verified, err := service.Verify(e.Ctx, strings.TrimSpace(compact), now)
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return c.refuse(e, err)
		}
	}
	if err != nil {
		return err
	}
	if e.JSON {
		_, err = fmt.Fprintf(e.Out, `{"valid":true,"claims":%s}`+"\n", verified.Payload)
		return err
	}
	fmt.Fprintf(e.Out, "%s  %s, kid %s\n  issuer   %s\n  issued   %s\n  expires  %s (in %s)\n\n",
		e.UI.Good("valid"),
		verified.Header.Algorithm, verified.Header.KeyID, verified.Issuer, verified.IssuedAt.Format(time.RFC3339),
		verified.Expires.Format(time.RFC3339), phrase.Span(verified.Expires.Sub(now)))
	return printIndented(e, verified.Payload)
}

func (c *TokenCommand) refuse(e *term.Env, reason error) error {
	if e.JSON {
		b, err := json.Marshal(map[string]any{"valid": false, "reason": plainerror.Text(reason)},
			json.Deterministic(true))
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s\n", b)
		return term.Exit(term.No)
	}
	fmt.Fprintf(e.Out, "%s %v\n", e.UI.Bad("not valid:"), plainerror.Text(reason))
	return term.Exit(term.No)
}

func printIndented(e *term.Env, v jsontext.Value) error {
	pretty := v.Clone()
	if err := pretty.Indent(jsontext.WithIndent("  ")); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.Out, "%s\n", pretty)
	return err
}
