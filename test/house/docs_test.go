package house

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/provider"
)

// TestTheListOfChecksIsComplete compares the guide's list with the catalogues;
// UPDATE=1 writes it anew.
func TestTheListOfChecksIsComplete(t *testing.T) {
	path := filepath.Join(root, "docs", "guide", "checks.md")
	var b strings.Builder
	b.WriteString("# Checks\n\nEvery check that can refuse evidence or a request, in the order in which they are made. The id is the same in the\n" +
		"answers of the service (`details[].check`), on the command line (`code`, `checks[].id`) and in metrics.\n\n" +
		"| id | passes when | if it fails |\n|---|---|---|\n")
	for _, d := range slices.Concat(edge.Catalogue(), provider.Catalogue(), appraisal.Checks()) {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.ID, d.Meaning, d.Remedy)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if string(read(t, path)) != b.String() {
		t.Errorf("%s is out of date; UPDATE=1 go test ./test/house writes it anew", path)
	}
}

// TestTheConfigurationGuideIsComplete looks for every member of the
// configuration in the guide.
func TestTheConfigurationGuideIsComplete(t *testing.T) {
	guide, source := "", ""
	for _, name := range []string{"run-the-service.md", "collateral.md", "providers.md"} {
		guide += string(read(t, filepath.Join(root, "docs", "guide", name)))
	}
	for _, file := range goFiles(t, filepath.Join("internal", "config")) {
		if !strings.HasSuffix(file, "_test.go") {
			source += string(read(t, file))
		}
	}
	for _, part := range strings.Split(source, "`json:\"")[1:] {
		member, _, _ := strings.Cut(part, `"`)
		member, _, _ = strings.Cut(member, ",")
		if !strings.Contains(guide, "`"+member+"`") && !strings.Contains(guide, "."+member+"`") &&
			!strings.Contains(guide, "`"+member+".") && !strings.Contains(guide, "."+member+".") {
			t.Errorf("the guide does not name %s", member)
		}
	}
}

// TestLinksInTheDocumentationLead somewhere.
func TestLinksInTheDocumentationLead(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "docs/*/*/*.md", "test/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		for _, part := range strings.Split(string(read(t, file)), "](")[1:] {
			target, _, _ := strings.Cut(part, ")")
			target, _, _ = strings.Cut(target, "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), target)); err != nil {
				t.Errorf("%s: %s leads nowhere", file, target)
			}
		}
	}
}
