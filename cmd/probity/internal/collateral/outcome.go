package collateral

import (
	"errors"
	"fmt"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/wording/phrase"
	"github.com/probity-dev/probity/wording/plainerror"
)

// outcome is what became of a piece, for programs.
type outcome struct {
	collateral.Item
	OK      bool   `json:"ok"`
	File    string `json:"file,omitzero"`
	Message string `json:"message,omitzero"`
}

// printOutcomes prints what became of each piece, and where a folder held it.
func printOutcomes(e *term.Env, path string, outcomes []collateralcache.Outcome, word string) error {
	if len(outcomes) == 0 {
		return errors.New("the bundle is empty")
	}
	bad, all := 0, []outcome{}
	for _, out := range outcomes {
		one := outcome{Item: out.Item, OK: out.Err == nil, File: out.File}
		if out.Err != nil {
			bad++
			one.Message = plainerror.Text(out.Err)
		}
		if all = append(all, one); !e.JSON {
			printOutcome(e, path, out, word)
		}
	}
	var err error
	switch {
	case e.JSON:
		err = term.PrintJSON(e.Out, all)
	case bad > 0:
		fmt.Fprintf(e.Out, "%d of %d pieces failed verification\n", bad, len(outcomes))
	}
	if err == nil && bad > 0 {
		return term.Exit(term.No)
	}
	return err
}

func printOutcome(e *term.Env, path string, out collateralcache.Outcome, word string) {
	from := ""
	if out.File != "" && out.File != path {
		from = "  (" + out.File + ")"
	}
	if out.Err != nil {
		printFailure(e, out.Item.Key+from, out.Err)
		return
	}
	fmt.Fprintf(e.Out, "%s %s  %s until %s%s\n", e.UI.Good("✓"), out.Item.Key, word,
		phrase.Stamp(out.Item.NextUpdate), from)
}

// printFailure prints why a piece is not there.
func printFailure(e *term.Env, what string, err error) {
	fmt.Fprintf(e.Out, "%s %s\n    %s\n", e.UI.Bad("✗"), what, plainerror.Text(err))
}

// fetched is what collateral fetch prints with --format json: all that is stored now, and what
// did not come.
type fetched struct {
	Stored []collateral.Item `json:"stored"`
	Failed []failure         `json:"failed"`
}

// failure is a piece that did not come or did not verify.
type failure struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}
