package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wall says which packages of this module a package may import. Tests are free, and all may import
// the leaves.
type wall struct {
	pkg  string
	may  string // packages, separated by spaces; "evidence/..." stands for all below, too
	also string // of the standard packages in closed: those that it may import all the same
}

// closed are the standard packages that the library does not use: it does not dial, serve, or
// touch files, and links no database.
var closed = []string{"net/http", "database/sql", "os", "os/exec", "math/rand", "math/rand/v2"}

// closedToLibrary are those that the library has no use for, and that open files or the network, or write, in
// other ways. The program may use them.
var closedToLibrary = []string{"io/ioutil", "log", "log/slog", "net", "plugin", "syscall", "unsafe"}

// library are the packages for programs of others. None imports anything below internal/.
var library = []wall{
	{"claims", "", ""},
	{"evidence", "claims collateral", ""},
	{"evidence/azureguest", "claims collateral/tpmca evidence evidence/eventlog " +
		"evidence/internal/statement evidence/tpm", ""},
	{"evidence/cca", "claims evidence evidence/internal/cose evidence/internal/statement", ""},
	{"evidence/dcap", "collateral evidence evidence/internal/crl evidence/internal/sigverify evidence/internal/simulated " +
		"evidence/ratls", ""},
	{"evidence/eventlog", "", ""},
	{"evidence/evidencetest", "collateral evidence evidence/dcap evidence/internal/simulated " +
		"evidence/snp", ""},
	{"evidence/forms", "evidence evidence/dcap", ""},
	{"evidence/internal/cose", "evidence/internal/sigverify", ""},
	{"evidence/internal/crl", "", ""},
	{"evidence/internal/sigverify", "", ""},
	{"evidence/internal/simulated", "", ""},
	{"evidence/internal/statement", "claims evidence", ""},
	{"evidence/nitro", "claims evidence evidence/internal/cose evidence/internal/sigverify " +
		"evidence/internal/simulated evidence/internal/statement", ""},
	{"evidence/openenclave", "claims collateral evidence evidence/dcap evidence/internal/statement " +
		"evidence/ratls evidence/sgx", ""},
	{"evidence/paravisor", "", ""},
	{"evidence/ratls", "evidence evidence/internal/cose", ""},
	{"evidence/sgx", "claims collateral evidence evidence/dcap evidence/internal/statement " +
		"evidence/ratls", ""},
	{"evidence/snp", "claims collateral evidence evidence/internal/crl evidence/internal/sigverify " +
		"evidence/internal/simulated evidence/internal/statement evidence/paravisor evidence/ratls " +
		"evidence/uvm", ""},
	{"evidence/tdx", "claims collateral evidence evidence/dcap evidence/eventlog " +
		"evidence/internal/statement evidence/paravisor evidence/ratls", ""},
	{"evidence/tpm", "claims collateral/tpmca evidence evidence/eventlog evidence/internal/simulated " +
		"evidence/internal/statement", ""},
	{"evidence/tpmfiles", "evidence evidence/eventlog evidence/tpm", ""},
	{"evidence/uvm", "evidence evidence/internal/cose", ""},
	{"evidence/vbs", "claims evidence evidence/internal/statement evidence/tpm", ""},
	{"collateral", "", ""},
	{"collateral/internal/get", "collateral", "net/http"},
	{"collateral/kds", "collateral collateral/internal/get", "net/http"},
	{"collateral/pcs", "collateral collateral/internal/get", "net/http"},
	{"collateral/tpmca", "collateral", ""},
	{"policy", "claims policy/jmespath", "unsafe"},
	{"policy/jmespath", "", ""},
	{"policy/policyjws", "", ""},
	{"token", "claims", ""},
	{"release", "", ""},
	{"release/document", "release release/keywrap", "net"},
	{"release/keywrap", "", ""},
	{"appraisal", "claims collateral evidence/... policy token", ""},
	{"client", "evidence release/document release/keywrap token", "net net/http"},
	{
		"agent", "client evidence evidence/azureguest evidence/eventlog evidence/tpm",
		"log/slog math/rand/v2 net net/http os unsafe",
	}, // when it attests again is drawn,
	{"agent/luks", "evidence", ""},
	{"strict/ascii", "", ""},
	{"strict/base64text", "", ""},
	{"strict/bounds", "", ""},
	{"strict/jws", "", ""},
	{"strict/pubkey", "", ""},
	{"wording/jsonerror", "", ""},
	{"wording/phrase", "", ""},
	{"wording/plainerror", "", ""},
	{"wording/spelling", "", ""},
}

