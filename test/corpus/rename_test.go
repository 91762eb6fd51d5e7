package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/appraisal"
)

// recorded returns the folder of recorded evidence: the one that the environment names,
// or the one that is beside the project.
func recorded(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("PROBITY_CORPUS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skip("there is no recorded evidence; PROBITY_CORPUS can name its folder")
	}
	return folder
}

// neutral copies a corpus: each case becomes a folder case-N in one place, each policy a
// file policy-N, and one manifest lists them all.
func neutral(t *testing.T, all *corpus) string {
	t.Helper()
	dir := t.TempDir()
	var cases []caseJSON
	for i, c := range all.cases {
		c.Name = fmt.Sprintf("case-%d", i)
		if err := os.CopyFS(filepath.Join(dir, c.Name), os.DirFS(c.folder)); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	var policies []policyJSON
	for i, p := range all.policies {
		b, err := os.ReadFile(p.path())
		if err != nil {
			t.Fatal(err)
		}
		p.Name, p.File = fmt.Sprintf("policy-%d", i), fmt.Sprintf("policy-%d", i)
		write(t, filepath.Join(dir, p.File), b)
		policies = append(policies, p)
	}
	b, err := json.Marshal(object{"cases": cases, "policies": policies})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "MANIFEST.json"), b)
	return dir
}

// verdict is a result without the names and paths of the case.
func verdict(r result, c caseJSON) string {
	text := strings.Join(append([]string{r.form, r.skipped}, r.problems...), "; ")
	return strings.NewReplacer(c.folder, "FOLDER", c.label, "CASE").Replace(text)
}

func TestEveryCaseHasTheSameVerdictUnderAnotherName(t *testing.T) {
	original, err := readCorpus(recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	copied, err := readCorpus(neutral(t, original))
	if err != nil {
		t.Fatal(err)
	}
	if len(copied.cases) != len(original.cases) || len(copied.policies) != len(original.policies) {
		t.Fatalf("%d cases and %d policies were copied", len(copied.cases), len(copied.policies))
	}
	named, renamed := newRunner(original, nil).all(), newRunner(copied, nil).all()
	for i, c := range original.cases {
		want, got := verdict(named[i], c), verdict(renamed[i], copied.cases[i])
		if want != got {
			t.Errorf("%s: %q, under another name %q", c.label, want, got)
		}
		// Without the other cases, too.
		alone := newRunner(&corpus{cases: copied.cases[i : i+1]}, nil).all()
		if got := verdict(alone[0], copied.cases[i]); got != want {
			t.Errorf("%s: %q, alone under another name %q", c.label, want, got)
		}
	}
	for i := range original.policies {
		want, got := named[len(original.cases)+i], renamed[len(original.cases)+i]
		if !slices.Equal(want.problems, got.problems) {
			t.Errorf("policy %s: %q, under another name %q", want.name, want.problems, got.problems)
		}
	}
}

func TestTheRunnerNamesNoCase(t *testing.T) {
	all, err := readCorpus(recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range all.cases {
		names = append(names, filepath.ToSlash(c.label), path.Base(filepath.ToSlash(c.label)))
	}
	for _, p := range all.policies {
		names = append(names, p.Name, p.File)
	}
	err = fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".go") {
			return err
		}
		b, err := os.ReadFile(file)
		for _, name := range names {
			whole := regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(name) + `($|[^\w-])`)
			if name != "" && strings.Contains(string(b), name) && whole.Match(b) {
				t.Errorf("%s names the case %s", file, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryKnownAnswerOfAPublishedPolicyIsCompared(t *testing.T) {
	all, err := readCorpus(recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, c := range all.cases {
		known := answersOf(c.read("eventlog.bin"))
		if known == nil {
			continue
		}
		registers := map[string]string{}
		if err := json.Unmarshal(c.read("pcrs-sha1.json"), &registers); err != nil {
			t.Fatal(err)
		}
		bank, err := bankOf(banks["sha1"], registers)
		if err != nil {
			t.Fatal(err)
		}
		n, err := all.published(c.read("eventlog.bin"), bank)
		if err != nil || n != len(known) {
			t.Errorf("%d of %d answers were compared: %v", n, len(known), err)
		}
		compared += n
	}
	if compared == 0 {
		t.Error("no answers were compared")
	}
}

func TestCollateralOfOtherCasesIsFoundByThePlatform(t *testing.T) {
	all, err := readCorpus(recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	borrowers := 0
	for _, c := range all.cases {
		if e, err := expect(c.Expected, formGuest); err != nil || !e.has(collateralElsewhere) {
			continue
		}
		info, _, err := guestInfo(c)
		if err != nil {
			t.Fatal(err)
		}
		list, err := all.collateralFor(info)
		if err != nil || len(list) == 0 {
			t.Errorf("%s: %d sets, %v", c.label, len(list), err)
		}
		borrowers++
	}
	if borrowers == 0 {
		t.Error("no case borrows collateral")
	}
}

func TestEveryPatternOfAnAreaFitsACheck(t *testing.T) {
	var ids []string
	for _, check := range appraisal.Checks() {
		ids = append(ids, check.ID)
	}
	for _, a := range areas {
		for _, pattern := range a.checks {
			if !slices.ContainsFunc(ids, func(id string) bool { return covers([]string{pattern}, id) }) {
				t.Errorf("%v: no check fits %s", a.words, pattern)
			}
		}
	}
}

func TestTheFirstAreaThatAReasonNamesDecides(t *testing.T) {
	for _, tc := range []struct{ why, by, notBy string }{
		{"CRL signature", "dcap.pck-crl.signature", "dcap.quote.signature"},
		{"header/parse", "dcap.quote.format", "dcap.quote.signature"},
		{"header or signature", "dcap.quote.header", "dcap.quote.format"},
		{"certificate expired", "snp.vcek.validity", "snp.vcek.signature"},
		{"the PCR digest is another", "tpm.quote.pcrs", "tpm.quote.signature"},
		{"policy bit 19 (DEBUG)", "snp.policy.debug", "snp.report.policy"},
		{"QE report signature", "dcap.qe-report.signature", "dcap.quote.signature"},
	} {
		patterns, err := checksOf(tc.why)
		if err != nil || !covers(patterns, tc.by) || covers(patterns, tc.notBy) {
			t.Errorf("%s: %v, %v", tc.why, patterns, err)
		}
	}
}

func TestAMissingPieceIsMissedByItsOwnCheck(t *testing.T) {
	for outcome, tc := range map[string]struct {
		f         form
		by, other string
	}{
		"incomplete":              {formSGX, "dcap.collateral", "dcap.quote.signature"},
		"crypto-ok-no-collateral": {formTDX, "dcap.collateral", "tdx.debug"},
		"incomplete: quote signature valid; AK not bound to hardware evidence": {formGuest, "azureguest.ak.certificate",
			"azureguest.runtime-data"},
	} {
		e, err := expect(expectedJSON{Outcome: outcome}, tc.f)
		if err != nil || e.refusal(tc.by) != nil || e.refusal(tc.other) == nil {
			t.Errorf("%s: %v, %v", outcome, e.checks, err)
		}
	}
}
