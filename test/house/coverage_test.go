package house

import (
	"regexp"
	"strings"
	"testing"

	"github.com/probity-dev/probity/policy"
)

// coverage is the part of the threat model that says what covers each claim.
const coverage = "\n## What covers each claim\n"

// row is a row of one of its tables.
type row struct {
	line  string
	names []string
	cells []string
}

// coverageTables returns the rows by attestation type.
func coverageTables(t *testing.T) map[string][]row {
	t.Helper()
	_, text, ok := strings.Cut(string(read(t, root+"/docs/threat-model.md")), coverage)
	if !ok {
		t.Fatal("the threat model does not say what covers each claim")
	}
	tables := map[string][]row{}
	var types []string
	name := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "### "); ok {
			types = strings.Split(title, ", ")
			continue
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		r := row{line: line}
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			r.cells = append(r.cells, strings.TrimSpace(cell))
		}
		for _, found := range name.FindAllStringSubmatch(r.cells[0], -1) {
			r.names = append(r.names, found[1])
		}
		for _, typ := range types {
			tables[typ] = append(tables[typ], r)
		}
	}
	return tables
}

// names reports whether a name of the table stands for a claim: exactly, or with an asterisk.
func names(pattern, claim string) bool {
	if pattern == claim {
		return true
	}
	before, after, ok := strings.Cut(pattern, "*")
	return ok && len(claim) > len(before)+len(after) && strings.HasPrefix(claim, before) &&
		strings.HasSuffix(claim, after)
}

// rowsOf counts the names that stand for a claim, exactly and with an asterisk, and notes that
// they are used.
func rowsOf(claim string, rows []row, used map[string]bool) (exact, open int) {
	for _, r := range rows {
		for _, pattern := range r.names {
			switch {
			case pattern == claim:
				exact++
			case names(pattern, claim):
				open++
			default:
				continue
			}
			used[r.line+pattern] = true
		}
	}
	return exact, open
}

// TestEveryClaimSaysWhatCoversIt: the tables of the threat model name each claim that a
// verifier can state, in one row, and nothing else.
func TestEveryClaimSaysWhatCoversIt(t *testing.T) {
	tables := coverageTables(t)
	used := map[string]bool{}
	for _, typ := range []string{
		"SgxEnclave", "OpenEnclave", "SevSnpVm", "TdxVm", "NitroEnclave", "ArmCca", "AzureGuest",
		"Tpm", "VbsEnclave",
	} {
		if len(tables[typ]) == 0 {
			t.Errorf("%s has no table", typ)
		}
		for _, r := range tables[typ] {
			if len(r.cells) != 3 || len(r.names) == 0 || len(r.cells[1]) < 8 || r.cells[2] == "" {
				t.Errorf("%s: a row of %d cells: %s", typ, len(r.cells), r.line)
			}
		}
		for _, term := range policy.Vocabulary(typ) {
			exact, open := rowsOf(term.Name, tables[typ], used)
			switch {
			case exact > 1 || exact == 0 && open > 1:
				t.Errorf("%s: %s is in several rows", typ, term.Name)
			case exact+open == 0:
				t.Errorf("%s: %s: the threat model does not say what covers it", typ, term.Name)
			}
		}
	}
	for typ, rows := range tables {
		for _, r := range rows {
			for _, pattern := range r.names {
				if !used[r.line+pattern] {
					t.Errorf("%s: %s is no claim of a verifier", typ, pattern)
				}
			}
		}
	}
}