// service are the packages of the program. Files, and an environment, are theirs to use.
var service = []wall{
	{"cmd/probity", "cmd/probity/internal/cli cmd/probity/internal/term", "os"},
	{"internal/auth", "internal/issuer", "net/http os"},
	{"internal/issuer", "", "net/http"},
	{"internal/auth/devissuer", "", "net/http"},
	{"internal/collateralcache", "collateral", ""},
	{
		"internal/config",
		"appraisal collateral/tpmca evidence/... internal/auth internal/ledger/witness internal/private",
		"os",
	},
	{"internal/keys", "internal/ledger internal/private internal/store internal/store/anchor token", "os"},
	{"internal/keys/hsm", "internal/keys release/keywrap token", "os"},
	{"internal/ledger", "internal/store internal/store/anchor", "os"},
	{"internal/ledger/witness", "", "net/http"},
	{"internal/private", "", "os"},
	{"internal/provider", "appraisal collateral evidence internal/auth internal/keys internal/ledger " +
		"internal/provider/quota internal/provider/settings " +
		"internal/store internal/store/seal policy policy/policyjws token", ""},
	{"internal/provider/quota", "", ""},
	{"internal/provider/settings", "appraisal release/keywrap token", ""},
	{"internal/api", "appraisal collateral evidence internal/api/control internal/api/data " +
		"internal/api/edge internal/api/kbs internal/api/vault internal/auth internal/keys " +
		"internal/ledger internal/provider internal/telemetry internal/vault", "net/http"},
	{"internal/api/control", "appraisal collateral evidence internal/api/edge internal/auth " +
		"internal/keys internal/ledger internal/provider internal/provider/settings " +
		"internal/store policy/policyjws token", "net/http"},
	{"internal/api/data",
		"appraisal collateral collateral/tpmca evidence evidence/azureguest evidence/tpm " +
			"internal/api/data/wire " +
			"internal/api/edge internal/ledger internal/provider internal/provider/settings internal/store internal/telemetry " +
			"policy token",
		"net/http"},
	{"internal/api/data/wire", "evidence", ""},
	{"internal/api/vault", "evidence internal/api/edge internal/issuer internal/ledger internal/store internal/vault " +
		"release release/document", "net/http"},
	{"internal/api/kbs", "appraisal claims evidence internal/api/data internal/api/edge internal/kbs internal/ledger " +
		"internal/vault token", "net/http"},
	{"internal/api/edge",
		"appraisal collateral evidence internal/api/data/wire internal/auth internal/ledger " +
			"internal/private " +
			"internal/provider internal/store internal/telemetry policy policy/policyjws", "net/http os"},
	{"internal/store", "", ""},
	{"internal/store/anchor", "internal/private", "os"},
	{"internal/store/postgres", "internal/store internal/store/sqlstore", "database/sql os"},
	{"internal/store/seal", "internal/store internal/store/anchor", "os"},
	{"internal/store/sqlite", "internal/private internal/store internal/store/sqlstore", "database/sql os"},
	{"internal/store/sqlstore", "internal/store", "database/sql"},
	{"internal/kbs", "evidence evidence/azureguest evidence/dcap evidence/snp evidence/tpm", ""},
	{"internal/telemetry", "", "net/http"},
	{"internal/vault", "evidence internal/issuer internal/ledger internal/provider internal/provider/settings " +
		"internal/store release release/document release/keywrap token", ""},
	{"internal/vault/pkcs11", "internal/keys/hsm internal/vault release/keywrap", ""},
	{"internal/vault/transit", "internal/vault release/keywrap", "net/http"},
	{"internal/buildinfo", "", ""},
	{"internal/describe", "collateral evidence/... policy token", ""},
	{"internal/files", "appraisal collateral collateral/tpmca evidence/... internal/config internal/describe " +
		"internal/store/sqlite", "os"},
	{"internal/node", "appraisal collateral collateral/kds collateral/pcs evidence/dcap evidence/snp " +
		"internal/auth internal/auth/devissuer internal/buildinfo internal/collateralcache " +
		"internal/issuer internal/vault internal/vault/pkcs11 internal/vault/transit release release/document " +
		"internal/config internal/files internal/keys internal/keys/hsm internal/ledger " +
		"internal/ledger/witness internal/private internal/provider internal/api internal/api/data " +
		"internal/api/edge " +
		"internal/store internal/store/anchor internal/store/postgres internal/store/seal " +
		"internal/store/sqlite internal/telemetry", "net/http os math/rand/v2"},
}

