package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type object = map[string]any

// simulated writes a small corpus of simulated evidence with the given manifests. The
// names of its folders say nothing.
func simulated(t *testing.T, manifests map[string]object) (dir string, pki *evidencetest.Intel) {
	t.Helper()
	dir = t.TempDir()
	pki = evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	set, err := pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	quote := m.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()})
	enclave := evidencetest.DemoEnclave()
	enclave.Debug = true
	log := evidencetest.HealthyBoot(evidencetest.BootConfig{}).Log
	for path, b := range map[string][]byte{
		"one/quote.bin":             quote,
		"one/collateral.json":       set,
		"two/quote.bin":             quote,
		"three/report.bin":          evidencetest.OpenEnclaveReport(quote),
		"three/collateral.json":     set,
		"broken/quote.bin":          flipped(quote, 48+64),
		"broken/collateral.json":    set,
		"debug/quote.bin":           m.Quote(evidencetest.QuoteConfig{Enclave: enclave}),
		"debug/collateral.json":     set,
		"cut/eventlog.bin":          log[:len(log)-7],
		"gpu/report.bin":            append([]byte{0x11, 0xe0, 1, 0xff}, make([]byte, 300)...),
		"token/token.jwt":           []byte("eyJhbGciOiJFUzI1NiJ9.e30.AAAA"),
		"text/notes.txt":            []byte("no evidence at all"),
		"policies/one.policy":       []byte("version=1.0;authorizationrules{};"),
		"policies/two.policy":       []byte("version=1.0;"),
		"certificates/anything.pem": pki.Root.PEM(),
	} {
		write(t, filepath.Join(dir, path), b)
	}
	for name, manifest := range manifests {
		b, err := json.Marshal(manifest)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), b)
	}
	return dir, pki
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
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

func at(name string, expected, fields object) object {
	moment := now.Format(time.RFC3339)
	return object{"name": name, "evaluate_at": moment, "expected": expected, "expected_fields": fields}
}

func rejected(why string) object { return object{"outcome": "reject", "why": why} }

func TestBothFormsOfManifests(t *testing.T) {
	facts := object{"verdict": "valid", "tcb_status": "UpToDate", "advisory_ids": []string{}, "debug": false}
	dir, pki := simulated(t, map[string]object{
		"intel-MANIFEST.json": {"cases": []object{
			at("one", facts, object{"isvsvn": 3, "pck": object{"pcesvn": 13}}),
			at("two", object{"verdict": "crypto-ok-no-collateral"}, nil),
			at("three", object{"verdict": "valid"}, nil),
			at("broken", object{"verdict": "reject", "stage": "header or signature"}, nil),
		}},
		"hardware-MANIFEST.json": {"cases": []object{
			{"name": "one", "evaluation_time": now.Unix(), "expected": object{"outcome": "accept"}},
			{"name": "two", "evaluation_time": now.Format(time.RFC3339),
				"expected": object{"outcome": "incomplete"}},
			{"name": "cut", "expected": rejected("truncated event")},
			{"name": "gpu", "expected": object{"outcome": "accept"}},
			{"name": "token", "expected": object{"outcome": "accept at iat"}},
		}},
		"policies/MANIFEST.json": {"policies": []object{
			{"name": "g", "file": "one.policy", "syntax": "valid"},
			{"name": "b", "file": "two.policy", "syntax": "invalid"},
		}},
	})
	var out, errs bytes.Buffer
	code := run(dir, pki.Anchor(), &out, &errs)
	want := `event-log: 1 passed, 0 failed, 0 skipped
nvidia: 0 passed, 0 failed, 1 skipped
openenclave: 1 passed, 0 failed, 0 skipped
policies: 2 passed, 0 failed, 0 skipped
sgx: 5 passed, 0 failed, 0 skipped
token: 0 passed, 0 failed, 1 skipped
total: 9 passed, 0 failed, 2 skipped
`
	if code != 0 || out.String() != want || strings.Count(errs.String(), "the product ") != 2 {
		t.Errorf("code %d\n%s%s", code, &out, &errs)
	}
}

