package manage

import (
	"fmt"

	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/wording/phrase"
)

type KeysCommands struct {
	List   keysListCommand   `cmd:"" help:"List the keys that sign tokens, and their dates."`
	Rotate keysRotateCommand `cmd:"" help:"Make the next key: published now, signing later."`
	Retire keysRetireCommand `cmd:"" help:"End a key at once; tokens that it signed are refused from then on."`
}

type keysListCommand struct {
	remote.Flags
	remote.ProviderFlag
}

// Run lists the keys.
func (c *keysListCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	keys, err := api.SigningKeys(e.Ctx)
	if err != nil {
		return remote.Refused(e, err)
	}
	if e.JSON {
		return term.PrintJSON(e.Out, keys)
	}
	if len(keys) > 0 {
		fmt.Fprintf(e.Out, "%-*s  ALGORITHM  WHOSE   STATE      DATES\n", len(keys[0].ID), "KID")
	}
	for _, k := range keys {
		whose := "own"
		if k.Shared {
			whose = "shared"
		}
		until := ""
		if !k.SignUntil.IsZero() {
			until = ", until " + phrase.Stamp(k.SignUntil) + ", published until " + phrase.Stamp(k.PublishUntil)
		}
		fmt.Fprintf(e.Out, "%s  %-9s  %-6s  %-9s  signs from %s%s\n", k.ID, k.Algorithm, whose, k.State,
			phrase.Stamp(k.SignFrom), until)
	}
	return nil
}

type keysRotateCommand struct {
	remote.Flags
	remote.ProviderFlag
	Algorithm string `help:"Algorithm of the keys." default:"RS256" placeholder:"ALG"`
	Now       bool   `help:"${nowHelp}"`
}

// Run rotates.
func (c *keysRotateCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	k, err := api.RotateKey(e.Ctx, c.Algorithm, c.Now)
	if err != nil {
		return remote.Refused(e, err)
	}
	return e.Say(fmt.Sprintf("%s  %s  signs from %s", k.ID, k.Algorithm, phrase.Stamp(k.SignFrom)),
		map[string]any{"kid": k.ID, "algorithm": k.Algorithm, "signFrom": k.SignFrom})
}

type keysRetireCommand struct {
	remote.Flags
	Key string `arg:"" help:"The key's id (kid)."`
}

// Run retires a key.
func (c *keysRetireCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	if err := api.RetireKey(e.Ctx, c.Key); err != nil {
		return remote.Refused(e, err)
	}
	return e.Say(c.Key+" is retired: it does not sign, and is in no key set", map[string]any{"kid": c.Key})
}
