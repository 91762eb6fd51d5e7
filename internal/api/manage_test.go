package api

import (
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/keys"
)

// object returns the members of an answer with a status.
func object(t *testing.T, w *httptest.ResponseRecorder, status int) map[string]any {
	t.Helper()
	var members map[string]any
	if w.Code != status || w.Body.Len() > 0 && json.Unmarshal(w.Body.Bytes(), &members) != nil {
		t.Fatalf("%d %s, want %d", w.Code, w.Body, status)
	}
	return members
}

func TestStaticTokens(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", "")
	created := object(t, b.admin("POST", "/tokens",
		`{"name":"ci","role":"reader","providers":["alpha"],"expires":"2027-01-01T00:00:00Z"}`), 200)
	secret, _ := created["token"].(string)
	if w := b.as(secret, "GET", "/p/alpha/policies/SgxEnclave"+apiVersion, ""); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	listed := b.admin("GET", "/tokens", "")
	rows, _ := object(t, listed, 200)["value"].([]any)
	if row, _ := rows[0].(map[string]any); len(rows) != 1 || row["name"] != "ci" || row["role"] != "reader" ||
		row["createdBy"] != "token:administrator" {
		t.Errorf("%v", rows)
	}
	if len(secret) < 26 || strings.Contains(listed.Body.String(), secret) {
		t.Error("the list shows the secret")
	}
	for name, body := range map[string]string{
		"a name that is taken": `{"name":"ci","role":"reader"}`,
		"another role":         `{"name":"x","role":"ownr"}`,
		"a name that is none":  `{"name":"a b","role":"reader"}`,
		"an end in the past":   `{"name":"x","role":"reader","expires":"2020-01-01T00:00:00Z"}`,
		"an unknown member":    `{"name":"x","role":"reader","admin":true}`,
	} {
		if w := b.admin("POST", "/tokens", body); w.Code != 400 && w.Code != 409 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	object(t, b.admin("DELETE", "/tokens/ci", ""), 200)
	wantStatus(t, b.as(secret, "GET", "/p/alpha/policies/SgxEnclave"+apiVersion, ""), 401)
	wantStatus(t, b.admin("DELETE", "/tokens/ci", ""), 404)
}

func wantStatus(t *testing.T, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	if w.Code != status {
		t.Errorf("%d %s, want %d", w.Code, w.Body, status)
	}
}

func TestSigningKeysFollowEachOther(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Rotation = keys.Rotation{Overlap: time.Hour} })
	b.provider(t, "alpha", `"probity":{"ownKeys":true}`)
	before := object(t, b.do("GET", "/certs", ""), 200)
	next := object(t, b.admin("POST", "/signingkeys:rotate", `{"now":true}`), 200)
	kid, _ := next["kid"].(string)
	old, _ := before["keys"].([]any)[0].(map[string]any)["kid"].(string)
	listed := b.admin("GET", "/signingkeys", "").Body.String()
	if kid == "" || old == "" || kid == old || !strings.Contains(listed, kid) ||
		strings.Contains(listed, "PRIVATE") {
		t.Errorf("%v after %v: %s", kid, old, listed)
	}
	// Owners of a provider rotate its keys, and not those that all share.
	owner := b.token(t, "owner", "alpha")
	object(t, b.as(owner, "POST", "/p/alpha/signingkeys:rotate", `{}`), 200)
	wantStatus(t, b.as(owner, "POST", "/signingkeys:rotate", `{}`), 403)
	wantStatus(t, b.as(owner, "POST", "/signingkeys:retire", `{"kid":"`+kid+`"}`), 403)
	wantStatus(t, b.admin("POST", "/signingkeys:rotate", `{"algorithm":"HS256"}`), 400)
	wantStatus(t, b.admin("POST", "/signingkeys:retire", `{"kid":"none"}`), 404)

	// A retired key is published no more, and the one that signs stays.
	published := func() string { return b.do("GET", "/certs", "").Body.String() }
	if text := published(); !strings.Contains(text, old) || !strings.Contains(text, kid) {
		t.Errorf("one of %s and %s is not published", old, kid)
	}
	wantStatus(t, b.admin("POST", "/signingkeys:retire", `{"kid":"`+kid+`"}`), 409)
	object(t, b.admin("POST", "/signingkeys:retire", `{"kid":"`+old+`"}`), 200)
	if text := published(); strings.Contains(text, old) || !strings.Contains(text, kid) {
		t.Errorf("after %s was retired: %s", old, text)
	}
}