func TestEveryDisagreementFails(t *testing.T) {
	valid := func(name string, value any) object { return object{"verdict": "valid", name: value} }
	for name, tc := range map[string]struct {
		c    object
		want string
	}{
		"a reject case that is accepted":      {at("one", rejected("signature"), nil), "accepted"},
		"an incomplete case that is complete": {at("one", object{"outcome": "incomplete"}, nil), "accepted"},
		"a valid case without collateral": {at("two", object{"verdict": "valid"}, nil),
			"refused: dcap.collateral"},
		"a case that has its collateral": {at("one", object{"verdict": "crypto-ok-no-collateral"}, nil),
			"accepted"},
		"an accept case with broken evidence": {at("broken", object{"outcome": "accept"}, nil),
			"refused: dcap.quote.signature"},
		"an incomplete case that is broken": {at("broken", object{"outcome": "incomplete"}, nil),
			"refused by dcap.quote.signature"},
		"another status": {at("one", valid("tcb_status", "OutOfDate"), nil),
			"tcb_status"},
		"another QE status": {at("one", valid("qe_tcb_status", "OutOfDate"), nil),
			"qe_tcb_status"},
		"another date": {at("one", valid("platform_tcb_date", "2020-01-01T00:00:00Z"), nil),
			"platform_tcb_date"},
		"other advisories": {at("one", valid("advisory_ids", []string{"INTEL-SA-1"}), nil),
			"advisory_ids"},
		"another debug flag": {at("one", valid("debug", true), nil), "debug"},
		"another field": {at("one", object{"verdict": "valid"}, object{"isvsvn": 4}),
			"field isvsvn"},
		"another nested field": {at("one", object{"verdict": "valid"}, object{"pck": object{"fmspc": "00"}}),
			"field pck.fmspc"},

		"an unknown word": {at("one", object{"verdict": "probably"}, nil),
			`unknown outcome word "probably"`},
		"a longer known word": {at("one", object{"outcome": "accepted"}, nil),
			`unknown outcome word "accepted"`},
		"no word": {at("one", object{}, nil), "unknown outcome word"},
		"an unknown modifier": {at("one", object{"outcome": "accept (on Sundays)"}, nil),
			`unknown modifier "on sundays"`},
		"a modifier elsewhere": {at("one", object{"outcome": "accept (endorsement only)"}, nil),
			"does not go with"},
		"an unknown modifier of a reject case": {at("broken",
			object{"outcome": "reject; or perhaps not", "why": "signature"}, nil),
			`unknown modifier "or perhaps not"`},
		"an unknown word of a skipped form": {at("gpu", object{"outcome": "maybe"}, nil),
			"unknown outcome word"},
		"an unknown modifier of a skipped form": {at("token", object{"outcome": "accept (at noon)"}, nil),
			`unknown modifier "at noon"`},
		"an unknown reason of a skipped form": {at("gpu", rejected("the weather"), nil), "names no area"},
		"anchors of evidence": {at("one", object{"outcome": "trust anchors"}, nil),
			"does not go with"},
		"a reference that can be judged": {at("one", object{"outcome": "see checks"}, nil),
			"does not go with"},

		"a check of another area": {at("broken", rejected("expired"), nil),
			"refused by dcap.quote.signature, which is not"},
		"a log refused for another reason": {at("cut", rejected("signature"), nil),
			"refused by tpm.event-log, which is not"},
		"a reason that names no area": {at("broken", rejected("the weather"), nil),
			`"the weather" names no area`},
		"a reject case without a reason": {at("broken", object{"outcome": "reject"}, nil),
			"does not say why"},
		"a reservation that is not there": {at("one", object{"outcome": "accept-crypto", "why": "DEBUG"}, nil),
			"accepted without a reservation"},

		"no folder":                 {at("absent", rejected("signature"), nil), "no folder"},
		"files of no known form":    {at("text", object{"outcome": "accept"}, nil), "no evidence of a form"},
		"anchors that are not ours": {at("certificates", object{"outcome": "trust anchors"}, nil), "want"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, pki := simulated(t, map[string]object{"MANIFEST.json": {"cases": []object{tc.c}}})
			var out, errs bytes.Buffer
			code := run(dir, pki.Anchor(), &out, &errs)
			if code != 1 || !strings.Contains(errs.String(), tc.want) ||
				!strings.HasSuffix(out.String(), "total: 0 passed, 1 failed, 0 skipped\n") {
				t.Errorf("code %d\n%s%s", code, &out, &errs)
			}
		})
	}
}

func TestADebugEnclaveNeedsAReservationOfItsArea(t *testing.T) {
	for why, passes := range map[string]bool{"policy bit DEBUG is set": true, "expired": false} {
		c := at("debug", object{"outcome": "reject under any production policy (accept-crypto)", "why": why}, nil)
		dir, pki := simulated(t, map[string]object{"MANIFEST.json": {"cases": []object{c}}})
		var out, errs bytes.Buffer
		if code := run(dir, pki.Anchor(), &out, &errs); (code == 0) != passes {
			t.Errorf("%s: code %d\n%s%s", why, code, &out, &errs)
		}
	}
}

