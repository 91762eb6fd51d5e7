package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// asTheyAre are texts in which a word is right, with the reason.
var asTheyAre = []struct{ path, text, reason string }{
	{"test/house/wordlist_test.go", "", "the list itself"},
	{"test/house/words_test.go", "", "the examples of its own test"},
	{"internal/auth/auth.go", "Nobody", "the name of a role"},
	{"internal/private/private_test.go", "nobody", "the user nobody of Unix"},
}

// hit is a word that was found.
type hit struct {
	path    string
	line    int
	text    string
	instead string
}

// TestPlainWords: what people read is in the words of today. It looks at texts and comments of Go files,
// at names of tests, at the documentation, the OpenAPI documents, scripts and helpers in other languages.
func TestPlainWords(t *testing.T) {
	used := make([]bool, len(asTheyAre))
	for _, path := range texts(t) {
		for _, h := range hits(t, path) {
			if i := slices.IndexFunc(asTheyAre, func(e struct{ path, text, reason string }) bool {
				return strings.HasPrefix(h.path, e.path) && strings.Contains(h.text, e.text)
			}); i >= 0 {
				used[i] = true
				continue
			}
			t.Errorf("%s:%d: %q; write instead: %s", h.path, h.line, h.text, h.instead)
		}
	}
	for i, e := range asTheyAre {
		if !used[i] {
			t.Errorf("the exception %q for %s is not needed any more", e.text, e.path)
		}
	}
}

// TestWordsAreFoundWhereTheyAreMeant tries each kind of text, and legitimate uses.
func TestWordsAreFoundWhereTheyAreMeant(t *testing.T) {
	source := `package p

// f writes it
// anew.
func f() { fail("a key", "one that fails") }

// The mutex is held; counts counts the keys of ours.
func TestEveryByteCounts(t *testing.T) { counts := "alg none"; hold(counts, "nobody can") }
`
	want := []string{"anew", "one that fails", "of ours", "byte counts", "nobody"}
	var got []string
	for _, h := range goHits("p_test.go", []byte(source), t) {
		got = append(got, h.text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	for _, text := range []string{"the lock holds while it waits", "counts: 3",
		"counts signatures of other types", "save the file", "a log that lies",
		"runtime data stands for nothing", "SELECT count(*)", "the holder", "no one"} {
		if got := find(text, 0, "x.md", nil); len(got) > 0 {
			t.Errorf("%q is taken for %q", text, got[0].text)
		}
	}
}

// texts lists the files that people read, by path from the root.
func texts(t *testing.T) []string {
	t.Helper()
	kinds := []string{".go", ".md", ".yaml", ".txt", ".sh", ".mjs", ".py", ".java", ".service", ".toml",
		".svg", ".json"}
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "node_modules", ".venv", "target", "dist",
			"fuzz", "__pycache__"}, name):
			return fs.SkipDir
		case d.IsDir() || name == "package-lock.json" || strings.HasPrefix(name, "linked-"):
			return nil
		case name == "Makefile" || slices.Contains(kinds, filepath.Ext(name)):
			rel, err := filepath.Rel(root, path)
			list = append(list, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func hits(t *testing.T, path string) []hit {
	t.Helper()
	b := read(t, filepath.Join(root, path))
	if strings.HasSuffix(path, ".go") {
		return goHits(path, b, t)
	}
	return find(string(b), 1, path, nil)
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z]`)

// verdicts are the functions whose last arguments say what was found.
var verdicts = regexp.MustCompile(`(?i)^(pass(ed)?|fail(ed)?(With|Err)?|refuse(With)?|reject|Reserve)$`)

// goHits looks at comments, texts and names of tests.
func goHits(path string, source []byte, t *testing.T) []hit {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	line := func(p token.Pos) int { return fset.Position(p).Line }
	var list []hit
	comment := regexp.MustCompile(`(?m)^[\t ]*//`)
	for _, group := range file.Comments {
		text := source[fset.Position(group.Pos()).Offset:fset.Position(group.End()).Offset]
		list = find(string(comment.ReplaceAll(text, nil)), line(group.Pos()), path, list)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if err == nil && n.Kind == token.STRING && text != "nobody" {
				list = find(text, line(n.Pos()), path, list)
			}
		case *ast.FuncDecl:
			if strings.HasSuffix(path, "_test.go") && testName.MatchString(n.Name.Name) {
				list = find(spaced(n.Name.Name), line(n.Pos()), path, list)
			}
		case *ast.CallExpr:
			for _, text := range judged(n) {
				if found.pattern.MatchString(text) {
					list = append(list, hit{path, line(n.Pos()), text, found.instead})
				}
			}
		}
		return true
	})
	slices.SortStableFunc(list, func(a, b hit) int { return a.line - b.line })
	return slices.Compact(list)
}

// judged returns the texts that a call gives as expected and found values.
func judged(call *ast.CallExpr) []string {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	if !verdicts.MatchString(name) {
		return nil
	}
	var list []string
	for _, arg := range call.Args {
		ast.Inspect(arg, func(n ast.Node) bool {
			if b, ok := n.(*ast.BasicLit); ok && b.Kind == token.STRING {
				if text, err := strconv.Unquote(b.Value); err == nil {
					list = append(list, text)
				}
			}
			return true
		})
	}
	return list
}

// spaced turns TestAKeyIsFound into "test a key is found".
func spaced(name string) string {
	var b bytes.Buffer
	for _, r := range name {
		if unicode.IsUpper(r) || r == '_' {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.TrimSpace(b.String())
}

// find adds what the words match in a text that begins at a line.
func find(text string, first int, path string, list []hit) []hit {
	for _, w := range words {
		for _, at := range w.pattern.FindAllStringIndex(text, -1) {
			line := first + strings.Count(text[:at[0]], "\n")
			phrase := strings.Join(strings.Fields(text[at[0]:at[1]]), " ")
			list = append(list, hit{path, line, strings.Trim(phrase, " .,;:)\""), w.instead})
		}
	}
	return list
}
