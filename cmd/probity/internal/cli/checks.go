package cli

import (
	"fmt"
	"slices"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/wording/spelling"
)

// explainCheck prints what the list of checks says about one of them.
func explainCheck(e *term.Env, id string) error {
	var ids []string
	for _, d := range slices.Concat(appraisal.Checks(), edge.Catalogue(), provider.Catalogue()) {
		if d.ID != id {
			ids = append(ids, d.ID)
			continue
		}
		_, err := fmt.Fprintf(e.Out, "%s\n  passes when  %s\n  if it fails  %s\n  see          %s\n", d.ID, d.Meaning,
			remote.Remedy(d.ID, d.Remedy), term.CheckPage(d.ID))
		return err
	}
	return fmt.Errorf("no check has the id %q%s", id, spelling.After("; ", id, ids))
}