// commands are the packages below cmd/probity/internal: which of each other they import, and which of the rest.
// The root, cli, joins them all.
var commands = []struct{ pkg, commands, may, also string }{
	{"collateral", "term",
		"collateral collateral/kds collateral/pcs evidence/dcap evidence/snp " +
			"internal/collateralcache internal/config internal/describe internal/files " +
			"internal/node internal/store internal/store/sqlite", "os"},
	{"disk", "host remote term",
		"client evidence agent/luks release release/document", "os os/exec"},
	{"host", "remote term",
		"agent client evidence internal/files release/document", "net/http os os/exec"},
	{"inspect", "term",
		"evidence internal/describe", ""},
	{"key", "host remote term",
		"agent client internal/describe internal/files release release/document release/keywrap token", "os"},
	{"lsp", "",
		"policy", ""},
	{"manage", "remote term",
		"client collateral/tpmca evidence evidence/tpm evidence/tpmfiles internal/config " +
			"internal/describe internal/keys internal/ledger internal/node internal/provider " +
			"internal/store internal/store/anchor internal/store/postgres internal/store/sqlite", "net/http os"},
	{"policy", "lsp remote term verify",
		"appraisal claims client evidence internal/files policy policy/policyjws token", "os"},
	{"remote", "term",
		"client internal/files policy/policyjws token", "os"},
	{"serve", "disk term",
		"appraisal client collateral evidence evidence/dcap evidence/evidencetest evidence/snp " +
			"internal/api/edge internal/buildinfo internal/config internal/files agent/luks internal/node " +
			"policy release token", "os os/exec"},
	{"sidecar", "simulate term",
		"agent client evidence evidence/evidencetest evidence/snp internal/config internal/files release/document",
		"net/http os"},
	{"shell", "term",
		"evidence", "os"},
	{"simulate", "term",
		"client collateral evidence/... internal/config", "os"},
	{"term", "",
		"appraisal claims collateral evidence evidence/forms internal/config internal/files " +
			"internal/store/sqlite policy policy/policyjws", "os"},
	{"verify", "term",
		"appraisal client collateral evidence evidence/forms evidence/snp evidence/tpmfiles " +
			"evidence/uvm internal/config internal/describe internal/files policy token", "os"},
}

// leaves import only each other, and all may import them.
func leaf(path string) bool {
	return strings.HasPrefix(path, "strict/") || strings.HasPrefix(path, "wording/")
}

func TestWalls(t *testing.T) {
	rows := map[string]wall{}
	for _, w := range slices.Concat(library, service) {
		rows[w.pkg] = w
	}
	const folder = "cmd/probity/internal/"
	for _, c := range commands {
		may := c.may
		for _, name := range strings.Fields(c.commands) {
			may += " " + folder + name
		}
		rows[folder+c.pkg] = wall{folder + c.pkg, may, c.also}
	}
	for _, p := range packages(t) {
		w, ok := rows[p.path]
		switch {
		case ok:
			delete(rows, p.path)
		case p.path == folder+"cli" || strings.HasPrefix(p.path, "test/"): // they join all parts
			continue
		default:
			t.Errorf("%s has no row in the list of walls", p.path)
			continue
		}
		for _, imported := range p.imports {
			own, isOwn := strings.CutPrefix(imported, module+"/")
			switch {
			case isOwn && leaf(p.path) && !leaf(own), isOwn && !leaf(own) && !within(own, strings.Fields(w.may)):
				t.Errorf("%s imports %s", p.path, own)
			case slices.Contains(closed, imported) && !slices.Contains(strings.Fields(w.also), imported),
				slices.Contains(closedToLibrary, imported) && slices.Contains(library, w) &&
					!slices.Contains(strings.Fields(w.also), imported):
				t.Errorf("%s imports %s", p.path, imported)
			}
		}
	}
	for path := range rows {
		t.Errorf("the list of walls has a row for %s, which does not exist", path)
	}
}

// within reports whether a package is one of a list, in which "a/..." stands for a and all below it.
func within(path string, list []string) bool {
	return slices.ContainsFunc(list, func(one string) bool {
		tree, all := strings.CutSuffix(one, "/...")
		return path == tree || all && strings.HasPrefix(path, tree+"/")
	})
}

