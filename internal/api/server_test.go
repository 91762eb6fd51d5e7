package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/internal/telemetry"
	"github.com/probity-dev/probity/test/kit/traffic"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const issuer = "https://attest.example.org"

const adminToken = "administrator-of-the-test"

// canary is a secret in every request; it must never be logged or measured.
const canary = "canary-7f3d"

type bench struct {
	server *Server
	// handler is the server, or a recorder before it.
	handler http.Handler
	log     *bytes.Buffer
	m       *evidencetest.Platform

	db       *sqlite.Store
	settings provider.Config
	registry *provider.Registry
	ledger   *ledger.Writer
}

func newBench(t *testing.T, edit func(*Config), settings ...func(*provider.Config)) *bench {
	t.Helper()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	b := &bench{log: &bytes.Buffer{}, m: pki.Platform(evidencetest.HealthyPlatform())}
	source, err := collateral.NewStatic(&collateral.Bundle{Intel: []*collateral.Intel{pki.Collateral(b.m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)})}})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	master, err := keys.NewMasterKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	clock := func() time.Time { return now }
	b.settings = provider.Config{
		Store:     db,
		Signing:   keys.Config{Master: master, Random: rand.Reader},
		URL:       issuer,
		Defaults:  provider.Defaults{Concurrent: 4},
		Baselines: source.List,
		Poll:      time.Hour,
		Now:       clock,
		Log:       log,
	}
	b.db = db
	secret, verifier, err := ledger.NewKey(rand.Reader, "attest.example.org")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	outside, err := anchor.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	checkpointKey, err := note.NewVerifier(verifier)
	if err != nil {
		t.Fatal(err)
	}
	b.ledger, err = ledger.NewWriter(t.Context(),
		ledger.Config{Store: db, Outside: outside, Signer: signer, Keys: ledger.Keys{checkpointKey},
			Checkpoint: time.Hour, Queue: 1000, Now: clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.ledger.Close(context.Background()) })
	b.settings.Store = b.ledger.Guard(db)
	sum := sha256.Sum256([]byte(adminToken))
	admin, err := auth.NewStaticToken("administrator", hex.EncodeToString(sum[:]), "owner", []string{"*"},
		time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Appraiser: &appraisal.Appraiser{
			Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
			Collateral: source,
			Random:     rand.Reader,
		},
		Baselines: source.List, Health: Health{Held: source.Items, Ready: db.Ping},
		Limits: edge.Limits{Body: 64 << 10, Concurrent: 4, Time: 5 * time.Second, Shutdown: time.Second},
		Log:    log, Metrics: telemetry.New(nil),
		Now: clock, Version: "test", Store: db, Sealer: master, Ledger: b.ledger,
		CheckpointKey: verifier,
	}
	if edit != nil {
		edit(&cfg)
	}
	b.settings.Now = cfg.Now
	b.settings.Defaults.Concurrent = cfg.Limits.Concurrent
	for _, f := range settings {
		f(&b.settings)
	}
	if b.registry, err = provider.New(t.Context(), b.settings); err != nil {
		t.Fatal(err)
	}
	cfg.Registry = b.registry
	cfg.Vault = b.newVault(t, master, cfg.Now)
	if cfg.Callers.Auth == nil {
		cfg.Callers.Auth = auth.New(auth.Config{Tokens: func() []auth.StaticToken {
			return append(b.registry.Tokens(), admin)
		}, Now: clock})
	}
	b.server = New(cfg)
	if b.handler, err = traffic.Record(b.server); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) do(method, target, body string) *httptest.ResponseRecorder {
	return b.serve(newRequest(method, target, body))
}

func newRequest(method, target, body string) *http.Request {
	return httptest.NewRequest(method, target, strings.NewReader(body))
}

func (b *bench) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

func (b *bench) quote() string { return b.quoteOf(canary) }

// quoteOf is a quote that binds runtime data.
func (b *bench) quoteOf(runtime string) string {
	e := evidencetest.DemoEnclave()
	e.ReportData = evidencetest.BindData([]byte(runtime))
	return base64.RawURLEncoding.EncodeToString(b.m.Quote(evidencetest.QuoteConfig{Enclave: e}))
}

type errorDocument struct {
	Error struct {
		Code, Message string
		Details       []edge.Detail
	}
}

