package pcs_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/pcs"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/test/kit/fakevendor"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func set(tcb evidencetest.TCB) (*evidencetest.Intel, *collateral.Intel) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	return pki, pki.Collateral(pki.Platform(evidencetest.HealthyPlatform()),
		evidencetest.CollateralConfig{TCB: tcb})
}

var query = collateral.Query{TEE: collateral.TDX, FMSPC: evidencetest.HealthyPlatform().FMSPC, CA: "platform"}

// TestASetComesWhole fetches a set and verifies it as the plane does.
func TestASetComesWhole(t *testing.T) {
	pki, want := set(evidencetest.HealthyTDXTCB(now))
	s := fakevendor.New()
	defer s.Close()
	s.Add(&collateral.Bundle{Intel: []*collateral.Intel{want}})
	for update, wantQuery := range map[string]string{
		"": "fmspc=00906ed50000", "early": "update=early", "standard": "update=standard",
	} {
		client, err := pcs.New(pcs.Config{URL: s.URL + "/", Update: update})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Intel(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		if err := dcap.New(dcap.Config{Anchor: pki.Anchor()}).CheckCollateral(got, query, now); err != nil {
			t.Error(err)
		}
		if all := strings.Join(s.Paths(), " "); !strings.Contains(all, wantQuery) {
			t.Errorf("update %q: asked for %s", update, all)
		}
	}
}

// TestVersion3 has the old paths and header names, a chain that a proxy decoded,
// and lists in hex.
func TestVersion3(t *testing.T) {
	_, want := set(evidencetest.HealthyTCB(now))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/sgx/certification/v3/tcb":
			w.Header().Set("SGX-TCB-Info-Issuer-Chain", url.PathEscape(string(want.TCBInfoIssuerChain)))
			fmt.Fprintf(w, `{"tcbInfo":%s,"signature":"%x"}`, want.TCBInfo, want.TCBInfoSignature)
		case "/sgx/certification/v3/qe/identity":
			w.Header().Set("sgx-enclave-identity-issuer-chain",
				strings.ReplaceAll(string(want.QEIdentityIssuerChain), "\n", " "))
			fmt.Fprintf(w, `{"enclaveIdentity":%s,"signature":"%x"}`, want.QEIdentity, want.QEIdentitySignature)
		case "/sgx/certification/v3/pckcrl":
			w.Header().Set("SGX-PCK-CRL-Issuer-Chain", url.PathEscape(string(want.PCKCRLIssuerChain)))
			fmt.Fprint(w, hex.EncodeToString(want.PCKCRL))
		case "/sgx/certification/v3/rootcacrl":
			fmt.Fprint(w, hex.EncodeToString(want.RootCRL))
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	client, err := pcs.New(pcs.Config{URL: s.URL, Version: 3})
	if err != nil {
		t.Fatal(err)
	}
	q := query
	q.TEE = collateral.SGX
	got, err := client.Intel(t.Context(), q)
	if err != nil || string(got.PCKCRL) != string(want.PCKCRL) ||
		string(got.RootCRL) != string(want.RootCRL) ||
		string(got.TCBInfoIssuerChain) != string(want.TCBInfoIssuerChain) {
		t.Errorf("set = %+v, %v", got, err)
	}
	if _, err := client.Intel(t.Context(), query); !errors.Is(err, collateral.ErrNotFound) {
		t.Errorf("TDX in version 3: %v", err)
	}
	if _, err := client.EvaluationNumbers(t.Context(), collateral.SGX); err == nil {
		t.Error("version 3 has evaluation numbers")
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	chain := url.PathEscape("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	for name, tc := range map[string]struct {
		status   int
		header   string
		body     string
		notFound bool
		want     string
	}{
		"an unknown platform":        {404, chain, "", true, "404"},
		"a number that has expired":  {410, chain, "", true, "410"},
		"a failure":                  {500, chain, "", false, "500"},
		"a redirection":              {302, chain, "", false, "302"},
		"patience":                   {429, chain, "", false, "try again later"},
		"no JSON":                    {200, chain, "hello", false, "TCB info"},
		"no signature":               {200, chain, `{"tcbInfo":{}}`, false, "signature"},
		"a signature that is no hex": {200, chain, `{"tcbInfo":{},"signature":"xy"}`, false, "signature"},
		"no tcbInfo": {
			200, chain, `{"enclaveIdentity":{},"signature":"00"}`, false, "no member tcbInfo",
		},
		"two of them": {
			200, chain, `{"tcbInfo":{},"tcbInfo":{},"signature":"00"}`, false, "duplicate",
		},
		"no chain": {
			200, "", `{"tcbInfo":{},"signature":"00"}`, false, "no header TCB-Info-Issuer-Chain",
		},
		"a chain that is none": {
			200, "hello", `{"tcbInfo":{},"signature":"00"}`, false, "not a PEM chain",
		},
		"a chain that is badly encoded": {
			200, "%zz", `{"tcbInfo":{},"signature":"00"}`, false, "invalid URL escape",
		},
		"more than anyone would send": {200, chain, strings.Repeat(" ", 5<<20), false, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				w.Header().Set("TCB-Info-Issuer-Chain", tc.header)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			}))
			defer s.Close()
			client, err := pcs.New(pcs.Config{URL: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Intel(t.Context(), query)
			if err == nil || !strings.Contains(err.Error(), tc.want) ||
				errors.Is(err, collateral.ErrNotFound) != tc.notFound || asked != 1 {
				t.Errorf("error = %v after %d requests, want %q", err, asked, tc.want)
			}
		})
	}
}

