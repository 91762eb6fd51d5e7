package thirdparty

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/test/kit/servicetest"
)

const spiffePolicy = `version= 1.0;
authorizationrules{
	[type=="x-ms-sgx-is-debuggable", value==false] => permit();
};
issuancerules{
	=> issue(type="spiffe-id", value="spiffe://attested.example.org/payments");
};`

// TestSPIFFE: the token of a provider is a JWT-SVID if a policy names the workload and the provider takes
// this claim as the subject. The provider's key set is the bundle of the trust domain.
func TestSPIFFE(t *testing.T) {
	i := servicetest.Simulated(t)
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs, Token: servicetest.AdminToken})
	if err != nil {
		t.Fatal(err)
	}
	settings := `{"audience":["ledger"],"subjectClaim":"spiffe-id"}`
	p, err := c.PutProvider(t.Context(), client.Scope{Subscription: "s", Group: "g"}, "attested",
		client.Provider{Location: "local", Properties: client.ProviderProperties{Probity: []byte(settings)}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policyjws.Wrap(nil, spiffePolicy, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := c.ForProvider("attested")
	if _, err := at.SetPolicy(t.Context(), evidence.SGXEnclave, set); err != nil {
		t.Fatal(err)
	}
	quote, err := os.ReadFile(filepath.Join(i.Folder, "quote.bin"))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := at.Attest(t.Context(), client.Request{Kind: evidence.SGXEnclave, Evidence: quote})
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: i.Trust()}}
	resp, err := web.Get(p.Properties.AttestURI + "/certs")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	keys, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	domain := spiffeid.RequireTrustDomainFromString("attested.example.org")
	bundle, err := jwtbundle.Parse(domain, keys)
	if err != nil {
		t.Fatal(err)
	}
	svid, err := jwtsvid.ParseAndValidate(compact, bundle, []string{"ledger"})
	if err != nil {
		t.Fatal(err)
	}
	if got := svid.ID.String(); got != "spiffe://attested.example.org/payments" ||
		svid.Claims["x-ms-sgx-is-debuggable"] != false {
		t.Errorf("%s %v", got, svid.Claims)
	}

	other := jwtbundle.New(spiffeid.RequireTrustDomainFromString("other.example.org"))
	unnamed, err := c.Attest(t.Context(), client.Request{Kind: evidence.SGXEnclave, Evidence: quote})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		compact  string
		bundle   jwtbundle.Source
		audience string
	}{
		"another audience":     {compact, bundle, "other"},
		"another trust domain": {compact, other, "ledger"},
		"another signature":    {compact[:len(compact)-8] + "AAAAAAAA", bundle, "ledger"},
		"without a SPIFFE ID":  {unnamed, bundle, "ledger"},
	} {
		if _, err := jwtsvid.ParseAndValidate(tc.compact, tc.bundle, []string{tc.audience}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// A server of SPIRE reads bundles in the form of SPIFFE: the keys say what they are for.
	if b, err := spiffebundle.Parse(domain, keys); err == nil && len(b.JWTAuthorities()) > 0 {
		t.Error("the key set is a bundle of SPIFFE, and the guide says that it is not")
	}
}