func TestProofsAreServed(t *testing.T) {
	b := newBench(t, nil)
	answered(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
	wantStatus(t, b.admin("GET", "/ledger/proof/2", ""), 404) // no checkpoint covers it yet
	b.ledger.Close(t.Context())
	proof := object(t, b.admin("GET", "/ledger/proof/2", ""), 200)
	checkpoint := object(t, b.admin("GET", "/ledger/checkpoint", ""), 200)
	if proof["checkpoint"] != checkpoint["checkpoint"] || checkpoint["checkpoint"] == "" ||
		!strings.Contains(proof["entry"].(string), `"outcome":"accepted"`) {
		t.Errorf("%v\n%v", proof, checkpoint)
	}
	for last, want := range map[string]int{"": 3, "?last=0": 0, "?last=1": 1, "?last=9": 3} {
		if rows, _ := object(t, b.admin("GET", "/ledger"+last, ""), 200)["value"].([]any); len(rows) != want {
			t.Errorf("%q: %d rows, want %d", last, len(rows), want)
		}
	}
	wantStatus(t, b.admin("GET", "/ledger?last=-1", ""), 400)
	wantStatus(t, b.admin("GET", "/ledger/proof/999", ""), 404)
	wantStatus(t, b.admin("GET", "/ledger/proof/x", ""), 400)
	if exported := b.admin("GET", "/ledger/export", "").Body.String(); strings.Count(exported, "\n") < 3 {
		t.Errorf("%s", exported)
	}
}

func TestPrivateEndpointConnections(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", "")
	list := armPath + "alpha/privateEndpointConnections" + apiVersion
	one := armPath + "alpha/privateEndpointConnections/e1" + apiVersion
	wantStatus(t, b.admin("GET", one, ""), 404)
	put := object(t, b.admin("PUT", one,
		`{"properties":{"privateEndpoint":{"id":"/x"},`+
			`"privateLinkServiceConnectionState":{"status":"Approved"}}}`),
		200)
	if p, _ := put["properties"].(map[string]any); p["provisioningState"] != "Succeeded" || put["name"] != "e1" {
		t.Errorf("%v", put)
	}
	wantStatus(t, b.admin("PUT", one, `[]`), 400)
	wantStatus(t, b.admin("PUT", one,
		`{"properties":{"privateEndpoint":{"id":`+strings.Repeat("[", 62)+strings.Repeat("]", 62)+`}}}`), 400)
	if rows, _ := object(t, b.admin("GET", list, ""), 200)["value"].([]any); len(rows) != 1 {
		t.Errorf("%v", rows)
	}
	object(t, b.admin("GET", one, ""), 200)
	rows, _ := object(t, b.admin("GET", armPath+"alpha/privateLinkResources"+apiVersion, ""),
		200)["value"].([]any)
	if len(rows) != 1 {
		t.Errorf("%v", rows)
	}
	wantStatus(t, b.admin("DELETE", one, ""), 200)
	wantStatus(t, b.admin("DELETE", one, ""), 204)
	wantStatus(t, b.admin("GET", armPath+"none/privateLinkResources"+apiVersion, ""), 404)
}

// TestTheFirstVersionsPath has names of its own: all evidence is a quote, and the
// token is the whole answer.
func TestTheFirstVersionsPath(t *testing.T) {
	b := newBench(t, nil)
	quote := b.quote()
	raw, err := base64.RawURLEncoding.DecodeString(quote)
	if err != nil {
		t.Fatal(err)
	}
	report := base64.RawURLEncoding.EncodeToString(evidencetest.OpenEnclaveReport(raw))
	held := base64.RawURLEncoding.EncodeToString([]byte(canary))
	for kind, evidence := range map[string]string{"SgxEnclave": quote, "OpenEnclave": report} {
		w := b.do("POST", "/attest/Tee/"+kind+"?api-version=2018-09-01-preview",
			`{"quote":"`+evidence+`","enclaveHeldData":"`+held+`"}`)
		var text string
		err := json.Unmarshal(w.Body.Bytes(), &text)
		if err != nil || w.Code != 200 || strings.Count(text, ".") != 2 {
			t.Errorf("%s: %d %s", kind, w.Code, w.Body)
		}
	}
	answered(t, b.do("POST", "/attest/OpenEnclave"+apiVersion, `{"report":"`+report+`"}`))
	wantStatus(t,
		b.do("POST", "/attest/Tee/SgxEnclave?api-version=2018-09-01-preview", `{"report":"`+report+`"}`), 400)
}

func TestVBSEnclavesAreChallenged(t *testing.T) {
	b := newTPMBench(t, bootPolicy, nil)
	message := base64.RawURLEncoding.EncodeToString([]byte(`{"payload":{"type":"aikcert"}}`))
	p := payload(t, b.do("POST", "/attest/VbsEnclave"+apiVersion, `{"data":"`+message+`"}`))
	if p["challenge"] == "" {
		t.Errorf("%v", p)
	}
}

// TestTheDefaultProviderHasSettings: it is a resource as any other, that stays.
func TestTheDefaultProviderHasSettings(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", "")
	const path = "/subscriptions/probity/resourceGroups/default/providers/Microsoft.Attestation/attestati" +
		"onProviders"
	list, _ := object(t, b.admin("GET", path+apiVersion, ""), 200)["value"].([]any)
	if row, _ := list[0].(map[string]any); len(list) != 1 || row["name"] != "default" {
		t.Errorf("%v", list)
	}
	object(t, b.admin("PATCH", path+"/default"+apiVersion,
		`{"properties":{"tpmAttestationAuthentication":"Enabled","probity":{"audience":["workload"],`+
			`"signingAlgorithm":"ES256"}}}`),
		200)
	claims := answered(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
	if claims["aud"] != "workload" || claims["iss"] != issuer {
		t.Errorf("%v", claims)
	}
	wantStatus(t,
		b.do("POST", "/attest/Tpm"+apiVersion, `{"data":"eyJwYXlsb2FkIjp7InR5cGUiOiJhaWtjZXJ0In19"}`), 401)
	found := b.admin("GET", "/ledger?action=provider.update", "").Body.String()
	if !strings.Contains(found, `"tpmAttestationAuthentication":"Enabled"`) ||
		!strings.Contains(found, "ES256") {
		t.Errorf("%s", found)
	}
	for name, try := range map[string][3]string{
		"its removal":        {"DELETE", path + "/default", ""},
		"keys of its own":    {"PATCH", path + "/default", `{"properties":{"probity":{"ownKeys":true}}}`},
		"another resource":   {"PATCH", armPath + "default", `{"tags":{"a":"b"}}`},
		"its name elsewhere": {"PUT", armPath + "default", `{"location":"local"}`},
		"another trust model": {
			"PUT", path + "/default",
			`{"location":"local","properties":{"policySigningCertificates":{"keys":[{"kty":"RSA",` +
				`"x5c":["AA"]}]}}}`,
		},
		"its name in capitals":  {"PUT", path + "/DEFAULT", `{"location":"local"}`},
		"by an owner of others": {"PATCH", path + "/default", ""},
	} {
		bearer := adminToken
		if strings.HasPrefix(name, "by") {
			bearer = b.token(t, "owner", "alpha")
		}
		if w := b.as(bearer, try[0], try[1]+apiVersion, try[2]); w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	answered(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
}

// TestARotationWithoutAnAlgorithmIsOfTheProvidersOwn: a provider that signs by another one
// has no key of RS256.
func TestARotationWithoutAnAlgorithmIsOfTheProvidersOwn(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "acme", `"probity":{"ownKeys":true,"signingAlgorithm":"ES256"}`)
	next := object(t, b.admin("POST", "/p/acme/signingkeys:rotate", `{}`), 200)
	if next["algorithm"] != "ES256" {
		t.Errorf("%v", next)
	}
	if w := b.admin("POST", "/p/acme/signingkeys:rotate", `{"algorithm":"RS256"}`); w.Code == 200 {
		t.Errorf("a key of an algorithm that the provider does not use: %s", w.Body)
	}
}

// TestRefusalsOfSignedRequestsExpectTheirOwnPayload: not that of another route.
func TestRefusalsOfSignedRequestsExpectTheirOwnPayload(t *testing.T) {
	b := newBench(t, nil)
	for path, want := range map[string]string{
		"/certificates:add":          "policyCertificate",
		"/certificates:remove":       "policyCertificate",
		"/policies/SgxEnclave:reset": "empty payload",
	} {
		for _, body := range []string{"x", "a.b.c", `"eyJhbGciOiJub25lIn0.eyJ4IjoxfQ."`} {
			w := b.admin("POST", path+"?api-version=2022-08-01", body)
			if w.Code != 400 || strings.Contains(w.Body.String(), "AttestationPolicy\\\":") ||
				!strings.Contains(w.Body.String(), want) {
				t.Errorf("%s with %s: %d %s", path, body, w.Code, w.Body)
			}
		}
	}
}
