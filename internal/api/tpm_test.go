package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/internal/api/data"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

// tpmBench is a service that trusts a test authority of attestation keys.
type tpmBench struct {
	*bench
	tpm *evidencetest.Guest
	now time.Time
}

const bootPolicy = `version=1.0;authorizationrules{[type=="secureBootEnabled", ` +
	`value==true] => permit();};issuancerules{c:[type=="aikValidated"] => issue(claim=c);};`

// set puts a policy in force at the default provider.
func (b *tpmBench) set(t *testing.T, kind evidence.Kind, text string) {
	t.Helper()
	if _, err := b.registry.Change(t.Context(), provider.PolicyChange{
		Provider: "default", Kind: kind, Action: store.PolicySet, JWS: wrap(t, text),
	}); err != nil {
		t.Fatal(err)
	}
}

func newTPMBench(t *testing.T, text string, edit func(*Config)) *tpmBench {
	t.Helper()
	b := &tpmBench{tpm: evidencetest.NewGuest(evidencetest.TPMConfig{Now: now}), now: now}
	b.bench = newBench(t, func(c *Config) {
		roots, err := tpmca.Parse(b.tpm.Root.PEM())
		if err != nil {
			t.Fatal(err)
		}
		trust := appraisal.Trust{TPM: tpm.Config{Authorities: roots}, Azure: azureguest.Config{Authorities: roots}}
		c.Now = func() time.Time { return b.now }
		if edit != nil {
			edit(c)
		}
		c.Appraiser = &appraisal.Appraiser{Random: rand.Reader, Verifiers: appraisal.Verifiers(trust)}
	})
	for _, kind := range []evidence.Kind{evidence.TPM, evidence.VBSEnclave} {
		if text != "" {
			b.set(t, kind, text)
		}
	}
	return b
}

func (b *tpmBench) send(message []byte) *httptest.ResponseRecorder {
	return b.do("POST", "/attest/tpm?api-version=2020-10-01",
		`{"data":"`+base64.RawURLEncoding.EncodeToString(message)+`"}`)
}

