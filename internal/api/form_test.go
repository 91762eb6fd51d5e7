package api

import (
	"regexp"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/provider"
)

// TestNamesInPathsHaveTheirForm asks every route with each name: a read of a name that
// cannot exist is refused as well as a write.
func TestNamesInPathsHaveTheirForm(t *testing.T) {
	b := newBench(t, nil)
	bad := map[string][]string{
		"subscription": {strings.Repeat("s", 65), "-s", "s%20s", "s%00"},
		"group":        {strings.Repeat("g", 91), "g.", "g%20g", "g$", "gr%C3%BCn"},
		"provider":     {strings.Repeat("p", 25), "pp", "p.p.p", "p_p_p", "p%20p"},
		"location":     {strings.Repeat("l", 65), "l_l", "l.l"},
		"endpoint":     {strings.Repeat("e", 81), "-e", "e%20e"},
		"proposal":     {strings.Repeat("p", 65), "p-p", "p%20p"},
		"token":        {strings.Repeat("t", 65), "-t", "t%20t"},
		"version":      {"0", "-1", "+1", "01", "1.0", "x", "9223372036854775808"},
		"seq":          {"-1", "+1", "01", "1.0", "x", "9223372036854775808"},
		"key":          {strings.Repeat("k", 128), "k_k", "k.k", "k%20k", "%2e%2e"},
		"keyversion":   {"x", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("g", 32)},
	}
	good := map[string]string{
		"subscription": "s1", "group": "g1", "provider": "default", "location": "local",
		"endpoint": "e", "proposal": "A", "token": "t",
		"version": "1", "seq": "0",
		"type": "SgxEnclave", "key": "k", "keyversion": strings.Repeat("0", 32),
	}
	asked := map[string]bool{}
	for _, r := range Routes() {
		for name, values := range bad {
			if !strings.Contains(r.Path, "{"+name+"}") {
				continue
			}
			asked[name] = true
			for _, value := range values {
				path := strings.ReplaceAll(r.Path, "{"+name+"}", value)
				for other, text := range good {
					path = strings.ReplaceAll(path, "{"+other+"}", text)
				}
				check := edge.CheckPath.ID
				if name == "provider" {
					check = provider.CheckName.ID
				}
				version := apiVersion
				if r.Versioned == edge.KeyVault {
					version = "?api-version=7.4"
				}
				wantCheck(t, b.admin(r.Method, path+version, ""), 400, check)
			}
		}
	}
	if len(asked) != len(bad) {
		t.Errorf("asked about %v", asked)
	}
	for _, r := range Routes() {
		if strings.HasPrefix(r.Path, "/kbs/") {
			continue // its handler refuses them, in the documents of that protocol
		}
		for _, variable := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(r.Path, -1) {
			if name := variable[1]; name != "type" && !asked[name] {
				t.Errorf("%s: bad values of {%s} are not tried", r.Path, name)
			}
		}
	}
}

func TestAzuresLongestNamesAreAccepted(t *testing.T) {
	b := newBench(t, nil)
	path := "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/" + strings.Repeat("g",
		84) + "_(1).x/providers/Microsoft.Attestation/attestationProviders/" + strings.Repeat("p", 24)
	wantStatus(t, b.admin("PUT", path+apiVersion, `{"location":"local"}`), 201)
	wantStatus(t, b.admin("GET", path+apiVersion, ""), 200)
}

