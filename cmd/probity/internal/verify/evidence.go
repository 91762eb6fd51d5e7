// Package verify is the commands that verify evidence and tokens.
package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/wording/phrase"
)

type EvidenceCommand struct {
	Kind   string   `arg:"" complete:"kind" help:"${kindHelp}"`
	File   string   `arg:"" help:"File with the evidence, raw or as hex, base64, JSON or PEM; - reads standard input."`
	More   []string `arg:"" optional:"" help:"${moreHelp}"`
	Policy string   `help:"File with an attestation policy to apply." placeholder:"FILE"`
	TCB    string   `name:"tcb" help:"Accepted TCB statuses, separated by commas; any accepts all except Revoked." placeholder:"STATUSES"`
	term.Output
	EvidenceFlags

	Lenient bool `help:"Read the policy leniently."`
}

// EvidenceFlags say what belongs to a piece of evidence, and what to trust.
type EvidenceFlags struct {
	Collateral  string   `help:"${collateralHelp}" placeholder:"PATH"`
	RuntimeData string   `help:"File with the data that the report data must bind." placeholder:"FILE"`
	InitData    string   `help:"File with the data that the launch configuration must bind." placeholder:"FILE"`
	EventLog    string   `help:"File with the event log of a TDX guest (CCEL), to be replayed against its registers." placeholder:"FILE"`
	Challenge   string   `help:"What evidence with a TPM in it must have been made for: text, or hex:HEX." placeholder:"TEXT"`
	DataType    string   `help:"How the bound data are returned in the claims: Binary or JSON." default:"Binary"`
	At          string   `help:"Judge at this time (RFC 3339) instead of now." placeholder:"TIME"`
	Certs       string   `help:"${certsHelp}" placeholder:"PATH"`
	UVM         []string `name:"uvm" help:"Endorsement of the utility VM that goes with an SEV-SNP report." placeholder:"FILE"`
	Config      string   `help:"${configHelp}" placeholder:"FILE"`
	TrustKey    string   `name:"trust-key" help:"${trustKeyHelp}" placeholder:"FILE"`
	Root        string   `help:"${rootHelp}" placeholder:"FILE"`
}

// Run verifies the evidence and prints the verdict.
func (c *EvidenceCommand) Run(e *term.Env) error {
	verdict, err := c.Appraise(e)
	if err != nil {
		return err
	}
	if e.JSON {
		err = term.PrintVerdict(e, verdict)
	} else {
		c.PrintText(e, verdict)
	}
	if err != nil {
		return err
	}
	if !verdict.Accepted {
		return term.Exit(term.No)
	}
	return nil
}

// Appraise is the command line's only way from evidence to a verdict.
func (c *EvidenceCommand) Appraise(e *term.Env) (*appraisal.Verdict, error) {
	request, provider, appraiser, err := c.prepare(e)
	if err != nil {
		return nil, err
	}
	verdict, err := appraiser.Appraise(e.Ctx, *request, *provider)
	if errors.Is(err, appraisal.ErrKind) {
		return nil, fmt.Errorf("%w; this build verifies %s", err, appraiser.Kinds())
	}
	return verdict, err
}

func (c *EvidenceCommand) prepare(
	e *term.Env,
) (*appraisal.Request, *appraisal.Provider, *appraisal.Appraiser, error) {
	kind, err := evidence.ParseKind(c.Kind)
	if err != nil {
		return nil, nil, nil, err
	}
	request, lists, err := c.request(e, kind)
	if err != nil {
		return nil, nil, nil, err
	}
	provider, err := c.provider(e)
	if err != nil {
		return nil, nil, nil, err
	}
	appraiser, err := c.appraiser(e, request, lists)
	return request, provider, appraiser, err
}

// request reads the evidence and what goes with it; the lists of revocations among it are
// collateral.
func (c *EvidenceCommand) request(
	e *term.Env, kind evidence.Kind,
) (request *appraisal.Request, lists []*collateral.AMD, err error) {
	request = &appraisal.Request{Kind: kind, Time: time.Now()}
	if c.At != "" {
		if request.Time, err = time.Parse(time.RFC3339, c.At); err != nil {
			return nil, nil, fmt.Errorf("--at: %q is not a time such as 2025-06-11T19:18:17Z", c.At)
		}
	}
	if err := c.read(e, request); err != nil {
		return nil, nil, err
	}
	if (c.Certs != "" || len(c.UVM) > 0) && kind != evidence.SEVSNPVM {
		return nil, nil, fmt.Errorf("--certs and --uvm go with %s", evidence.SEVSNPVM)
	}
	if request.Evidence, lists, err = assemble(e, request.Evidence, c.Certs, c.UVM); err != nil {
		return nil, nil, err
	}
	return request, lists, c.bound(e, request)
}

