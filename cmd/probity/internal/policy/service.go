package policy

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/wording/phrase"
)

// policyFlags say which policy of which service.
type policyFlags struct {
	remote.Flags
	remote.ProviderFlag
	Type string `arg:"" complete:"kind" help:"Attestation type, for instance SgxEnclave."`
}

func (f policyFlags) open() (*client.Client, evidence.Kind, error) {
	kind, err := evidence.ParseKind(f.Type)
	if err != nil {
		return nil, "", err
	}
	c, err := f.At(f.ProviderFlag)
	return c, kind, err
}

// changeFlags say what a change replaces.
type changeFlags struct {
	policyFlags
	IfVersion *int64 `help:"Change nothing unless this version is in force; policy history lists them, 0 is the default." placeholder:"N"`
}

func (f changeFlags) open() (*client.Client, evidence.Kind, error) {
	c, kind, err := f.policyFlags.open()
	if err == nil && f.IfVersion != nil {
		c = c.IfMatch(*f.IfVersion)
	}
	return c, kind, err
}

// signFlags name the key that signs, for Isolated providers.
type signFlags struct {
	Key  string `help:"PEM file with the private key that signs, for an Isolated provider." placeholder:"FILE"`
	Cert string `help:"PEM file with the key's certificate chain, leaf first." placeholder:"FILE"`
	Bind bool   `help:"Sign what the change is for, too: purpose, provider, type, the version that it replaces, one hour."`
}