func TestFoldersWithoutManifests(t *testing.T) {
	var out, errs bytes.Buffer
	code := run(t.TempDir(), nil, &out, &errs)
	if code != 2 || !strings.Contains(errs.String(), "no MANIFEST.json") {
		t.Errorf("code %d\n%s", code, &errs)
	}
}

// TestWhatIsStatedIsCompared: a fact, a file or an alternative that the runner does not know fails the case.
func TestWhatIsStatedIsCompared(t *testing.T) {
	accept := func(name string, value any) object { return object{"outcome": "accept", name: value} }
	listing := func(c object, files any) object { c["files"] = files; return c }
	for name, tc := range map[string]struct {
		c    object
		want string
	}{
		"a debug enclave that is simply accepted": {at("debug", object{"outcome": "accept"}, nil), "refused: sgx.debug"},
		"a debug enclave that is not one":         {at("debug", accept("debug", false), nil), "refused: sgx.debug"},
		"a status of the module of an enclave": {at("one", accept("tdx_module", object{"status": "Revoked"}), nil),
			"tdx_module.status"},
		"an advisory of the module": {at("one", accept("tdx_module", object{"status": "", "advisories": []string{"A"}}), nil),
			"tdx_module.advisories"},
		"an alternative without an area": {at("broken", rejected("the weather or the signature"), nil), "names no area"},
		"a file that is not listed": {listing(at("one", object{"outcome": "accept"}, nil), []string{"quote.bin"}),
			"the folder has collateral.json, quote.bin"},
		"a file that is missing": {listing(at("two", object{"outcome": "incomplete"}, nil),
			object{"quote.bin": 1, "x": 1}), "the manifest lists"},
	} {
		dir, pki := simulated(t, map[string]object{"MANIFEST.json": {"cases": []object{tc.c}}})
		var out, errs bytes.Buffer
		if code := run(dir, pki.Anchor(), &out, &errs); code != 1 || !strings.Contains(errs.String(), tc.want) {
			t.Errorf("%s: code %d\n%s%s", name, code, &out, &errs)
		}
	}
	for name, expected := range map[string]object{
		"a misspelt fact":      accept("tcb_staus", "OutOfDate"),
		"an unknown fact":      accept("x", 1),
		"a fact of the module": accept("tdx_module", object{"staus": "UpToDate"}),
	} {
		dir, pki := simulated(t, map[string]object{"MANIFEST.json": {"cases": []object{at("one", expected, nil)}}})
		var out, errs bytes.Buffer
		if code := run(dir, pki.Anchor(), &out, &errs); code != 2 || !strings.Contains(errs.String(), "unknown field") {
			t.Errorf("%s: code %d\n%s%s", name, code, &out, &errs)
		}
	}
}

// TestAReservedCaseIsRefusedWithoutItsReservation: the second run must refuse, by the check that the reason names.
func TestAReservedCaseIsRefusedWithoutItsReservation(t *testing.T) {
	c := at("debug", object{"outcome": "accept-crypto", "why": "DEBUG"}, nil)
	dir, pki := simulated(t, map[string]object{"MANIFEST.json": {"cases": []object{c}}})
	all, err := readCorpus(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(all, pki.Anchor())
	if out := r.judge(all.cases[0]); len(out.problems) != 0 {
		t.Fatalf("%v", out.problems)
	}
	// Verifiers that reserve nothing accept it twice.
	for i, v := range r.verifiers {
		r.verifiers[i] = unreserved{v}
	}
	if out := r.judge(all.cases[0]); len(out.problems) == 0 {
		t.Error("evidence without its reservation passes")
	}
	// Verifiers whose reservations everyone accepts pass the first run alone.
	for i, v := range r.verifiers {
		r.verifiers[i] = open{v.(unreserved).Verifier}
	}
	if out := r.judge(all.cases[0]); !slices.Contains(out.problems, "accepted") {
		t.Errorf("the second run is not judged: %v", out.problems)
	}
}

// unreserved drops the reservations of a verifier.
type unreserved struct{ evidence.Verifier }

func (u unreserved) Verify(ctx context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	ev.Accept = []string{evidence.DebugGuest, evidence.BoundServiceTD}
	r, err := u.Verifier.Verify(ctx, ev)
	if r != nil {
		r.Reservations = nil
	}
	return r, err
}

// open accepts what no caller accepted, and keeps its reservations only for those who did.
type open struct{ evidence.Verifier }

func (o open) Verify(ctx context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	unasked := len(ev.Accept) == 0
	ev.Accept = []string{evidence.DebugGuest, evidence.BoundServiceTD}
	r, err := o.Verifier.Verify(ctx, ev)
	if r != nil && unasked {
		r.Reservations = nil
	}
	return r, err
}
