// Package manage is the commands about providers, keys, tokens, enrolled TPMs and the ledger of a service.
package manage

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/describe"
	"github.com/probity-dev/probity/wording/phrase"
)

type ProviderCommands struct {
	List   providerListCommand   `cmd:"" help:"List the attestation providers."`
	Show   providerShowCommand   `cmd:"" help:"Show a provider with its settings."`
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
	if e.JSON {
		return term.PrintJSON(e.Out, all)
	}
	if len(all) == 0 {
		fmt.Fprintf(e.Err, "no providers in resource group %s of subscription %s that you may read\n",
			c.Group, c.Subscription)
	}
	if len(all) > 0 {
		fmt.Fprintf(e.Out, "%-24s  %-8s  %-8s  %s\n", "NAME", "TRUST", "STATUS", "ATTEST URI")
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
	return printProvider(e, p)
}

// printProvider prints a provider with its settings.
func printProvider(e *term.Env, p *client.Provider) error {
	if e.JSON {
		return term.PrintJSON(e.Out, p)
	}
	f := describe.Fields{}
	for _, item := range []struct{ name, value string }{
		{"name", p.Name}, {"trust model", p.Properties.TrustModel}, {"status", p.Properties.Status},
		{"attest URI", p.Properties.AttestURI}, {"location", p.Location},
		{"public network", p.Properties.PublicNetworkAccess}, {"TPM callers", p.Properties.TPMAuthentication},
	} {
		if item.value != "" {
			f.Add(item.name, item.value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Tags)) {
		f.Add("tag "+name, p.Tags[name])
	}
	if s := p.Properties.Signers; s != nil && len(s.Keys) > 0 {
		f.Add("policy signers", phrase.Plural(len(s.Keys), "certificate")+" (probity policy signers list)")
	}
	if len(p.Properties.Probity) > 0 {
		f.Add("settings", p.Properties.Probity)
	}
	f.Print(e.Out, e.UI.Bold, "")
	return nil
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
	// The service's PUT replaces what a provider says, as Azure's does.
	switch _, err := api.Provider(e.Ctx, c.scope(), c.Name); {
	case err == nil:
		return remote.No(e, "provider.name", "%s exists; change it with: probity provider update %[1]s", c.Name)
	case !isMissing(err):
		return remote.Refused(e, err)
	}
	made, err := api.PutProvider(e.Ctx, c.scope(), c.Name, p)
	if err != nil {
		return remote.Refused(e, err)
	}
	return e.Answer(made, "%s  %s  %s\n", made.Name, made.Properties.TrustModel, made.Properties.AttestURI)
}

// isMissing reports whether the service answered that there is no such provider.
func isMissing(err error) bool {
	var answer *client.Error
	return errors.As(err, &answer) && answer.Status == http.StatusNotFound
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
	return printProvider(e, changed)
}

type providerDeleteCommand struct {
	scopeFlags
	Name string `arg:"" help:"Name of the provider."`
}

// Run deletes a provider.
func (c *providerDeleteCommand) Run(e *term.Env) error {
	api, err := c.Client()
	if err != nil {
		return err
	}
	// The service's DELETE succeeds for a provider that is not there, as Azure's does.
	if _, err := api.Provider(e.Ctx, c.scope(), c.Name); isMissing(err) {
		return remote.No(e, "provider.exists", "no provider is named %s; list them: probity provider list", c.Name)
	} else if err != nil {
		return remote.Refused(e, err)
	}
	if err := api.DeleteProvider(e.Ctx, c.scope(), c.Name); err != nil {
		return remote.Refused(e, err)
	}
	return e.Say(c.Name+" is deleted", map[string]any{"provider": c.Name})
}
