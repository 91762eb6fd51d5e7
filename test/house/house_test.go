// Package house checks the rules of the architecture: walls between
// packages, package documentation, file sizes, and the list of linked modules.
package house

import (
	"bytes"

	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/policy"
)

const module = "github.com/probity-dev/probity"

var root = filepath.Join("..", "..")

// waits are the places in the verifying packages that wait, with a context that ends
// it: what they decide does not depend on the clock.
var waits = map[string]string{"internal/collateralcache/throttle.go": "time.NewTimer("}

// TestSendersKeysAreBoundedBeforeUse: what verifies signatures reads certificates and keys
// with package pubkey, which refuses keys that take a processor for seconds.
func TestSendersKeysAreBoundedBeforeUse(t *testing.T) {
	unbounded := regexp.MustCompile(`\bx509\.(ParseCertificates?|ParsePKIXPublicKey|ParsePKCS1PublicKey)\(`)
	found := 0
	for _, tree := range []string{
		"collateral", "evidence", "token", "release", "appraisal", "internal/auth", "internal/config",
		"internal/api", "internal/provider", "internal/keys", "internal/vault", "internal/issuer", "agent", "client",
	} {
		for _, file := range goFiles(t, tree) {
			b := read(t, file)
			found += bytes.Count(b, []byte("pubkey.ParseCertificate("))
			// The development authority, and what makes evidence for tests, read what they wrote.
			if !strings.HasSuffix(file, "_test.go") && filepath.Base(file) != "devca.go" &&
				!strings.Contains(file, "/evidencetest/") && unbounded.Match(b) {
				t.Errorf("%s: %s; use pubkey.ParseCertificate or pubkey.Parse", file, unbounded.Find(b))
			}
		}
	}
	if found < 10 {
		t.Errorf("pubkey.ParseCertificate is used in %d places only", found)
	}
}

// TestSignaturesAreReadInOnePlace: compact JWS and JWT are read through package jws, which is
// strict. Readers of libraries, and of base64url that is not strict, let one signature have many
// texts.
func TestSignaturesAreReadInOnePlace(t *testing.T) {
	lenient := regexp.MustCompile(`\b(jose|jwt)\.Parse\w+\(|\bbase64\.(Raw)?URLEncoding\.(DecodeString|` +
		`Decode|AppendDecode)\(|\bbase64\.NewDecoder\(base64\.(Raw)?URLEncoding,|= ` +
		`base64\.(Raw)?URLEncoding$`)
	readers := 0
	for _, file := range goFiles(t, ".") {
		path, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.ToSlash(path)
		// Tests, and programs that belong to them, look at what they made.
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "test/") || path == "strict/jws/jws.go" {
			continue
		}
		b := read(t, file)
		if regexp.MustCompile(`\bjws\.(Parse|Split)\(`).Match(b) {
			readers++
		}
		for _, found := range lenient.FindAll(b, -1) {
			t.Errorf("%s: %s; use package jws, or a Strict decoder", path, found)
		}
	}
	if readers < 5 {
		t.Errorf("only %d files read JWS through package jws", readers)
	}
}

// TestNoPolicyMakesUpTheClaimsOfAVerifier: a name that a verifier writes into a claim is in a
// vocabulary, which policies may not issue of their own.
func TestNoPolicyMakesUpTheClaimsOfAVerifier(t *testing.T) {
	stated := regexp.MustCompile(
		`\.(?:Text|Hex|Integer|Boolean|Add)\("([^"]+)"|\bclaims\.Claim\{Type: "([^"]+)"`,
	)
	n := 0
	for _, file := range goFiles(t, "evidence") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, found := range stated.FindAllSubmatch(read(t, file), -1) {
			n++
			name := string(found[1]) + string(found[2])
			if !policy.Reserved(name) || !policy.Reserved(strings.ToUpper(name)) {
				t.Errorf("%s states %s, which policies may make up: add it to the vocabulary of its type", file, name)
			}
		}
	}
	if n < 80 {
		t.Errorf("only %d names were found", n)
	}
}

