package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/cmd/probity/internal/verify"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/wording/phrase"
)

type evalCommand struct {
	Policy   string `help:"Policy file, instead of the first argument." placeholder:"FILE"`
	Claims   string `help:"JSON file with the claims: an object of strings, integers, booleans and arrays of these." placeholder:"FILE"`
	Evidence string `complete:"kind" help:"Attestation type of the evidence in FILE, instead of claims." placeholder:"TYPE"`
	Trace    bool   `help:"Show what each rule did."`
	Lenient  bool   `help:"Read the policy leniently."`

	First  string `arg:"" name:"policy-file" optional:"" help:"Policy file; - reads standard input."`
	Second string `arg:"" name:"evidence-file" optional:"" help:"File with evidence, with --evidence."`

	term.Output
	verify.EvidenceFlags
}

// Run evaluates the policy. Evidence takes the way of verify evidence and of the
// service: the policy's configuration rules decide what is asked of it.
func (c *evalCommand) Run(e *term.Env) error {
	if (c.Claims == "") == (c.Evidence == "") {
		return term.Usage("give either --claims FILE or --evidence TYPE FILE")
	}
	evidenceFile, err := c.arguments()
	if err != nil {
		return err
	}
	var verdict *appraisal.Verdict
	if c.Claims != "" {
		verdict, err = c.judgeClaims(e)
	} else {
		verdict, err = c.judgeEvidence(e, evidenceFile)
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

// arguments takes the policy from the arguments, unless --policy names it, and returns the file with the
// evidence.
func (c *evalCommand) arguments() (evidenceFile string, err error) {
	rest := slices.DeleteFunc([]string{c.First, c.Second}, func(arg string) bool { return arg == "" })
	if c.Evidence != "" {
		if _, err := evidence.ParseKind(c.Evidence); err != nil && strings.ContainsAny(c.Evidence, "./") {
			return "", term.Usage("--evidence takes the type: --evidence %s %s", term.KindOf(c.Evidence), c.Evidence)
		}
	}
	// One file with --evidence is the evidence where --policy names the policy.
	if c.Policy == "" && len(rest) > 0 && (len(rest) > 1 || c.Evidence == "" || !term.IsEvidence(rest[0])) {
		c.Policy, rest = rest[0], rest[1:]
	}
	if c.Policy == "" {
		return "", term.Usage("name the policy: probity policy eval POLICY --claims FILE, or --evidence TYPE FILE")
	}
	if c.Evidence != "" && len(rest) > 0 {
		evidenceFile, rest = rest[0], rest[1:]
	}
	switch {
	case len(rest) > 0 && c.Claims != "":
		return "", term.Usage("%s: evidence goes with --evidence TYPE, not with --claims", rest[0])
	case len(rest) > 0:
		return "", term.Usage("%s: one file too many", rest[0])
	case c.Evidence != "" && evidenceFile == "":
		return "", term.Usage("--evidence needs the file with the evidence")
	}
	return evidenceFile, nil
}

// judgeClaims applies the policy to the claims in a file.
func (c *evalCommand) judgeClaims(e *term.Env) (*appraisal.Verdict, error) {
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
		return nil, fmt.Errorf("%s: %w", c.Claims, term.JSONFault(b, err))
	}
	return appraisal.JudgeClaims(set, p), nil
}

// judgeEvidence verifies evidence and applies the policy, as verify evidence does.
func (c *evalCommand) judgeEvidence(e *term.Env, file string) (*appraisal.Verdict, error) {
	verify := verify.EvidenceCommand{
		Kind: c.Evidence, File: file, Policy: c.Policy, Lenient: c.Lenient,
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
