package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/cmd/probity/internal/verify"
	"github.com/probity-dev/probity/wording/phrase"
)

type evalCommand struct {
	Policy   string `required:"" help:"Policy file." placeholder:"FILE"`
	Claims   string `help:"JSON file with the claims: an object of strings, integers, booleans and arrays of these." placeholder:"FILE"`
	Evidence string `help:"Attestation type of the evidence in FILE, instead of claims." placeholder:"TYPE"`
	Trace    bool   `help:"Show what each rule did."`
	Lenient  bool   `help:"Read the policy leniently."`

	File string `arg:"" optional:"" help:"File with evidence, with --evidence."`
	term.Output
	verify.EvidenceFlags
}

// Help gives the examples of the help text.
func (evalCommand) Help() string {
	return `Exit code 0: permitted; 1: denied, or the evidence is refused before the policy sees it; 2:
could not tell. With --evidence the verdict is that of verify evidence --policy and of the service:
the policy's configuration rules are obeyed. --format json prints the object that verify evidence
prints, in every outcome.

Examples:
  probity policy eval --policy enclave.policy --claims claims.json --trace
  probity policy eval --policy enclave.policy --evidence SgxEnclave quote.bin --collateral collateral.json --trace
  probity policy eval --policy aci.policy --evidence SevSnpVm report.bin --certs certs/ --uvm reference_info.cose --trace`
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
	if c.JSON() {
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

type diffCommand struct {
	Old    string `arg:"" help:"The policy as it was."`
	New    string `arg:"" help:"The new policy."`
	Claims string `required:"" help:"Folder with recorded claims, one JSON object a file." placeholder:"DIR"`
}

// Help gives the examples of the help text.
func (diffCommand) Help() string {
	return `Exit code 0: no recorded claim set changes its verdict or what is issued; 1: some do.

Examples:
  probity policy diff old.policy new.policy --claims recorded/`
}

// Run compares the policies.
func (c *diffCommand) Run(e *term.Env) error {
	before, err := e.ReadPolicy(c.Old, false)
	if err != nil {
		return err
	}
	after, err := e.ReadPolicy(c.New, false)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(c.Claims, "*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: no *.json files with claims", c.Claims)
	}
	slices.Sort(files)
	if all, err := os.ReadDir(c.Claims); err == nil && !e.Quiet {
		for _, entry := range all {
			if !slices.Contains(files, filepath.Join(c.Claims, entry.Name())) {
				fmt.Fprintf(e.Err, "probity: %s: not used: its name does not end in .json\n",
					filepath.Join(c.Claims, entry.Name()))
			}
		}
	}
	changed := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		set, err := claims.ParseSet(b, claims.AttestationService)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		was, is := appraisal.JudgeClaims(set, before), appraisal.JudgeClaims(set, after)
		if lines := differences(was, is); len(lines) > 0 {
			changed++
			fmt.Fprintln(e.Out, e.UI.Bold(file))
			for _, line := range lines {
				fmt.Fprintln(e.Out, "  "+line)
			}
		}
	}
	fmt.Fprintf(e.Out, "%d of %s changed\n", changed, phrase.Plural(len(files), "claim set"))
	if changed > 0 {
		return term.Exit(term.No)
	}
	return nil
}

func differences(was, is *appraisal.Verdict) []string {
	word := map[bool]string{true: "permitted", false: "denied"}
	var lines []string
	if was.Accepted != is.Accepted {
		reason := is.Policy.Reason()
		if is.Rejection != nil {
			reason = is.Rejection.Check.Found
		}
		lines = append(lines, fmt.Sprintf("%s → %s: %s", word[was.Accepted], word[is.Accepted], reason))
	}
	if !was.Accepted || !is.Accepted {
		return lines
	}
	old, current := was.Issued.All(), is.Issued.All()
	for _, c := range old {
		if !slices.Contains(current, c) {
			lines = append(lines, "- "+c.Type+" = "+c.Value.String())
		}
	}
	for _, c := range current {
		if !slices.Contains(old, c) {
			lines = append(lines, "+ "+c.Type+" = "+c.Value.String())
		}
	}
	return lines
}
