package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence/evidencetest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type object = map[string]any

// corpus writes a small corpus of simulated evidence with the given cases.
func corpus(t *testing.T, manifests map[string]object) (dir string, pki *evidencetest.Intel) {
	t.Helper()
	dir = t.TempDir()
	pki = evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	set, err := pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	quote := m.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()})
	write(t, filepath.Join(dir, "sgx/good/quote.bin"), quote)
	write(t, filepath.Join(dir, "sgx/good/collateral.json"), set)
	write(t, filepath.Join(dir, "sgx/alone/quote.bin"), quote)
	write(t, filepath.Join(dir, "openenclave/report/report.bin"), evidencetest.OpenEnclaveReport(quote))
	write(t, filepath.Join(dir, "openenclave/report/collateral.json"), set)
	write(t, filepath.Join(dir, "policies/good.policy"), []byte("version=1.0;authorizationrules{};"))
	write(t, filepath.Join(dir, "policies/bad.policy"), []byte("version=1.0;"))
	for name, manifest := range manifests {
		b, err := json.Marshal(manifest)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), b)
	}
	return dir, pki
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sgxCase(name string, expected object, fields object) object {
	return object{"name": name, "evaluate_at": now.Format(time.RFC3339), "expected": expected, "expected_fields": fields}
}

func TestBothFormsOfManifests(t *testing.T) {
	dir, pki := corpus(t, map[string]object{
		"intel-MANIFEST.json": {"cases": []object{
			sgxCase("sgx/good", object{"verdict": "valid", "tcb_status": "UpToDate", "advisory_ids": []string{}, "debug": false}, object{"isvsvn": 3, "pck": object{"pcesvn": 13}}),
			sgxCase("sgx/alone", object{"verdict": "crypto-ok-no-collateral"}, nil),
			sgxCase("openenclave/report", object{"verdict": "valid"}, nil),
		}},
		"hardware-MANIFEST.json": {"cases": []object{
			{"name": "sgx/good", "evaluation_time": now.Unix(), "expected": object{"outcome": "accept"}},
			{"name": "sgx/alone", "evaluation_time": now.Format(time.RFC3339), "expected": object{"outcome": "incomplete"}},
			{"name": "nvidia/x", "expected": object{"outcome": "accept"}},
		}},
		"policies/MANIFEST.json": {"policies": []object{{"name": "g", "file": "good.policy", "syntax": "valid"}, {"name": "b", "file": "bad.policy", "syntax": "invalid"}}},
	})
	var out, errs bytes.Buffer
	code := run(dir, pki.Anchor(), &out, &errs)
	want := "nvidia: 0 passed, 0 failed, 1 skipped\nopenenclave: 1 passed, 0 failed, 0 skipped\npolicies: 2 passed, 0 failed, 0 skipped\nsgx: 4 passed, 0 failed, 0 skipped\n" +
		"total: 7 passed, 0 failed, 1 skipped\n"
	if code != 0 || out.String() != want {
		t.Errorf("code %d\n%s%s", code, &out, &errs)
	}
}

func TestEveryDisagreementFails(t *testing.T) {
	for name, tc := range map[string]struct {
		c    object
		want string
	}{
		"accepted, not rejected":      {sgxCase("sgx/good", object{"verdict": "reject"}, nil), "accepted"},
		"accepted, though incomplete": {sgxCase("sgx/good", object{"outcome": "incomplete"}, nil), "accepted"},
		"refused, though valid":       {sgxCase("sgx/alone", object{"verdict": "valid"}, nil), "refused: dcap.collateral"},
		"has collateral":              {sgxCase("sgx/good", object{"verdict": "crypto-ok-no-collateral"}, nil), "accepted without collateral"},
		"another status":              {sgxCase("sgx/good", object{"verdict": "valid", "tcb_status": "OutOfDate"}, nil), "tcb_status"},
		"another QE status":           {sgxCase("sgx/good", object{"verdict": "valid", "qe_tcb_status": "OutOfDate"}, nil), "qe_tcb_status"},
		"another date":                {sgxCase("sgx/good", object{"verdict": "valid", "platform_tcb_date": "2020-01-01T00:00:00Z"}, nil), "platform_tcb_date"},
		"other advisories":            {sgxCase("sgx/good", object{"verdict": "valid", "advisory_ids": []string{"INTEL-SA-1"}}, nil), "advisory_ids"},
		"debug":                       {sgxCase("sgx/good", object{"verdict": "valid", "debug": true}, nil), "debug"},
		"another field":               {sgxCase("sgx/good", object{"verdict": "valid"}, object{"isvsvn": 4}), "field isvsvn"},
		"another nested field":        {sgxCase("sgx/good", object{"verdict": "valid"}, object{"pck": object{"fmspc": "00"}}), "field pck.fmspc"},
		"unknown word":                {sgxCase("sgx/good", object{"verdict": "probably"}, nil), "unknown outcome word"},
		"no word":                     {sgxCase("sgx/good", object{}, nil), "unknown outcome word"},
		"no files":                    {sgxCase("sgx/absent", object{"verdict": "reject"}, nil), "none of"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, pki := corpus(t, map[string]object{"MANIFEST.json": {"cases": []object{tc.c}}})
			var out, errs bytes.Buffer
			if code := run(dir, pki.Anchor(), &out, &errs); code != 1 || !strings.Contains(errs.String(), tc.want) || !strings.HasSuffix(out.String(), "total: 0 passed, 1 failed, 0 skipped\n") {
				t.Errorf("code %d\n%s%s", code, &out, &errs)
			}
		})
	}
}

func TestFoldersWithoutManifests(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.TempDir(), nil, &out, &errs); code != 2 || !strings.Contains(errs.String(), "no MANIFEST.json") {
		t.Errorf("code %d\n%s", code, &errs)
	}
}
