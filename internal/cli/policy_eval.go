package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

type policyEvalCommand struct {
	Policy   string `required:"" help:"Policy file." placeholder:"FILE"`
	Claims   string `help:"JSON file with the claims: an object of strings, integers, booleans and arrays of these." placeholder:"FILE"`
	Evidence string `help:"Attestation type of the evidence in FILE, instead of claims." placeholder:"TYPE"`
	Trace    bool   `help:"Show what each rule did."`
	Lenient  bool   `help:"Read the policy leniently."`

	File   string `arg:"" optional:"" help:"File with evidence, with --evidence."`
	Format string `help:"Output: text or json." enum:"text,json" default:"text"`
	evidenceFlags
}

// Help gives the examples of the help text.
func (policyEvalCommand) Help() string {
	return `Exit code 0: permitted; 1: denied, or the evidence is refused before the policy sees it; 2: could not tell.

Examples:
  probity policy eval --policy enclave.policy --claims claims.json --trace
  probity policy eval --policy enclave.policy --evidence SgxEnclave quote.bin --collateral collateral.json --trace
  probity policy eval --policy aci.policy --evidence SevSnpVm report.bin --certs certs/ --uvm reference_info.cose --trace`
}

// Run evaluates the policy.
func (c *policyEvalCommand) Run(e *env) error {
	p, err := e.readPolicy(c.Policy, c.Lenient)
	if err != nil {
		return err
	}
	if (c.Claims == "") == (c.Evidence == "") {
		return errors.New("give either --claims FILE or --evidence TYPE FILE")
	}
	set, err := c.claims(e)
	if err != nil {
		return err
	}
	outcome, err := p.Evaluate(set)
	var evaluation *policy.EvaluationError
	if err != nil && !errors.As(err, &evaluation) {
		return err
	}
	if c.Format == "json" {
		b, err := json.Marshal(map[string]any{"trace": outcome.Trace.Report(), "issued": outcome.Issued, "properties": outcome.Properties},
			jsontext.WithIndent("  "), json.Deterministic(true))
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s\n", b)
	} else {
		c.print(e, outcome)
	}
	if !outcome.Permitted {
		return exit(exitNo)
	}
	return nil
}

func (c *policyEvalCommand) print(e *env, outcome *policy.Outcome) {
	word := e.ui.good("permitted:")
	if !outcome.Permitted {
		word = e.ui.bad("denied:")
	}
	fmt.Fprintf(e.Out, "%s %s\n", word, outcome.Trace.Reason())
	if c.Trace {
		fmt.Fprintln(e.Out)
		printTrace(e, &outcome.Trace)
	}
	if outcome.Permitted && outcome.Issued.Len() > 0 {
		fmt.Fprintln(e.Out, "\n  issued")
		for _, claim := range outcome.Issued.All() {
			fmt.Fprintf(e.Out, "  %-28s %s\n", claim.Type, shorten(claim.Value.String(), 80))
		}
	}
}

// claims returns the claims in a file, or those that evidence proves.
func (c *policyEvalCommand) claims(e *env) (claims.Set, error) {
	if c.Claims != "" {
		b, err := e.readLimited(c.Claims, 4<<20)
		if err != nil {
			return claims.Set{}, err
		}
		set, err := claims.ParseSet(b, claims.AttestationService)
		if err != nil {
			return set, fmt.Errorf("%s: %w", c.Claims, err)
		}
		return set, nil
	}
	if c.File == "" {
		return claims.Set{}, errors.New("--evidence needs the file with the evidence")
	}
	verify := verifyEvidenceCommand{Kind: c.Evidence, File: c.File, TCB: "any", evidenceFlags: c.evidenceFlags}
	request, provider, appraiser, err := verify.prepare(e)
	if err != nil {
		return claims.Set{}, err
	}
	verdict, err := appraiser.Appraise(e.ctx, *request, *provider)
	if err != nil {
		return claims.Set{}, err
	}
	if !verdict.Accepted {
		verify.printText(e, verdict)
		return claims.Set{}, exit(exitNo)
	}
	return verdict.Known, nil
}

type policyDiffCommand struct {
	Old    string `arg:"" help:"The policy as it was."`
	New    string `arg:"" help:"The policy as it shall be."`
	Claims string `required:"" help:"Folder with recorded claims, one JSON object a file." placeholder:"DIR"`
}

// Help gives the examples of the help text.
func (policyDiffCommand) Help() string {
	return `Exit code 0: no recorded claim set changes its verdict or what is issued; 1: some do.

Examples:
  probity policy diff old.policy new.policy --claims recorded/`
}

// Run compares the policies.
func (c *policyDiffCommand) Run(e *env) error {
	before, err := e.readPolicy(c.Old, false)
	if err != nil {
		return err
	}
	after, err := e.readPolicy(c.New, false)
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
	if all, err := os.ReadDir(c.Claims); err == nil && !e.quiet {
		for _, entry := range all {
			if !slices.Contains(files, filepath.Join(c.Claims, entry.Name())) {
				fmt.Fprintf(e.Err, "probity: %s: not used: its name does not end in .json\n", filepath.Join(c.Claims, entry.Name()))
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
		was, _ := before.Evaluate(set) // an error is a denial with its reason
		is, _ := after.Evaluate(set)
		if lines := differences(was, is); len(lines) > 0 {
			changed++
			fmt.Fprintln(e.Out, e.ui.bold(file))
			for _, line := range lines {
				fmt.Fprintln(e.Out, "  "+line)
			}
		}
	}
	fmt.Fprintf(e.Out, "%d of %s changed\n", changed, plural(len(files), "claim set"))
	if changed > 0 {
		return exit(exitNo)
	}
	return nil
}

func differences(was, is *policy.Outcome) []string {
	word := map[bool]string{true: "permitted", false: "denied"}
	var lines []string
	if was.Permitted != is.Permitted {
		lines = append(lines, fmt.Sprintf("%s → %s: %s", word[was.Permitted], word[is.Permitted], is.Trace.Reason()))
	}
	if !was.Permitted || !is.Permitted {
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