// TestNoClockNoDialing keeps time, randomness, network and environment out of the
// verifying packages: all of them come in from outside.
func TestNoClockNoDialing(t *testing.T) {
	forbidden := regexp.MustCompile(`\btime\.(Now|Since|Until|Sleep|After|AfterFunc|NewTimer|NewTicker|` +
		`Tick)\(|\brand\.(Reader\b|Read\(|Text\(|Int\(|Prime\()|"math/rand` +
		`|\bnet\.(Dial|Listen|Lookup|DefaultResolver)|\bhttp\.(DefaultClient|DefaultTransport|Get\(|` +
		`Head\(|Post\(|PostForm\()|\bos\.(Getenv|LookupEnv|Environ)\b`)
	for _, tree := range []string{
		"claims", "evidence", "policy", "token", "release", "appraisal", "collateral", "strict", "wording",
		"internal/collateralcache",
	} {
		for _, file := range goFiles(t, tree) {
			// Evidence for tests is made with keys of the moment.
			if strings.HasSuffix(file, "_test.go") || strings.Contains(file, "/evidencetest/") {
				continue
			}
			path, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range forbidden.FindAll(read(t, file), -1) {
				if waits[filepath.ToSlash(path)] != string(found) {
					t.Errorf("%s: %s", path, found)
				}
			}
		}
	}
}

// proxied are the files whose HTTP clients obey the proxies of the environment, and why they may.
var proxied = map[string]string{
	"client/client.go":            "users reach the service through their network's proxy, in TLS",
	"internal/issuer/keys.go":     "issuers of tokens are reached in TLS",
	"internal/node/collateral.go": "the vendors' services are reached in TLS, and their answers are signed",
	"internal/node/providers.go":  "a witness signs its answers",
}

// TestWhoMayUseAProxy: all other clients name a transport of their own, so that neither the
// environment nor a redirect leads their requests elsewhere.
func TestWhoMayUseAProxy(t *testing.T) {
	defaults := regexp.MustCompile(`\bhttp\.(DefaultClient|DefaultTransport|ProxyFromEnvironment|Get|` +
		`Post|PostForm|Head)\b|\bhttp\.Client\{(\}|CheckRedirect|Timeout: [^,}]*\})`)
	used := map[string]bool{}
	for _, file := range goFiles(t, ".") {
		path, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.ToSlash(path)
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "test/") {
			continue
		}
		if found := defaults.Find(read(t, file)); found != nil {
			if used[path] = true; proxied[path] == "" {
				t.Errorf("%s: %s: name a transport without a proxy, and what is done with redirects", path, found)
			}
		}
	}
	for path := range proxied {
		if !used[path] {
			t.Errorf("%s uses no proxy any more", path)
		}
	}
}

// TestAFewFilesAtTheRoot and small folders: a newcomer finds the way.
func TestAFewFilesAtTheRoot(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			files++
		}
	}
	if files >= 12 {
		t.Errorf("%d files at the root, want fewer than 12", files)
	}
}

func TestFilesStaySmall(t *testing.T) {
	for _, file := range goFiles(t, ".") {
		if lines := strings.Count(string(read(t, file)), "\n"); lines > 800 {
			t.Errorf("%s has %d lines, at most 800 are allowed", file, lines)
		}
	}
}

func TestEveryPackageHasItsDoc(t *testing.T) {
	for _, p := range packages(t) {
		first := regexp.MustCompile(`^(Package|Command) \w`)
		if !first.MatchString(p.doc) || len(p.doc) < 60 {
			t.Errorf("%s: the package comment is %q", p.path, p.doc)
		}
	}
}

// TestTheProjectSpeaksOfItselfOnly keeps paths of the machine that it was
// written on, and names of registries, out of it.
func TestTheProjectSpeaksOfItselfOnly(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)/work/|proxy\.golang\.org|registry\.npmjs|pypi\.org|\.\./shared`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && slices.Contains([]string{".git", "node_modules", ".venv", "target"}, d.Name()) {
				return fs.SkipDir
			}
			return err
		}
		// In a linked worktree .git is a file with the path of the repository.
		if slices.Contains([]string{".git", "house_test.go", "package-lock.json"}, filepath.Base(path)) {
			return nil
		}
		b, err := os.ReadFile(path)
		if bytes.IndexByte(b, 0) >= 0 {
			return err // binaries name the folder that they were built in
		}
		if found := foreign.Find(b); err == nil && found != nil {
			t.Errorf("%s: %s", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLinkedModules compares what is linked into the binary, and into a
// program that only appraises evidence, with lists kept beside this test, so
// that a new dependency is seen in review.
func TestLinkedModules(t *testing.T) {
	for list, pkg := range map[string]string{
		"linked-probity.txt": "./cmd/probity", "linked-library.txt": "./appraisal",
	} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pkg)
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		modules := strings.Fields(string(out))
		slices.Sort(modules)
		got := strings.Join(slices.Compact(modules), "\n") + "\n"
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(list, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := string(read(t, list)); got != want {
			t.Errorf("%s is out of date (UPDATE=1 rewrites it); linked now:\n%s", list, got)
		}
	}
}

func goFiles(t *testing.T, tree string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(root, tree), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() &&
			slices.Contains([]string{".git", "node_modules", ".venv", "target"}, d.Name()) {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