func TestQueriesThatAreRefused(t *testing.T) {
	b := newBench(t, nil)
	for _, query := range []string{
		"/ledger?from=", "/ledger?from=-1", "/ledger?from=%2B1", "/ledger?from=1.0", "/ledger?from=x",
		"/ledger?from=9223372036854775808", "/ledger?from=null", "/ledger?from=1&from=2",
		"/ledger?limit=", "/ledger?limit=0", "/ledger?limit=1001", "/ledger?last=", "/ledger?last=-1",
		"/ledger?last=x",
		"/ledger?type=", "/ledger?type=x", "/ledger?type=Decision", "/ledger?kind=", "/ledger?kind=x",
		"/ledger?outcome=", "/ledger?outcome=x",
		"/ledger?evidence=", "/ledger?evidence=00", "/ledger?evidence=" + strings.Repeat("A", 64),
		"/ledger?check=", "/ledger?token=", "/ledger?by=", "/ledger?action=", "/ledger?request=",
		"/ledger?by=" + strings.Repeat("x", 257), "/ledger?by=%zz", "/ledger?by=a;b",
		"/ledger/export?from=", "/ledger/export?from=-1", "/ledger/export?from=x", "/ledger/export?from=1&from=1",
		"/certificates?api-version=2022-08-01&api-version=2022-08-01", "/certs?x=1&x=2", "/certs?%zz",
		"/signingkeys?a;b",
	} {
		wantCheck(t, b.admin("GET", query, ""), 400, edge.CheckQuery.ID)
	}
	for _, query := range []string{
		"/certificates",
		"/certificates?api-version=",
		"/certificates?api-version=1999-01-01",
		"/certificates?api-version=null",
	} {
		wantCheck(t, b.admin("GET", query, ""), 400, edge.CheckAPIVersion.ID)
	}
	for _, query := range []string{
		"/ledger", "/ledger?from=0&limit=1", "/ledger?last=0",
		"/ledger?limit=1000&type=change&kind=SgxEnclave&outcome=refused&by=x",
		"/ledger/export?from=0",
		"/certificates?api%2Dversion=2022-08-01", "/certs?unknown=1", "/certs?api-version=2020-10-01",
	} {
		wantStatus(t, b.admin("GET", query, ""), 200)
	}
}

// TestIfMatchHasItsForm: an ETag as this service writes it, or *.
func TestIfMatchHasItsForm(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "tagged", "")
	answered(t, b.admin("PUT", policyPath+apiVersion, wrap(t, denySVN)))
	routes := map[string]string{
		"PUT " + policyPath + apiVersion:             wrap(t, denySVN),
		"POST " + policyPath + ":reset" + apiVersion: "eyJhbGciOiJub25lIn0..",
		"POST " + policyPath + ":rollback":           `{"version":1}`,
		"PUT " + armPath + "tagged" + apiVersion:     `{"location":"local"}`,
		"PATCH " + armPath + "tagged" + apiVersion:   `{}`,
	}
	for route, body := range routes {
		method, path, _ := strings.Cut(route, " ")
		for _, tag := range []string{
			"", `W/"1"`, "01", "1, 2", `"1`, `""1""`, `"-1"`, `"01"`, `"1", "2"`, `"x"`,
			`"9223372036854775808"`, "**", "null",
		} {
			wantCheck(t, b.as(adminToken, method, path, body, "If-Match", tag), 400, provider.CheckMatch.ID)
		}
		for _, tag := range []string{`"999"`, "999"} {
			wantCheck(t, b.as(adminToken, method, path, body, "If-Match", tag), 412, provider.CheckMatch.ID)
		}
	}
	wantStatus(t, b.as(adminToken, "PUT", policyPath+apiVersion, wrap(t, denySVN), "If-Match", "*"), 200)
}

