// Package manage is the commands about providers, keys, tokens, enrolled TPMs and the ledger of a service.
package manage

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/wording/phrase"
)

type ProviderCommands struct {
	List   providerListCommand   `cmd:"" help:"List the attestation providers."`
	Show   providerShowCommand   `cmd:"" help:"Show one."`
	Create providerCreateCommand `cmd:"" help:"Create a provider, with policies, keys and a ledger of its own."`
	Update providerUpdateCommand `cmd:"" help:"Change tags or settings of a provider."`
	Delete providerDeleteCommand `cmd:"" help:"Delete a provider with its policies; its ledger stays."`
}

type scopeFlags struct {
	remote.Flags
	Subscription string `help:"Subscription of the provider." default:"probity" placeholder:"NAME"`
	Group        string `help:"Resource group of the provider." default:"default" placeholder:"NAME"`
}

func (f scopeFlags) scope() client.Scope {
	return client.Scope{Subscription: f.Subscription, Group: f.Group}
}

type providerListCommand struct{ scopeFlags }

// Help gives the examples of the help text.
func (providerListCommand) Help() string {
	return "Example:\n" +
		"  probity provider list"
}

// Run lists the providers.
func (c *providerListCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	all, err := api.Providers(e.Ctx, c.scope())
	if err != nil {
		return remote.Refused(e, err)
	}
	if c.JSON() {
		return term.PrintJSON(e.Out, all)
	}
	if len(all) == 0 {
		fmt.Fprintf(e.Err, "no providers in resource group %s of subscription %s that you may read\n",
			c.Group, c.Subscription)
	}
	for _, p := range all {
		fmt.Fprintf(e.Out, "%-24s  %-8s  %-8s  %s\n", p.Name, p.Properties.TrustModel, p.Properties.Status,
			p.Properties.AttestURI)
	}
	return nil
}

type providerShowCommand struct {
	scopeFlags
	Name string `arg:"" help:"Name of the provider."`
}

// Help gives the examples of the help text.
func (providerShowCommand) Help() string {
	return "Example:\n" +
		"  probity provider show team-a"
}

// Run shows a provider.
func (c *providerShowCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	p, err := api.Provider(e.Ctx, c.scope(), c.Name)
	if err != nil {
		return remote.Refused(e, err)
	}
	return term.PrintJSON(e.Out, p)
}

// accessFlags are properties that Azure's providers have too.
type accessFlags struct {
	PublicNetworkAccess string `help:"${publicNetworkAccessHelp}" enum:",Enabled,Disabled" default:"" placeholder:"Enabled|Disabled"`
	TPMAuthentication   string `help:"${tpmAuthenticationHelp}" enum:",Enabled,Disabled" default:"" placeholder:"Enabled|Disabled"`
}

type providerCreateCommand struct {
	scopeFlags
	accessFlags
	Name     string            `arg:"" help:"Name: 3 to 24 letters, digits and dashes."`
	Location string            `help:"Location that it shows." default:"local" placeholder:"NAME"`
	Tag      map[string]string `help:"Tags, as NAME=VALUE." placeholder:"NAME=VALUE"`
	Signer   []string          `help:"${signerHelp}" placeholder:"FILE"`
	Settings string            `help:"JSON file with settings; see docs/guide/providers.md." placeholder:"FILE"`
}

// Help gives the examples of the help text.
func (providerCreateCommand) Help() string {
	return `Examples:
  probity provider create team-a
  probity provider create payments --signer policy-signer.pem --settings payments.json`
}

// Run creates a provider.
func (c *providerCreateCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	p := client.Provider{Location: c.Location, Tags: c.Tag}
	p.Properties.PublicNetworkAccess, p.Properties.TPMAuthentication = c.PublicNetworkAccess, c.TPMAuthentication
	if p.Properties.Probity, err = settingsFile(c.Settings); err != nil {
		return err
	}
	if p.Properties.Signers, err = remote.SignerSet(c.Signer); err != nil {
		return err
	}
	made, err := api.PutProvider(e.Ctx, c.scope(), c.Name, p)
	if err != nil {
		return remote.Refused(e, err)
	}
	if c.JSON() {
		return term.PrintJSON(e.Out, made)
	}
	fmt.Fprintf(e.Out, "%s  %s  %s\n", made.Name, made.Properties.TrustModel, made.Properties.AttestURI)
	return nil
}

func settingsFile(path string) (jsontext.Value, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v := jsontext.Value(b)
	if !v.IsValid() || v.Kind() != '{' {
		return nil, fmt.Errorf("%s is not a JSON object with settings", path)
	}
	return v, nil
}

type providerUpdateCommand struct {
	scopeFlags
	accessFlags
	Name     string            `arg:"" help:"Name of the provider; default is the one of the service's own address."`
	Tag      map[string]string `help:"Tags, as NAME=VALUE, instead of those it has." placeholder:"NAME=VALUE"`
	Settings string            `help:"JSON file with settings, instead of those it has." placeholder:"FILE"`
}

