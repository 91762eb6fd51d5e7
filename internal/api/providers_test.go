package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
)

const armPath = "/subscriptions/s1/resourceGroups/g1/providers/Microsoft.Attestation/attestationProviders/"

// as sends a request with a bearer token.
func (b *bench) as(bearer, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	b.handler.ServeHTTP(w, r)
	return w
}

func (b *bench) provider(t *testing.T, name, properties string) {
	t.Helper()
	w := b.admin("PUT", armPath+name+apiVersion, `{"location":"local","properties":{`+properties+`}}`)
	if w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func (b *bench) token(t *testing.T, role string, providers ...string) string {
	t.Helper()
	secret, err := b.registry.NewToken(t.Context(),
		fmt.Sprintf("%s-%s", role, strings.ReplaceAll(strings.Join(providers, "-"), "*", "all")), role,
		providers, time.Time{}, provider.By{Caller: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// statusFor returns with what status a route refuses a caller, who is named by role and
// provider; 0 if it does not.
func statusFor(r edge.Route, name string) int {
	role, _ := auth.ParseRole(strings.SplitN(name, " ", 2)[0])
	need := r.Role
	if need == byProvider {
		need = reader
	}
	if need == releaser {
		need = auth.Releaser
	}
	own := strings.HasSuffix(name, "of all") || strings.HasSuffix(name, "of alpha") && r.At != everywhere ||
		r.At == atSome
	switch {
	case r.Role == anybody:
		return 0
	case name == "":
		return 401
	case r.At != atSome && !role.Includes(need) || !own:
		return 403
	}
	return 0
}

// TestEveryRouteSaysWhatItNeeds walks the table anonymously, as each role, and as
// each role of another provider.
func TestEveryRouteSaysWhatItNeeds(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", "")
	b.provider(t, "beta", "")
	callers := map[string]string{"": ""}
	for _, role := range []string{"reader", "contributor", "owner", "officer", "releaser"} {
		callers[role+" of alpha"] = b.token(t, role, "alpha")
		callers[role+" of beta"] = b.token(t, role, "beta")
		callers[role+" of all"] = b.token(t, role, "*")
	}
	fill := strings.NewReplacer("{version}", "1", "{proposal}", "x", "{seq}", "0", "{token}", "none",
		"{subscription}", "s1", "{group}", "g1", "{location}", "westus", "{provider}", "alpha",
		"{endpoint}", "e", "{key}", "k",
		"{keyversion}", strings.Repeat("0", 32))
	anonymous := 0
	for _, r := range routes(nil, nil, nil, nil, nil) {
		prefix := ""
		if r.At == atProvider {
			prefix = "/p/alpha"
		}
		if r.Role == anybody {
			anonymous++
		}
		if strings.HasPrefix(r.Path, "/kbs/") {
			continue // its refusals are about guests, not about callers
		}
		for name, bearer := range callers {
			kind := evidence.SGXEnclave
			if r.Types != nil {
				kind = r.Types[0]
			}
			version := apiVersion
			if r.Versioned == edge.KeyVault {
				version = "?api-version=7.4"
			}
			path := prefix + strings.ReplaceAll(fill.Replace(r.Path), "{type}", string(kind)) + version
			if r.Method == "DELETE" && r.Path == armProvider {
				path = strings.Replace(path, "/g1/", "/elsewhere/", 1) // its callers go with a provider
			}
			w := b.as(bearer, r.Method, path, "{}")
			want := statusFor(r, name)
			refused := w.Code == 401 || w.Code == 403
			if refused != (want != 0) || refused && w.Code != want {
				t.Errorf("%s %s as %q: %d, want %d\n%s", r.Method, r.Path, name, w.Code, want, w.Body)
			}
			if w.Code == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: no challenge", r.Path)
			}
		}
	}
	if len(routes(nil, nil, nil, nil, nil)) < 40 || anonymous != 14 {
		t.Errorf("%d routes, %d without a role: a new one needs a look", len(routes(nil, nil, nil, nil, nil)), anonymous)
	}
}

func TestHostileNeighbours(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits.Concurrent = 64 })
	b.provider(t, "alpha", `"probity":{"requestsPerSecond":1,"burst":2}`)
	b.provider(t, "beta", "")
	mallory := b.token(t, "owner", "alpha")
	attest := `{"quote":"` + b.quote() + `"}`

	// Read or influence.
	for _, request := range [][2]string{
		{"GET", "/p/beta/policies/SgxEnclave"}, {"PUT", "/p/beta/policies/SgxEnclave"},
		{"GET", "/p/beta/ledger"}, {"GET", "/p/beta/ledger/export"},
		{"GET", armPath + "beta"},
		{"PATCH", armPath + "beta"}, {"DELETE", armPath + "beta"}, {"GET", "/policies/SgxEnclave"},
		{"POST", "/signingkeys:rotate"}, {"GET", "/tokens"}, {"POST", "/p/beta/signingkeys:rotate"},
	} {
		if w := b.as(mallory, request[0], request[1]+apiVersion, wrap(t, denySVN)); w.Code != 403 {
			t.Errorf("%s %s: %d %s", request[0], request[1], w.Code, w.Body)
		}
	}
	if w := b.as(mallory, "GET",
		"/subscriptions/s1/providers/Microsoft.Attestation/attestationProviders"+apiVersion,
		""); !strings.Contains(w.Body.String(), "alpha") || strings.Contains(w.Body.String(), "beta") {
		t.Errorf("the list shows others: %s", w.Body)
	}
	// Its own policy is its own.
	answered(t, b.as(mallory, "PUT", "/p/alpha"+policyPath+apiVersion, wrap(t, denySVN)))
	for path, want := range map[string]int{"/p/alpha": 400, "/p/beta": 200, "": 200} {
		if w := b.do("POST", path+sgxPath, attest); w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	// Tokens name their provider, and verify by its key set alone.
	for _, name := range []string{"/p/beta", ""} {
		claims := answered(t, b.do("POST", name+sgxPath, attest))
		if claims["iss"] != issuer+name {
			t.Errorf("%s: issuer %v", name, claims["iss"])
		}
	}
	// Slow beyond its quota: what it sends above is turned away, and takes no place.
	turned := 0
	for range 20 {
		if w := b.do("POST", "/p/alpha"+sgxPath, attest); w.Code == 429 && w.Header().Get("Retry-After") != "" {
			turned++
		}
		if w := b.do("POST", "/p/beta"+sgxPath, attest); w.Code != 200 {
			t.Fatalf("the neighbour is turned away: %d %s", w.Code, w.Body)
		}
	}
	if turned < 18 {
		t.Errorf("only %d of 20 beyond the quota were turned away", turned)
	}
	// Challenges of one count for no other.
	w := b.as(mallory, "POST", "/p/alpha/attest/Tpm?api-version=2020-10-01",
		`{"data":"eyJwYXlsb2FkIjp7InR5cGUiOiJhaWtjZXJ0In19"}`)
	if w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/p/unknown/certs", "/p//certs", "/p/", "/p/alpha/p/beta/certs"} {
		if w := b.do("GET", path, ""); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// slowReader is a client that takes an answer slowly.
type slowReader struct {
	*httptest.ResponseRecorder
	began chan<- struct{}
	end   <-chan struct{}
}

func (s slowReader) Write(b []byte) (int, error) {
	s.began <- struct{}{}
	<-s.end
	return s.ResponseRecorder.Write(b)
}

// TestReadersOfOneLedgerSlowNoOther: each may read much.
func TestReadersOfOneLedgerSlowNoOther(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", "")
	b.provider(t, "beta", "")
	began, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r := httptest.NewRequest("GET", "/p/alpha/ledger/export", nil)
			r.Header.Set("Authorization", "Bearer "+adminToken)
			b.server.ServeHTTP(slowReader{httptest.NewRecorder(), began, end}, r)
		})
		<-began
	}
	for _, path := range []string{"/ledger", "/ledger/export"} {
		if w := b.admin("GET", "/p/alpha"+path, ""); w.Code != 429 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		wantStatus(t, b.admin("GET", "/p/beta"+path, ""), 200)
	}
	close(end)
	wg.Wait()
	wantStatus(t, b.admin("GET", "/p/alpha/ledger", ""), 200)
}