// binding says what a change is for, if it was asked to. Kind is empty for
// certificates.
func (f signFlags) binding(
	ctx context.Context, api *client.Client, purpose string, kind evidence.Kind, version *int64,
) ([]policyjws.Binding, error) {
	if !f.Bind {
		return nil, nil
	}
	if f.Key == "" {
		return nil, errors.New("--bind needs --key and --cert: only a signature binds")
	}
	d, err := api.Discovery(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	b := policyjws.Binding{Purpose: purpose, Provider: strings.TrimSuffix(d.Issuer,
		"/"), Kind: string(kind), Version: version, Issued: now.Unix(), Expires: now.Add(time.Hour).Unix()}
	if kind != "" && version == nil {
		history, err := api.PolicyHistory(ctx, kind)
		if err != nil {
			return nil, err
		}
		b.Version = new(int64)
		if len(history) > 0 {
			*b.Version = history[0].Version
		}
	}
	return []policyjws.Binding{b}, nil
}

func (f signFlags) open() (crypto.Signer, []*x509.Certificate, error) {
	if (f.Key == "") != (f.Cert == "") {
		return nil, nil, errors.New("--key and --cert belong together")
	}
	if f.Key == "" {
		return nil, nil, nil
	}
	key, err := files.ReadKey(f.Key)
	if err != nil {
		return nil, nil, err
	}
	chain, err := files.ReadChain(f.Cert)
	return key, chain, err
}

type setCommand struct {
	changeFlags
	signFlags
	File string `arg:"" help:"Policy file; - reads standard input."`
}

// Run sets the policy.
func (c *setCommand) Run(e *term.Env) error {
	_, notType := evidence.ParseKind(c.Type)
	if _, err := evidence.ParseKind(c.File); err == nil && notType != nil {
		return term.Usage("the type comes first: probity policy set %s %s", c.File, c.Type)
	}
	api, kind, err := c.changeFlags.open()
	if err != nil {
		return err
	}
	p, err := e.ReadPolicy(c.File, false)
	if err != nil {
		return err
	}
	if !e.Quiet {
		for _, d := range policy.Lint(p, string(kind)) {
			printDiagnostic(e, e.Err, c.File, p.Text, d)
		}
	}
	key, chain, err := c.signFlags.open()
	if err != nil {
		return err
	}
	binding, err := c.binding(e.Ctx, api, policyjws.PurposeSet, kind, c.IfVersion)
	if err != nil {
		return remote.Refused(e, err)
	}
	jws, err := policyjws.Wrap(rand.Reader, p.Text, key, chain, binding...)
	if err != nil {
		return err
	}
	if _, err := api.SetPolicy(e.Ctx, kind, jws); err != nil {
		return remote.Refused(e, err)
	}
	where := c.Provider
	if where == "" {
		where = "default"
	}
	said := fmt.Sprintf("the policy of %s is in force at %s (provider %s)", kind, c.Service, where)
	values := map[string]any{"type": kind, "service": c.Service, "provider": where}
	if version := submitted(e.Ctx, api, kind, jws); version > 0 {
		said, values["version"] = fmt.Sprintf("version %d of %s", version, said), version
	}
	return e.Say(said, values)
}

// submitted returns the version that a policy became, or 0 if the service does not say: the policy is in
// force all the same.
func submitted(ctx context.Context, api *client.Client, kind evidence.Kind, jws string) int64 {
	history, err := api.PolicyHistory(ctx, kind)
	if err != nil {
		return 0
	}
	for _, h := range history[:min(len(history), 3)] { // others may have changed it since
		if v, err := api.PolicyVersion(ctx, kind, h.Version); err == nil && v.JWS == jws {
			return v.Version
		}
	}
	return 0
}

type resetCommand struct {
	changeFlags
	signFlags
}

// Run resets the policy.
func (c *resetCommand) Run(e *term.Env) error {
	api, kind, err := c.changeFlags.open()
	if err != nil {
		return err
	}
	key, chain, err := c.signFlags.open()
	if err != nil {
		return err
	}
	binding, err := c.binding(e.Ctx, api, policyjws.PurposeReset, kind, c.IfVersion)
	if err != nil {
		return remote.Refused(e, err)
	}
	jws, err := policyjws.WrapReset(rand.Reader, key, chain, binding...)
	if err != nil {
		return err
	}
	if _, err := api.ResetPolicy(e.Ctx, kind, jws); err != nil {
		return remote.Refused(e, err)
	}
	return e.Say(fmt.Sprintf("the default policy of %s is in force", kind), map[string]any{"type": kind})
}

type proposalsCommand struct {
	remote.Flags
	remote.ProviderFlag
}

// Run lists proposals.
func (c *proposalsCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	waiting, err := api.Proposals(e.Ctx)
	if err != nil {
		return remote.Refused(e, err)
	}
	if e.JSON {
		return term.PrintJSON(e.Out, waiting)
	}
	for _, p := range waiting {
		fmt.Fprintf(e.Out, "%s  %s  %d of %d agree: %s  until %s\n", p.ID, proposalText(p), len(p.Approvals),
			p.Needed, strings.Join(p.Approvals, ", "), phrase.Stamp(p.Expires))
		for _, d := range p.Changes {
			fmt.Fprintf(e.Out, "    %s: %s → %s\n", d.Name, orNotSet(d.From), orNotSet(d.To))
		}
	}
	return nil
}

func orNotSet(v jsontext.Value) string {
	if len(v) == 0 {
		return "not set"
	}
	return v.String()
}

// proposalText says what a proposal does.
func proposalText(p client.Proposal) string {
	switch p.Action {
	case "settings":
		return "change settings"
	case "delete":
		return "delete the provider"
	case "addCertificate", "removeCertificate":
		text := strings.TrimSuffix(p.Action, "Certificate") + " a policy signing certificate"
		if in, err := policyjws.ParseCertificate(p.JWS); err == nil {
			text += " (" + in.Certificate.Subject.String() + ")"
		}
		return text
	}
	return p.Action + " the policy of " + string(p.Type)
}

type approveCommand struct {
	remote.Flags
	remote.ProviderFlag
	Proposal string `arg:"" help:"Id of the proposal."`
	Reject   bool   `help:"Remove the proposal instead."`
}

// Run approves or rejects a proposal.
func (c *approveCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	if c.Reject {
		if err := api.Reject(e.Ctx, c.Proposal); err != nil {
			return remote.Refused(e, err)
		}
		return e.Say("rejected", map[string]any{"proposal": c.Proposal})
	}
	err = api.Approve(e.Ctx, c.Proposal)
	var answer *client.Error
	if errors.As(err, &answer) && answer.Code == "ApprovalRequired" {
		return e.Say("approved; more must agree", map[string]any{"proposal": c.Proposal})
	}
	if err != nil {
		return remote.Refused(e, err)
	}
	return e.Say("approved; the change is in force", map[string]any{"proposal": c.Proposal})
}
