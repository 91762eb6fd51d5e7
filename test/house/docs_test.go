package house

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/kbs"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/vault"
)

// sections are the parts of the list of checks, with the first words of the ids in each.
var sections = []struct{ title, prefixes string }{
	{"Intel SGX and TDX quotes", "dcap"},
	{"Intel SGX enclaves", "sgx"},
	{"Intel TDX guests", "tdx"},
	{"Open Enclave", "openenclave"},
	{"Certificates with evidence (RA-TLS)", "ratls"},
	{"AMD SEV-SNP", "snp"},
	{"Endorsements of utility VMs", "uvm"},
	{"AWS Nitro Enclaves", "nitro"},
	{"Arm CCA and PSA", "cca"},
	{"TPM", "tpm"},
	{"Windows VBS enclaves", "vbs"},
	{"Azure guests", "azureguest"},
	{"Policies", "policy"},
	{"Requests, callers and the store", "request caller collateral store"},
	{"Providers and signing keys", "provider change signing"},
	{"Keys of a vault, and their release", "vault release"},
	{"Guests of Confidential Containers", "kbs"},
	{"Encrypted disks", "luks"},
	{"Ledger", "ledger"},
}

// checksGuide writes the list of checks by section. Each check has an anchor that is its id.
func checksGuide(t *testing.T) string {
	t.Helper()
	title := map[string]string{}
	rows := map[string]string{}
	cell := strings.NewReplacer("|", `\|`)
	var b strings.Builder
	b.WriteString("# Checks\n\nEvery check that can refuse evidence or a request. Within a section, " +
		"the checks are in the order in which they are made.\nThe id is the same in the answers of the service " +
		"(`details[].check`), on the command line (`code`, `checks[].id`) and in\nmetrics. " +
		"To link to a check, use its id: `checks.md#snp.policy.debug`.\n\n")
	for _, s := range sections {
		anchor := strings.NewReplacer("(", "", ")", "", ",", "", " ", "-").Replace(strings.ToLower(s.title))
		fmt.Fprintf(&b, "- [%s](#%s)\n", s.title, anchor)
		for _, prefix := range strings.Fields(s.prefixes) {
			title[prefix] = s.title
		}
	}
	for _, d := range slices.Concat(edge.Catalogue(), provider.Catalogue(), vault.Catalogue(), kbs.Catalogue(),
		luks.Catalogue(), appraisal.Checks()) {
		prefix, _, _ := strings.Cut(d.ID, ".")
		if title[prefix] == "" {
			t.Errorf("no section of the list of checks takes %s", d.ID)
		}
		rows[title[prefix]] += fmt.Sprintf("| <a id=\"%s\"></a>`%s` | %s | %s |\n", d.ID, d.ID,
			cell.Replace(d.Meaning), cell.Replace(d.Remedy))
	}
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n| id | passes when | if it fails |\n|---|---|---|\n%s", s.title,
			rows[s.title])
	}
	return b.String()
}

// TestTheListOfChecksIsComplete compares the guide's list with the catalogues;
// UPDATE=1 rewrites it.
func TestTheListOfChecksIsComplete(t *testing.T) {
	path := filepath.Join(root, "docs", "guide", "checks.md")
	want := checksGuide(t)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if string(read(t, path)) != want {
		t.Errorf("%s is out of date; UPDATE=1 go test ./test/house rewrites it", path)
	}
}

// TestTheConfigurationGuideIsComplete looks for every member of the
// configuration in the guide.
func TestTheConfigurationGuideIsComplete(t *testing.T) {
	guide, source := "", ""
	for _, name := range []string{
		"run-the-service.md", "collateral.md", "providers.md", "keys.md", "key-protection.md",
	} {
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

// TestLinksInTheDocumentationLead to files, and to checks, that exist.
func TestLinksInTheDocumentationLead(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "docs/*/*/*.md", "test/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	checks := string(read(t, filepath.Join(root, "docs", "guide", "checks.md")))
	for _, file := range files {
		for _, part := range strings.Split(string(read(t, file)), "](")[1:] {
			target, _, _ := strings.Cut(part, ")")
			target, anchor, _ := strings.Cut(target, "#")
			if filepath.Base(target) == "checks.md" && anchor != "" && !strings.Contains(checks,
				`<a id="`+anchor+`"></a>`) {
				t.Errorf("%s: there is no check %s", file, anchor)
			}
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), target)); err != nil {
				t.Errorf("%s: %s leads nowhere", file, target)
			}
		}
	}
}
