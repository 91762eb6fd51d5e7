package vault_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/issuer"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/token"
)

// testKeys are made once: RSA keys take their time.
var testKeys = sync.OnceValue(func() (keys []*rsa.PrivateKey) {
	for _, bits := range []int{2048, 2048, 2048, 3072} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys = append(keys, key)
	}
	return keys
})

// The roles of the keys: of the issuer, of the service's certificate, and of the machine.
const (
	ofIssuer = iota
	ofStranger
	ofService
	ofMachine
)

// releases is a lab whose vault knows an issuer, which a test can stop.
type releases struct {
	*lab
	issuer  string
	signer  *token.Signer
	server  *httptest.Server
	down    bool
	extra   []*token.Signer // keys that the issuer publishes, too
	entries []ledger.Entry
	broken  error // of the ledger
	roots   *x509.CertPool
	noCert  bool
}

func newReleases(t testing.TB) *releases {
	t.Helper()
	r := &releases{}
	r.server = httptest.NewTLSServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.server.Close)
	r.issuer = r.server.URL
	r.signer = r.newSigner(t, testKeys()[ofIssuer])
	answers := r.answers(t)
	r.lab = newLab(t, func(c *vault.Config) {
		c.Authorities = vault.Authorities{
			Own: func(string) (*provider.Provider, bool) { return nil, false },
			Others: []*issuer.Keys{{URL: r.issuer, Client: r.server.Client(), Stale: 24 * time.Hour},
				{URL: "https://known.example", Client: r.server.Client()}},
		}
		c.Signer = func() *document.Signer {
			if r.noCert {
				return nil
			}
			return answers
		}
		c.Record = func(_ context.Context, _ string, e ledger.Entry, _ bool) error {
			r.entries = append(r.entries, e)
			return r.broken
		}
	})
	return r
}

func (r *releases) newSigner(t testing.TB, key crypto.Signer) *token.Signer {
	t.Helper()
	cert := must[*x509.Certificate](t)(token.InstanceCertificate(rand.Reader, r.issuer, key,
		start.AddDate(-1, 0, 0)))
	return must[*token.Signer](t)(token.NewSigner(r.issuer, key, cert, ""))
}

func (r *releases) serve(w http.ResponseWriter, req *http.Request) {
	if r.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	var answer any = token.Keys(append([]*token.Signer{r.signer}, r.extra...)...)
	if req.URL.Path == "/.well-known/openid-configuration" {
		answer = map[string]any{"issuer": r.issuer, "jwks_uri": r.issuer + "/certs"}
	}
	json.NewEncoder(w).Encode(answer)
}

// answers is what signs released keys, under a CA of the test's own.
func (r *releases) answers(t testing.TB) *document.Signer {
	t.Helper()
	key := testKeys()[ofService]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vault"},
		NotBefore: start.AddDate(-1, 0, 0), NotAfter: start.AddDate(9, 0, 0), DNSNames: []string{"vault.example"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	cert := must[*x509.Certificate](t)(x509.ParseCertificate(der))
	r.roots = x509.NewCertPool()
	r.roots.AddCert(cert)
	return must[*document.Signer](t)(document.NewSigner(key, []*x509.Certificate{cert}))
}

// machineJWK is the public key of the attested machine, as runtime data have it.
func machineJWK(edit ...func(map[string]any)) map[string]any {
	key := testKeys()[ofMachine]
	jwk := map[string]any{"kty": "RSA", "kid": "machine", "key_ops": []string{"encrypt"},
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
	for _, f := range edit {
		f(jwk)
	}
	return jwk
}

// claims are those of a confidential VM's token.
func (r *releases) claims() map[string]any {
	return map[string]any{
		"iss": r.issuer, "jti": "token-1", "iat": start.Unix(), "nbf": start.Unix(),
		"exp": start.Add(time.Hour).Unix(), "x-ms-attestation-type": "sevsnpvm",
		"x-ms-sevsnpvm-launchmeasurement": "abcd", "x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-vmpl": 0,
		"x-ms-compliance-status": "azure-compliant-uvm",
		"x-ms-runtime":           map[string]any{"keys": []any{machineJWK()}},
	}
}

func (r *releases) sign(claims map[string]any) string {
	return must[string](r.t)(r.signer.Sign(must[[]byte](r.t)(json.Marshal(claims))))
}

const goodConditions = `"allOf":[{"claim":"x-ms-attestation-type","equals":"sevsnpvm"},` +
	`{"claim":"x-ms-sevsnpvm-is-debuggable","equals":"false"},{"claim":"x-ms-sevsnpvm-vmpl","equals":"0"},` +
	`{"claim":"x-ms-sevsnpvm-launchmeasurement","equals":"abcd"}]`

// key makes a key that opens for [releases.claims].
func (r *releases) key(edit ...func(*vault.Request)) *vault.Key {
	r.t.Helper()
	req := exportable("Disk")
	req.Import = &vault.JWK{Type: "oct", K: b64([]byte("the passphrase"))}
	req.Policy.Data = []byte(
		`{"version":"1.0.0","anyOf":[{"authority":"` + r.issuer + `",` + goodConditions + `}]}`,
	)
	for _, f := range edit {
		f(&req)
	}
	return r.create(req)
}

func (r *releases) request(target string) vault.ReleaseRequest {
	return vault.ReleaseRequest{Name: "disk", Target: target, APIVersion: "7.4", Base: "https://vault.example",
		KeyURL: "https://vault.example/keys/disk"}
}

// open verifies an answer as a client does, and opens it.
func (r *releases) open(answer string, want document.Expectation) *document.Material {
	r.t.Helper()
	want.Roots, want.Host, want.Time = r.roots, "vault.example", r.now
	want.KeyID, want.WrappingKeyID = "https://vault.example/keys/disk", "machine"
	d := must[*document.Document](r.t)(document.Verify(answer, want))
	return must[*document.Material](r.t)(d.Open(rand.Reader, testKeys()[ofMachine]))
}

// last is the newest entry of the ledger.
func (r *releases) last() ledger.Entry {
	r.t.Helper()
	if len(r.entries) == 0 {
		r.t.Fatal("no entry in the ledger")
	}
	return r.entries[len(r.entries)-1]
}
