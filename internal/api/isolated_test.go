package api

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
)

// signer is a key with a certificate that may sign policies.
type signer struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newSigners(t *testing.T) (a, b, c signer) {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var all []signer
	for _, key := range []crypto.Signer{rsaKey, ecKey, other} {
		cert, err := token.InstanceCertificate(rand.Reader, "signer", key, now)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, signer{key, cert})
	}
	return all[0], all[1], all[2]
}

func (s signer) policy(t *testing.T, text string) string {
	t.Helper()
	jws, err := policyjws.Wrap(rand.Reader, text, s.key, []*x509.Certificate{s.cert})
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

func (s signer) certificate(t *testing.T, other signer) string {
	t.Helper()
	jws, err := policyjws.WrapCertificate(rand.Reader, other.cert, s.key, []*x509.Certificate{s.cert})
	if err != nil {
		t.Fatal(err)
	}
	return `"` + jws + `"`
}

func (s signer) reset(t *testing.T) string {
	t.Helper()
	jws, err := policyjws.WrapReset(rand.Reader, s.key, []*x509.Certificate{s.cert})
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

func TestAnIsolatedProvider(t *testing.T) {
	b := newBench(t, nil)
	a, second, stranger := newSigners(t)
	b.provider(t, "isolated",
		`"policySigningCertificates":{"keys":[`+string(policyjws.CertificateKey(a.cert))+`]}`)
	send := func(method, path, body string) *httptest.ResponseRecorder {
		return b.admin(method, "/p/isolated"+path+apiVersion, body)
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"unsigned set":                send("PUT", policyPath, wrap(t, denySVN)),
		"unsigned reset":              send("POST", policyPath+":reset", policyjws.NoPolicy),
		"set signed by a stranger":    send("PUT", policyPath, stranger.policy(t, denySVN)),
		"reset signed by a stranger":  send("POST", policyPath+":reset", stranger.reset(t)),
		"certificate of a stranger":   send("POST", "/certificates:add", stranger.certificate(t, stranger)),
		"removal by a stranger":       send("POST", "/certificates:remove", stranger.certificate(t, a)),
		"the last certificate":        send("POST", "/certificates:remove", a.certificate(t, a)),
		"a policy for a certificate":  send("POST", "/certificates:add", a.policy(t, denySVN)),
		"a certificate for a policy":  send("PUT", policyPath, strings.Trim(a.certificate(t, second), `"`)),
		"nothing":                     send("POST", "/certificates:add", ""),
		"an object without the right": send("POST", "/certificates:add", `{"x":"y"}`),
	} {
		if doc := decodeError(t, w); w.Code != 400 || doc.Error.Code != "InvalidOperation" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	claims := answered(t, send("PUT", policyPath, a.policy(t, denySVN)))
	if claims["x-ms-policy-signer"] == nil {
		t.Errorf("%v", claims)
	}
	for range 2 { // twice is as good as once
		claims := answered(t, send("POST", "/certificates:add", a.certificate(t, second)))
		if claims["x-ms-policycertificates-result"] != "IsPresent" ||
			claims["x-ms-certificate-thumbprint"] != policyjws.Thumbprint(second.cert) {
			t.Errorf("%v", claims)
		}
	}
	keys, _ := json.Marshal(answered(t, send("GET", "/certificates", ""))["x-ms-policy-certificates"])
	if strings.Count(string(keys), "x5c") != 2 {
		t.Errorf("%s", keys)
	}
	answered(t, send("POST", policyPath+":reset", second.reset(t)))
	object := `{"policyCertificateToRemove":` + second.certificate(t, a) + `}`
	if claims := answered(t, send("POST", "/certificates:remove",
		object)); claims["x-ms-policycertificates-result"] != "IsAbsent" {
		t.Errorf("%v", claims)
	}
	if w := send("PUT", policyPath, a.policy(t, denySVN)); w.Code != 400 {
		t.Errorf("signed by a certificate that was removed: %d", w.Code)
	}
	// Rolling back is a change like any other: it needs a signer that is still registered.
	if w := send("POST", policyPath+":rollback", `{"version":1}`); w.Code != 400 {
		t.Errorf("rolled back to what a removed certificate signed: %d %s", w.Code, w.Body)
	}
	wantCheck(t, b.admin(
		"PUT", armPath+"isolated"+apiVersion,
		`{"location":"local","properties":{"policySigningCertificates":{"keys":[`+
			string(policyjws.CertificateKey(a.cert))+`]}}}`,
	), 400, provider.CheckTrustModel.ID)
}

// otherForms are the forms of an ES256 signature that anyone can make from one of them.
func otherForms(t *testing.T, body string) map[string]string {
	t.Helper()
	jws := strings.Trim(body, `"`)
	at := strings.LastIndexByte(jws, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(jws[at:])
	if err != nil || len(signature) != 64 {
		t.Fatalf("%s: %v", jws, err)
	}
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	negative := new(big.Int).Sub(elliptic.P256().Params().N, s)
	der := func(s *big.Int) []byte {
		b, err := asn1.Marshal([]*big.Int{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	form := func(b []byte) string { return `"` + jws[:at] + base64.RawURLEncoding.EncodeToString(b) + `"` }
	return map[string]string{
		"with the negative s": form(append(r.FillBytes(make([]byte, 32)), negative.FillBytes(make([]byte, 32))...)),
		"in DER":              form(der(s)),
		"in DER, negative":    form(der(negative)),
		"with padding":        `"` + jws + `=="`,
		"with a line break":   `"` + jws + `\n"`,
	}
}

// A signed change does only what it was signed for: readers see what others signed.
func TestASignedChangeIsUsedForItsPurpose(t *testing.T) {
	b := newBench(t, nil)
	second, a, _ := newSigners(t) // a signs with ES256
	b.provider(t, "isolated",
		`"policySigningCertificates":{"keys":[`+string(policyjws.CertificateKey(a.cert))+`]}`)
	send := func(method, path, body string) *httptest.ResponseRecorder {
		return b.admin(method, "/p/isolated"+path+apiVersion, body)
	}
	set, add := a.policy(t, denySVN), a.certificate(t, second)
	answered(t, send("PUT", policyPath, set))
	wantCheck(t, send("POST", policyPath+":reset", set), 400, provider.CheckPurpose.ID)
	wantCheck(t, b.admin("POST", policyPath+":reset"+apiVersion, wrap(t, denySVN)), 400,
		provider.CheckPurpose.ID)
	wantCheck(t, send("PUT", policyPath, a.reset(t)), 400, "policy.syntax") // there is no empty policy
	answered(t, send("POST", "/certificates:add", add))
	wantCheck(t, send("POST", "/certificates:remove", add), 400, provider.CheckPurpose.ID)
	for name, copied := range otherForms(t, add) {
		if w := send("POST", "/certificates:remove", copied); w.Code != 400 {
			t.Errorf("a copy %s: %d %s", name, w.Code, w.Body)
		}
	}
	remove := a.certificate(t, second)
	answered(t, send("POST", "/certificates:remove", remove))
	wantCheck(t, send("POST", "/certificates:add", add), 400, provider.CheckPurpose.ID)
	wantCheck(t, send("POST", "/certificates:add", remove), 400, provider.CheckPurpose.ID)

	zero, one := int64(0), int64(1)
	bound := func(text string, edit policyjws.Binding) string {
		edit.Provider = cmp.Or(edit.Provider, "https://attest.example.org/p/isolated")
		jws, err := policyjws.Wrap(rand.Reader, text, a.key, []*x509.Certificate{a.cert}, edit)
		if err != nil {
			t.Fatal(err)
		}
		return jws
	}
	for name, edit := range map[string]policyjws.Binding{
		"another type":     {Kind: "TdxVm"},
		"another purpose":  {Purpose: policyjws.PurposeReset},
		"another provider": {Provider: "https://attest.example.org"},
		"version 0":        {Version: &zero},
		"expired":          {Expires: now.Unix()},
	} {
		w := send("PUT", policyPath, bound(denySVN, edit))
		if doc := decodeError(t, w); w.Code != 400 || doc.Error.Details[0].Check != provider.CheckPurpose.ID {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	whole := policyjws.Binding{
		Purpose: policyjws.PurposeSet, Kind: "SgxEnclave", Version: &one, Issued: now.Unix(),
		Expires: now.Add(time.Hour).Unix(),
	}
	object(t, b.admin("PATCH", armPath+"isolated"+apiVersion,
		`{"properties":{"probity":{"requireBoundChanges":true}}}`), 200)
	wantCheck(t, send("PUT", policyPath, a.policy(t, denySVN)), 400, provider.CheckPurpose.ID)
	wantCheck(t, send("POST", "/certificates:add", a.certificate(t, second)), 400, provider.CheckPurpose.ID)
	jws := bound(denySVN, whole)
	answered(t, send("PUT", policyPath, jws))
	wantCheck(t, send("PUT", policyPath, jws), 400, provider.CheckPurpose.ID) // it replaced version 1
}