// TestTheLibraryLinksOnlyWhatItNeeds: what a program links that only appraises evidence has no
// HTTP, no SQL driver, and nothing of the service, not by way of other modules either.
func TestTheLibraryLinksOnlyWhatItNeeds(t *testing.T) {
	args := []string{"list", "-deps", "-f", "{{.ImportPath}}"}
	for _, w := range library {
		if !strings.Contains(w.also, "net/http") {
			args = append(args, "./"+w.pkg)
		}
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(out))
	// No package of this module opens files in the library, not through another of its packages either.
	for _, p := range packages(t) {
		if slices.Contains(linked, module+"/"+p.path) && slices.Contains(p.imports, "os") {
			t.Errorf("the library links %s, which imports os", p.path)
		}
	}
	if len(linked) < 100 {
		t.Fatalf("only %d packages are linked", len(linked))
	}
	for _, path := range linked {
		if slices.Contains([]string{"net/http", "database/sql", "os/exec"}, path) ||
			strings.HasPrefix(path, module+"/internal/") {
			t.Errorf("the library links %s", path)
		}
	}
}

// TestNoSharedState: packages export no variables but errors, so that one user cannot change what
// another relies on.
func TestNoSharedState(t *testing.T) {
	values := 0
	for _, p := range packages(t) {
		if strings.HasPrefix(p.path, "test/") {
			continue
		}
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(p.path), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				for _, spec := range g.Specs {
					for i, name := range spec.(*ast.ValueSpec).Names {
						if values++; name.IsExported() && !defines(spec.(*ast.ValueSpec), i) {
							t.Errorf("%s exports the variable %s", p.path, name.Name)
						}
					}
				}
			}
		}
	}
	if values < 100 {
		t.Errorf("only %d variables were found", values)
	}
}

type pkg struct {
	path, doc string
	imports   []string
}

// packages parses every package of the module, without its tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	byFolder := map[string]*pkg{}
	for _, file := range goFiles(t, ".") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		p := byFolder[folder]
		if p == nil {
			p = &pkg{path: filepath.ToSlash(folder)}
			byFolder[folder] = p
		}
		if f.Doc != nil {
			p.doc = f.Doc.Text()
		}
		for _, i := range f.Imports {
			p.imports = append(p.imports, strings.Trim(i.Path.Value, `"`))
		}
	}
	var list []pkg
	for _, p := range byFolder {
		list = append(list, *p)
	}
	if len(list) < 15 {
		t.Fatalf("only %d packages found", len(list))
	}
	return list
}

// defines reports whether the variable is an error that programs compare with: errors.New or fmt.Errorf under a name
// that begins with Err, another package's error under such a name, or the definition of a check.
func defines(spec *ast.ValueSpec, i int) bool {
	if i >= len(spec.Values) {
		return false
	}
	called := func(e ast.Expr, from, name string) bool {
		f, ok := e.(*ast.SelectorExpr)
		if !ok || f.Sel.Name != name {
			return false
		}
		x, ok := f.X.(*ast.Ident)
		return ok && x.Name == from
	}
	isErr := strings.HasPrefix(spec.Names[i].Name, "Err")
	switch value := spec.Values[i].(type) {
	case *ast.CallExpr:
		return isErr && (called(value.Fun, "errors", "New") || called(value.Fun, "fmt", "Errorf")) ||
			called(value.Fun, "checks", "Define")
	case *ast.SelectorExpr:
		return isErr && strings.HasPrefix(value.Sel.Name, "Err")
	}
	return false
}

// TestTheServiceStaysInProportion: internal/ has at most 35 of 100 lines, and none of its packages more than
// 3,000, so that no part becomes the place for everything. Tests are not part of it.
func TestTheServiceStaysInProportion(t *testing.T) {
	all, service := 0, 0
	packages := map[string]int{}
	for _, file := range goFiles(t, ".") {
		path, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		lines := bytes.Count(read(t, file), []byte("\n"))
		all += lines
		if strings.HasPrefix(path, "internal"+string(filepath.Separator)) {
			service += lines
			packages[filepath.Dir(path)] += lines
		}
	}
	if 100*service > 35*all || service == 0 {
		t.Errorf("internal/ has %d of %d lines", service, all)
	}
	for name, lines := range packages {
		if lines > 3000 {
			t.Errorf("%s has %d lines: divide it", name, lines)
		}
	}
}