func TestHistoryAndRollback(t *testing.T) {
	b := newBench(t, nil)
	texts := []string{denySVN, `version=1.0;authorizationrules{=> permit();};`}
	for _, text := range texts {
		answered(t, b.admin("PUT", policyPath+apiVersion, wrap(t, text)))
	}
	answered(t, b.admin("POST", policyPath+":reset"+apiVersion, policyjws.NoPolicy))
	answered(t, b.admin("POST", policyPath+":rollback", `{"version":1}`))
	if w := b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`); w.Code != 400 {
		t.Errorf("the first policy is not in force: %d", w.Code)
	}
	var history struct {
		Value []struct {
			Action string `json:"action"`
			By     string `json:"by"`
			From   int64  `json:"rolledBackTo"`
		} `json:"value"`
	}
	if err := json.Unmarshal(b.admin("GET", policyPath+"/versions", "").Body.Bytes(), &history); err != nil {
		t.Fatal(err)
	}
	if len(history.Value) != 4 || history.Value[0].From != 1 || history.Value[1].Action != "reset" ||
		history.Value[0].By != "token:administrator" {
		t.Errorf("%+v", history.Value)
	}
	if w := b.admin("GET", policyPath+"/versions/2", ""); !strings.Contains(w.Body.String(), "permit") {
		t.Errorf("%s", w.Body)
	}
	for _, path := range []string{"/versions/9", "/versions/x"} {
		if w := b.admin("GET", policyPath+path, ""); w.Code != 404 && w.Code != 400 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	wantCheck(t, b.admin("POST", policyPath+":rollback", `{"version":9}`), 404, provider.CheckVersion.ID)
	found, _, err := ledger.Search(t.Context(), b.db, "default",
		ledger.Query{Type: ledger.Change, By: "token:administrator"}, 0, 100, 1000)
	if err != nil || len(found) != 4 || found[3].Details["from"] != "1" {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestConcurrentChanges: one wins, the others are told, and every version is there.
func TestConcurrentChanges(t *testing.T) {
	b := newBench(t, nil)
	answered(t, b.admin("PUT", policyPath+apiVersion, wrap(t, denySVN)))
	tag := b.admin("GET", policyPath+apiVersion, "").Header().Get("ETag")
	var wg sync.WaitGroup
	codes := make([]int, 16)
	for i := range codes {
		wg.Go(func() {
			codes[i] = b.as(adminToken, "PUT", policyPath+apiVersion,
				wrap(t,
					fmt.Sprintf(
						"version=1.0;authorizationrules{[type==\"x-ms-sgx-svn\", value>=%d] => permit();};",
						i,
					)),
				"If-Match", tag).Code
		})
	}
	wg.Wait()
	won := 0
	for _, code := range codes {
		switch code {
		case 200:
			won++
		case 409, 412:
		default:
			t.Errorf("%d", code)
		}
	}
	history, err := b.db.PolicyHistory(t.Context(), "default", "SgxEnclave")
	if err != nil || won != 1 || len(history) != 2 {
		t.Errorf("%d won, %d versions, %v", won, len(history), err)
	}
	wantCheck(t, b.as(adminToken, "PUT", policyPath+apiVersion, wrap(t, denySVN), "If-Match", `"7"`), 412,
		provider.CheckMatch.ID)
	wantCheck(t, b.as(adminToken, "PUT", policyPath+apiVersion, wrap(t, denySVN), "If-Match", "x"), 400,
		provider.CheckMatch.ID)
}

// TestTheDefaultProviderIsKnownByName, also while it is read again.
func TestTheDefaultProviderIsKnownByName(t *testing.T) {
	b := newBench(t, nil)
	before := b.registry.Default()
	answered(t, b.admin("PUT", policyPath+apiVersion, wrap(t, denySVN)))
	if before == b.registry.Default() {
		t.Fatal("nothing was read again")
	}
	found, params, _ := b.server.Match("GET", "/tokens")
	r := httptest.NewRequest("GET", "/tokens", nil)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	if err := b.server.Allow(r, found, &edge.Call{Provider: before, Params: params}); err != nil {
		t.Errorf("a request that began before the change: %v", err)
	}
}

func TestApprovals(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "careful", `"probity":{"approvals":3}`)
	alice, bob, carol := b.token(t, "contributor", "careful"), b.token(t, "owner", "careful"),
		b.token(t, "contributor", "*")
	doc := decodeError(t, b.as(alice, "PUT", "/p/careful"+policyPath+apiVersion, wrap(t, denySVN)))
	if doc.Error.Code != "ApprovalRequired" {
		t.Fatalf("%+v", doc)
	}
	var list struct {
		Value []struct{ ID string } `json:"value"`
	}
	err := json.Unmarshal(b.as(alice, "GET", "/p/careful/proposals", "").Body.Bytes(), &list,
		json.MatchCaseInsensitiveNames(true))
	if err != nil || len(list.Value) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	path := "/p/careful/proposals/" + list.Value[0].ID
	wantCheck(t, b.as(alice, "POST", path+":approve", ""), 409,
		provider.CheckApproval.ID) // a second approval of one caller is not accepted
	if w := b.as(bob, "POST", path+":approve", ""); w.Code != 202 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if in, _ := b.registry.Get("careful"); in.Policy(evidence.SGXEnclave).Version != 0 {
		t.Error("in force before all agreed")
	}
	answered(t, b.as(carol, "POST", path+":approve", ""))
	if in, _ := b.registry.Get("careful"); in.Policy(evidence.SGXEnclave).Version != 1 {
		t.Error("not in force")
	}
	wantCheck(t, b.as(carol, "POST", path+":approve", ""), 404, provider.CheckApproval.ID)
	b.as(alice, "POST", "/p/careful"+policyPath+":reset"+apiVersion, policyjws.NoPolicy)
	err = json.Unmarshal(b.as(alice, "GET", "/p/careful/proposals", "").Body.Bytes(), &list,
		json.MatchCaseInsensitiveNames(true))
	if err != nil || len(list.Value) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	reset := "/p/careful/proposals/" + list.Value[0].ID
	b.as(bob, "POST", reset+":approve", "")
	claims := answered(t, b.as(carol, "POST", reset+":approve", ""))
	if claims["x-ms-policy-result"] != "Removed" {
		t.Errorf("%v", claims)
	}
	b.as(alice, "PUT", "/p/careful"+policyPath+apiVersion, wrap(t, denySVN))
	err = json.Unmarshal(b.as(alice, "GET", "/p/careful/proposals", "").Body.Bytes(), &list,
		json.MatchCaseInsensitiveNames(true))
	if err != nil || len(list.Value) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if w := b.as(bob, "DELETE", "/p/careful/proposals/"+list.Value[0].ID, ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestApprovalsOfCertificatesAndSettings: what they decide about a provider is not one
// caller's to change, on any route.
func TestApprovalsOfCertificatesAndSettings(t *testing.T) {
	b := newBench(t, nil)
	second, a, _ := newSigners(t) // a signs with ES256
	b.provider(t, "careful", `"policySigningCertificates":{"keys":[`+string(policyjws.CertificateKey(a.cert))+
		`]},"probity":{"approvals":2}`)
	owner, contributor, other := b.token(t, "owner", "careful"), b.token(t, "contributor", "careful"),
		b.token(t, "contributor", "*")
	type row struct {
		ID, Action, Type string
		Changes          []struct{ Name string }
	}
	waiting := func() row {
		t.Helper()
		var list struct{ Value []row }
		body := b.as(owner, "GET", "/p/careful/proposals", "").Body.Bytes()
		err := json.Unmarshal(body, &list, json.MatchCaseInsensitiveNames(true))
		if err != nil || len(list.Value) != 1 {
			t.Fatalf("%s, %v", body, err)
		}
		return list.Value[0]
	}
	certificates := func() int {
		p, _ := b.registry.Get("careful")
		return len(p.Certificates)
	}
	add := a.certificate(t, second)
	wantCheck(t, b.as(contributor, "POST", "/p/careful/certificates:add"+apiVersion, add), 202,
		provider.CheckApproval.ID)
	if x := waiting(); certificates() != 1 || x.Action != "addCertificate" || x.Type != "" {
		t.Fatalf("%d certificates, %+v", certificates(), x)
	}
	w := b.as(other, "POST", "/p/careful/proposals/"+waiting().ID+":approve", "")
	if w.Code != 200 || certificates() != 2 {
		t.Errorf("%d %s, %d certificates", w.Code, w.Body, certificates())
	}
	wantCheck(t,
		b.as(contributor, "POST", "/p/careful/certificates:remove"+apiVersion, a.certificate(t, second)),
		202, provider.CheckApproval.ID)
	if w := b.as(owner, "POST", "/p/careful/proposals/"+waiting().ID+":approve", ""); w.Code != 200 ||
		certificates() != 1 {
		t.Errorf("%d %s, %d certificates", w.Code, w.Body, certificates())
	}

	wantCheck(t, b.as(owner, "PATCH", armPath+"careful"+apiVersion, `{"properties":{"probity":{}}}`), 202,
		provider.CheckApproval.ID)
	x := waiting()
	if len(x.Changes) != 1 || x.Changes[0].Name != "approvals" {
		t.Errorf("%+v", x)
	}
	wantCheck(t, b.as(other, "POST", "/p/careful/proposals/"+x.ID+":approve", ""), 403,
		provider.CheckApproval.ID)
	wantCheck(t, b.as(other, "DELETE", "/p/careful/proposals/"+x.ID, ""), 403, provider.CheckApproval.ID)
	if w := b.admin("POST", "/p/careful/proposals/"+x.ID+":approve", ""); w.Code != 200 ||
		w.Body.String() != `{"status":"approved"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if p, _ := b.registry.Get("careful"); p.Settings.Approvals != 0 {
		t.Error("not in force")
	}
}

// TestProposalsAreBounded: they wait in the store, and one without an approval is
// forgotten in the end.
func TestProposalsAreBounded(t *testing.T) {
	at := now
	b := newBench(t, func(c *Config) { c.Now = func() time.Time { return at } })
	b.provider(t, "careful", `"probity":{"approvals":2}`)
	propose := func(n int) int {
		return b.admin("PUT", "/p/careful"+policyPath+apiVersion, wrap(t, denySVN+fmt.Sprintf("// %d", n))).Code
	}
	for n := range 64 {
		// Every change is sent twice, and waits once.
		if code := propose(n / 2); code != 202 {
			t.Fatalf("proposal %d: %d", n, code)
		}
	}
	wantCheck(t, b.admin("PUT", "/p/careful"+policyPath+apiVersion, wrap(t, denySVN)), 409,
		provider.CheckApproval.ID)
	at = at.Add(8 * 24 * time.Hour)
	if code := propose(0); code != 202 {
		t.Errorf("after the others expired: %d", code)
	}
	left, err := b.db.Proposals(t.Context(), "careful")
	if err != nil || len(left) != 1 {
		t.Errorf("%d left, %v", len(left), err)
	}
}

func TestTokensAsAProviderWantsThem(t *testing.T) {
	b := newBench(t, nil)
	attest := `{"quote":"` + b.quote() + `"}`
	for i, algorithm := range token.Algorithms() {
		name := fmt.Sprintf("alg-%d", i)
		b.provider(t, name, `"probity":{"signingAlgorithm":"`+algorithm+
			`","audience":["kubernetes"],"subjectClaim":"x-ms-sgx-mrsigner","ownKeys":`+
			fmt.Sprint(i%2 == 0)+`}`)
		var answer map[string]string
		if err := json.Unmarshal(b.do("POST", "/p/"+name+sgxPath, attest).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		var keys token.KeySet
		if err := json.Unmarshal(b.do("GET", "/p/"+name+"/certs", "").Body.Bytes(), &keys); err != nil {
			t.Fatal(err)
		}
		v, err := token.Verify(answer["token"], keys, issuer+"/p/"+name, now)
		if err != nil || v.Header.Algorithm != algorithm {
			t.Errorf("%s: %+v, %v", algorithm, v, err)
			continue
		}
		var claims map[string]any
		err = json.Unmarshal(v.Payload, &claims)
		if err != nil || claims["aud"] != "kubernetes" || claims["sub"] != claims["x-ms-sgx-mrsigner"] {
			t.Errorf("%s: aud %v, sub %v, %v", algorithm, claims["aud"], claims["sub"], err)
		}
	}
	if claims := answered(t, b.do("POST", sgxPath, attest)); claims["aud"] != nil || claims["sub"] != nil {
		t.Errorf("Azure's tokens have neither: %v", claims)
	}
}

func TestProvidersThatAreRefused(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "taken", "")
	for name, tc := range map[string]struct {
		path, body, check string
		status            int
	}{
		"a short name": {armPath + "ab", `{"location":"local"}`, provider.CheckName.ID, 400},
		"a long name": {
			armPath + strings.Repeat("a", 25), `{"location":"local"}`, provider.CheckName.ID, 400,
		},
		"a name with a dot": {armPath + "a.b.c", `{"location":"local"}`, provider.CheckName.ID, 400},
		"a reserved name":   {armPath + "Attest", `{"location":"local"}`, provider.CheckName.ID, 400},
		"no location":       {armPath + "fine", `{}`, edge.CheckBody.ID, 400},
		"another group": {
			strings.Replace(armPath, "g1", "g2", 1) + "TAKEN", `{"location":"local"}`,
			provider.CheckName.ID, 409,
		},
		"an unknown setting": {
			armPath + "fine", `{"location":"local","properties":{"probity":{"tcp":"any"}}}`,
			provider.CheckSettings.ID, 400,
		},
		"an unknown algorithm": {
			armPath + "fine",
			`{"location":"local","properties":{"probity":{"signingAlgorithm":"HS256"}}}`,
			provider.CheckSettings.ID, 400,
		},
		"a status never accepted": {
			armPath + "fine", `{"location":"local","properties":{"probity":{"tcb":"Revoked"}}}`,
			provider.CheckSettings.ID, 400,
		},
		"a wrong word": {
			armPath + "fine", `{"location":"local","properties":{"publicNetworkAccess":"Maybe"}}`,
			provider.CheckSettings.ID, 400,
		},
		"a key of no certificate": {
			armPath + "fine",
			`{"location":"local","properties":{"policySigningCertificates":{"keys":[{"kty":"RSA"}]}}}`,
			provider.CheckCertificate.ID, 400,
		},
		"a body of another form":    {armPath + "fine", `[]`, edge.CheckBody.ID, 400},
		"a precondition that fails": {armPath + "taken", `{"location":"local"}`, provider.CheckMatch.ID, 412},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{}
			if tc.status == 412 {
				headers = []string{"If-Match", `"99"`}
			}
			wantCheck(t, b.as(adminToken, "PUT", tc.path+apiVersion, tc.body, headers...), tc.status, tc.check)
		})
	}
	if w := b.admin("DELETE", armPath+"taken"+apiVersion, ""); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.admin("DELETE", armPath+"taken"+apiVersion, ""); w.Code != 204 {
		t.Errorf("deleted twice: %d", w.Code)
	}
	if w := b.admin("GET", armPath+"taken"+apiVersion, ""); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

