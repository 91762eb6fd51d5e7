package house

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/appraisal"
)

// shown are the packages that a program outside this module starts with, besides those of evidence.
var shown = []string{
	"appraisal", "claims", "client", "collateral", "evidence", "evidence/evidencetest", "evidence/uvm",
	"policy", "release", "release/document", "token",
}

// examples returns the examples of each package by its folder, and checks that go test runs them.
func examples(t *testing.T) map[string][]*doc.Example {
	t.Helper()
	found := map[string][]*doc.Example{}
	for _, file := range goFiles(t, ".") {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		list := doc.Examples(f)
		if len(list) != exampleFunctions(f) {
			t.Errorf("%s: go test finds %d of %d examples", file, len(list), exampleFunctions(f))
		}
		if len(list) == 0 {
			continue
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Output == "" && !e.EmptyOutput {
				t.Errorf("%s: Example%s has no output, and does not run", file, e.Name)
			}
		}
		if !strings.HasSuffix(f.Name.Name, "_test") || !strings.HasPrefix(filepath.Base(file), "example_") {
			t.Errorf("%s: examples are in an external package, in example_test.go: they use what all can use", file)
		}
		if f.GoVersion != "" || slices.ContainsFunc(f.Comments, func(c *ast.CommentGroup) bool {
			return strings.Contains(c.Text(), "go:build")
		}) {
			t.Errorf("%s is not compiled everywhere", file)
		}
		found[filepath.ToSlash(folder)] = append(found[filepath.ToSlash(folder)], list...)
	}
	return found
}

// exampleFunctions counts what is meant as an example.
func exampleFunctions(f *ast.File) (n int) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Example") {
			n++
		}
	}
	return n
}

// TestEveryKindOfEvidenceHasAnExample that verifies evidence of it from beginning to end; so has every
// other package that programs start with.
func TestEveryKindOfEvidenceHasAnExample(t *testing.T) {
	found := examples(t)
	for _, v := range appraisal.Verifiers(appraisal.Trust{}) {
		folder := strings.TrimPrefix(reflect.TypeOf(v).Elem().PkgPath(), module+"/")
		if !slices.ContainsFunc(found[folder], func(e *doc.Example) bool { return e.Name == "" }) {
			t.Errorf("%s: %s has no Example", v.Kind(), folder)
		}
	}
	n := 0
	for _, list := range found {
		n += len(list)
	}
	if n < 20 {
		t.Errorf("only %d examples were found", n)
	}
	for _, folder := range shown {
		if len(found[folder]) == 0 {
			t.Errorf("%s has no example", folder)
		}
	}
}

// TestTheReadmeShowsAnExample: its program is text of an example, so that it compiles, and does what it says.
func TestTheReadmeShowsAnExample(t *testing.T) {
	_, section, ok := strings.Cut(string(read(t, filepath.Join(root, "README.md"))),
		"\n## In your own program\n")
	if !ok {
		t.Fatal("the README does not say how to use the library")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	_, code, _ := strings.Cut(section, "\n```go\n")
	code, _, closed := strings.Cut(code, "```\n")
	if !closed || strings.Count(code, "\n") < 10 {
		t.Fatalf("the program of the README is %q", code)
	}
	file := filepath.Join(root, "appraisal", "example_program_test.go")
	if !strings.Contains(string(read(t, file)), code) {
		t.Errorf("the program of the README is not in %s as it is there", file)
	}
}
