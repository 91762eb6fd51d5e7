package manage

import (
	"fmt"
	"strings"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/wording/phrase"
)

type TokenCommands struct {
	Create tokenCreateCommand `cmd:"" help:"Make a static bearer token; it is shown once."`
	List   tokenListCommand   `cmd:"" help:"List the static tokens, without their secrets."`
	Revoke tokenRevokeCommand `cmd:"" help:"Remove a static token."`
}

type tokenCreateCommand struct {
	remote.Flags
	Name     string        `arg:"" help:"Name of the token."`
	Role     string        `help:"reader, contributor, owner; officer or releaser of keys." required:""`
	Provider []string      `help:"Providers at which the token has the role; by default all (*)." default:"*" placeholder:"NAME"`
	For      time.Duration `help:"How long it is good for, as 720h; by default until it is revoked." placeholder:"DURATION"`
}

// Run makes a token.
func (c *tokenCreateCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	t := client.StaticToken{Name: c.Name, Role: c.Role, Providers: c.Provider}
	if err := bounds.Optional("--for", c.For, time.Second, 10*365*24*time.Hour); err != nil {
		return err
	}
	if c.For > 0 {
		t.Expires = time.Now().Add(c.For).UTC().Truncate(time.Second)
	}
	secret, err := api.CreateToken(e.Ctx, t)
	if err != nil {
		return remote.Refused(e, err)
	}
	return e.Answer(map[string]string{"name": c.Name, "token": secret}, "%s\n", secret)
}

type tokenListCommand struct{ remote.Flags }

// Run lists the tokens.
func (c *tokenListCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	all, err := api.Tokens(e.Ctx)
	if err != nil {
		return remote.Refused(e, err)
	}
	if e.JSON {
		return term.PrintJSON(e.Out, all)
	}
	if len(all) > 0 {
		fmt.Fprintf(e.Out, "%-24s  %-11s  %-24s  %s\n", "NAME", "ROLE", "PROVIDERS", "VALID")
	}
	for _, t := range all {
		end := "no end"
		if !t.Expires.IsZero() {
			end = "until " + phrase.Stamp(t.Expires)
		}
		fmt.Fprintf(e.Out, "%-24s  %-11s  %-24s  %s, by %s\n", t.Name, t.Role, strings.Join(t.Providers, ","),
			end, t.CreatedBy)
	}
	return nil
}

type tokenRevokeCommand struct {
	remote.Flags
	Name string `arg:"" help:"Name of the token."`
}

// Run revokes a token.
func (c *tokenRevokeCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	if err := api.RevokeToken(e.Ctx, c.Name); err != nil {
		return remote.Refused(e, err)
	}
	return e.Say(c.Name+" is revoked", map[string]any{"name": c.Name})
}
