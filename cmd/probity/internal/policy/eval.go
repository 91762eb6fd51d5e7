package policy

import (
	"fmt"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/cmd/probity/internal/verify"
	"github.com/probity-dev/probity/wording/phrase"
)

type evalCommand struct {
	Policy   string `required:"" help:"Policy file." placeholder:"FILE"`
	Claims   string `help:"JSON file with the claims: an object of strings, integers, booleans and arrays of these." placeholder:"FILE"`
	Evidence string `complete:"kind" help:"Attestation type of the evidence in FILE, instead of claims." placeholder:"TYPE"`
	Trace    bool   `help:"Show what each rule did."`
	Lenient  bool   `help:"Read the policy leniently."`

	File string `arg:"" optional:"" help:"File with evidence, with --evidence."`
	term.Output
	verify.EvidenceFlags
}

// Run evaluates the policy. Evidence takes the way of verify evidence and of the
// service: the policy's configuration rules decide what is asked of it.
func (c *evalCommand) Run(e *term.Env) error {
	if (c.Claims == "") == (c.Evidence == "") {
		return term.Usage("give either --claims FILE or --evidence TYPE FILE")
	}
	var verdict *appraisal.Verdict
	var err error
	if c.Claims != "" {
		verdict, err = c.judgeClaims(e)
	} else {
		verdict, err = c.judgeEvidence(e)
	}
	if err != nil {
		return err
	}
	if e.JSON {
		if err := term.PrintVerdict(e, verdict); err != nil {
			return err
		}
	} else {
		c.print(e, verdict)
	}
	if !verdict.Accepted {
		return term.Exit(term.No)
	}
	return nil
}

// judgeClaims applies the policy to the claims in a file.
func (c *evalCommand) judgeClaims(e *term.Env) (*appraisal.Verdict, error) {
	if c.File != "" {
		return nil, term.Usage("%s: evidence goes with --evidence TYPE, not with --claims", c.File)
	}
	p, err := e.ReadPolicy(c.Policy, c.Lenient)
	if err != nil {
		return nil, err
	}
	b, err := e.ReadLimited(c.Claims, 4<<20)
	if err != nil {
		return nil, err
	}
	set, err := claims.ParseSet(b, claims.AttestationService)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Claims, err)
	}
	return appraisal.JudgeClaims(set, p), nil
}

// judgeEvidence verifies evidence and applies the policy, as verify evidence does.
func (c *evalCommand) judgeEvidence(e *term.Env) (*appraisal.Verdict, error) {
	if c.File == "" {
		return nil, term.Usage("--evidence needs the file with the evidence")
	}
	verify := verify.EvidenceCommand{
		Kind: c.Evidence, File: c.File, Policy: c.Policy, Lenient: c.Lenient,
		EvidenceFlags: c.EvidenceFlags,
	}
	return verify.Appraise(e)
}

func (c *evalCommand) print(e *term.Env, v *appraisal.Verdict) {
	if v.Rejection != nil && !v.Rejection.Is(appraisal.CheckPolicy) {
		verify := verify.EvidenceCommand{Policy: c.Policy}
		verify.PrintText(e, v)
		return
	}
	word := e.UI.Good("permitted:")
	if !v.Accepted {
		word = e.UI.Bad("denied:")
	}
	fmt.Fprintf(e.Out, "%s %s\n", word, v.Policy.Reason())
	if c.Trace {
		fmt.Fprintln(e.Out)
		term.PrintTrace(e, &v.Policy)
	}
	if v.Accepted && v.Issued.Len() > 0 {
		fmt.Fprintln(e.Out, "\n  issued")
		for _, claim := range v.Issued.All() {
			fmt.Fprintf(e.Out, "  %-28s %s\n", claim.Type, phrase.Shorten(claim.Value.String(), 80))
		}
	}
}
