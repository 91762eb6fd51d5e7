package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmd "github.com/probity-dev/probity/cmd/probity/internal/collateral"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/test/kit/fakevendor"
)

// TestAServiceThatFetches starts a service that holds nothing, in front of fake
// vendors, and attests a quote and a bare report.
func TestAServiceThatFetches(t *testing.T) {
	now := time.Now()
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := intel.Platform(evidencetest.HealthyPlatform())
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := amd.Chip(evidencetest.ChipConfig{})
	tcb := evidencetest.HealthyTDXTCB(now)
	tcb.Next = now.Add(48 * time.Hour) // sooner than the warning time
	vendor := fakevendor.New()
	defer vendor.Close()
	vendor.Add(&collateral.Bundle{
		Intel: []*collateral.Intel{intel.Collateral(m, evidencetest.CollateralConfig{TCB: tcb})},
		AMD:   []*collateral.AMD{amd.Collateral(false)},
		VCEK:  []*collateral.VCEK{chip.VCEK()},
	})

	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := config.Config{
		Listen:  "localhost:0",
		URL:     "https://localhost:8443",
		DataDir: filepath.Join(dir, "data"),
		SNP:     config.SNP{RequireCRL: true},
		Fetch: config.Fetch{
			Intel: config.FetchIntel{URL: vendor.URL},
			AMD:   config.FetchAMD{URL: vendor.URL, Spacing: config.Duration(time.Millisecond)},
		},
		Development: config.Development{
			IntelRoot: write("intel.pem", intel.Root.PEM()),
			AMDRoots:  write("amd.pem", amd.RootsPEM()),
		},
	}
	if err := cfg.Complete(true); err != nil {
		t.Fatal(err)
	}
	start := func() (*node.Node, *bytes.Buffer) {
		logged := &bytes.Buffer{}
		s, err := node.Open(t.Context(), cfg, true, slog.New(slog.NewTextHandler(logged, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return s, logged
	}
	s, logged := start()
	do := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Server.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w
	}
	operate := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", path, nil)
		r.Host = "localhost:9443"
		s.Server.Operations().ServeHTTP(w, r)
		return w
	}
	encode := base64.RawURLEncoding.EncodeToString
	quote := `{"quote":"` + encode(m.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()})) + `"}`
	report := `{"report":"` + encode(chip.Report(evidencetest.ReportConfig{})) + `"}`
	attest := func() {
		t.Helper()
		for path, body := range map[string]string{
			"/attest/TdxVm?api-version=2025-06-01":    quote,
			"/attest/SevSnpVm?api-version=2025-06-01": report,
		} {
			if w := do("POST", path, body); w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
	attest()
	fetched := len(vendor.Paths())
	if fetched != 7 { // 4 of Intel, VCEK, chain and list of AMD
		t.Errorf("%d requests to the vendors: %v", fetched, vendor.Paths())
	}
	attest()
	s.Plane.Renew(t.Context())

	var ready struct {
		Collateral []struct {
			Key               string
			Expired, Expiring bool
		}
	}
	if err := json.Unmarshal(operate("/readyz").Body.Bytes(), &ready); err != nil || len(ready.Collateral) != 3 {
		t.Fatalf("readyz = %+v, %v", ready, err)
	}
	for _, item := range ready.Collateral {
		if item.Expired || item.Expiring != strings.HasPrefix(item.Key, "intel/") {
			t.Errorf("readyz: %+v", item)
		}
	}
	if !strings.Contains(logged.String(), "collateral is about to expire") {
		t.Error("there was no warning")
	}
	for _, path := range []string{"/readyz", "/metrics"} {
		for _, identity := range []string{"00906ed50000", "Milan"} {
			if text := do("GET", path, "").Body.String(); strings.Contains(text, identity) {
				t.Errorf("%s tells all callers of %s: %s", path, identity, text)
			}
		}
	}
	text := do("GET", "/metrics", "").Body.String()
	if !strings.Contains(text, `probity_collateral_next_expiry_seconds{vendor="intel"} 1`) {
		t.Error("the metrics for all callers lack the next expiry")
	}
	metrics := operate("/metrics").Body.String()
	for _, want := range []string{
		`probity_collateral_expiry_seconds{key="intel/TDX/00906ed50000/platform"} 1`,
		`probity_collateral_fetches_total{vendor="amd"} 2`,
		`probity_collateral_fetch_failures_total{vendor="intel"} 0`,
		`probity_collateral_hits_total{vendor="intel"} 1`,
		"probity_collateral_chip_certificates 1",
		`probity_collateral_age_seconds{key="amd/vcek/Milan"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}

	// A new process on the same data directory, and vendors that are gone.
	s.Close()
	vendor.Close()
	s, _ = start()
	defer s.Close()
	attest()
}

// TestProcessesShareAMDsLimit: two planes over one data directory take their turns
// from one row. Each by itself would be done in half the time.
func TestProcessesShareAMDsLimit(t *testing.T) {
	now := time.Now()
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	vendor := fakevendor.New()
	defer vendor.Close()
	const spacing = 20 * time.Millisecond
	dir := t.TempDir()
	roots := filepath.Join(dir, "amd.pem")
	if err := os.WriteFile(roots, amd.RootsPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "probity.json")
	text := `{"dataDir":"` + dir + `","fetch":{"amd":{"url":"` + vendor.URL +
		`","spacing":"20ms"}},"development":{"amdRoots":"` + roots + `"}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &term.Env{Ctx: t.Context(), IO: term.IO{Err: &bytes.Buffer{}}}
	var planes []*cmd.Workshop
	for range 2 {
		w, err := (&cmd.Held{DataFlags: term.DataFlags{Config: path}}).Open(e, false, time.Time{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		planes = append(planes, w)
	}
	done := make(chan error)
	began := time.Now()
	for i := range 20 {
		chip := amd.Chip(evidencetest.ChipConfig{})
		vendor.Add(&collateral.Bundle{VCEK: []*collateral.VCEK{chip.VCEK()}})
		go func() {
			_, err := planes[i%2].VCEK(t.Context(), chip.Line.Query(chip.HWID, chip.TCB))
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got, took := len(vendor.Paths()), time.Since(began); got != 20 || took < 19*spacing {
		t.Errorf("%d requests for 20 chips in %s, want one in %s", got, took, spacing)
	}
}