// TestAMissingListDoesNotMeanAnUnknownPlatform: a cache without the root's list must not
// make it believed for minutes that there is nothing for the platform.
func TestAMissingListDoesNotMeanAnUnknownPlatform(t *testing.T) {
	_, whole := set(evidencetest.HealthyTDXTCB(now))
	for _, missing := range []string{"rootcacrl", "pckcrl"} {
		fake := fakevendor.New()
		fake.Add(&collateral.Bundle{Intel: []*collateral.Intel{whole}})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, missing) {
				http.NotFound(w, r)
				return
			}
			fake.ServeHTTP(w, r)
		}))
		client, err := pcs.New(pcs.Config{URL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Intel(t.Context(), query); err == nil || errors.Is(err, collateral.ErrNotFound) {
			t.Errorf("%s: %v", missing, err)
		}
		s.Close()
		fake.Close()
	}
}

func TestASlowServiceIsGivenUp(t *testing.T) {
	s := fakevendor.New()
	defer s.Close()
	s.Set(fakevendor.Mood{Delay: time.Minute})
	client, err := pcs.New(pcs.Config{URL: s.URL, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Intel(t.Context(), query)
	if err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("error = %v", err)
	}
}

func TestEvaluationNumbers(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("TCB-Evaluation-Data-Numbers-Issuer-Chain", url.PathEscape("-----BEGIN CERTIFICATE-----\n"))
		fmt.Fprint(w,
			`{"tcbEvaluationDataNumbers":{"id":"TDX","version":1,`+
				`"tcbEvalNumbers":[{"tcbEvaluationDataNumber":20,`+
				`"tcbRecoveryEventDate":"2025-11-11T00:00:00Z","tcbDate":"2025-11-12T00:00:00Z"}]},`+
				`"signature":"00"}`)
	}))
	defer s.Close()
	client, err := pcs.New(pcs.Config{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.EvaluationNumbers(t.Context(), collateral.TDX)
	if err != nil || len(list) != 1 || list[0].Number != 20 || list[0].Date.Day() != 12 {
		t.Errorf("list = %+v, %v", list, err)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for _, cfg := range []pcs.Config{{Version: 2}, {Update: "late"}} {
		if _, err := pcs.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
