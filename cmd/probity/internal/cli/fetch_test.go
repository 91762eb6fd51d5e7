package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/test/kit/fakevendor"
)

// TestCollateralFetch fetches what evidence needs, as a user would, and verifies
// that evidence with the bundle and without a network.
func TestCollateralFetch(t *testing.T) {
	now := time.Now()
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	processor := evidencetest.HealthyPlatform()
	processor.Processor = true
	m, small := intel.Platform(evidencetest.HealthyPlatform()), intel.Platform(processor)
	chip := amd.Chip(evidencetest.ChipConfig{})
	lent := amd.Chip(evidencetest.ChipConfig{CSP: "CN=cc-x.amazonaws.com"})
	vendor := fakevendor.New()
	defer vendor.Close()
	vendor.Add(&collateral.Bundle{
		Intel: []*collateral.Intel{intel.Collateral(m,
			evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)})},
		AMD:  []*collateral.AMD{amd.Collateral(false), amd.Collateral(true)},
		VCEK: []*collateral.VCEK{chip.VCEK()}})
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	quote := file("quote.bin", m.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()}))
	report := file("report.bin", chip.Report(evidencetest.ReportConfig{}))
	sent := file("sent.json", lent.Evidence(amd, lent.Report(evidencetest.ReportConfig{})))
	single := file("single.bin", small.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()}))
	intelRoot, amdRoots := file("intel.pem", intel.Root.PEM()), file("amd.pem", amd.RootsPEM())
	cfg := file("probity.json", []byte(`{"dataDir":"`+filepath.Join(dir,
		"data")+`","fetch":{"intel":{"url":"`+vendor.URL+`"},"amd":{"url":"`+vendor.URL+
		`","spacing":"1ms"}},"development":{"intelRoot":"`+intelRoot+`","amdRoots":"`+amdRoots+`"}}`))
	bundle := filepath.Join(dir, "bundle.json")
	for _, step := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"into a bundle", []string{"collateral", "fetch", "--evidence", quote, "--evidence", report,
			"--evidence", sent, "--out", bundle, "--config", cfg}, 0, "[4/4]"},
		{"the bundle holds", []string{"collateral", "verify", bundle, "--config", cfg}, 0, "✓ amd/vlek/Milan"},
		{
			"TDX with the bundle",
			[]string{"verify", "evidence", "TdxVm", quote, "--collateral", bundle, "--root", intelRoot},
			0, "accepted",
		},
		{
			"SNP with the bundle",
			[]string{"verify", "evidence", "SevSnpVm", report, "--collateral", bundle, "--root", amdRoots},
			0, "✓ snp.crl",
		},
		{
			"into the data directory",
			[]string{"collateral", "fetch", "--amd", "milan", "--config", cfg}, 0, "amd/vcek/Milan",
		},
		{
			"it is there", []string{"collateral", "list", "--config", cfg, "--format", "json"}, 0,
			`"key": "amd/vlek/Milan"`,
		},
		{
			"by FMSPC", []string{"collateral", "fetch", "--fmspc", "00906ED50000", "--config", cfg}, 0,
			"evaluation 20",
		},
		{
			"a number that is not offered",
			[]string{"collateral", "fetch", "--fmspc", "00906ED50000", "--number", "19", "--config", cfg},
			1, "not found",
		},
		{
			"what Intel does not know",
			[]string{"collateral", "fetch", "--fmspc", "000000000000", "--config", cfg}, 1,
			"not found",
		},
		{
			"a machine of another CA",
			[]string{"collateral", "fetch", "--evidence", single, "--config", cfg}, 1,
			"Intel: SGX FMSPC 00906ed50000 (processor CA)",
		},
		{"the vendors' roots, not ours", []string{"collateral", "fetch", "--amd", "Milan", "--amd-url",
			vendor.URL, "--data", filepath.Join(dir, "other")}, 1, "not kept"},
		{
			"no evidence", []string{"collateral", "fetch", "--evidence", intelRoot, "--config", cfg},
			2, "neither an SGX or TDX quote",
		},
		{
			"no list of numbers", []string{"collateral", "fetch", "--numbers", "--config", cfg}, 2,
			"evaluation numbers",
		},
	} {
		t.Run(step.name, func(t *testing.T) {
			var out bytes.Buffer
			code := Run(t.Context(), step.args, term.IO{Out: &out, Err: &out})
			if code != step.code || !strings.Contains(out.String(), step.want) {
				t.Errorf("code %d, want %d and %q:\n%s", code, step.code, step.want, &out)
			}
		})
	}
}
