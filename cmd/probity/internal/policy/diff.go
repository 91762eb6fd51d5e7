package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/wording/phrase"
)

type diffCommand struct {
	Old    string `arg:"" help:"The policy as it was."`
	New    string `arg:"" help:"The new policy."`
	Claims string `required:"" help:"Folder with recorded claims, one JSON object a file." placeholder:"DIR"`
	term.Output
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
	if all, err := os.ReadDir(c.Claims); err == nil {
		var others []string
		for _, entry := range all {
			if !slices.Contains(files, filepath.Join(c.Claims, entry.Name())) {
				others = append(others, entry.Name())
			}
		}
		notUsed(e, others, ".json")
	}
	compared := comparison{Compared: len(files), Changed: []changedClaims{}}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		set, err := claims.ParseSet(b, claims.AttestationService)
		if err != nil {
			return fmt.Errorf("%s: %w", file, term.JSONFault(b, err))
		}
		was, is := appraisal.JudgeClaims(set, before), appraisal.JudgeClaims(set, after)
		if lines := differences(was, is); len(lines) > 0 {
			compared.Changed = append(compared.Changed, changedClaims{file, lines})
		}
	}
	if err := compared.print(e); err != nil {
		return err
	}
	if len(compared.Changed) > 0 {
		return term.Exit(term.No)
	}
	return nil
}

// comparison is what two policies say about recorded claims.
type comparison struct {
	Compared int             `json:"compared"`
	Changed  []changedClaims `json:"changed"`
}

type changedClaims struct {
	File        string   `json:"file"`
	Differences []string `json:"differences"`
}

func (c comparison) print(e *term.Env) error {
	if e.JSON {
		return term.PrintJSON(e.Out, c)
	}
	for _, one := range c.Changed {
		fmt.Fprintln(e.Out, e.UI.Bold(one.File))
		for _, line := range one.Differences {
			fmt.Fprintln(e.Out, "  "+line)
		}
	}
	_, err := fmt.Fprintf(e.Out, "%d of %s changed\n", len(c.Changed), phrase.Plural(c.Compared, "claim set"))
	return err
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
