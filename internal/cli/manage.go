package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/strict/bounds"
)

// tokenEnv holds the bearer token of commands that manage a service.
const tokenEnv = "PROBITY_TOKEN"

// manageFlags say which service, and who asks.
type manageFlags struct {
	Service   string `help:"URL of the service." env:"PROBITY_URL" default:"https://localhost:8443" placeholder:"URL"`
	CA        string `name:"ca" help:"PEM file with the CA of the service, instead of the system's." env:"PROBITY_CA" placeholder:"FILE"`
	TokenFile string `help:"File with the bearer token, instead of the environment variable PROBITY_TOKEN." placeholder:"FILE"`
	JSON      bool   `name:"json" help:"Answer in JSON."`
	certificateFlags
}

// certificateFlags name a client certificate.
type certificateFlags struct {
	ClientCert string `help:"PEM file with a client certificate, for services that know callers by theirs." placeholder:"FILE"`
	ClientKey  string `help:"PEM file with the client certificate's key." placeholder:"FILE"`
}

// certificate returns nil if none is named.
func (f certificateFlags) certificate() (*tls.Certificate, error) {
	if (f.ClientCert == "") != (f.ClientKey == "") {
		return nil, errors.New("--client-cert and --client-key belong together")
	}
	if f.ClientCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(f.ClientCert, f.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	return &cert, nil
}

// providerFlag names the provider that a command is about.
type providerFlag struct {
	Provider string `help:"Attestation provider; by default the one of the service's own address." placeholder:"NAME"`
}

func (f manageFlags) client() (*client.Client, error) {
	pool, err := roots(f.CA)
	if err != nil {
		return nil, err
	}
	bearer := os.Getenv(tokenEnv)
	if f.TokenFile != "" {
		b, err := os.ReadFile(f.TokenFile)
		if err != nil {
			return nil, err
		}
		bearer = string(b)
	}
	cfg := client.Config{URL: f.Service, Roots: pool, Token: strings.TrimSpace(bearer)}
	if cfg.Certificate, err = f.certificate(); err != nil {
		return nil, err
	}
	if cfg.Certificate != nil && f.TokenFile == "" {
		cfg.Token = "" // a flag says more than the environment, and services look at tokens first
	}
	if cfg.Token == "" && cfg.Certificate == nil {
		return nil, errors.New("no bearer token: set PROBITY_TOKEN, or name a file with --token-file, or show a certificate with --client-cert; the first one is the administrator's (adminTokenFile of the service), others are made by: probity token create")
	}
	return client.New(cfg)
}

func (f manageFlags) at(p providerFlag) (*client.Client, error) {
	c, err := f.client()
	if err == nil && p.Provider != "" && p.Provider != "default" {
		c = c.ForProvider(p.Provider)
	}
	return c, err
}

// refusedBy shows why the service did not do it.
func refusedBy(e *env, err error) error {
	var answer *client.Error
	if !errors.As(err, &answer) {
		return err
	}
	if len(answer.Details) == 0 {
		fmt.Fprintf(e.Out, "%s: %s: %s\n", e.ui.bold("refused"), answer.Code, answer.Message)
	}
	word := "refused"
	if answer.Code == "ApprovalRequired" {
		word = "not done yet" // others must agree
	}
	for _, d := range answer.Details {
		fmt.Fprintf(e.Out, "%s: %s\n  expected  %s\n  found     %s\n  remedy    %s\n", e.ui.bold(word), d.Check, d.Expected, d.Found, d.Remedy)
	}
	if answer.Status >= 500 || answer.Status == 429 {
		return exit(exitTrouble)
	}
	return exit(exitNo)
}

func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(b))
	return err
}

type providerCommands struct {
	List   providerListCommand   `cmd:"" help:"List the attestation providers."`
	Show   providerShowCommand   `cmd:"" help:"Show one."`
	Create providerCreateCommand `cmd:"" help:"Create a provider, with policies, keys and a ledger of its own."`
	Update providerUpdateCommand `cmd:"" help:"Change tags or settings of a provider."`
	Delete providerDeleteCommand `cmd:"" help:"Delete a provider with its policies; its ledger stays."`
}