func TestAProviderForPrivateNetworks(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "inside", `"publicNetworkAccess":"Disabled"`)
	for address, want := range map[string]int{
		"10.1.2.3:1": 200, "127.0.0.1:1": 200, "[fd00::1]:1": 200, "192.0.2.1:1": 403,
		"[2001:db8::1]:1": 403, "nonsense": 403,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/p/inside/certs", nil)
		r.RemoteAddr = address
		b.handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d", address, w.Code)
		}
	}
}

func TestATPMNeedsACallerUnlessTheProviderSaysOtherwise(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "strict", "") // as at Azure, it need not say so
	b.provider(t, "said", `"tpmAttestationAuthentication":"Enabled"`)
	b.provider(t, "open", `"tpmAttestationAuthentication":"Disabled"`)
	reader := b.token(t, "reader", "strict")
	message := `{"data":"eyJwYXlsb2FkIjp7InR5cGUiOiJhaWtjZXJ0In19"}`
	for bearer, want := range map[string]int{"": 401, "wrong": 401, reader: 200} {
		if w := b.as(bearer, "POST", "/p/strict/attest/Tpm?api-version=2020-10-01", message); w.Code != want {
			t.Errorf("%q: %d %s", bearer, w.Code, w.Body)
		}
	}
	for path, want := range map[string]int{"/p/said": 401, "/p/open": 200, "": 200} {
		if w := b.do("POST", path+"/attest/Tpm?api-version=2020-10-01", message); w.Code != want {
			t.Errorf("%q: %d %s", path, w.Code, w.Body)
		}
	}
	closed := newBench(t, nil, func(c *provider.Config) { c.Defaults.TPMNeedsCaller = true })
	if w := closed.do("POST", "/attest/Tpm?api-version=2020-10-01", message); w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Every path that leads to the protocol needs the caller.
	for _, path := range []string{
		"/attest/tpm", "/attest/VbsEnclave", "/attest/vbsenclave", "/attest/tee/Tpm",
		"/attest/tee/VbsEnclave",
	} {
		if w := b.do("POST", "/p/strict"+path+"?api-version=2020-10-01", message); w.Code != 401 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := b.do("POST", "/p/strict"+sgxPath, `{"quote":"`+b.quote()+`"}`); w.Code != 200 {
		t.Errorf("other evidence: %d", w.Code)
	}
}

