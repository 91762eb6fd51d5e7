package api

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/test/kit/kbstest"
)

// coco is a service with a provider, coco, that gives guests their resources.
type coco struct {
	*bench
	now   time.Time
	intel *evidencetest.Platform
	amd   *evidencetest.AMD
	chip  *evidencetest.Chip
	tpm   *evidencetest.Guest
	boot  *evidencetest.Boot
	guest *kbstest.Guest
}

const at = "/p/coco"

// The keys of makers take their time, and are the same in all tests.
var (
	cocoAMD = sync.OnceValue(func() *evidencetest.AMD {
		return evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	})
	cocoTPM = sync.OnceValue(func() *evidencetest.Guest {
		return evidencetest.NewGuest(evidencetest.TPMConfig{Now: now})
	})
)

func newCoco(t *testing.T, settings string, edit ...func(*Config)) *coco {
	t.Helper()
	c := &coco{now: now, amd: cocoAMD(), tpm: cocoTPM(), boot: evidencetest.NewBoot(),
		guest: kbstest.NewEC(elliptic.P256())}
	c.chip = c.amd.Chip(evidencetest.ChipConfig{})
	c.bench = newBench(t, func(cfg *Config) {
		roots, err := tpmca.Parse(c.tpm.Root.PEM())
		if err != nil {
			t.Fatal(err)
		}
		pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
		c.intel = pki.Platform(evidencetest.HealthyPlatform())
		cfg.Now = func() time.Time { return c.now }
		cfg.Limits.Body = 256 << 10
		cfg.Appraiser = &appraisal.Appraiser{Random: rand.Reader,
			Collateral: collateral.Fixed(pki.Collateral(c.intel, evidencetest.CollateralConfig{
				TCB: evidencetest.HealthyTDXTCB(now)})),
			Verifiers: appraisal.Verifiers(appraisal.Trust{
				Intel: dcap.Config{Anchor: pki.Anchor()}, AMD: snp.Config{Roots: c.amd.Roots()},
				TPM: tpm.Config{Authorities: roots}, Azure: azureguest.Config{Authorities: roots},
			})}
		for _, f := range edit {
			f(cfg)
		}
	})
	if settings == "" {
		settings = `"anonymousRelease":true,"explainReleases":true`
	}
	c.provider(t, "coco", `"probity":{"vault":{`+settings+`}}`)
	c.policy(t, evidence.AzureGuest, permitAll)
	c.policy(t, evidence.TPM,
		`version=1.1;configurationrules{=> issueproperty(type="required_pcr_mask",value=0);`+
			`=> issueproperty(type="require_valid_aik_cert",value=false);};authorizationrules{=> permit();};issuancerules{};`)
	return c
}

const permitAll = `version=1.0;authorizationrules{=> permit();};issuancerules{};`

func (c *coco) policy(t *testing.T, kind evidence.Kind, text string) {
	t.Helper()
	if _, err := c.registry.Change(t.Context(), provider.PolicyChange{Provider: "coco", Kind: kind,
		Action: store.PolicySet, JWS: wrap(t, text)}); err != nil {
		t.Fatal(err)
	}
}

// resource makes a key that is a resource, default/key/NAME, for tokens with a claim of a value.
func (c *coco) resource(t *testing.T, name, secret, claim, value string) {
	t.Helper()
	policy := fmt.Sprintf(`{"version":"1.0.0","anyOf":[{"authority":%q,"allOf":[{"claim":%q,"equals":%q}]}]}`,
		issuer+at, claim, value)
	c.vault(t, "PUT", at+"/keys/default-key-"+name, fmt.Sprintf(`{"key":{"kty":"oct","k":%q},`+
		`"attributes":{"exportable":true},"tags":{"kbs-resource":"default/key/%s"},%s}`,
		base64.RawURLEncoding.EncodeToString([]byte(secret)), name, policyBody(policy)), 200)
}