type scopeFlags struct {
	manageFlags
	Subscription string `help:"Subscription of the provider." default:"probity" placeholder:"NAME"`
	Group        string `help:"Resource group of the provider." default:"default" placeholder:"NAME"`
}

func (f scopeFlags) scope() client.Scope {
	return client.Scope{Subscription: f.Subscription, Group: f.Group}
}

type providerListCommand struct{ scopeFlags }

// Run lists the providers.
func (c *providerListCommand) Run(e *env) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	all, err := api.Providers(e.ctx, c.scope())
	if err != nil {
		return refusedBy(e, err)
	}
	if c.JSON {
		return printJSON(e.Out, all)
	}
	if len(all) == 0 {
		fmt.Fprintf(e.Err, "no providers in resource group %s of subscription %s that you may read\n", c.Group, c.Subscription)
	}
	for _, p := range all {
		fmt.Fprintf(e.Out, "%-24s  %-8s  %-8s  %s\n", p.Name, p.Properties.TrustModel, p.Properties.Status, p.Properties.AttestURI)
	}
	return nil
}

type providerShowCommand struct {
	scopeFlags
	Name string `arg:"" help:"Name of the provider."`
}

// Run shows a provider.
func (c *providerShowCommand) Run(e *env) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	p, err := api.Provider(e.ctx, c.scope(), c.Name)
	if err != nil {
		return refusedBy(e, err)
	}
	return printJSON(e.Out, p)
}

// accessFlags are properties that Azure's providers have too.
type accessFlags struct {
	PublicNetworkAccess string `help:"Enabled; Disabled answers to private networks alone." enum:",Enabled,Disabled" default:"" placeholder:"Enabled|Disabled"`
	TPMAuthentication   string `name:"tpm-authentication" help:"Enabled: TPMs attest for callers alone who may read, which is the default; Disabled: for anybody." enum:",Enabled,Disabled" default:"" placeholder:"Enabled|Disabled"`
}

type providerCreateCommand struct {
	scopeFlags
	accessFlags
	Name     string            `arg:"" help:"Name: 3 to 24 letters, digits and dashes."`
	Location string            `help:"Location that it shows." default:"local" placeholder:"NAME"`
	Tag      map[string]string `help:"Tags, as NAME=VALUE." placeholder:"NAME=VALUE"`
	Signer   []string          `help:"PEM files with certificates that may sign policies; with any, the provider is Isolated." placeholder:"FILE"`
	Settings string            `help:"JSON file with settings; see docs/guide/providers.md." placeholder:"FILE"`
}

// Help gives the examples of the help text.
func (providerCreateCommand) Help() string {
	return `Examples:
  probity provider create team-a
  probity provider create payments --signer policy-signer.pem --settings payments.json`
}

// Run creates a provider.
func (c *providerCreateCommand) Run(e *env) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	p := client.Provider{Location: c.Location, Tags: c.Tag}
	p.Properties.PublicNetworkAccess, p.Properties.TPMAuthentication = c.PublicNetworkAccess, c.TPMAuthentication
	if p.Properties.Probity, err = settingsFile(c.Settings); err != nil {
		return err
	}
	if p.Properties.Signers, err = signerSet(c.Signer); err != nil {
		return err
	}
	made, err := api.PutProvider(e.ctx, c.scope(), c.Name, p)
	if err != nil {
		return refusedBy(e, err)
	}
	if c.JSON {
		return printJSON(e.Out, made)
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

// Run changes a provider.
func (c *providerUpdateCommand) Run(e *env) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	p := client.Provider{Tags: c.Tag}
	p.Properties.PublicNetworkAccess, p.Properties.TPMAuthentication = c.PublicNetworkAccess, c.TPMAuthentication
	if p.Properties.Probity, err = settingsFile(c.Settings); err != nil {
		return err
	}
	changed, err := api.UpdateProvider(e.ctx, c.scope(), c.Name, p)
	if err != nil {
		return refusedBy(e, err)
	}
	return printJSON(e.Out, changed)
}

type providerDeleteCommand struct {
	scopeFlags
	Name string `arg:"" help:"Name of the provider."`
}

// Run deletes a provider.
func (c *providerDeleteCommand) Run(e *env) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	if err := api.DeleteProvider(e.ctx, c.scope(), c.Name); err != nil {
		return refusedBy(e, err)
	}
	fmt.Fprintf(e.Out, "%s is not there any more\n", c.Name)
	return nil
}

