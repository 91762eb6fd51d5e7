package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
)

const policyPath = "/policies/SgxEnclave"
const apiVersion = "?api-version=2022-08-01"

// admin sends a request with the administrator's token.
func (b *bench) admin(method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+adminToken)
	b.handler.ServeHTTP(w, r)
	return w
}

// claims returns the payload of the token in an answer.
func answered(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var answer struct{ Token string }
	err := json.Unmarshal(w.Body.Bytes(), &answer, json.MatchCaseInsensitiveNames(true))
	if err != nil || w.Code != 200 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	_, payload, err := token.Decode(answer.Token)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(payload, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func wrap(t *testing.T, text string) string {
	t.Helper()
	jws, err := policyjws.Wrap(rand.Reader, text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

const denySVN = `version=1.0;authorizationrules{[type=="x-ms-sgx-svn", value>=9] => permit();};`

func TestAPolicyIsSetReadAppliedAndReset(t *testing.T) {
	b := newBench(t, nil)
	attest := `{"quote":"` + b.quote() + `"}`
	jws := wrap(t, denySVN)
	for name, body := range map[string]string{
		"bare": jws, "with white space": " \n" + jws + "\r\n", "as a JSON string": `"` + jws + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			got := answered(t, b.admin("PUT", policyPath+apiVersion, body))
			submitted, err := policyjws.Parse(jws)
			if err != nil {
				t.Fatal(err)
			}
			if got["x-ms-policy-result"] != "Updated" || got["x-ms-policy-token-hash"] != submitted.Hash() ||
				got["x-ms-policy-signer"] != nil {
				t.Errorf("answer = %v", got)
			}
			if got := answered(t, b.admin("GET", policyPath+apiVersion, "")); got["x-ms-policy"] != jws {
				t.Errorf("the policy does not come back byte for byte: %v", got)
			}
			doc := decodeError(t, b.do("POST", sgxPath, attest))
			if doc.Error.Code != "PolicyEvaluationError" ||
				!strings.Contains(doc.Error.Message, "claim x-ms-sgx-svn is 3") || len(doc.Error.Details) != 1 {
				t.Errorf("error = %+v", doc)
			}
			if got := answered(
				t, b.admin("POST", policyPath+":reset"+apiVersion, policyjws.NoPolicy),
			); got["x-ms-policy-result"] != "Removed" || got["x-ms-policy-token-hash"] != nil {
				t.Errorf("answer = %v", got)
			}
			if w := b.do("POST", sgxPath, attest); w.Code != 200 {
				t.Errorf("after the reset: %d %s", w.Code, w.Body)
			}
			standard := answered(t, b.admin("GET", "/Policies/sgxenclave"+apiVersion, ""))["x-ms-policy"].(string)
			if in, err := policyjws.Parse(standard); err != nil || in.Text != policy.Default("SgxEnclave") {
				t.Errorf("after the reset the policy is %q, %v", standard, err)
			}
		})
	}
	if w := b.admin("POST", policyPath+"%3Areset"+apiVersion, policyjws.NoPolicy); w.Code != 200 {
		t.Errorf("an escaped colon: %d %s", w.Code, w.Body)
	}
}

func TestASignerIsEchoed(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, nil)
	permit := "version=1.0;authorizationrules{=> permit();};"
	rsaCert, err := token.InstanceCertificate(rand.Reader, "signer", rsaKey, now)
	if err != nil {
		t.Fatal(err)
	}
	ecCert, err := token.InstanceCertificate(rand.Reader, "signer", ecKey, now)
	if err != nil {
		t.Fatal(err)
	}
	byRSA, err := policyjws.Wrap(rand.Reader, permit, rsaKey, []*x509.Certificate{rsaCert})
	if err != nil {
		t.Fatal(err)
	}
	byEC, err := policyjws.Wrap(rand.Reader, permit, ecKey, []*x509.Certificate{ecCert})
	if err != nil {
		t.Fatal(err)
	}
	for kty, jws := range map[string]string{"RSA": byRSA, "EC": byEC} {
		signer, _ := answered(t, b.admin("PUT", policyPath+apiVersion, jws))["x-ms-policy-signer"].(map[string]any)
		if signer["kty"] != kty || signer["use"] != "sig" || signer["x5c"] == nil {
			t.Errorf("%s: signer = %v", kty, signer)
		}
		attested := answered(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
		inToken, _ := attested["x-ms-policy-signer"].(map[string]any)
		jwk, _ := inToken["jwk"].(map[string]any)
		// Azure documents the member jwk; its SDKs read the key's members beside it.
		if jwk["kty"] != kty || inToken["kty"] != kty || inToken["x5c"] == nil {
			t.Errorf("%s: the token's signer = %v", kty, inToken)
		}
	}
}

func TestAPolicyThatIsRefusedLeavesTheOldOneInForce(t *testing.T) {
	b := newBench(t, nil)
	old := wrap(t, denySVN)
	answered(t, b.admin("PUT", policyPath+apiVersion, old))
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","x5c":["AAAA"]}`)) + "." + strings.Split(old, ".")[1] + "."
	for name, tc := range map[string]struct{ body, code, check string }{
		"nothing":            {"", "InvalidOperation", "policy.jws"},
		"no JWS":             {"version=1.0;", "InvalidOperation", "policy.jws"},
		"half a JSON string": {`"` + old, "InvalidOperation", "policy.jws"},
		"payload is no policy": {
			encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(`{}`)) + ".",
			"InvalidOperation",
			"policy.jws",
		},
		"certificate is none":  {signed, "InvalidOperation", "policy.jws"},
		"signature under none": {old + "AAAA", "InvalidOperation", "policy.jws"},
		"does not parse": {
			wrap(t, "version=1.0;\nauthorizationrules{=> allow(); [typ==\"x\"] => deny();};"),
			"PolicyParsingError",
			"policy.syntax",
		},
		"empty policy": {policyjws.NoPolicy, "PolicyParsingError", "policy.syntax"},
		"baseline without means": {
			wrap(t, `version=1.1;configurationrules{=> issueproperty(type="x-ms-sgx-tcbidentifier", `+
				`value="7");};authorizationrules{=> permit();};`),
			"InvalidParameter",
			"policy.tcb-identifier",
		},
		"the service's own claims": {
			wrap(t,
				`version=1.0;authorizationrules{=> permit();};issuancerules{=> issue(type="exp", value=9);};`),
			"PolicyParsingError",
			"policy.syntax",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := b.admin("PUT", policyPath+apiVersion, tc.body)
			doc := decodeError(t, w)
			if w.Code != 400 || doc.Error.Code != tc.code || doc.Error.Details[0].Check != tc.check {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if got := answered(t, b.admin("GET", policyPath+apiVersion, "")); got["x-ms-policy"] != old {
				t.Error("another policy is in force")
			}
		})
	}
	doc := decodeError(t, b.admin("PUT", policyPath+apiVersion,
		wrap(t, "version=1.0;\nauthorizationrules{=> allow(); [typ==\"x\"] => deny();};")))
	if len(doc.Error.Details) != 2 || doc.Error.Details[0].Line != 2 || doc.Error.Details[1].Column != 33 {
		t.Errorf("not every diagnostic with its place: %+v", doc.Error.Details)
	}
}

// brokenStore keeps no change.
type brokenStore struct {
	store.Store
	err error
}

func (s brokenStore) Update(context.Context, string, string, func(store.Tx) error) error {
	return s.err
}

func TestAStoreThatFailsChangesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		status int
	}{
		"permanently": {errors.New("disk full"), 500},
		"for a while": {fmt.Errorf("disk full: %w", store.ErrUnavailable), 503},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			settings := b.settings
			settings.Store = brokenStore{b.db, tc.err}
			var err error
			if b.registry, err = provider.New(t.Context(), settings); err != nil {
				t.Fatal(err)
			}
			cfg := b.server.cfg
			cfg.Registry = b.registry
			b.server = New(cfg)
			b.handler = b.server
			for _, w := range []*httptest.ResponseRecorder{
				b.admin("PUT", policyPath+apiVersion, wrap(t, denySVN)),
				b.admin("POST", policyPath+":reset"+apiVersion, policyjws.NoPolicy),
			} {
				if w.Code != tc.status || strings.Contains(w.Body.String(), "disk") ||
					(w.Header().Get("Retry-After") != "") != (tc.status == 503) {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
			if w := b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestOnlyTheAdministratorManagesPolicies(t *testing.T) {
	jws := wrap(t, denySVN)
	for name, tc := range map[string]struct {
		edit   func(*Config)
		header string
	}{
		"anonymous":              {nil, ""},
		"another token":          {nil, "Bearer administrator-of-the-tesu"},
		"a prefix":               {nil, "Bearer " + adminToken[:10]},
		"another scheme":         {nil, "Basic " + adminToken},
		"token without a scheme": {nil, adminToken},
		"empty token":            {nil, "Bearer "},
		"no token is configured": {
			func(c *Config) { c.Callers.Auth = auth.New(auth.Config{Now: time.Now}) }, "Bearer " + adminToken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tc.edit)
			for _, request := range [][3]string{
				{"PUT", policyPath + apiVersion, jws},
				{"POST", policyPath + ":reset" + apiVersion, policyjws.NoPolicy},
				{"GET", policyPath + apiVersion, ""},
			} {
				r := httptest.NewRequest(request[0], request[1], strings.NewReader(request[2]))
				r.Header.Set("Authorization", tc.header)
				w := httptest.NewRecorder()
				b.handler.ServeHTTP(w, r)
				if w.Code != 401 || decodeError(t, w).Error.Code != "Unauthorized" ||
					w.Header().Get("WWW-Authenticate") == "" {
					t.Errorf("%s: %d %s", request[0], w.Code, w.Body)
				}
				if tc.header != "" && strings.Contains(b.log.String(), adminToken[:10]) {
					t.Error("the token is in the log")
				}
			}
		})
	}
}

func TestADenialIsExplainedIfTheProviderAllows(t *testing.T) {
	b := newBench(t, nil, func(c *provider.Config) { c.Defaults.Explain = true })
	answered(t, b.admin("PUT", policyPath+apiVersion, wrap(t, denySVN)))
	doc := decodeError(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
	if len(doc.Error.Details) != 2 || doc.Error.Details[1].Check != "policy.rule" ||
		!strings.Contains(doc.Error.Details[1].Found, "claim x-ms-sgx-svn is 3") {
		t.Errorf("details = %+v", doc.Error.Details)
	}
}

func TestPropertiesSteerTheToken(t *testing.T) {
	b := newBench(t, nil)
	put := func(rules string) {
		answered(t, b.admin("PUT", policyPath+apiVersion,
			wrap(t, "version=1.0;authorizationrules{=> permit();};issuancerules{"+rules+"};")))
	}
	lifetime := func() float64 {
		c := answered(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
		return c["exp"].(float64) - c["iat"].(float64)
	}
	for rules, want := range map[string]float64{
		"": 28800,
		`=> issueproperty(type="report_validity_in_minutes", value=10);`:     600,
		`=> issueproperty(type="report_validity_in_minutes", value=525600);`: 28800,
		`=> issueproperty(type="report_validity_in_minutes", value=-5);`:     28800,
	} {
		if put(rules); lifetime() != want {
			t.Errorf("%s: %v seconds, want %v", rules, lifetime(), want)
		}
	}
	for rules, want := range map[string]string{
		`=> issueproperty(type="omit_x5c", value=false);`: `"x5c":["`,
		`=> issueproperty(type="omit_x5c", value=true);`:  `"x5t":"`,
	} {
		put(rules)
		body := b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`).Body.String()
		header, _ := base64.RawURLEncoding.DecodeString(
			strings.Split(strings.TrimPrefix(body, `{"token":"`), ".")[0],
		)
		if !strings.Contains(string(header), want) {
			t.Errorf("%s: header %s", rules, header)
		}
	}
}

func TestNoTokenOutlivesTheCap(t *testing.T) {
	const resource = "/subscriptions/probity/resourceGroups/default/providers/Microsoft.Attestation/attes" +
		"tationProviders/default"
	b := newBench(t, nil)
	for _, minutes := range []int{60, 0} {
		want := map[int]float64{60: 3600, 0: 28800}[minutes]
		object(t, b.admin("PATCH", resource+apiVersion,
			fmt.Sprintf(`{"properties":{"probity":{"maxTokenValidityMinutes":%d}}}`, minutes)), 200)
		for _, rules := range []string{
			"", `=> issueproperty(type="report_validity_in_minutes", value=525600);`,
			`=> issueproperty(type="report_validity_in_minutes", value=-5);`,
		} {
			answered(t, b.admin("PUT", policyPath+apiVersion,
				wrap(t, "version=1.0;authorizationrules{=> permit();};issuancerules{"+rules+"};")))
			c := answered(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
			if got := c["exp"].(float64) - c["iat"].(float64); got != want {
				t.Errorf("cap of %d minutes, %s: %v seconds, want %v", minutes, rules, got, want)
			}
		}
	}
}

func TestPoliciesChangeWhileRequestsRun(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits.Concurrent = 64 })
	jws, attest := wrap(t, denySVN), `{"quote":"`+b.quote()+`"}`
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				if w := b.do("POST", sgxPath, attest); w.Code != 200 && w.Code != 400 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
		all.Go(func() {
			for range 10 {
				b.admin("PUT", policyPath+apiVersion, jws)
				b.admin("POST", policyPath+":reset"+apiVersion, policyjws.NoPolicy)
			}
		})
	}
	all.Wait()
	if w := b.do("POST", sgxPath, attest); w.Code != 200 {
		t.Errorf("after the last reset: %d %s", w.Code, w.Body)
	}
}