// evidenceOf makes the evidence of a kind of guest for report data; host is what it was launched with.
func (c *coco) evidenceOf(t *testing.T, tee string, reportData []byte, host []byte) any {
	t.Helper()
	var field [64]byte
	copy(field[:], reportData)
	switch tee {
	case "snp":
		cfg := evidencetest.ReportConfig{ReportData: field}
		copy(cfg.HostData[:], host)
		return kbstest.SNP(c.chip.Report(cfg), append(c.chip.PEM(), c.amd.Chain(false)...), false)
	case "tdx":
		td := evidencetest.HealthyTD()
		td.ReportData = field
		copy(td.MRConfigID[:], host)
		return kbstest.TDX(c.intel.Quote(evidencetest.QuoteConfig{TD: td}), nil)
	case "az-snp-vtpm":
		runtime := c.tpm.Runtime(kbstest.UserData(reportData))
		report := c.chip.Report(evidencetest.ReportConfig{ReportData: evidencetest.BindData(runtime)})
		vcek, _ := pem.Decode(c.chip.PEM())
		return kbstest.Azure(c.tpm.TPM, c.boot.PCRs, reportData, evidencetest.HCL(2, report, runtime),
			"vcek", vcek.Bytes)
	case "az-tdx-vtpm":
		runtime := c.tpm.Runtime(kbstest.UserData(reportData))
		td := evidencetest.HealthyTD()
		td.ReportData = evidencetest.BindData(runtime)
		return kbstest.Azure(c.tpm.TPM, c.boot.PCRs, reportData, evidencetest.HCL(4, make([]byte, 1024),
			runtime),
			"td_quote", c.intel.Quote(evidencetest.QuoteConfig{TD: td}))
	case "tpm":
		spki, err := x509.MarshalPKIXPublicKey(c.tpm.AK.Public())
		if err != nil {
			t.Fatal(err)
		}
		return kbstest.TPM(c.tpm.TPM, c.boot.PCRs, reportData, spki)
	}
	t.Fatalf("no evidence of %s", tee)
	return nil
}

// with sends a request with the cookie of another answer.
func (c *coco) with(w *httptest.ResponseRecorder, method, path string, body []byte,
	edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := newRequest(method, path, string(body))
	if w != nil {
		for _, cookie := range w.Result().Cookies() {
			r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
		}
	}
	for _, f := range edit {
		f(r)
	}
	return c.serve(r)
}

// auth begins a session.
func (c *coco) auth(t *testing.T, version, tee string) (w *httptest.ResponseRecorder, nonce string) {
	t.Helper()
	w = c.with(nil, "POST", at+"/kbs/v0/auth", kbstest.Auth(version, tee))
	var challenge struct {
		Nonce  string `json:"nonce"`
		Params any    `json:"extra-params"`
	}
	if err := json.Unmarshal(w.Body.Bytes(),
		&challenge); err != nil || w.Code != 200 || challenge.Nonce == "" ||
		challenge.Params != "" {
		t.Fatalf("auth: %d %s", w.Code, w.Body)
	}
	return w, challenge.Nonce
}

// attest runs the handshake of a healthy guest.
func (c *coco) attest(t *testing.T, tee string) (w *httptest.ResponseRecorder, token string) {
	t.Helper()
	w, nonce := c.auth(t, "0.4.0", tee)
	e := c.evidenceOf(t, tee, c.guest.ReportData("0.4.0", nonce), nil)
	w = c.with(w, "POST", at+"/kbs/v0/attest", c.guest.Attest("0.4.0", nonce, e, nil))
	var answer struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || answer.Token == "" {
		t.Fatalf("attest %s: %d %s", tee, w.Code, w.Body)
	}
	return w, answer.Token
}

func (c *coco) get(session *httptest.ResponseRecorder, resource string,
	edit ...func(*http.Request)) *httptest.ResponseRecorder {
	return c.with(session, "GET", at+"/kbs/v0/resource/"+resource, nil, edit...)
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// wantProblem compares an error document with a status, a type and words of its detail.
func wantProblem(t *testing.T, what string, w *httptest.ResponseRecorder, status int, kind string,
	words ...string) {
	t.Helper()
	var doc struct{ Type, Detail string }
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatalf("%s: %d %s: %v", what, w.Code, w.Body, err)
	}
	if w.Code != status || doc.Type != "https://github.com/confidential-containers/kbs/errors/"+kind || doc.Detail == "" {
		t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, status, kind)
	}
	for _, word := range words {
		if !contains(doc.Detail, word) {
			t.Errorf("%s: no %q in %s", what, word, doc.Detail)
		}
	}
}

func sum384(text string) []byte {
	sum := sha512.Sum384([]byte(text))
	return sum[:]
}

func sum256(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// entries are those of the provider's ledger, which takes no more afterwards.
func (c *coco) entries(t *testing.T) []*ledger.Entry {
	t.Helper()
	c.ledger.Close(t.Context())
	p, ok := c.registry.Get("coco")
	if !ok {
		t.Fatal("no provider")
	}
	found, _, err := ledger.Search(t.Context(), c.db, p.Identity(), ledger.Query{}, 0, 100, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