type keysCommands struct {
	List   keysListCommand   `cmd:"" help:"List the keys that sign tokens, and their dates."`
	Rotate keysRotateCommand `cmd:"" help:"Make the next key: published now, signing later."`
	Retire keysRetireCommand `cmd:"" help:"End a key at once; tokens that it signed are refused from then on."`
}

type keysListCommand struct {
	manageFlags
	providerFlag
}

// Run lists the keys.
func (c *keysListCommand) Run(e *env) error {
	api, err := c.at(c.providerFlag)
	if err != nil {
		return err
	}
	keys, err := api.SigningKeys(e.ctx)
	if err != nil {
		return refusedBy(e, err)
	}
	if c.JSON {
		return printJSON(e.Out, keys)
	}
	for _, k := range keys {
		whose := "own"
		if k.Shared {
			whose = "shared"
		}
		until := ""
		if !k.SignUntil.IsZero() {
			until = ", until " + stamp(k.SignUntil) + ", published until " + stamp(k.PublishUntil)
		}
		fmt.Fprintf(e.Out, "%s  %-5s  %-6s  %-9s  signs from %s%s\n", k.ID, k.Algorithm, whose, k.State, stamp(k.SignFrom), until)
	}
	return nil
}

type keysRotateCommand struct {
	manageFlags
	providerFlag
	Algorithm string `help:"Algorithm of the keys." default:"RS256" placeholder:"ALG"`
	Now       bool   `help:"Sign with the new key at once. Clients that hold key sets may refuse its tokens until they fetch the key set again."`
}

// Run rotates.
func (c *keysRotateCommand) Run(e *env) error {
	api, err := c.at(c.providerFlag)
	if err != nil {
		return err
	}
	k, err := api.RotateKey(e.ctx, c.Algorithm, c.Now)
	if err != nil {
		return refusedBy(e, err)
	}
	fmt.Fprintf(e.Out, "%s  %s  signs from %s\n", k.ID, k.Algorithm, stamp(k.SignFrom))
	return nil
}

type keysRetireCommand struct {
	manageFlags
	Key string `arg:"" help:"The key's id (kid)."`
}

// Run retires a key.
func (c *keysRetireCommand) Run(e *env) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	if err := api.RetireKey(e.ctx, c.Key); err != nil {
		return refusedBy(e, err)
	}
	fmt.Fprintf(e.Out, "%s is retired: it does not sign, and is in no key set\n", c.Key)
	return nil
}

type tokenCommands struct {
	Create tokenCreateCommand `cmd:"" help:"Make a static bearer token; it is shown once."`
	List   tokenListCommand   `cmd:"" help:"List the static tokens, without their secrets."`
	Revoke tokenRevokeCommand `cmd:"" help:"Remove a static token."`
}

type tokenCreateCommand struct {
	manageFlags
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
func (c *tokenCreateCommand) Run(e *env) error {
	api, err := c.client()
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
	secret, err := api.CreateToken(e.ctx, t)
	if err != nil {
		return refusedBy(e, err)
	}
	fmt.Fprintln(e.Out, secret)
	return nil
}

type tokenListCommand struct{ manageFlags }

// Run lists the tokens.
func (c *tokenListCommand) Run(e *env) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	all, err := api.Tokens(e.ctx)
	if err != nil {
		return refusedBy(e, err)
	}
	if c.JSON {
		return printJSON(e.Out, all)
	}
	for _, t := range all {
		end := "no end"
		if !t.Expires.IsZero() {
			end = "until " + stamp(t.Expires)
		}
		fmt.Fprintf(e.Out, "%-24s  %-11s  %-24s  %s, by %s\n", t.Name, t.Role, strings.Join(t.Providers, ","), end, t.CreatedBy)
	}
	return nil
}

type tokenRevokeCommand struct {
	manageFlags
	Name string `arg:"" help:"Name of the token."`
}

// Run revokes a token.
func (c *tokenRevokeCommand) Run(e *env) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	if err := api.RevokeToken(e.ctx, c.Name); err != nil {
		return refusedBy(e, err)
	}
	fmt.Fprintf(e.Out, "%s is revoked\n", c.Name)
	return nil
}
