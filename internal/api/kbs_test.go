package api

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/test/kit/kbstest"
)

func contains(s, word string) bool { return strings.Contains(s, word) }

// kinds are the kinds of guests, with a claim of the token and its value.
var kinds = map[string][2]string{
	"snp":         {"x-ms-attestation-type", "sevsnpvm"},
	"tdx":         {"x-ms-attestation-type", "tdxvm"},
	"az-snp-vtpm": {"x-ms-isolation-tee.x-ms-attestation-type", "sevsnpvm"},
	"az-tdx-vtpm": {"x-ms-isolation-tee.x-ms-attestation-type", "tdxvm"},
	"tpm":         {"x-ms-attestation-type", "tpm"},
}

func TestGuestsOfEachKindGetTheirResources(t *testing.T) {
	for tee, claim := range kinds {
		t.Run(tee, func(t *testing.T) {
			c := newCoco(t, "")
			c.resource(t, "disk", "the passphrase", claim[0], claim[1])
			session, token := c.attest(t, tee)
			for name, w := range map[string]*httptest.ResponseRecorder{
				"cookie": c.get(session, "default/key/disk"),
				"bearer": c.get(nil, "default/key/disk", bearer(token)),
			} {
				secret, err := c.guest.Open(w.Body.Bytes())
				if err != nil || w.Code != 200 || string(secret) != "the passphrase" {
					t.Errorf("%s: %q %v: %s", name, secret, err, w.Body)
				}
				if contains(w.Body.String(), base64.RawURLEncoding.EncodeToString([]byte("the passphrase"))) {
					t.Errorf("%s: in the clear", name)
				}
			}
			var claims struct {
				Guest struct {
					TEE string            `json:"tee"`
					Key map[string]string `json:"tee-pubkey"`
				} `json:"x-probity-kbs"`
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
			if err == nil {
				err = json.Unmarshal(payload, &claims)
			}
			if err != nil || claims.Guest.TEE != tee || claims.Guest.Key["x"] != c.guest.JWK["x"] {
				t.Errorf("%v: %s", err, payload)
			}
			if contains(c.log.String(), "passphrase") || contains(c.log.String(), token) {
				t.Error("the secret or the token is in the log")
			}
		})
	}
}

func TestCookiesOfSessions(t *testing.T) {
	c := newCoco(t, "")
	first, _ := c.auth(t, "0.4.0", "snp")
	second, _ := c.attest(t, "az-tdx-vtpm")
	for _, w := range []*httptest.ResponseRecorder{first, second} {
		list := w.Result().Cookies()
		if len(list) != 1 || list[0].Name != "kbs-session-id" || !list[0].HttpOnly || !list[0].Secure ||
			list[0].Path != "" || !list[0].Expires.Equal(now.Add(5*time.Minute)) {
			t.Errorf("%+v", list)
		}
		// Browsers and curl take 4096 bytes; stock guests take more.
		if n := len(list[0].String()); n > 8<<10 {
			t.Errorf("a cookie of %d bytes", n)
		}
	}
}

func TestOlderGuests(t *testing.T) {
	c := newCoco(t, "")
	c.resource(t, "disk", "s", "x-ms-attestation-type", "sevsnpvm")
	w, nonce := c.auth(t, "0.2.0", "snp")
	var field [64]byte
	copy(field[:], c.guest.ReportData("0.2.0", nonce))
	e := kbstest.SNP(c.chip.Report(evidencetest.ReportConfig{ReportData: field}),
		append(c.chip.PEM(), c.amd.Chain(false)...), true)
	w = c.with(w, "POST", at+"/kbs/v0/attest", c.guest.Attest("0.2.0", nonce, e, nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if secret, err := c.guest.Open(c.get(w,
		"default/key/disk").Body.Bytes()); err != nil || string(secret) != "s" {
		t.Errorf("%q %v", secret, err)
	}
}

func TestInitDataOfGuests(t *testing.T) {
	const text = "algorithm = \"sha384\"\nversion = \"0.1.0\"\n"
	for name, tc := range map[string]struct {
		tee  string
		host []byte
		ok   bool
	}{
		"SNP by SHA-256":           {"snp", sum256(text), true},
		"SNP by SHA-384, cut":      {"snp", sum384(text)[:32], true},
		"TDX by SHA-256 and zeros": {"tdx", sum256(text), true},
		"TDX by SHA-384":           {"tdx", sum384(text), true},
		"SNP of others":            {"snp", sum256("x"), false},
		"SNP without":              {"snp", nil, false},
		"TDX of others":            {"tdx", sum384("x"), false},
		"TDX by a prefix":          {"tdx", sum384(text)[:32], false},
		"Azure without":            {"az-snp-vtpm", nil, false},
		"a TPM without":            {"tpm", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCoco(t, "")
			w, nonce := c.auth(t, "0.4.0", tc.tee)
			e := c.evidenceOf(t, tc.tee, c.guest.ReportData("0.4.0", nonce), tc.host)
			init := text
			w = c.with(w, "POST", at+"/kbs/v0/attest", c.guest.Attest("0.4.0", nonce, e, &init))
			if !tc.ok {
				wantProblem(t, name, w, 401, "AttestationError", "kbs.init-data")
			} else if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	t.Run("register 8", func(t *testing.T) {
		c := newCoco(t, "")
		register := sum256(string(make([]byte, 32)) + string(sum256(text)))
		copy(c.boot.PCRs[8][:], register)
		w, nonce := c.auth(t, "0.4.0", "az-snp-vtpm")
		e := c.evidenceOf(t, "az-snp-vtpm", c.guest.ReportData("0.4.0", nonce), nil)
		init := text
		if w = c.with(w, "POST", at+"/kbs/v0/attest", c.guest.Attest("0.4.0", nonce, e, &init)); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// TestAttestationsThatAreRefused begins a session as a stock guest, and then attests in other ways.
func TestAttestationsThatAreRefused(t *testing.T) {
	c := newCoco(t, "")
	other := kbstest.NewEC(elliptic.P256())
	c.provider(t, "second", `"probity":{"vault":{"anonymousRelease":true}}`)
	debug := func(reportData []byte) any {
		cfg := evidencetest.ReportConfig{Policy: 0xb0000}
		copy(cfg.ReportData[:], reportData)
		return kbstest.SNP(c.chip.Report(cfg), append(c.chip.PEM(), c.amd.Chain(false)...), false)
	}
	type send struct {
		session *httptest.ResponseRecorder
		nonce   string
		data    []byte // the report data of c.guest in the session
		path    string
		body    []byte
		edit    []func(*http.Request)
	}
	message := func(tee string, data func(s *send) []byte) func(*send) {
		return func(s *send) {
			s.body = c.guest.Attest("0.4.0", s.nonce, c.evidenceOf(t, tee, data(s), nil), nil)
		}
	}
	right := func(s *send) []byte { return s.data }
	for name, tc := range map[string]struct {
		tee    string
		edit   func(*send)
		status int
		kind   string
		words  []string
	}{
		"no cookie": {"snp", func(s *send) { s.session = nil }, 401, "AttestationError",
			[]string{"kbs.session", "no cookie"}},
		"a cookie of a stranger": {"snp", func(s *send) {
			s.session = nil
			s.edit = append(s.edit,
				cookie("e30"))
		}, 401, "AttestationError", []string{"kbs.session"}},
		"a cookie of Trustee": {"snp", func(s *send) {
			s.session = nil
			s.edit = append(s.edit,
				cookie("6f5e4d3c2b1a"))
		}, 401, "AttestationError", []string{"kbs.session"}},
		"a long cookie": {"snp", func(s *send) {
			s.session = nil
			s.edit = append(s.edit,
				cookie(strings.Repeat("A", 17<<10)))
		}, 401, "AttestationError", []string{"17408 bytes"}},
		"a session that ended": {"snp", func(*send) { c.now = now.Add(6 * time.Minute) }, 401,
			"AttestationError", []string{"ended at"}},
		"at another provider": {"snp", func(s *send) { s.path = "/p/second/kbs/v0/attest" }, 401,
			"AttestationError", []string{"another provider"}},
		"of another session": {"snp", func(s *send) {
			s.session, _ = c.auth(t, "0.4.0", "snp")
		}, 401, "AttestationError", []string{"kbs.nonce"}},
		"another version than began": {"snp", func(s *send) {
			s.session, _ = c.auth(t, "0.2.0", "snp")
		}, 400, "SerdeError", []string{"kbs.attestation"}},
		"another kind than began": {"tdx", func(*send) {}, 401, "AttestationError", []string{"kbs.evidence"}},
		"no body": {"snp", func(s *send) { s.body = nil }, 400, "SerdeError",
			[]string{"kbs.attestation"}},
		"half a body": {"snp", func(s *send) { s.body = s.body[:100] }, 400, "SerdeError",
			[]string{"kbs.attestation"}},
		"a body that is too long": {"snp", func(s *send) {
			s.body = append(s.body, make([]byte,
				300<<10)...)
		}, 413, "AttestationError", []string{"request.size"}},
		"another key than the evidence binds": {"snp", func(s *send) {
			s.body = other.Attest("0.4.0", s.nonce, c.evidenceOf(t, "snp", s.data, nil), nil)
		}, 401, "AttestationError", []string{"snp.report-data.challenge"}},
		"TDX: another key": {"tdx", func(s *send) {
			s.body = other.Attest("0.4.0", s.nonce, c.evidenceOf(t, "tdx", s.data, nil), nil)
		}, 401, "AttestationError", []string{"tdx.report-data.challenge"}},
		"Azure: another key": {"az-snp-vtpm", func(s *send) {
			s.body = other.Attest("0.4.0", s.nonce, c.evidenceOf(t, "az-snp-vtpm", s.data, nil), nil)
		}, 401, "AttestationError", []string{"kbs.user-data"}},
		"Azure: another key, of version 1": {"az-snp-vtpm", func(s *send) {
			e := c.evidenceOf(t, "az-snp-vtpm", s.data, nil).(map[string]any)
			e["version"] = 1
			s.body = other.Attest("0.4.0", s.nonce, e, nil)
		}, 401, "AttestationError", []string{"azureguest.quote.nonce"}},
		"Azure TDX: another key": {"az-tdx-vtpm", func(s *send) {
			e := c.evidenceOf(t, "az-tdx-vtpm", s.data, nil).(map[string]any)
			e["version"] = 1
			s.body = other.Attest("0.4.0", s.nonce, e, nil)
		}, 401, "AttestationError", []string{"azureguest.quote.nonce"}},
		"a TPM: another key": {"tpm", func(s *send) {
			s.body = other.Attest("0.4.0", s.nonce, c.evidenceOf(t, "tpm", s.data, nil), nil)
		}, 401, "AttestationError", []string{"tpm.quote.nonce"}},
		"evidence for another nonce": {"snp", message("snp", func(*send) []byte {
			return c.guest.ReportData("0.4.0", "another nonce")
		}), 401, "AttestationError", []string{"snp.report-data.challenge"}},
		"the report data of an older version": {"snp", message("snp", func(s *send) []byte {
			return c.guest.ReportData("0.2.0", s.nonce)
		}), 401, "AttestationError", []string{"snp.report-data.challenge"}},
		"half of the report data": {"tdx", message("tdx", func(s *send) []byte { return s.data[:32] }), 401,
			"AttestationError",
			[]string{"tdx.report-data.challenge"}},
		"an altered report": {"snp", func(s *send) {
			e := c.evidenceOf(t, "snp", s.data, nil).(map[string]any)
			e["attestation_report"].(map[string]any)["guest_svn"] = 9
			s.body = c.guest.Attest("0.4.0", s.nonce, e, nil)
		}, 401, "AttestationError", []string{"snp.report.signature"}},
		"a debug guest": {"snp", func(s *send) {
			s.body = c.guest.Attest("0.4.0", s.nonce, debug(s.data), nil)
		}, 401, "AttestationError", []string{"snp.policy.debug"}},
		"Azure: the quote of another TPM": {"az-snp-vtpm", func(s *send) {
			e := c.evidenceOf(t, "az-snp-vtpm", s.data, nil).(map[string]any)
			stranger := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
			e["tpm_quote"] = kbstest.Azure(stranger, c.boot.PCRs, s.data, nil, "vcek", nil)["tpm_quote"]
			s.body = c.guest.Attest("0.4.0", s.nonce, e, nil)
		}, 401, "AttestationError", []string{"tpm.quote.signature"}},
		"Azure: registers that were not quoted": {"az-snp-vtpm", func(s *send) {
			e := c.evidenceOf(t, "az-snp-vtpm", s.data, nil).(map[string]any)
			e["tpm_quote"].(map[string]any)["pcrs"].([]string)[7] = strings.Repeat("ab", 32)
			s.body = c.guest.Attest("0.4.0", s.nonce, e, nil)
		}, 401, "AttestationError", []string{"tpm.quote.pcrs"}},
		"Azure: SNP as TDX": {"az-tdx-vtpm", func(s *send) {
			s.body = c.guest.Attest("0.4.0", s.nonce, c.evidenceOf(t, "az-snp-vtpm", s.data, nil), nil)
		}, 401, "AttestationError", []string{"td_quote"}},
		"evidence of a device": {"snp", func(s *send) {
			s.body = []byte(strings.Replace(string(s.body), `"additional_evidence":""`,
				`"additional_evidence":"{\"nvidia\":{}}"`, 1))
		}, 401, "AttestationError", []string{"kbs.additional-evidence"}},
		"a key for PKCS#1 v1.5": {"snp", func(s *send) {
			old := kbstest.NewRSA("RSA1_5")
			s.body = old.Attest("0.4.0", s.nonce, c.evidenceOf(t, "snp", old.ReportData("0.4.0", s.nonce),
				nil), nil)
		}, 401, "AttestationError", []string{"kbs.tee-pubkey"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.now = now
			begun := tc.tee
			if name == "another kind than began" {
				begun = "snp"
			}
			w, nonce := c.auth(t, "0.4.0", begun)
			s := &send{session: w, nonce: nonce, data: c.guest.ReportData("0.4.0", nonce),
				path: at + "/kbs/v0/attest"}
			message(tc.tee, right)(s)
			tc.edit(s)
			w = c.with(s.session, "POST", s.path, s.body, s.edit...)
			wantProblem(t, name, w, tc.status, tc.kind, tc.words...)
			if len(w.Result().Cookies()) > 0 {
				t.Error("a refusal with a cookie")
			}
		})
	}
	c.now = now
	for name, tc := range map[string]struct {
		body   string
		status int
		kind   string
		word   string
	}{
		"no body":          {"", 400, "SerdeError", "kbs.request"},
		"an older version": {string(kbstest.Auth("0.1.1", "snp")), 401, "AttestationError", "kbs.version"},
		"a newer version":  {string(kbstest.Auth("0.5.0", "snp")), 401, "AttestationError", "kbs.version"},
		"a sample":         {string(kbstest.Auth("0.4.0", "sample")), 401, "AttestationError", "kbs.tee"},
		"another kind":     {string(kbstest.Auth("0.4.0", "se")), 401, "AttestationError", "kbs.tee"},
		"a long message":   {strings.Repeat(" ", 300<<10), 413, "AttestationError", "request.size"},
	} {
		wantProblem(t, name, c.with(nil, "POST", at+"/kbs/v0/auth", []byte(tc.body)), tc.status, tc.kind,
			tc.word)
	}
}

func cookie(value string) func(*http.Request) {
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "kbs-session-id", Value: value}) }
}

func TestAChallengeOfAGuestIsAnsweredOnce(t *testing.T) {
	c := newCoco(t, "")
	w, nonce := c.auth(t, "0.4.0", "snp")
	body := c.guest.Attest("0.4.0", nonce, c.evidenceOf(t, "snp", c.guest.ReportData("0.4.0", nonce), nil), nil)
	if first := c.with(w, "POST", at+"/kbs/v0/attest", body); first.Code != 200 {
		t.Fatalf("%d %s", first.Code, first.Body)
	}
	wantProblem(t, "again", c.with(w, "POST", at+"/kbs/v0/attest", body), 401, "AttestationError",
		"kbs.nonce.used")
	// A refusal uses it up, too: no client tries evidence until some is accepted.
	w, nonce = c.auth(t, "0.4.0", "snp")
	bad := c.guest.Attest("0.4.0", nonce, c.evidenceOf(t, "snp", sum384("x"), nil), nil)
	wantProblem(t, "refused", c.with(w, "POST", at+"/kbs/v0/attest", bad), 401, "AttestationError", "challenge")
	body = c.guest.Attest("0.4.0", nonce, c.evidenceOf(t, "snp", c.guest.ReportData("0.4.0", nonce), nil), nil)
	wantProblem(t, "then good", c.with(w, "POST", at+"/kbs/v0/attest", body), 401, "AttestationError",
		"kbs.nonce.used")
}

func TestThePolicyOfTheProviderDecidesAboutGuests(t *testing.T) {
	c := newCoco(t, "")
	c.policy(t, evidence.SEVSNPVM,
		`version=1.0;authorizationrules{[type=="x-probity-kbs"] => permit();};issuancerules{};`)
	c.attest(t, "snp") // policies read what the evidence was made for
	c.policy(t, evidence.SEVSNPVM, `version=1.0;authorizationrules{=> deny();};issuancerules{};`)
	w, nonce := c.auth(t, "0.4.0", "snp")
	w = c.with(w, "POST", at+"/kbs/v0/attest", c.guest.Attest("0.4.0", nonce,
		c.evidenceOf(t, "snp", c.guest.ReportData("0.4.0", nonce), nil), nil))
	wantProblem(t, "denied", w, 401, "AttestationError", "policy")
	var refusals int
	for _, e := range c.entries(t) {
		if e.Type == ledger.Decision && e.Outcome == ledger.Refused && e.Check == "policy" {
			refusals++
		}
	}
	if refusals != 1 {
		t.Errorf("%d entries of the refusal", refusals)
	}
}

func TestResourcesThatAreRefused(t *testing.T) {
	c := newCoco(t, "")
	c.resource(t, "disk", "the passphrase", "x-ms-attestation-type", "sevsnpvm")
	c.resource(t, "other", "the passphrase", "x-ms-attestation-type", "tdxvm")
	put := func(name, body string) { c.vault(t, "PUT", at+"/keys/"+name, body, 200) }
	ours := fmt.Sprintf(`{"version":"1.0.0","anyOf":[{"authority":%q,"allOf":[`+
		`{"claim":"x-ms-attestation-type","equals":"sevsnpvm"}]}]}`, issuer+at)
	tag := func(path string) string { return `"tags":{"kbs-resource":"` + path + `"}` }
	const octet = `{"key":{"kty":"oct","k":"c2VjcmV0"},`
	put("default-key-plain", octet+tag("default/key/plain")+`}`)
	put("default-key-untagged", octet+`"attributes":{"exportable":true},`+policyBody(ours)+`}`)
	put("default-key-dash",
		octet+`"attributes":{"exportable":true},`+tag("default/key-dash/x")+`,`+policyBody(ours)+`}`)
	put("default-key-off",
		octet+`"attributes":{"exportable":true,"enabled":false},`+tag("default/key/off")+`,`+policyBody(ours)+`}`)
	put("default-key-past",
		octet+`"attributes":{"exportable":true,"exp":1000000000},`+tag("default/key/past")+`,`+policyBody(ours)+`}`)
	put("default-key-foreign", octet+`"attributes":{"exportable":true},`+tag("default/key/foreign")+`,`+
		policyBody(strings.ReplaceAll(ours, issuer+at, "https://other.example"))+`}`)
	c.provider(t, "second", `"probity":{"vault":{"anonymousRelease":true,"explainReleases":true}}`)
	c.provider(t, "closed", `"probity":{"vault":{"explainReleases":true}}`)
	session, token := c.attest(t, "snp")
	begun, _ := c.auth(t, "0.4.0", "snp")
	var plain, draft struct{ Token string }
	for more, out := range map[string]any{"": &plain,
		`,"draftPolicyForAttestation":"` + permitAll + `"`: &draft} {
		w := c.with(nil, "POST", at+snpPath, fmt.Appendf(nil, `{"report":%q%s}`,
			base64.RawURLEncoding.EncodeToString(
				c.chip.Evidence(c.amd, c.chip.Report(evidencetest.ReportConfig{}))), more))
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for name, tc := range map[string]struct {
		w      *httptest.ResponseRecorder
		status int
		kind   string
		word   string
	}{
		"no session":   {c.get(nil, "default/key/disk"), 401, "AttestationError", "kbs.session"},
		"not attested": {c.get(begun, "default/key/disk"), 401, "AttestationError", "has not"},
		"a cookie of a stranger": {c.get(nil, "default/key/disk", cookie("AAAA")), 401,
			"AttestationError", "kbs.session"},
		"no key": {c.get(session, "default/key/none"), 404, "InvalidRequestPath",
			"vault.exists"},
		"a name that is too long": {c.get(session, "default/key/"+strings.Repeat("x", 200)), 404,
			"InvalidRequestPath", "vault.key-name"},
		"a key without the tag": {c.get(session, "default/key/untagged"), 404, "InvalidRequestPath",
			"vault.exists"},
		"the tag of another path": {c.get(session, "default/key/dash"), 404, "InvalidRequestPath",
			"vault.exists"},
		"another case of the path": {c.get(session, "Default/key/disk"), 404, "InvalidRequestPath",
			"vault.exists"},
		"another spelling": {c.get(session, "default/key-disk/"), 404, "", ""},
		"a key that is not released": {c.get(session, "default/key/plain"), 403, "PolicyDeny",
			"release.exportable"},
		"a key that is disabled": {c.get(session, "default/key/off"), 403, "PolicyDeny",
			"release.enabled"},
		"a key that expired": {c.get(session, "default/key/past"), 403, "PolicyDeny",
			"release.enabled"},
		"another kind of guest": {c.get(session, "default/key/other"), 403, "PolicyDeny",
			"release.policy"},
		"a policy for another issuer": {c.get(session, "default/key/foreign"), 403, "PolicyDeny",
			"release.policy"},
		"bearer: another kind": {c.get(nil, "default/key/other", bearer(token)), 403, "PolicyDeny",
			"release.policy"},
		"bearer: another issuer": {c.get(nil, "default/key/foreign", bearer(token)), 401,
			"TokenVerifierError", "release.issuer"},
		"bearer: nothing": {c.get(nil, "default/key/disk", bearer("")), 401,
			"TokenVerifierError", "release.token-signature"},
		"bearer: no token": {c.get(nil, "default/key/disk", bearer("x")), 401,
			"TokenVerifierError", "release.token-signature"},
		"bearer: an altered token": {c.get(nil, "default/key/disk", bearer(token[:len(token)-4]+"AAAA")),
			401, "TokenVerifierError", "release.token-signature"},
		"bearer: of another protocol": {c.get(nil, "default/key/disk", bearer(plain.Token)), 401,
			"TokenVerifierError", "release.guest-key"},
		"bearer: of a draft policy": {c.get(nil, "default/key/disk", bearer(draft.Token)), 401,
			"TokenVerifierError", "release.token-signature"},
		"bearer: of an administrator": {c.get(nil, "default/key/disk", bearer(adminToken)), 401,
			"TokenVerifierError", "release.token-signature"},
		"bearer: at another provider": {c.with(nil, "GET", "/p/second/kbs/v0/resource/default/key/disk",
			nil, bearer(token)), 404, "InvalidRequestPath", "vault.exists"},
		"cookie at another provider": {c.with(session, "GET", "/p/second/kbs/v0/resource/default/key/disk",
			nil), 401, "AttestationError", "another provider"},
		"a provider that is closed": {c.with(nil, "GET", "/p/closed/kbs/v0/resource/default/key/disk",
			nil, bearer(token)), 403, "PolicyDeny", "kbs.enabled"},
	} {
		if tc.kind == "" {
			if tc.w.Code != tc.status {
				t.Errorf("%s: %d %s", name, tc.w.Code, tc.w.Body)
			}
			continue
		}
		wantProblem(t, name, tc.w, tc.status, tc.kind, tc.word)
		if contains(tc.w.Body.String(), "passphrase") || contains(tc.w.Body.String(), "c2VjcmV0") {
			t.Errorf("%s: the secret", name)
		}
	}
	c.now = now.Add(9 * time.Hour)
	wantProblem(t, "old", c.get(nil, "default/key/disk", bearer(token)), 401, "TokenVerifierError",
		"release.token-times")
	wantProblem(t, "old", c.get(session, "default/key/disk"), 401, "AttestationError", "ended")
	for _, method := range []string{"POST", "PUT", "DELETE"} { // the protocol's own administration is not there
		if w := c.with(session, method, at+"/kbs/v0/resource/default/key/disk", nil); w.Code != 405 {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestGuestsWaitForAPlace(t *testing.T) {
	c := newCoco(t, "")
	c.provider(t, "tight", `"probity":{"requestsPerSecond":0.01,"burst":1,"vault":{"anonymousRelease":true}}`)
	first := c.with(nil, "GET", "/p/tight/kbs/v0/resource/a/b/c", nil)
	wantProblem(t, "the first", first, 401, "AttestationError", "kbs.session")
	w := c.with(nil, "GET", "/p/tight/kbs/v0/resource/a/b/c", nil)
	wantProblem(t, "the second", w, 429, "AttestationError")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestReleasesToGuestsAreRecorded(t *testing.T) {
	c := newCoco(t, "")
	c.resource(t, "disk", "s", "x-ms-attestation-type", "sevsnpvm")
	c.resource(t, "other", "s", "x-ms-attestation-type", "tdxvm")
	session, token := c.attest(t, "snp")
	c.get(session, "default/key/disk")
	c.get(nil, "default/key/other", bearer(token))
	c.get(session, "default/key/none")
	var found []string
	for _, e := range c.entries(t) {
		if e.Type != ledger.Release {
			continue
		}
		subject, _, _ := strings.Cut(strings.TrimPrefix(e.Subject, "key:"), "/")
		found = append(found, fmt.Sprintf("%s %s %q %q %q %v %v\n", subject, e.Outcome, e.Check,
			e.Details["resource"],
			e.Details["wrapping"], e.Details["wrappingKey"] != "", e.Token != ""))
	}
	slices.Sort(found)
	want := []string{
		`default-key-disk accepted "" "default/key/disk" "ECDH-ES+A256KW" true true` + "\n",
		`default-key-none refused "vault.exists" "" "" false false` + "\n",
		`default-key-other refused "release.policy" "default/key/other" "" false true` + "\n",
	}
	if strings.Join(found, "") != strings.Join(want, "") {
		t.Errorf("got\n%swant\n%s", strings.Join(found, ""), strings.Join(want, ""))
	}
}

func TestSettingsOfReleasesHoldForGuests(t *testing.T) {
	t.Run("reasons are not for callers", func(t *testing.T) {
		c := newCoco(t, `"anonymousRelease":true`)
		c.resource(t, "other", "s", "x-ms-attestation-type", "tdxvm")
		session, _ := c.attest(t, "snp")
		w := c.get(session, "default/key/other")
		wantProblem(t, "denied", w, 403, "PolicyDeny", "does not meet key release policy requirements")
		if contains(w.Body.String(), "tdxvm") {
			t.Errorf("%s", w.Body)
		}
	})
	t.Run("a challenge opens one key", func(t *testing.T) {
		for _, mode := range []string{"token", "evidence"} {
			c := newCoco(t, `"anonymousRelease":true,"explainReleases":true,"challenge":"`+mode+`"`)
			c.resource(t, "disk", "s", "x-ms-attestation-type", "sevsnpvm")
			session, _ := c.attest(t, "snp")
			if w := c.get(session, "default/key/disk"); w.Code != 200 {
				t.Errorf("%s: %d %s", mode, w.Code, w.Body)
			}
			wantProblem(t, mode, c.get(session, "default/key/disk"), 401, "TokenVerifierError",
				"release.challenge")
			session, _ = c.attest(t, "snp") // what stock guests do after 401
			if w := c.get(session, "default/key/disk"); w.Code != 200 {
				t.Errorf("%s: %d %s", mode, w.Code, w.Body)
			}
		}
	})
	t.Run("a token opens a key once", func(t *testing.T) {
		c := newCoco(t, `"anonymousRelease":true,"explainReleases":true,"releaseOnce":true`)
		c.resource(t, "disk", "s", "x-ms-attestation-type", "sevsnpvm")
		session, token := c.attest(t, "snp")
		if w := c.get(session, "default/key/disk"); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		wantProblem(t, "again", c.get(nil, "default/key/disk", bearer(token)), 401, "TokenVerifierError",
			"release.once")
	})
	t.Run("wrapping with SHA-1", func(t *testing.T) {
		for settings, status := range map[string]int{"": 200, `,"minimumWrapping":"CKM_RSA_AES_KEY_WRAP"`: 200,
			`,"minimumWrapping":"RSA_AES_KEY_WRAP_256"`: 403} {
			c := newCoco(t, `"anonymousRelease":true,"explainReleases":true`+settings)
			c.guest = kbstest.NewRSA("RSA-OAEP")
			c.resource(t, "disk", "s", "x-ms-attestation-type", "sevsnpvm")
			session, _ := c.attest(t, "snp")
			if w := c.get(session, "default/key/disk"); w.Code != status {
				t.Errorf("%s: %d %s", settings, w.Code, w.Body)
			}
		}
	})
}
