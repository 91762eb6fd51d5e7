//go:build interop

package interop

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/probity-dev/probity/client"
)

// leastCases is how many requests the property-based run must make over all documents.
const leastCases = 6000

var generated = regexp.MustCompile(`(\d+) generated, (\d+) passed`)

// TestDocumentsAreAsStrictAsTheService makes requests from the OpenAPI documents, those
// that they allow and those that they forbid, with a fixed seed: the service must take the
// form of the first, refuse the second, and answer both as the documents say.
func TestDocumentsAreAsStrictAsTheService(t *testing.T) {
	i := simulated(t)
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs, Token: adminToken})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PutProvider(t.Context(), client.Scope{Subscription: "s", Group: "g"}, "contract",
		client.Provider{Location: "local"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.UpdateProvider(t.Context(), client.Scope{Subscription: "probity", Group: "default"}, "default",
		client.Provider{Properties: client.ProviderProperties{
			Probity: []byte(`{"vault":{"explainReleases":true}}`), // so that each refusal has its check
		}})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filepath.Abs("contract/.venv/bin/st")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, document := range []string{"dataplane", "controlplane", "vault"} {
		cmd := exec.CommandContext(t.Context(), st, "--config-file", "schemathesis.toml", "run",
			"../../../docs/api/"+document+".yaml",
			"--url", i.URL, "--tls-verify", i.CA, "-H", "Authorization: Bearer "+adminToken, "--checks",
			"all", "--no-color")
		if document == "vault" {
			// A key may have the name restore, too: its path answers more than the document's row says.
			cmd.Args = append(cmd.Args, "--exclude-checks", "allow_header_conformance")
		}
		cmd.Dir = "contract"
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", document, err, out)
			continue
		}
		counts := generated.FindSubmatch(out)
		if counts == nil || string(counts[1]) != string(counts[2]) {
			t.Errorf("%s: the run does not say how many cases passed:\n%s", document, out)
			continue
		}
		n, _ := strconv.Atoi(string(counts[1]))
		t.Logf("%s: %d cases passed", document, n)
		cases += n
	}
	if !t.Failed() && cases < leastCases {
		t.Errorf("%d cases, expected at least %d", cases, leastCases)
	}
}