func TestProvidersByHostName(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Callers.HostSuffix = "attest.example.org" },
		func(c *provider.Config) { c.HostSuffix = "attest.example.org" })
	b.provider(t, "alpha", "")
	for host, want := range map[string]string{
		"alpha.attest.example.org":              "https://alpha.attest.example.org",
		"ALPHA.attest.example.org:443":          "https://alpha.attest.example.org",
		"attest.example.org":                    issuer,
		"localhost":                             issuer,
		"alpha.attest.example.org.evil.example": issuer,
		"alphaattest.example.org":               issuer,
	} {
		r := httptest.NewRequest("GET", "/.well-known/openid-configuration", nil)
		r.Host = host
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		var d token.Discovery
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || d.Issuer != want {
			t.Errorf("%s: %q, %v", host, d.Issuer, err)
		}
	}
	r := httptest.NewRequest("GET", "/certs", nil)
	r.Host = "beta.attest.example.org"
	w := httptest.NewRecorder()
	if b.handler.ServeHTTP(w, r); w.Code != 421 {
		t.Errorf("an unknown provider's host: %d", w.Code)
	}
}

// TestDecisionsAreRecorded with hashes, and without what they are of.
func TestDecisionsAreRecorded(t *testing.T) {
	b := newBench(t, nil)
	claims := answered(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`"}`))
	b.do("POST", sgxPath, `{"quote":"AAAA"}`)
	b.do("POST", sgxPath,
		`{"quote":"`+b.quote()+`","draftPolicyForAttestation":"version=1.0;authorizationrules{=> deny();};"}`)
	b.ledger.Close(t.Context())
	found, _, err := ledger.Search(t.Context(), b.db, "default", ledger.Query{Type: ledger.Decision},
		0, 100, 1000)
	if err != nil || len(found) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	a, refused, draft := found[0], found[1], found[2]
	if a.Outcome != "accepted" || a.Token != claims["jti"] || a.Policy != claims["x-ms-policy-hash"] ||
		len(a.Evidence) != 64 || len(a.Collateral) != 64 || a.Request == "" {
		t.Errorf("%+v", a)
	}
	if refused.Outcome != "refused" || refused.Check != "dcap.quote.format" || refused.Token != "" {
		t.Errorf("%+v", refused)
	}
	if !draft.Draft || draft.Check != "policy" || draft.Policy == a.Policy ||
		draft.Details["reason"] != "rule 1 (line 1) denies: it has no condition" || refused.Details != nil {
		t.Errorf("%+v", draft)
	}
	checkNoSecrets(t, b)
}

// checkNoSecrets looks for data that were sent, and for tokens, in the ledger.
func checkNoSecrets(t *testing.T, b *bench) {
	t.Helper()
	rows, err := b.db.Ledger(t.Context(), "default", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if strings.Contains(string(row.Entry), canary) || strings.Contains(string(row.Entry), "eyJ") {
			t.Errorf("%s", row.Entry)
		}
	}
}