// bound reads what the evidence has to be for, and binds.
func (c *EvidenceCommand) bound(e *term.Env, request *appraisal.Request) (err error) {
	kind := request.Kind
	if c.Challenge != "" {
		if kind != evidence.TPM && kind != evidence.VBSEnclave && kind != evidence.AzureGuest {
			return fmt.Errorf("--challenge goes with %s, %s and %s; compare the runtime data of others",
				evidence.TPM, evidence.VBSEnclave, evidence.AzureGuest)
		}
		if request.Challenge, err = term.ChallengeBytes("--challenge", c.Challenge); err != nil {
			return err
		}
	}
	if _, err := evidence.ParseDataType(c.DataType); err != nil {
		return fmt.Errorf("--data-type: %w", err)
	}
	if request.RuntimeData, err = c.data(e, c.RuntimeData); err != nil {
		return err
	}
	if request.InitTimeData, err = c.data(e, c.InitData); err != nil {
		return err
	}
	if c.EventLog != "" {
		if kind != evidence.TDXVM {
			return fmt.Errorf("--event-log goes with %s; nothing would check it with %s", evidence.TDXVM, kind)
		}
		if request.EventLog, err = e.ReadLimited(c.EventLog, evidence.MaxSize); err != nil {
			return err
		}
	}
	return nil
}

// provider is one with the TCB statuses and the policy of the flags.
func (c *EvidenceCommand) provider(e *term.Env) (provider *appraisal.Provider, err error) {
	provider = &appraisal.Provider{}
	if provider.TCB, err = appraisal.ParseTCBPolicy(c.TCB); err != nil {
		return nil, fmt.Errorf("--tcb: %w", err)
	}
	if c.Policy != "" && c.TCB == "" {
		provider.TCB = appraisal.TCBPolicy{Any: true, EnclaveDebugByPolicy: true} // the policy judges
	}
	if provider.Policy, err = c.policy(e); err != nil {
		return nil, err
	}
	return provider, nil
}

// appraiser trusts what the configuration and the flags name, and has their collateral.
func (c *EvidenceCommand) appraiser(
	e *term.Env, request *appraisal.Request, lists []*collateral.AMD,
) (*appraisal.Appraiser, error) {
	cfg, err := files.Config(c.Config)
	if err != nil {
		return nil, err
	}
	trust, err := c.trust(e, request.Kind, cfg)
	if found := forms.Recognize(request.Evidence).Kind; found != "" && !forms.Fits(request.Kind, found) {
		err = nil // evidence of another kind is refused with any root, and told so
	}
	if err != nil {
		return nil, err
	}
	appraiser := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(trust)}
	paths := cfg.Collateral
	if c.Collateral != "" {
		paths = []string{c.Collateral}
	}
	appraiser.Collateral, err = e.Source(paths, lists...)
	return appraiser, err
}

// trust returns what the verifiers trust: what the configuration says, with the
// root given.
func (c *EvidenceCommand) trust(e *term.Env, kind evidence.Kind, cfg config.Config) (appraisal.Trust, error) {
	trust, err := files.Trust(cfg)
	if err != nil {
		return trust, fmt.Errorf("%s: %w", c.Config, files.Located(err))
	}
	if c.Root == "" {
		if setting := developmentRoot(kind, cfg.Development); setting != "" && !e.Quiet {
			fmt.Fprintf(e.Err, "probity: trusting the root of development.%s in %s instead of the vendor's;"+
				" this proves nothing about real hardware\n", setting, c.Config)
		}
		return trust, nil
	}
	if err := files.AddRoot(&trust, kind, c.Root); err != nil {
		return trust, fmt.Errorf("--root: %w", err)
	}
	if !e.Quiet && kind != evidence.ArmCCA {
		fmt.Fprintf(e.Err,
			"probity: trusting the root in %s instead of the vendor's;"+
				" this proves nothing about real hardware\n",
			c.Root)
	}
	return trust, nil
}

// developmentRoot returns the setting that replaces the vendor's root for evidence of the kind, or "".
func developmentRoot(kind evidence.Kind, d config.Development) string {
	for _, root := range []struct {
		path, setting string
		kinds         []evidence.Kind
	}{
		{d.IntelRoot, "intelRoot",
			[]evidence.Kind{evidence.SGXEnclave, evidence.OpenEnclave, evidence.TDXVM, evidence.AzureGuest}},
		{d.AMDRoots, "amdRoots", []evidence.Kind{evidence.SEVSNPVM, evidence.AzureGuest}},
		{d.NitroRoot, "nitroRoot", []evidence.Kind{evidence.NitroEnclave}},
	} {
		if root.path != "" && slices.Contains(root.kinds, kind) {
			return root.setting
		}
	}
	return ""
}

func (c *EvidenceCommand) data(e *term.Env, path string) (*evidence.Data, error) {
	if path == "" {
		return nil, nil
	}
	b, err := e.ReadLimited(path, evidence.MaxSize)
	if err != nil {
		return nil, err
	}
	typ, err := evidence.ParseDataType(c.DataType)
	return &evidence.Data{Bytes: b, Type: typ}, err
}