func decodeError(t *testing.T, w *httptest.ResponseRecorder) errorDocument {
	t.Helper()
	var doc errorDocument
	if err := json.Unmarshal(w.Body.Bytes(), &doc, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return doc
}

const sgxPath = "/attest/SgxEnclave?api-version=2022-08-01"

func TestErrorDocuments(t *testing.T) {
	b := newBench(t, nil)
	quote := b.quote()
	data := base64.RawURLEncoding.EncodeToString([]byte("other"))
	for name, tc := range map[string]struct {
		method, target, body string
		status               int
		code, check          string
	}{
		"unknown route": {"GET", "/", "", 404, "ResourceNotFound", "request.path"},
		"unknown route below one": {
			"POST", "/attest/SgxEnclave/x?api-version=2022-08-01", "", 404, "ResourceNotFound",
			"request.path",
		},
		"type missing": {
			"POST", "/attest/?api-version=2022-08-01", "", 404, "ResourceNotFound", "request.path",
		},
		"wrong method": {"GET", sgxPath, "", 405, "MethodNotAllowed", ""},
		"no api-version": {
			"POST", "/attest/SgxEnclave", `{}`, 400, "InvalidParameter", "request.api-version",
		},
		"unknown api-version": {
			"POST", "/attest/SgxEnclave?api-version=2019-01-01", `{}`, 400, "InvalidParameter",
			"request.api-version",
		},
		"unknown type": {
			"POST", "/attest/SgxEnclaves?api-version=2022-08-01", `{}`, 400, "InvalidParameter",
			"request.attestation-type",
		},
		"empty body":           {"POST", sgxPath, "", 400, "InvalidParameter", "request.body"},
		"body of another form": {"POST", sgxPath, "[]", 400, "InvalidParameter", "request.body"},
		"no quote":             {"POST", sgxPath, "{}", 400, "InvalidParameter", "request.body"},
		"report under SGX": {
			"POST", sgxPath, `{"report":"AAAA"}`, 400, "InvalidParameter", "request.body",
		},
		"both forms of data": {
			"POST", sgxPath, `{"quote":"AAAA","runtimeData":{"data":"QQ"},"enclaveHeldData":"QQ"}`,
			400, "InvalidParameter", "request.body",
		},
		"body over the limit": {
			"POST", sgxPath, strings.Repeat(" ", 64<<10+1), 413, "RequestTooLarge", "request.size",
		},
		"damaged evidence": {
			"POST", sgxPath, `{"quote":"AAAA"}`, 400, "InvalidParameter", "dcap.quote.format",
		},
		"other runtime data": {
			"POST", sgxPath, `{"quote":"` + quote + `","runtimeData":{"data":"` + data + `"}}`, 400,
			"InvalidParameter", "sgx.report-data.runtime-data",
		},
		"draft that denies": {
			"POST", sgxPath,
			`{"quote":"` + quote +
				`","draftPolicyForAttestation":"version=1.0;authorizationrules{=> deny();};"}`,
			400, "PolicyEvaluationError", "policy",
		},
		"draft that does not parse": {
			"POST", sgxPath, `{"quote":"` + quote + `","draftPolicyForAttestation":"nonsense"}`, 400,
			"PolicyParsingError", "policy.syntax",
		},
		"policy without a token": {
			"GET", "/policies/SgxEnclave?api-version=2022-08-01", "", 401, "Unauthorized", "",
		},
		"policy of an unknown type": {
			"GET", "/policies/Nothing?api-version=2022-08-01", "", 400, "InvalidParameter",
			"request.attestation-type",
		},
		"baselines of a TPM": {
			"GET", "/tcbbaselines/Tpm?api-version=2025-06-01", "", 400, "InvalidParameter",
			"request.attestation-type",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := b.do(tc.method, tc.target, tc.body)
			doc := decodeError(t, w)
			if w.Code != tc.status || doc.Error.Code != tc.code || doc.Error.Message == "" ||
				w.Header().Get("x-ms-error-code") != tc.code {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if tc.check != "" && (len(doc.Error.Details) == 0 || doc.Error.Details[0].Check != tc.check) {
				t.Errorf("details = %+v, want check %s", doc.Error.Details, tc.check)
			}
			if w.Header().Get("Content-Type") != "application/json; charset=utf-8" ||
				w.Header().Get("x-ms-request-id") == "" {
				t.Errorf("headers = %v", w.Header())
			}
		})
	}
}

func TestASuccessfulAttestation(t *testing.T) {
	b := newBench(t, nil)
	body := `{"quote":"` + b.quote() + `","runtimeData":{"data":"` +
		base64.RawURLEncoding.EncodeToString([]byte(canary)) + `"},"nonce":"` + canary + `"}`
	w := b.do("POST", sgxPath, body)
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"token":"ey`) ||
		w.Header().Get("x-ms-maa-service-version") != "test" {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	token := strings.TrimSuffix(strings.TrimPrefix(w.Body.String(), `{"token":"`), `"}`)
	metrics := b.do("GET", "/metrics", "").Body.String()
	for _, place := range []string{b.log.String(), metrics} {
		for _, secret := range []string{
			canary, base64.RawURLEncoding.EncodeToString([]byte(canary)), token[:80], b.quote()[:80],
		} {
			if strings.Contains(place, secret) {
				t.Errorf("what must stay secret is in:\n%s", place)
			}
		}
	}
	if !strings.Contains(metrics, `probity_attestations_total{check="accepted",type="SgxEnclave"} 1`) {
		t.Error("the attestation was not counted")
	}
}

func TestATrustDomain(t *testing.T) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	source, err := collateral.NewStatic(&collateral.Bundle{Intel: []*collateral.Intel{pki.Collateral(m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)})}})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(c *Config) {
		c.Appraiser = &appraisal.Appraiser{
			Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
			Collateral: source,
			Random:     rand.Reader,
		}
	})
	runtime := `{"keys":[]}`
	td := evidencetest.HealthyTD()
	td.ReportData = evidencetest.BindData([]byte(runtime))
	encode := base64.RawURLEncoding.EncodeToString
	body := func(data string) string {
		return `{"quote":"` + encode(m.Quote(evidencetest.QuoteConfig{TD: td})) +
			`","runtimeData":{"data":"` + encode([]byte(data)) + `","dataType":"JSON"},"nonce":"n"}`
	}
	const path = "/attest/TdxVm?api-version=2025-06-01"
	w := b.do("POST", path, body(runtime))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"x-ms-attestation-type":"tdxvm"`, `"attester_tcb_status":"UpToDate"`,
		`"tdx_td_attributes_debug":false`, `"x-ms-runtime":{"keys":[]}`, `"nonce":"n"`,
	} {
		if !strings.Contains(string(payload), want) {
			t.Errorf("the token lacks %s:\n%s", want, payload)
		}
	}
	doc := decodeError(t, b.do("POST", path, body(`{"keys":[1]}`)))
	if len(doc.Error.Details) == 0 || doc.Error.Details[0].Check != "tdx.report-data.runtime-data" {
		t.Errorf("other runtime data: %+v", doc)
	}
	if doc := decodeError(t, b.do("POST", sgxPath, body(runtime))); len(doc.Error.Details) == 0 ||
		doc.Error.Details[0].Check != "dcap.quote.tee" {
		t.Errorf("a TD as an enclave: %+v", doc)
	}
}

func TestDocuments(t *testing.T) {
	b := newBench(t, nil)
	for target, want := range map[string]string{
		"/.well-known/openid-configuration":  `"jwks_uri":"https://attest.example.org/certs"`,
		"/.WELL-KNOWN/OpenID-Configuration/": `"issuer":"https://attest.example.org"`,
		"/certs":                             `"x5c":["`,
		"/healthz":                           `"status":"ok"`,
		"/readyz":                            `"held":1`,
		"/readyz?for=attestation":            `"status":"ready"`,
		"/readyz?for=changes":                `"status":"ready"`,
		"/metrics":                           "probity_attestations_turned_away_total",

		"/tcbbaselines/SgxEnclave?api-version=2025-06-01": `{"tcbBaselines":[{"tcbIdentifier":"20",` +
			`"tcbEvaluationDataNumber":20,"tcbReleaseDate":"","minimumPswLinuxVersion":"",` +
			`"minimumPswWindowsVersion":"","isSelectedTcb":true}]}`,
		"/tcbbaselines/TdxVm?api-version=2025-06-01": `{"tcbBaselines":[]}`,
	} {
		if w := b.do("GET", target, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestTheProviderDecidesWhichTCBPasses(t *testing.T) {
	b := newBench(t, nil, func(c *provider.Config) { c.Defaults.TCB = "OutOfDate" })
	doc := decodeError(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
	if doc.Error.Details[0].Check != "dcap.tcb.status" || doc.Error.Details[0].Expected != "OutOfDate" ||
		doc.Error.Details[0].Found == "" {
		t.Errorf("error = %+v", doc)
	}
}

// stuck is a verifier that waits until it is released or cancelled.
type stuck struct{ entered, release chan struct{} }

func (stuck) Kind() evidence.Kind { return evidence.SGXEnclave }

func (s stuck) Verify(ctx context.Context, _ evidence.Evidence) (*evidence.Result, error) {
	s.entered <- struct{}{}
	select {
	case <-s.release:
		return &evidence.Result{}, nil
	case <-ctx.Done():
		return &evidence.Result{}, ctx.Err()
	}
}

func TestTooManyAtOnceAreTurnedAway(t *testing.T) {
	s := stuck{make(chan struct{}, 1), make(chan struct{})}
	b := newBench(t, func(c *Config) {
		c.Limits.Concurrent = 1
		c.Appraiser = &appraisal.Appraiser{Verifiers: []evidence.Verifier{s}, Random: rand.Reader}
	})
	done := make(chan int)
	go func() { done <- b.do("POST", sgxPath, `{"quote":"AAAA"}`).Code }()
	<-s.entered
	w := b.do("POST", sgxPath, `{"quote":"AAAA"}`)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	close(s.release)
	if code := <-done; code != 200 {
		t.Errorf("the first one was answered %d", code)
	}
}

// A client that sends its body slowly must not keep others out.
func TestSlowSendersTakeNoPlace(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits.Concurrent = 1 })
	body, send := io.Pipe()
	done := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, httptest.NewRequest("POST", sgxPath, body))
		done <- w.Code
	}()
	if _, err := send.Write([]byte(`{"quote":"`)); err != nil { // returns when the server has read it
		t.Fatal(err)
	}
	if w := b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`); w.Code != 200 {
		t.Errorf("beside a slow sender: %d %s", w.Code, w.Body)
	}
	send.Close()
	if code := <-done; code != 400 {
		t.Errorf("the body that ends early was answered %d", code)
	}
}

func TestARequestEndsWhenItsTimeIsUp(t *testing.T) {
	s := stuck{make(chan struct{}, 1), make(chan struct{})}
	b := newBench(t, func(c *Config) {
		c.Limits.Time = 20 * time.Millisecond
		c.Appraiser = &appraisal.Appraiser{Verifiers: []evidence.Verifier{s}, Random: rand.Reader}
	})
	w := b.do("POST", sgxPath, `{"quote":"AAAA"}`)
	if w.Code != 503 || decodeError(t, w).Error.Code != "RequestTimeout" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type failing struct{ err error }

func (failing) Kind() evidence.Kind { return evidence.SGXEnclave }

func (f failing) Verify(context.Context, evidence.Evidence) (*evidence.Result, error) {
	if f.err == nil {
		panic("secret of the implementation at /srv/path")
	}
	return &evidence.Result{}, f.err
}

func TestInternalErrorsLeakNothing(t *testing.T) {
	for name, f := range map[string]failing{
		"error": {errors.New("secret of the implementation at /srv/path")}, "panic": {nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(c *Config) {
				c.Appraiser = &appraisal.Appraiser{Verifiers: []evidence.Verifier{f}, Random: rand.Reader}
			})
			w := b.do("POST", sgxPath, `{"quote":"AAAA"}`)
			if w.Code != 500 || strings.Contains(w.Body.String(), "secret") ||
				strings.Contains(w.Body.String(), ".go") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if !strings.Contains(b.log.String(), "secret of the implementation") {
				t.Error("the log lacks the reason")
			}
		})
	}
}

func TestAServiceWithoutItsDatabaseIsReadyToAttest(t *testing.T) {
	gone := func(context.Context) error { return errors.New("gone at 10.1.2.3") }
	b := newBench(t, func(c *Config) { c.Health.Ready, c.Health.Changes = gone, gone })
	w := b.do("GET", "/readyz", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"what":"database"`) ||
		strings.Contains(w.Body.String(), "10.1.2.3") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.do("GET", "/readyz?for=changes", ""); w.Code != 503 || w.Header().Get("Retry-After") == "" ||
		strings.Contains(w.Body.String(), "10.1.2.3") {
		t.Errorf("for changes: %d %s", w.Code, w.Body)
	}
	for _, query := range []string{"?for=", "?for=everything", "?for=changes&for=attestation"} {
		if w := b.do("GET", "/readyz"+query, ""); w.Code != 400 {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if w := b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`); w.Code != 200 {
		t.Errorf("attestations stopped: %d %s", w.Code, w.Body)
	}
}

func TestAFixedTimeIsSaidInEveryAnswer(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.AppraisalTime = now.AddDate(0, 0, 1)
		c.Now = func() time.Time { return now.AddDate(9, 0, 0) }
	})
	w := b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`)
	if w.Code != 200 || w.Header().Get("x-probity-appraisal-time") == "" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(w.Body.String(), ".")[1])
	if !strings.Contains(string(payload), `"iat":2056363195`) { // 2035
		t.Errorf("the token is not of today: %s", payload)
	}
}

func TestBodiesThatEndEarly(t *testing.T) {
	b := newBench(t, nil)
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w,
		httptest.NewRequest("POST", sgxPath, io.MultiReader(strings.NewReader(`{"quote":`), brokenReader{})))
	if w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
