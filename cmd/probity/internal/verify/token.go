package verify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/describe"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/phrase"
	"github.com/probity-dev/probity/wording/plainerror"
)

type TokenCommand struct {
	Token  string `arg:"" help:"The token itself, or a file with it or with the service's answer; - reads standard input."`
	Issuer string `required:"" help:"URL of the service that the token must come from." env:"PROBITY_URL" placeholder:"URL"`
	CA     string `name:"ca" help:"PEM file with the CA of the service, instead of the system's." env:"PROBITY_CA" placeholder:"FILE"`
	term.Output
}

// refusals are the errors that mean no; all others mean that there is no answer.
var refusals = []error{token.ErrFormat, token.ErrUnsecured, token.ErrKey, token.ErrSignature, token.ErrIssuer,
	token.ErrExpired, token.ErrNotYet, token.ErrClaims}

// Run verifies the token and prints what it says.
func (c *TokenCommand) Run(e *term.Env) error {
	pool, err := files.CertPool(c.CA)
	if err != nil {
		return fmt.Errorf("--ca: %w", err)
	}
	service, err := client.New(client.Config{URL: c.Issuer, Roots: pool})
	if err != nil {
		return fmt.Errorf("--issuer: %w", err)
	}
	compact, err := c.read(e)
	if err != nil {
		return err
	}
	// What is not a token is refused without a question to the issuer.
	if _, _, err := token.Decode(compact); err != nil {
		return c.refuse(e, err)
	}
	now := time.Now()
	verified, err := service.Verify(e.Ctx, compact, now)
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

// read returns the token of the argument, which is a file's name or the token itself.
func (c *TokenCommand) read(e *term.Env) (string, error) {
	name := c.Token
	if _, err := os.Stat(name); name != "-" && err != nil {
		text := strings.TrimSpace(name)
		// The header of a token is a JSON object, in base64url.
		if _, _, err := token.Decode(text); err != nil && !strings.HasPrefix(text, "eyJ") {
			return "", fmt.Errorf("%s: no such file (and the text is not a token)", phrase.Shorten(name, 60))
		}
		return text, nil
	}
	b, err := e.ReadLimited(name, token.MaxSize)
	if err != nil {
		return "", err
	}
	if name == "-" {
		name = "standard input"
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return "", fmt.Errorf("%s is empty", name)
	}
	if inside, ok := describe.AnsweredToken(b); ok {
		return inside, nil
	}
	return string(bytes.TrimSpace(b)), nil
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
