// Package remote is what commands share that talk to a service: its address, who asks, and its refusals.
package remote

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/policy/policyjws"
)

// URLEnv contains the address of the service where no flag names it.
const URLEnv = "PROBITY_URL"

// LongHelp has the texts of flags that do not fit into their tags.
func LongHelp() kong.Vars {
	return kong.Vars{"urlHelp": "URL of the service; by default https://localhost:8443."}
}

// tokenEnv holds the bearer token of commands that manage a service.
const tokenEnv = "PROBITY_TOKEN"

// Flags say which service, who asks, and how the answer is printed.
type Flags struct {
	Connection
	term.Output
}

// Connection says which service, and who asks.
type Connection struct {
	Service    string `help:"${urlHelp}" env:"PROBITY_URL" default:"https://localhost:8443" placeholder:"URL"`
	CA         string `name:"ca" help:"PEM file with the CA of the service, instead of the system's." env:"PROBITY_CA" placeholder:"FILE"`
	BearerFile string `help:"File with the bearer token, instead of the one in $PROBITY_TOKEN." aliases:"token-file" placeholder:"FILE"`
	CertificateFlags
}

// CertificateFlags name a client certificate.
type CertificateFlags struct {
	ClientCert string `help:"PEM file with a client certificate, for services that know callers by theirs." placeholder:"FILE"`
	ClientKey  string `help:"PEM file with the client certificate's key." placeholder:"FILE"`
}

// Certificate returns nil if none is named.
func (f CertificateFlags) Certificate() (*tls.Certificate, error) {
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

// ProviderFlag names the provider that a command is about.
type ProviderFlag struct {
	Provider string `help:"Attestation provider; by default the one of the service's own address." placeholder:"NAME"`
}

func (f Connection) Client() (*client.Client, error) {
	pool, err := files.CertPool(f.CA)
	if err != nil {
		return nil, err
	}
	bearer := os.Getenv(tokenEnv)
	if f.BearerFile != "" {
		b, err := os.ReadFile(f.BearerFile)
		if err != nil {
			return nil, err
		}
		bearer = string(b)
	}
	cfg := client.Config{URL: f.Service, Roots: pool, Token: strings.TrimSpace(bearer)}
	if cfg.Certificate, err = f.Certificate(); err != nil {
		return nil, err
	}
	if cfg.Certificate != nil && f.BearerFile == "" {
		cfg.Token = "" // a flag says more than the environment, and services look at tokens first
	}
	if cfg.Token == "" && cfg.Certificate == nil {
		return nil,
			errors.New(
				"no bearer token: set PROBITY_TOKEN, or name a file with --bearer-file, " +
					"or show a certificate with --client-cert; the first one is the administrator's " +
					"(adminTokenFile of the service), others are made by: probity token create",
			)
	}
	return client.New(cfg)
}

func (f Connection) At(p ProviderFlag) (*client.Client, error) {
	c, err := f.Client()
	if err == nil && p.Provider != "" && p.Provider != "default" {
		c = c.ForProvider(p.Provider)
	}
	return c, err
}

// What the exit codes 1 and 2 of commands mean that ask a service.
const (
	HelpRefused = "the service refused, with the check that failed"
	HelpTrouble = "there is no answer: wrong usage, or the service cannot be reached"
)

// Refused shows why the service did not do it.
func Refused(e *term.Env, err error) error {
	var answer *client.Error
	if !errors.As(err, &answer) {
		return err
	}
	code := term.No
	if answer.Status >= 500 || answer.Status == 429 {
		code = term.Trouble
	}
	if e.JSON {
		return errors.Join(term.PrintJSON(e.Out, refusalOf(answer, code)), term.Exit(code))
	}
	if len(answer.Details) == 0 {
		fmt.Fprintf(e.Out, "%s: %s: %s\n", e.UI.Bold("refused"), answer.Code, answer.Message)
	}
	word := "refused"
	if answer.Code == "ApprovalRequired" {
		word = "not done yet" // others must agree
	}
	for _, d := range withRemedies(answer.Details) {
		fmt.Fprintf(e.Out, "%s: %s\n  expected  %s\n  found     %s\n  remedy    %s\n  see       %s\n", e.UI.Bold(word),
			d.Check, d.Expected, d.Found, d.Remedy, term.CheckPage(d.Check))
	}
	return term.Exit(code)
}

// remedies are those of checks that this program fixes by other means than other clients: a command,
// or a variable of the environment.
var remedies = map[string]string{
	"caller.known": "set " + tokenEnv + " to the administrator's token, or to one of probity token create, " +
		"made at this service",
	"provider.exists": "list them: probity provider list",
}

// withRemedies returns the details with what to do at the command line.
func withRemedies(details []client.Detail) []client.Detail {
	details = slices.Clone(details)
	for i, d := range details {
		details[i].Remedy = Remedy(d.Check, d.Remedy)
	}
	return details
}

// Remedy returns what to do at the command line when a check fails, where it differs from what other
// clients do.
func Remedy(check, otherwise string) string {
	if remedy, ok := remedies[check]; ok {
		return remedy
	}
	return otherwise
}

// No says in one sentence why a command does not do what it was asked to, where the service would
// do it. Check is the id of the check that the sentence is about.
func No(e *term.Env, check, format string, args ...any) error {
	sentence := fmt.Sprintf(format, args...)
	answer := refusal{Verdict: term.VerdictRejected, Code: check, Message: sentence}
	return errors.Join(e.Answer(answer, "%s: %s\n", e.UI.Bold("refused"), sentence), term.Exit(term.No))
}

// refusal is printed with --format json, in the form of a verdict.
type refusal struct {
	Verdict string `json:"verdict"`
	// Code is the id of the failed check, else the code of the service.
	Code string `json:"code"`
	// See is the place in the guide of the failed check.
	See     string          `json:"see,omitzero"`
	Message string          `json:"message"`
	Details []client.Detail `json:"details,omitzero"`
}

func refusalOf(answer *client.Error, code int) refusal {
	r := refusal{
		Verdict: term.VerdictRejected, Code: answer.Code, Message: answer.Message,
		Details: withRemedies(answer.Details),
	}
	if code == term.Trouble {
		r.Verdict = term.VerdictError
	}
	if len(answer.Details) > 0 {
		r.Code = answer.Details[0].Check
		r.See = term.CheckPage(r.Code)
	}
	return r
}

// SignerSet reads certificates as JSON Web Keys.
func SignerSet(paths []string) (*client.SignerSet, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	set := &client.SignerSet{}
	for _, file := range paths {
		chain, err := files.ReadChain(file)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, policyjws.CertificateKey(chain[0]))
	}
	return set, nil
}
