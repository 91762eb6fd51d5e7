// Command corpus runs recorded evidence against the manifests that say what
// each case must give.
//
//	go run ./test/corpus FOLDER
//
// It reads every MANIFEST.json and *-MANIFEST.json in the folder and in its
// direct subfolders, prints one line per form of evidence and a total, and
// ends with 1 if a case failed.
//
// A case is judged by its content. The files in its folder say about which form it
// is (forms.go); the first word of its outcome, and the modifiers after it, say
// how it must come out (expectation.go); its reason says which checks may refuse
// it (areas.go). Words, modifiers, reasons and files that the runner does not know
// fail the case. The names of cases say nothing. Forms that the product has no
// verifier for are skipped, with the reason.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence/dcap"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: corpus FOLDER")
		os.Exit(2)
	}
	os.Exit(run(os.Args[1], nil, os.Stdout, os.Stderr))
}

// tally counts the cases of one form.
type tally struct{ passed, failed, skipped int }

func (t tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// result is what became of one case: skipped for a reason, or passed if it has no
// problems.
type result struct {
	form, name string
	skipped    string
	problems   []string
}

// run runs the corpus in folder; root replaces the production root in tests.
func run(folder string, root *dcap.Anchor, stdout, stderr io.Writer) int {
	all, err := readCorpus(folder)
	if err != nil {
		fmt.Fprintln(stderr, "corpus:", err)
		return 2
	}
	return report(newRunner(all, root).all(), stdout, stderr)
}

func report(results []result, stdout, stderr io.Writer) int {
	var order []string
	tallies := map[string]*tally{}
	total := tally{}
	for _, o := range results {
		t := tallies[o.form]
		if t == nil {
			t = &tally{}
			tallies[o.form] = t
			order = append(order, o.form)
		}
		switch {
		case o.skipped != "":
			fmt.Fprintf(stderr, "skipped %s: %s\n", o.name, o.skipped)
			t.skipped++
			total.skipped++
		case len(o.problems) > 0:
			t.failed++
			total.failed++
			fmt.Fprintf(stderr, "FAILED %s: %s\n", o.name, strings.Join(o.problems, "; "))
		default:
			t.passed++
			total.passed++
		}
	}
	slices.Sort(order)
	for _, form := range order {
		fmt.Fprintf(stdout, "%s: %s\n", form, tallies[form])
	}
	fmt.Fprintf(stdout, "total: %s\n", total)
	if total.failed > 0 {
		return 1
	}
	return 0
}