// payload returns the members of an answer.
func payload(t *testing.T, w *httptest.ResponseRecorder) map[string]string {
	t.Helper()
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var outer struct {
		Data string `json:"data"`
	}
	var inner struct {
		Payload map[string]string `json:"payload"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &outer); err != nil {
		t.Fatal(err)
	}
	b, err := base64.RawURLEncoding.DecodeString(outer.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &inner); err != nil {
		t.Fatal(err)
	}
	return inner.Payload
}

func (b *tpmBench) challenge(t *testing.T, typ string) ([]byte, string) {
	t.Helper()
	p := payload(t, b.send([]byte(`{"payload":{"type":"`+typ+`"},"metadata":{"os_ver":"10"}}`)))
	c, err := base64.RawURLEncoding.DecodeString(p["challenge"])
	if err != nil || len(c) != 16 || p["service_context"] == "" {
		t.Fatalf("%v, %v", p, err)
	}
	return c, p["service_context"]
}

func wantCheck(t *testing.T, w *httptest.ResponseRecorder, status int, check string) {
	t.Helper()
	doc := decodeError(t, w)
	if w.Code != status || len(doc.Error.Details) == 0 || doc.Error.Details[0].Check != check ||
		doc.Error.Details[0].Remedy == "" {
		t.Errorf("%d %s, want %d %s", w.Code, w.Body, status, check)
	}
}

func (b *tpmBench) healthy(t *testing.T) evidencetest.TPMEvidence {
	t.Helper()
	c, context := b.challenge(t, "aikcert")
	return evidencetest.TPMEvidence{
		Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{}),
		Challenge: c,
		Context:   context,
	}
}

func tokenClaims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTPMProtocol(t *testing.T) {
	b := newTPMBench(t, bootPolicy, nil)
	claims := tokenClaims(t, payload(t, b.send(b.tpm.Evidence(b.healthy(t))))["report"])
	cnf, _ := claims["cnf"].(map[string]any)
	if claims["x-ms-attestation-type"] != "tpm" || claims["aikValidated"] != true ||
		claims["rp_data"] == nil || cnf["jwk"] == nil || claims["events"] != nil || claims["pcrs"] != nil {
		t.Errorf("%v", claims)
	}
	kernel := evidencetest.NewSecureKernel()
	enclave := b.healthy(t)
	enclave.Boot = evidencetest.HealthyBoot(evidencetest.BootConfig{
		Windows: evidencetest.HealthyWindows(kernel.Measured()),
	})
	enclave.Enclave = func(signed []byte) []byte { return kernel.Report(signed, evidencetest.EnclaveReport{}) }
	if claims := tokenClaims(t,
		payload(t, b.send(b.tpm.Evidence(enclave)))["report"]); claims["x-ms-attestation-type"] != "vbs" {
		t.Errorf("%v", claims)
	}
}

func TestTPMProtocolRefuses(t *testing.T) {
	b := newTPMBench(t, bootPolicy, nil)
	off := b.healthy(t)
	off.Boot = evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true})
	wantCheck(t, b.send(b.tpm.Evidence(off)), 400, "policy")
	v1 := b.healthy(t)
	v1.Type = "attReq"
	wantCheck(t, b.send(b.tpm.Evidence(v1)), 400, "tpm.request.version")
	other := b.healthy(t)
	_, other.Context = b.challenge(t, "aikcert")
	wantCheck(t, b.send(b.tpm.Evidence(other)), 400, "tpm.challenge.context")
	forged := b.healthy(t)
	forged.Context = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 80))
	wantCheck(t, b.send(b.tpm.Evidence(forged)), 400, "tpm.challenge.context")
	late := b.healthy(t)
	b.now = now.Add(6 * time.Minute)
	wantCheck(t, b.send(b.tpm.Evidence(late)), 400, "tpm.challenge.context")
	b.now = now
	wantCheck(t, b.send([]byte(`{"payload":{"type":"aikpub"}}`)), 400, "tpm.enrolment")
	for name, message := range map[string]string{
		"no message":         `{}`,
		"not JSON":           `x`,
		"another type":       `{"payload":{"type":"x"}}`,
		"payload of no form": `{"payload":1}`,
	} {
		w := b.send([]byte(message))
		doc := decodeError(t, w)
		if w.Code != 400 || len(doc.Error.Details) == 0 || doc.Error.Details[0].Check != "tpm.message" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	wantCheck(t, b.do("POST", "/attest/Tpm?api-version=2022-08-01", `{}`), 400, "request.body")
}

func TestTPMNeedsAPolicy(t *testing.T) {
	b := newTPMBench(t, "", nil)
	wantCheck(t, b.send(b.tpm.Evidence(b.healthy(t))), 400, "policy.set")
}

// TestChallengesAreUnique: none is ever given twice (CVE-2026-6420).
func TestChallengesAreUnique(t *testing.T) {
	b := newTPMBench(t, bootPolicy, nil)
	seen := map[string]bool{}
	var ones [16]int
	const n = 2000
	for range n {
		c, context := b.challenge(t, "aikcert")
		if seen[string(c)] || seen[context] {
			t.Fatal("a challenge came twice")
		}
		seen[string(c)], seen[context] = true, true
		for i, v := range c {
			ones[i] += int(v & 1)
		}
	}
	for i, count := range ones {
		if count < n*4/10 || count > n*6/10 {
			t.Errorf("byte %d is odd %d times in %d", i, count, n)
		}
	}
}

// deadStore takes no word.
type deadStore struct{ Store }

func (deadStore) UseOnce(context.Context, string, time.Time, time.Time) (bool, error) {
	return false, errors.New("disk full")
}

func TestSingleUse(t *testing.T) {
	b := newTPMBench(t, bootPolicy, func(c *Config) { c.TPM.SingleUse = true })
	raw := b.tpm.Evidence(b.healthy(t))
	payload(t, b.send(raw))
	wantCheck(t, b.send(raw), 400, "tpm.challenge.used")
	again := newTPMBench(t, bootPolicy, nil)
	raw = again.tpm.Evidence(again.healthy(t))
	payload(t, again.send(raw))
	payload(t, again.send(raw)) // a provider may allow it
	broken := newTPMBench(t, bootPolicy, func(c *Config) { c.TPM.SingleUse, c.Store = true, deadStore{c.Store} })
	if w := broken.send(broken.tpm.Evidence(broken.healthy(t))); w.Code != 500 {
		t.Errorf("a store that fails lets one pass: %d", w.Code)
	}
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestEnrolment(t *testing.T) {
	endorsement, foreign := rsaKey(t), rsaKey(t)
	ids := []string{fingerprint(t, endorsement.Public()), fingerprint(t, foreign.Public())}
	b := newTPMBench(t, bootPolicy, func(c *Config) { c.TPM.Enrolment = &data.Enrolment{Keys: ids} })
	area := evidencetest.RSAPublicArea(&b.tpm.AK.(*rsa.PrivateKey).PublicKey, evidencetest.GuestAK, 0x14, nil)
	public, err := tpm.ParsePublic(area)
	if err != nil {
		t.Fatal(err)
	}
	enroll := func(members map[string]string) *httptest.ResponseRecorder {
		body, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return b.do("POST", "/tpm/enroll", string(body))
	}
	encode := base64.RawURLEncoding.EncodeToString
	begin := func(name string, ek *rsa.PrivateKey, ak []byte) map[string]string {
		return map[string]string{
			"name":           name,
			"endorsementKey": encode(evidencetest.EndorsementArea(&ek.PublicKey)),
			"attestationKey": encode(ak),
		}
	}
	// activate answers a credential with the secret in it, or another.
	activate := func(w *httptest.ResponseRecorder, ek *rsa.PrivateKey, wrong bool) map[string]string {
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		object, _ := base64.RawURLEncoding.DecodeString(answer["credential"])
		secret, _ := base64.RawURLEncoding.DecodeString(answer["secret"])
		opened := evidencetest.Activate(ek, public.Name(), object, secret)
		if wrong {
			opened = bytes.Repeat([]byte{1}, 32)
		}
		return map[string]string{"context": answer["context"], "answer": encode(opened)}
	}
	bare := func() evidencetest.TPMEvidence { e := b.healthy(t); e.Bare = true; return e }
	wantCheck(t, b.send(b.tpm.Evidence(bare())), 400, "tpm.ak.certificate")
	wantCheck(t, enroll(activate(enroll(begin("host", endorsement, area)), endorsement, true)), 400,
		"tpm.enrolment")
	answer := activate(enroll(begin("host", endorsement, area)), endorsement, false)
	if w := enroll(answer); w.Code != 200 || !strings.Contains(w.Body.String(), ids[0]) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantCheck(t, enroll(answer), 400, "tpm.enrolment") // replayed
	// Written otherwise, the context is the same.
	for _, text := range []string{
		answer["context"] + "\n", answer["context"][:8] + "\r\n" + answer["context"][8:],
	} {
		wantCheck(t, enroll(map[string]string{"context": text, "answer": answer["answer"]}), 400, "tpm.enrolment")
	}
	e := bare()
	e.Challenge, e.Context = b.challenge(t, "aikpub")
	payload(t, b.send(b.tpm.Evidence(e)))

	// Another TPM takes neither the name nor the key.
	wantCheck(t, enroll(activate(enroll(begin("host", foreign, area)), foreign, false)), 409, "tpm.enrolment")
	wantCheck(t, enroll(activate(enroll(begin("other", foreign, area)), foreign, false)), 409, "tpm.enrolment")

	stranger := rsaKey(t)
	for name, members := range map[string]map[string]string{
		"an unknown TPM": begin("host2", stranger, area),
		"a key that signs anything": begin("host2", endorsement,
			evidencetest.RSAPublicArea(&stranger.PublicKey, evidencetest.GuestAK&^0x10000, 0x14, nil)),
		"an AK for an EK": {
			"name": "host2", "attestationKey": encode(area), "endorsementKey": encode(area),
		},
		"a context of challenges": {"context": e.Context, "answer": encode(make([]byte, 32))},
	} {
		w := enroll(members)
		doc := decodeError(t, w)
		if w.Code != 400 || len(doc.Error.Details) == 0 || doc.Error.Details[0].Check != "tpm.enrolment" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for _, members := range []map[string]string{
		begin("", endorsement, area), begin("../x", endorsement, area),
		begin(strings.Repeat("x", 129), endorsement, area),
		{"name": "host2", "attestationKey": encode(area)},
		{"name": "host2", "endorsementKey": encode(area)}, {},
	} {
		wantCheck(t, enroll(members), 400, "request.body")
	}
	// What was enrolled is there for a service that starts again.
	again, err := provider.New(t.Context(), b.settings)
	if err != nil {
		t.Fatal(err)
	}
	ak, err := x509.MarshalPKIXPublicKey(b.tpm.AK.Public())
	if err != nil {
		t.Fatal(err)
	}
	if ek, ok := again.Default().Enrolled(sha256.Sum256(ak)); !ok || ek != ids[0] {
		t.Errorf("enrolled to %q, %t", ek, ok)
	}
}

func TestAzureGuestProtocol(t *testing.T) {
	b := newTPMBench(t, bootPolicy, nil)
	b.set(t, evidence.AzureGuest,
		`version=1.0;authorizationrules{[type=="secureboot", value==true] => permit();};`)
	post := func(cfg evidencetest.GuestConfig) *httptest.ResponseRecorder {
		return b.do("POST", "/attest/AzureGuest?api-version=2020-10-01",
			`{"AttestationInfo":"`+base64.RawURLEncoding.EncodeToString(b.tpm.Info(cfg))+`"}`)
	}
	w := post(evidencetest.GuestConfig{Boot: evidencetest.HealthyBoot(evidencetest.BootConfig{})})
	var answer map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	raw, err := base64.RawURLEncoding.DecodeString(answer["token"])
	if err != nil {
		t.Fatal(err)
	}
	token, err := evidencetest.OpenGuestToken(b.tpm.Ephemeral, raw)
	if err != nil {
		t.Fatal(err)
	}
	claims := tokenClaims(t, token)
	if claims["x-ms-attestation-type"] != "azurevm" || claims["secureboot"] != true {
		t.Errorf("%v", claims)
	}
	wantCheck(t, post(evidencetest.GuestConfig{
		Boot: evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true}),
	}), 400, "policy")
	wantCheck(t, post(evidencetest.GuestConfig{
		Boot: evidencetest.HealthyBoot(evidencetest.BootConfig{}),
		Edit: func(i map[string]any) { delete(i["TpmInfo"].(map[string]any), "EncKeyPub") },
	}), 400, "request.body")
	wantCheck(t, b.do("POST", "/attest/AzureGuest?api-version=2020-10-01", `{}`), 400, "request.body")
}

func TestAChallengeOfARemovedProviderIsNotAnsweredAtItsSuccessor(t *testing.T) {
	b := newTPMBench(t, "", nil)
	open := "Disabled"
	create := func() {
		t.Helper()
		if _, _, err := b.registry.PutProvider(t.Context(),
			provider.ProviderChange{Name: "team", Subscription: "s", Group: "g", TPMAuthentication: &open},
			true); err != nil {
			t.Fatal(err)
		}
		if _, err := b.registry.Change(t.Context(), provider.PolicyChange{
			Provider: "team", Kind: evidence.TPM, Action: store.PolicySet, JWS: wrap(t, bootPolicy),
		}); err != nil {
			t.Fatal(err)
		}
	}
	send := func(message []byte) *httptest.ResponseRecorder {
		return b.do("POST", "/p/team/attest/Tpm?api-version=2020-10-01",
			`{"data":"`+base64.RawURLEncoding.EncodeToString(message)+`"}`)
	}
	begin := func() evidencetest.TPMEvidence {
		t.Helper()
		p := payload(t, send([]byte(`{"payload":{"type":"aikcert"}}`)))
		c, err := base64.RawURLEncoding.DecodeString(p["challenge"])
		if err != nil {
			t.Fatal(err)
		}
		return evidencetest.TPMEvidence{
			Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{}),
			Challenge: c,
			Context:   p["service_context"],
		}
	}
	create()
	early := begin()
	payload(t, send(b.tpm.Evidence(early)))
	if err := b.registry.DeleteProvider(t.Context(), "team", provider.By{}); err != nil {
		t.Fatal(err)
	}
	create()
	wantCheck(t, send(b.tpm.Evidence(early)), 400, "tpm.challenge.context")
	payload(t, send(b.tpm.Evidence(begin())))
}
