// Command corpus runs recorded evidence against the manifests that say what
// each case must give.
//
//	go run ./test/corpus FOLDER
//
// It reads every MANIFEST.json and *-MANIFEST.json in the folder and in its
// direct subfolders, prints one line per kind of evidence and a total, and
// ends with 1 if a case failed. Kinds without a verifier are counted as
// skipped; an outcome word that is not known fails its case.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// tally counts the cases of one kind.
type tally struct{ passed, failed, skipped int }

func (t tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// outcome is the result of one case: skipped, or passed if it has no problems.
type outcome struct {
	kind, name string
	skipped    bool
	problems   []string
}

// run runs the corpus in folder; root replaces the production root in tests.
func run(folder string, root *dcap.Anchor, stdout, stderr io.Writer) int {
	manifests, err := findManifests(folder)
	if err != nil {
		fmt.Fprintln(stderr, "corpus:", err)
		return 2
	}
	if len(manifests) == 0 {
		fmt.Fprintf(stderr, "corpus: no MANIFEST.json or *-MANIFEST.json in %s or its direct subfolders\n", folder)
		return 2
	}
	runner := newRunner(folder, root)
	var outcomes []outcome
	for _, path := range manifests {
		list, err := runner.manifest(path)
		if err != nil {
			fmt.Fprintf(stderr, "corpus: %s: %v\n", path, err)
			return 2
		}
		outcomes = append(outcomes, list...)
	}
	return report(outcomes, stdout, stderr)
}

func findManifests(folder string) ([]string, error) {
	var found []string
	for _, pattern := range []string{"MANIFEST.json", "*-MANIFEST.json", "*/MANIFEST.json", "*/*-MANIFEST.json"} {
		list, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

func report(outcomes []outcome, stdout, stderr io.Writer) int {
	var order []string
	tallies := map[string]*tally{}
	total := tally{}
	for _, o := range outcomes {
		t := tallies[o.kind]
		if t == nil {
			t = &tally{}
			tallies[o.kind] = t
			order = append(order, o.kind)
		}
		switch {
		case o.skipped:
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
	for _, kind := range order {
		fmt.Fprintf(stdout, "%s: %s\n", kind, tallies[kind])
	}
	fmt.Fprintf(stdout, "total: %s\n", total)
	if total.failed > 0 {
		return 1
	}
	return 0
}