// Help gives the examples of the help text.
func (providerUpdateCommand) Help() string {
	return "Example:\n" +
		"  probity provider update team-a --tag stage=test --settings settings.json"
}

// Run changes a provider.
func (c *providerUpdateCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	p := client.Provider{Tags: c.Tag}
	p.Properties.PublicNetworkAccess, p.Properties.TPMAuthentication = c.PublicNetworkAccess, c.TPMAuthentication
	if p.Properties.Probity, err = settingsFile(c.Settings); err != nil {
		return err
	}
	changed, err := api.UpdateProvider(e.Ctx, c.scope(), c.Name, p)
	if err != nil {
		return remote.Refused(e, err)
	}
	return term.PrintJSON(e.Out, changed)
}

type providerDeleteCommand struct {
	scopeFlags
	Name string `arg:"" help:"Name of the provider."`
}

// Help gives the examples of the help text.
func (providerDeleteCommand) Help() string {
	return "Example:\n" +
		"  probity provider delete team-a"
}

// Run deletes a provider.
func (c *providerDeleteCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	if err := api.DeleteProvider(e.Ctx, c.scope(), c.Name); err != nil {
		return remote.Refused(e, err)
	}
	return c.Say(e, c.Name+" is deleted", map[string]any{"provider": c.Name})
}

type KeysCommands struct {
	List   keysListCommand   `cmd:"" help:"List the keys that sign tokens, and their dates."`
	Rotate keysRotateCommand `cmd:"" help:"Make the next key: published now, signing later."`
	Retire keysRetireCommand `cmd:"" help:"End a key at once; tokens that it signed are refused from then on."`
}

type keysListCommand struct {
	remote.Flags
	remote.ProviderFlag
}

// Help gives the examples of the help text.
func (keysListCommand) Help() string {
	return "Examples:\n" +
		"  probity keys list\n" +
		"  probity keys list --provider team-a --format json"
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
	if c.JSON() {
		return term.PrintJSON(e.Out, keys)
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
		fmt.Fprintf(e.Out, "%s  %-5s  %-6s  %-9s  signs from %s%s\n", k.ID, k.Algorithm, whose, k.State,
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

// Help gives the examples of the help text.
func (keysRotateCommand) Help() string {
	return "Example:\n" +
		"  probity keys rotate --algorithm ES384"
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
	return c.Say(e, fmt.Sprintf("%s  %s  signs from %s", k.ID, k.Algorithm, phrase.Stamp(k.SignFrom)),
		map[string]any{"kid": k.ID, "algorithm": k.Algorithm, "signFrom": k.SignFrom})
}

type keysRetireCommand struct {
	remote.Flags
	Key string `arg:"" help:"The key's id (kid)."`
}

// Help gives the examples of the help text.
func (keysRetireCommand) Help() string {
	return "Example:\n" +
		"  probity keys retire wT4dzyqYwC3KmhMmX7ly93og42ugE"
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
	return c.Say(e, c.Key+" is retired: it does not sign, and is in no key set", map[string]any{"kid": c.Key})
}

type TokenCommands struct {
	Create tokenCreateCommand `cmd:"" help:"Make a static bearer token; it is shown once."`
	List   tokenListCommand   `cmd:"" help:"List the static tokens, without their secrets."`
	Revoke tokenRevokeCommand `cmd:"" help:"Remove a static token."`
}

type tokenCreateCommand struct {
	remote.Flags
	Name     string        `arg:"" help:"Name of the token."`
	Role     string        `help:"reader, contributor or owner." required:""`
	Provider []string      `help:"Providers at which the token has the role; * means all." default:"*" placeholder:"NAME"`
	For      time.Duration `help:"How long it is good for, as 720h; by default until it is revoked." placeholder:"DURATION"`
}

// Help gives the examples of the help text.
func (tokenCreateCommand) Help() string {
	return `Prints the token alone on standard output. The service keeps its hash.

Examples:
  probity token create ci --role contributor --provider team-a > ci.token
  probity token create auditor --role reader --for 720h`
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
	if c.JSON() {
		return term.PrintJSON(e.Out, map[string]string{"name": c.Name, "token": secret})
	}
	fmt.Fprintln(e.Out, secret)
	return nil
}

type tokenListCommand struct{ remote.Flags }

// Help gives the examples of the help text.
func (tokenListCommand) Help() string {
	return "Example:\n" +
		"  probity token list"
}

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
	if c.JSON() {
		return term.PrintJSON(e.Out, all)
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

// Help gives the examples of the help text.
func (tokenRevokeCommand) Help() string {
	return "Example:\n" +
		"  probity token revoke ci"
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
	return c.Say(e, c.Name+" is revoked", map[string]any{"name": c.Name})
}