// policy reads the policy file; its diagnostics go to standard error.
func (c *EvidenceCommand) policy(e *term.Env) (*policy.Policy, error) {
	if c.Policy == "" {
		return nil, nil
	}
	return e.ReadPolicy(c.Policy, c.Lenient)
}

func (c *EvidenceCommand) PrintText(e *term.Env, v *appraisal.Verdict) {
	if v.Accepted {
		fmt.Fprintln(e.Out, e.UI.Good("accepted"))
	} else {
		fmt.Fprintf(e.Out, "%s %s\n", e.UI.Bad("refused:"), v.Rejection.Check.ID)
	}
	fmt.Fprintln(e.Out)
	if r := v.Rejection; r != nil {
		fmt.Fprintf(e.Out, "  expected  %s\n  found     %s\n  remedy    %s\n  see       %s\n", r.Check.Expected,
			r.Check.Found, r.Check.Remedy, term.CheckPage(r.Check.ID))
		printShortfall(e, v.TCB)
		fmt.Fprintln(e.Out)
	}
	e.UI.Checks(e.Out, "  ", v.Checks)
	printTCB(e, v.TCB)
	for _, r := range v.Reservations {
		fmt.Fprintf(e.Out, "\n  NOTE %s: expected %s, found %s\n", e.UI.Bold(r.Check.ID), r.Check.Expected,
			r.Check.Found)
	}
	if c.Policy != "" {
		fmt.Fprintln(e.Out)
		term.PrintTrace(e, &v.Policy)
	}
	if v.Accepted {
		printClaims(e, v)
	}
	if v.Accepted && c.Policy != "" && c.TCB == "" && !e.Quiet {
		printLeniency(e, v)
	}
	if !e.Quiet && v.Rejection != nil &&
		(v.Rejection.Is(appraisal.CheckTCBStatus) || v.Rejection.Is(appraisal.CheckSNPStatus)) {
		fmt.Fprintln(e.Err, "\nTo see the facts alone: --tcb any.   To judge by your policy: --policy FILE.")
	}
}

// printTCB prints the status of the platform, where its kind has one.
func printTCB(e *term.Env, tcb *evidence.TCB) {
	if tcb == nil || tcb.Status == evidence.NotSupported {
		return
	}
	fmt.Fprintf(e.Out, "\n  TCB  %s\n", e.UI.Bold(tcb.Summary()))
	if tcb.CurrentStatus != "" {
		fmt.Fprintf(e.Out, "       at launch %s, now %s\n", tcb.LaunchStatus, tcb.CurrentStatus)
	}
	if len(tcb.Advisories) > 0 {
		fmt.Fprintln(e.Out, phrase.Wrap("open advisories: "+strings.Join(tcb.Advisories, ", "), "       ", 90))
	}
}

// printClaims prints the claims of the token.
func printClaims(e *term.Env, v *appraisal.Verdict) {
	fmt.Fprintln(e.Out, "\n  claims")
	width := 0
	for _, claim := range v.Claims.All() {
		width = max(width, len(claim.Type))
	}
	for _, claim := range v.Claims.All() {
		text, isText := claim.Value.Text()
		if !isText {
			text = claim.Value.String()
		}
		fmt.Fprintf(e.Out, "  %-*s  %s\n", width, claim.Type, phrase.Shorten(text, 80))
	}
}

// printLeniency says where a service with default settings would refuse what
// the policy alone accepts.
func printLeniency(e *term.Env, v *appraisal.Verdict) {
	if tcb := v.TCB; tcb != nil && !slices.Contains(appraisal.DefaultTCB(), tcb.Status) {
		fmt.Fprintf(e.Err, "\nYour policy accepts a platform that is %s. A service refuses it all the "+
			"same, unless its provider accepts that status; --tcb default judges as one does.\n", tcb.Status)
	}
	for _, r := range v.Reservations {
		fmt.Fprintf(e.Err, "\nYour policy accepts what %s warns of. A service refuses it all the same, "+
			"unless its provider accepts %s; --tcb default judges as one does.\n", r.Check.ID, r.Accept)
	}
}

// printShortfall shows what keeps the platform from the lowest and the newest level.
func printShortfall(e *term.Env, tcb *evidence.TCB) {
	if tcb == nil {
		return
	}
	for _, table := range []struct {
		level string
		list  []evidence.Component
	}{{"lowest", tcb.BelowLowest}, {"newest", tcb.Shortfall}} {
		if len(table.list) == 0 || table.level == "newest" && slices.Equal(tcb.BelowLowest, tcb.Shortfall) {
			continue
		}
		fmt.Fprintf(e.Out, "\n  %-52s %5s %5s\n", "below the "+table.level+" level", "needs", "has")
		for _, c := range table.list {
			fmt.Fprintf(e.Out, "  %-52s %5d %5d\n", c.Name, c.Needs, c.Has)
		}
	}
}