// TestBodiesThatAreRefused has null, wrong types, members that are missing or
// superfluous, duplicates and trailing data for every route with a JSON body.
func TestBodiesThatAreRefused(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "bodies", "")
	link := armPath + "bodies/privateEndpointConnections/link" + apiVersion
	for route, bodies := range map[string][]string{
		"POST /signingkeys:rotate": {
			``, `null`, `[]`, `"x"`, `1`, `{"now":null}`, `{"now":"true"}`, `{"now":1}`,
			`{"algorithm":null}`, `{"algorithm":1}`, `{"x":1}`, `{"NOW":true}`,
			`{"now":true,"now":true}`, `{"now":true}x`, `{"now":true}{}`, `{"now":true`,
		},
		"POST /signingkeys:retire": {
			``, `null`, `[]`, `{"kid":null}`, `{"kid":1}`, `{"kid":"x","y":1}`, `{"kid":"x"} x`,
			`{"kid":"x","kid":"x"}`,
		},
		"POST /tokens": {
			``, `null`, `[]`, `{"name":null,"role":"reader","providers":["*"]}`,
			`{"name":"a","role":null,"providers":["*"]}`,
			`{"name":"a","role":"reader","providers":null}`,
			`{"name":"a","role":"reader","providers":[null]}`,
			`{"name":"a","role":"reader","providers":["*"],"expires":null}`,
			`{"name":"a","role":"reader","providers":["*"],"expires":1}`,
			`{"name":"a","role":"reader","providers":"*"}`,
			`{"name":"a","role":"reader","providers":["*"],"x":1}`,
			`{"name":"a","role":"reader","providers":["*"]}[]`,
		},
		"POST " + policyPath + ":rollback": {
			``, `null`, `[]`, `{"version":null}`, `{"version":"1"}`, `{"version":1.5}`,
			`{"version":9223372036854775808}`, `{"version":1,"x":1}`, `{"version":1}1`,
		},
		"PUT " + armPath + "bodies" + apiVersion: {
			``, `null`, `[]`, `{}`, `{"location":null}`, `{"location":""}`, `{"location":1}`,
			`{"location":"local","tags":[]}`, `{"location":"local","tags":{"a":1}}`,
			`{"location":"local","tags":{"a":null}}`, `{"location":"local","properties":[]}`,
			`{"location":"local","properties":{"probity":{"tcb":null}}}`,
			`{"location":"local","properties":{"policySigningCertificates":{"keys":{}}}}`,
			`{"location":"local","properties":{"policySigningCertificates":{"keys":[null]}}}`,
			`{"location":"local","properties":{"publicNetworkAccess":1}}`, `{"location":"local"}x`,
			`{"location":"local","location":"local"}`,
		},
		"PATCH " + armPath + "bodies" + apiVersion: {
			``, `null`, `[]`, `{"tags":{"a":null}}`, `{"tags":"x"}`,
			`{"properties":{"probity":{"approvals":null}}}`, `{}{}`, `{"tags":{},"tags":{}}`,
		},
		"PUT " + link: {
			``, `null`, `[]`, `{"properties":[]}`, `{"properties":{"privateEndpoint":"x"}}`,
			`{"properties":{"privateEndpoint":[]}}`,
			`{"properties":{"privateLinkServiceConnectionState":{"status":null}}}`,
			`{"properties":{"privateLinkServiceConnectionState":{"status":1}}}`, `{}x`,
		},
		"POST /attest/SgxEnclave" + apiVersion: {
			``, `null`, `[]`, `{}`, `{"quote":null}`, `{"quote":""}`, `{"quote":"=="}`,
			`{"quote":"A"}`, `{"quote":"AB"}`, `{"quote":"A A="}`, `{"quote":1}`, `{"quote":"AA"}x`,
			`{"quote":"AA","QUOTE":"AA"}`, `{"report":"AA"}`, `{"quote":"AA","runtimeData":"x"}`,
			`{"quote":"AA","runtimeData":{"data":1}}`,
			`{"quote":"AA","runtimeData":{"data":"","dataType":"XML"}}`,
			`{"quote":"AA","nonce":{}}`,
			`{"quote":"AA","nonce":true}`,
			`{"quote":"AA","nonce":"` + strings.Repeat("x", 4097) + `"}`,
			`{"quote":"AA","eventLog":"AA"}`, `{"quote":"AA","draftPolicyForAttestation":1}`,
		},
		"POST /attest/tee/OpenEnclave" + apiVersion: {``, `{}`, `{"data":"AA"}`, `{"document":"AA"}`},
		"POST /attest/Tpm" + apiVersion: {
			``, `{}`, `{"data":null}`, `{"data":""}`, `{"data":1}`, `{"quote":"AA"}`,
		},
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, body := range bodies {
			w := b.admin(method, path, body)
			doc := decodeError(t, w)
			if w.Code != 400 || len(doc.Error.Details) == 0 || doc.Error.Details[0].Expected == "" ||
				strings.Contains(w.Body.String(), "Go ") {
				t.Errorf("%s %.80s: %d %s", route, body, w.Code, w.Body)
			}
		}
	}
}

// TestNullMeansLeftOutWhereAzureAnswersIt: clients send back what they read.
func TestNullMeansLeftOutWhereAzureAnswersIt(t *testing.T) {
	b := newBench(t, nil)
	body := `{"location":"local","tags":null,"properties":{"policySigningCertificates":null,` +
		`"publicNetworkAccess":null,"tpmAttestationAuthentication":null,"probity":null,"unknown":null}}`
	wantStatus(t, b.admin("PUT", armPath+"nulls"+apiVersion, body), 201)
	wantStatus(t, b.admin("PUT", armPath+"nulls"+apiVersion, `{"location":"local","properties":null}`), 200)
	wantStatus(t, b.admin("PUT", armPath+"nulls/privateEndpointConnections/link"+apiVersion,
		`{"properties":{"privateEndpoint":null,"privateLinkServiceConnectionState":null}}`), 200)
	wantStatus(t, b.do("POST", sgxPath, `{"quote":"`+b.quote()+`","runtimeData":null,`+
		`"initTimeData":{"data":null,"dataType":null},"nonce":null,"draftPolicyForAttestation":null}`), 200)
}

// TestCertificateRequestsAsObjects: exactly one member has the signed request.
func TestCertificateRequestsAsObjects(t *testing.T) {
	b := newBench(t, nil)
	for _, body := range []string{
		`{}`, `{"x":"y"}`, `{"certificate":null}`, `{"certificate":1}`,
		`{"certificate":"a.b.c","policyCertificateToAdd":"a.b.c"}`,
		`{"certificate":"a.b.c","certificate":"a.b.c"}`, `{"certificate":"a.b.c"}x`,
	} {
		for _, path := range []string{"/certificates:add", "/certificates:remove"} {
			wantCheck(t, b.admin("POST", path+apiVersion, body), 400, edge.CheckBody.ID)
		}
	}
}

// TestEvidenceIsCalledQuoteOnTheLegacyPath in every version. Clients of the first version
// call an Open Enclave report quote on the path of later versions as well.
func TestEvidenceIsCalledQuoteOnTheLegacyPath(t *testing.T) {
	b := newBench(t, nil)
	for _, version := range []string{"2018-09-01-preview", "2022-08-01"} {
		query := "?api-version=" + version
		for _, request := range []string{
			"tee/OpenEnclave quote", "OpenEnclave quote", "OpenEnclave report", "tee/SgxEnclave quote",
		} {
			path, member, _ := strings.Cut(request, " ")
			wantStatus(t, b.do("POST", "/attest/"+path+query, `{"`+member+`":"`+b.quote()+`"}`), 200)
		}
		for _, request := range []string{
			"tee/OpenEnclave report", "tee/SevSnpVm report", "SevSnpVm quote", "SgxEnclave report",
			"NitroEnclave quote", "tee/Tpm data",
		} {
			path, member, _ := strings.Cut(request, " ")
			wantCheck(t, b.do("POST", "/attest/"+path+query, `{"`+member+`":"AA"}`), 400, edge.CheckBody.ID)
		}
		wantCheck(t, b.do("POST", "/attest/OpenEnclave"+query, `{"report":"AA","quote":"AA"}`), 400,
			edge.CheckBody.ID)
		wantCheck(t, b.do("POST", "/attest/tee/Tpm"+query, `{"quote":"AA"}`), 400, edge.CheckMessage.ID)
	}
}

func TestLocationsHaveTheirForm(t *testing.T) {
	b := newBench(t, nil)
	for _, location := range []string{`a\u0012`, `a\n`, `ü`, strings.Repeat("x", 129)} {
		wantCheck(t, b.admin("PUT", armPath+"place"+apiVersion, `{"location":"`+location+`"}`), 400,
			edge.CheckBody.ID)
	}
	wantStatus(t, b.admin("PUT", armPath+"place"+apiVersion, `{"location":"West Europe"}`), 201)
	wantCheck(t, b.admin("PATCH", armPath+"place"+apiVersion, `{"location":"ü"}`), 400, edge.CheckBody.ID)
}
