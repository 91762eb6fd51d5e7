package api

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
)

// vaultKeys are made once: that of the vault's certificate, and that of an attested machine.
var vaultKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return keys
})

var vaultCertificate = sync.OnceValue(func() *x509.Certificate {
	key := vaultKeys()[0]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vault"},
		NotBefore: now.AddDate(-10, 0, 0), NotAfter: now.AddDate(50, 0, 0), DNSNames: []string{"attest.example.org"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
})

// newVault is the vault of a bench, which trusts the providers of the bench.
func (b *bench) newVault(t *testing.T, master keys.MasterKey, clock func() time.Time) Vault {
	t.Helper()
	software, err := vault.NewSoftware(master.Subkey("keys of vaults"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	backups, err := vault.NewBackups(master.Subkey("backups of vaults"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := document.NewSigner(vaultKeys()[0], []*x509.Certificate{vaultCertificate()})
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(vault.Config{
		Store: b.db, New: vault.Software, Protections: map[string]vault.Protection{vault.Software: software},
		Backups: backups, Challenges: master, Now: clock, Record: b.ledger.Record,
		Signer: func() *document.Signer { return signer },
		Authorities: vault.Authorities{Own: func(issuer string) (*provider.Provider, bool) {
			for _, p := range b.registry.All() {
				if release.SameAuthority(p.URL, issuer) {
					return p, true
				}
			}
			return nil, false
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return Vault{Vault: v, Authorities: func() []string { return []string{issuer} }}
}

const vaultVersion = "?api-version=7.4"

// vaultError is the error document of Azure Key Vault.
type vaultError struct {
	Error struct {
		Code, Message string
		Inner         struct{ Code, Check, Expected, Found, Remedy string } `json:"innererror"`
	}
}

func (b *bench) vault(t *testing.T, method, path, body string, status int) map[string]any {
	t.Helper()
	w := b.admin(method, path+vaultVersion, body)
	if w.Code != status {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	var out map[string]any
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
		}
	}
	return out
}

func wantVaultError(
	t *testing.T, what string, code int, body []byte, status int, akv string, check error,
) vaultError {
	t.Helper()
	var e vaultError
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%s: %v: %s", what, err, body)
	}
	if code != status || e.Error.Code != akv || e.Error.Message == "" ||
		check != nil && e.Error.Inner.Check != check.Error() {
		t.Errorf("%s: %d %s, want %d %s %v", what, code, body, status, akv, check)
	}
	return e
}

func policyBody(text string) string {
	return fmt.Sprintf(`"release_policy":{"data":%q}`, base64.RawURLEncoding.EncodeToString([]byte(text)))
}

const simplePolicy = `{"version":"1.0.0","anyOf":[{"authority":"` + issuer + `","allOf":[` +
	`{"claim":"x-ms-attestation-type","equals":"sgx"}]}]}`

func TestAKeyThroughItsLife(t *testing.T) {
	b := newBench(t, nil)
	made := b.vault(t, "POST", "/keys/Disk/create", `{"kty":"RSA-HSM","key_size":3072,"key_ops":["decrypt"],`+
		`"attributes":{"exportable":true,"exp":2000000000},"tags":{"a":"b"},`+policyBody(simplePolicy)+`}`, 200)
	key := made["key"].(map[string]any)
	kid := key["kid"].(string)
	if key["kty"] != "RSA-HSM" || key["n"] == nil || key["e"] != "AQAB" ||
		!strings.HasPrefix(kid, issuer+"/keys/Disk/") ||
		made["tags"].(map[string]any)["a"] != "b" {
		t.Errorf("%v", made)
	}
	attributes := made["attributes"].(map[string]any)
	if attributes["exportable"] != true || attributes["enabled"] != true || attributes["exp"] != 2e9 ||
		attributes["recoveryLevel"] != "Recoverable+Purgeable" || attributes["recoverableDays"] != 90.0 {
		t.Errorf("%v", attributes)
	}
	version := kid[strings.LastIndex(kid, "/")+1:]
	for _, path := range []string{"/keys/disk", "/keys/DISK/" + version, "/keys/disk/"} {
		if got := b.vault(t, "GET", path, "", 200); got["key"].(map[string]any)["kid"] != kid {
			t.Errorf("%s: %v", path, got)
		}
	}
	b.vault(t, "PATCH", "/keys/disk/"+version, `{"attributes":{"enabled":false},"key_ops":["encrypt"]}`, 200)
	second := b.vault(t, "POST", "/keys/disk/rotate", "", 200)
	if second["key"].(map[string]any)["kid"] == kid || second["attributes"].(map[string]any)["enabled"] != true {
		t.Errorf("%v", second)
	}
	if list := b.vault(t, "GET", "/keys/disk/versions", "", 200)["value"].([]any); len(list) != 2 {
		t.Errorf("%v", list)
	}
	list := b.vault(t, "GET", "/keys", "", 200)
	item := list["value"].([]any)[0].(map[string]any)
	if item["kid"] != issuer+"/keys/Disk" || list["nextLink"] != nil {
		t.Errorf("%v", list)
	}
	rotation := `{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P90D"},"action":{"type":"Rotate"}}],` +
		`"attributes":{}}`
	got := b.vault(t, "PUT", "/keys/disk/rotationpolicy", rotation, 200)
	if got["id"] != issuer+"/keys/disk/rotationpolicy" {
		t.Errorf("%v", got)
	}
	b.vault(t, "GET", "/keys/disk/rotationpolicy", "", 200)
	blob := b.vault(t, "POST", "/keys/disk/backup", "", 200)["value"].(string)
	b.endOfLife(t, blob, version)
}

// endOfLife deletes, recovers, purges and restores the key.
func (b *bench) endOfLife(t *testing.T, blob, version string) {
	t.Helper()
	gone := b.vault(t, "DELETE", "/keys/disk", "", 200)
	if gone["recoveryId"] != issuer+"/deletedkeys/Disk" || gone["deletedDate"] == nil ||
		gone["scheduledPurgeDate"] == nil {
		t.Errorf("%v", gone)
	}
	b.vault(t, "GET", "/deletedkeys/disk", "", 200)
	if list := b.vault(t, "GET", "/deletedkeys", "", 200)["value"].([]any); len(list) != 1 {
		t.Errorf("%v", list)
	}
	b.vault(t, "POST", "/deletedkeys/disk/recover", "", 200)
	b.vault(t, "DELETE", "/keys/disk", "", 200)
	b.vault(t, "DELETE", "/deletedkeys/disk", "", 204)
	b.vault(t, "POST", "/keys/restore", `{"value":"`+blob+`"}`, 200)
	b.vault(t, "GET", "/keys/disk/"+version, "", 200)
}

func TestPagesOfKeysLeadToEachOther(t *testing.T) {
	b := newBench(t, nil)
	for i := range 7 {
		b.vault(t, "PUT", fmt.Sprint("/keys/k", i), `{"key":{"kty":"oct","k":"AAAA"}}`, 200)
	}
	n, next := 0, "/keys?maxresults=3&api-version=7.4"
	for pages := 0; next != ""; pages++ {
		w := b.admin("GET", next, "")
		var page struct {
			Value []any
			Next  *string `json:"nextLink"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 || pages > 3 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if n, next = n+len(page.Value), ""; page.Next != nil {
			next = strings.TrimPrefix(*page.Next, issuer)
		}
	}
	if n != 7 {
		t.Errorf("%d keys", n)
	}
}

func TestWhatAzuresVaultRefusesIsRefusedInItsWords(t *testing.T) {
	b := newBench(t, nil)
	b.vault(t, "PUT", "/keys/here", `{"key":{"kty":"oct","k":"AAAA"}}`, 200)
	b.vault(t, "PUT", "/keys/gone", `{"key":{"kty":"oct","k":"AAAA"}}`, 200)
	b.vault(t, "DELETE", "/keys/gone", "", 200)
	exportable := `{"kty":"oct","attributes":{"exportable":true}`
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		code, text         string
		check              error
	}{
		"no such key": {
			"GET", "/keys/nothing", "", 404, "KeyNotFound", "was not found in this key vault",
			vault.CheckExists,
		},
		"no such version": {
			"GET", "/keys/here/" + strings.Repeat("0", 32), "", 404, "KeyNotFound", "",
			vault.CheckExists,
		},
		"a deleted name": {
			"POST", "/keys/gone/create", `{"kty":"oct"}`, 409, "Conflict", "deleted but recoverable",
			vault.CheckDeleted,
		},
		"not JSON": {"POST", "/keys/a/create", `{`, 400, "BadParameter", "", nil},
		"an unknown type": {
			"POST", "/keys/a/create", `{"kty":"DSA"}`, 400, "BadParameter", "", vault.CheckKeyType,
		},
		"an exponent": {
			"POST", "/keys/a/create", `{"kty":"RSA","public_exponent":3}`, 400, "BadParameter", "",
			vault.CheckKeyType,
		},
		"no release policy": {
			"POST", "/keys/a/create", exportable + `}`, 400, "BadParameter", "AKV.SKR.1004",
			vault.CheckExportable,
		},
		"a policy that is not base64": {
			"POST", "/keys/a/create", exportable + `,"release_policy":{"data":"!"}}`, 400,
			"BadParameter", "", vault.CheckPolicy,
		},
		"a policy that does not parse": {
			"POST", "/keys/a/create", exportable + `,` + policyBody(`{"version":"1.0.0"}`) + `}`,
			400,
			"BadParameter", "", vault.CheckPolicy,
		},
		"nothing to change":   {"PATCH", "/keys/here", `null`, 400, "BadParameter", "", nil},
		"no rotation":         {"PUT", "/keys/here/rotationpolicy", ` null`, 400, "BadParameter", "", vault.CheckRotation},
		"no version":          {"GET", "/keys/here/1", "", 400, "BadParameter", "32 hex digits", nil},
		"a method of no path": {"PATCH", "/keys/here/versions", `{}`, 405, "MethodNotAllowed", "answers GET", nil},
		"another one":         {"GET", "/keys/here/backup", "", 405, "MethodNotAllowed", "answers POST", nil},
		"no key to import":    {"PUT", "/keys/a", `{}`, 400, "BadParameter", "", vault.CheckMaterial},
		"a bad backup": {
			"POST", "/keys/restore", `{"value":"AAAA"}`, 400, "BadParameter", "", vault.CheckBackup,
		},
		"a backup not text": {
			"POST", "/keys/restore", `{"value":"!"}`, 400, "BadParameter", "", vault.CheckBackup,
		},
		"a bad rotation": {
			"PUT", "/keys/here/rotationpolicy", `{"x":1}`, 400, "BadParameter", "",
			vault.CheckRotation,
		},
		"release of a plain key": {"POST", "/keys/here/release", `{"target":"x"}`, 400, "BadParameter", "", nil},
		"release without target": {"POST", "/keys/here/release", `{}`, 400, "BadParameter", "", nil},
		"purge of a live key":    {"DELETE", "/deletedkeys/here", "", 404, "KeyNotFound", "", vault.CheckExists},
	} {
		w := b.admin(tc.method, tc.path+vaultVersion, tc.body)
		e := wantVaultError(t, name, w.Code, w.Body.Bytes(), tc.status, tc.code, tc.check)
		if !strings.Contains(e.Error.Message, tc.text) {
			t.Errorf("%s: %s", name, e.Error.Message)
		}
	}
	for version, status := range map[string]int{
		"7.3": 200, "7.3-preview": 200, "7.6-preview.2": 200, "7.10": 200, "2025-07-01": 200, "2030-01-01": 200,
		"": 400, "7.2": 400, "7.0": 400, "2016-10-01": 400, "2022-08-01": 400, "8": 400, "x": 400,
	} {
		if w := b.admin("GET", "/keys?api-version="+version, ""); w.Code != status {
			t.Errorf("api-version %q: %d %s", version, w.Code, w.Body)
		}
	}
	if w := b.admin("GET", "/keys?api%2Dversion=7.4", ""); w.Code != 200 {
		t.Errorf("an encoded dash: %d %s", w.Code, w.Body)
	}
}

func TestCallersOfTheVaultAreChallengedAsItsClientsExpect(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Callers.Authorization = "https://login.example/tenant" })
	for host, resource := range map[string]string{
		"team.kms.example": "https://kms.example", "attest.example.org:8443": "https://example.org",
		"localhost": "https://localhost", "127.0.0.1:8443": "https://127.0.0.1",
	} {
		r := newRequest("POST", "https://"+host+"/keys/a/release?api%2Dversion=2025-07-01", "")
		w := b.serve(r)
		want := `Bearer authorization="https://login.example/tenant", resource="` + resource + `"`
		if got := w.Header().Get("WWW-Authenticate"); w.Code != 401 || got != want {
			t.Errorf("%s: %d %s, want %s", host, w.Code, got, want)
		}
		wantVaultError(t, host, w.Code, w.Body.Bytes(), 401, "Unauthorized", nil)
	}
}

func TestOwnTokensReleaseOwnKeys(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", `"probity":{"vault":{"explainReleases":true}}`)
	machine := vaultKeys()[1]
	runtime := fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"m","key_ops":["encrypt"],"n":%q,"e":"AQAB"}]}`,
		base64.RawURLEncoding.EncodeToString(machine.N.Bytes()))
	token := b.attested(t, runtime)
	for _, tc := range []struct {
		at, policy, wants string
		status            int
	}{
		{"", simplePolicy, "", 200},
		{"/p/alpha", simplePolicy, "", 200}, // another provider of the service is an authority, too
		{"/p/alpha", strings.Replace(simplePolicy, `"sgx"`, `"tdxvm"`, 1), `x-ms-attestation-type`, 403},
		{"", strings.Replace(simplePolicy, `"sgx"`, `"tdxvm"`, 1), "", 403},
		{"/p/alpha", strings.Replace(simplePolicy, issuer, issuer+"/p/alpha", 1), "", 403},
	} {
		b.vault(t, "PUT", tc.at+"/keys/disk",
			`{"key":{"kty":"oct","k":"c2VjcmV0"},"attributes":{"exportable":true},`+
				policyBody(tc.policy)+`}`, 200)
		for _, path := range []string{"/keys/disk/release", "/keys/disk//release"} {
			w := b.admin("POST", tc.at+path+vaultVersion,
				`{"target":"`+token+`","nonce":"n","enc":"RSA_AES_KEY_WRAP_256"}`)
			if w.Code != tc.status || strings.Contains(w.Body.String(), "c2VjcmV0") {
				t.Fatalf("%s%s: %d %s", tc.at, path, w.Code, w.Body)
			}
			if tc.status == 403 {
				e := wantVaultError(t, tc.policy, w.Code, w.Body.Bytes(), 403, "Forbidden", nil)
				if (e.Error.Inner.Found != "") != (tc.at != "") || !strings.Contains(e.Error.Inner.Found, tc.wants) {
					t.Errorf("%s: %s", tc.at, w.Body)
				}
				continue
			}
			var answer struct{ Value string }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(vaultCertificate())
			d, err := document.Verify(answer.Value, document.Expectation{
				Roots:         roots,
				Host:          "attest.example.org",
				Time:          now,
				KeyID:         issuer + tc.at + "/keys/disk",
				Nonce:         "n",
				Algorithm:     "RSA_AES_KEY_WRAP_256",
				WrappingKeyID: "m",
			})
			if err != nil {
				t.Fatal(err)
			}
			m, err := d.Open(rand.Reader, machine)
			if err != nil || string(m.Octets) != "secret" {
				t.Errorf("%v %v", m, err)
			}
		}
	}
}

// attested is a token of the default provider for an enclave that bound runtime data.
func (b *bench) attested(t *testing.T, runtime string) string {
	t.Helper()
	body := fmt.Sprintf(`{"quote":%q,"runtimeData":{"data":%q,"dataType":"JSON"}}`, b.quoteOf(runtime),
		base64.RawURLEncoding.EncodeToString([]byte(runtime)))
	w := b.do("POST", "/attest/SgxEnclave?api-version=2022-08-01", body)
	var answer struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return answer.Token
}

func TestKeysAreReleasedToCallersWithoutACredentialIfTheProviderSaysSo(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", "")
	b.provider(t, "open", `"probity":{"vault":{"anonymousRelease":true}}`)
	for at, status := range map[string]int{"": 401, "/p/alpha": 401, "/p/open": 404} {
		if w := b.do("POST", at+"/keys/k/release"+vaultVersion, `{"target":"x"}`); w.Code != status {
			t.Errorf("%q: %d %s", at, w.Code, w.Body)
		}
		if w := b.do("GET", at+"/keys"+vaultVersion, ""); w.Code != 401 {
			t.Errorf("%q: the list without a credential: %d", at, w.Code)
		}
	}
	w := b.admin("PUT", armPath+"bad"+apiVersion,
		`{"location":"local","properties":{"probity":{"vault":{"challenge":"maybe"}}}}`)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "vault.challenge") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAChallengeIsAnsweredOnce(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", `"probity":{"vault":{"challenge":"evidence","explainReleases":true}}`)
	b.vault(t, "PUT", "/p/alpha/keys/disk",
		`{"key":{"kty":"oct","k":"c2VjcmV0"},"attributes":{"exportable":true},`+
			policyBody(simplePolicy)+`}`, 200)
	var challenge struct{ Nonce, Expires string }
	w := b.admin("POST", "/p/alpha/keys:challenge", "")
	err := json.Unmarshal(w.Body.Bytes(), &challenge)
	if err != nil || w.Code != 200 || challenge.Expires == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	runtime := fmt.Sprintf(
		`{"nonce":%q,"keys":[{"kty":"RSA","kid":"m","key_ops":["encrypt"],"n":%q,"e":"AQAB"}]}`,
		challenge.Nonce, base64.RawURLEncoding.EncodeToString(vaultKeys()[1].N.Bytes()),
	)
	body := `{"target":"` + b.attested(t, runtime) + `"}`
	if w := b.admin("POST", "/p/alpha/keys/disk/release"+vaultVersion, body); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = b.admin("POST", "/p/alpha/keys/disk/release"+vaultVersion, body)
	wantVaultError(t, "again", w.Code, w.Body.Bytes(), 403, "Forbidden", vault.CheckChallenge)
}

func TestAReleasePolicyIsChangedForAllVersions(t *testing.T) {
	b := newBench(t, nil)
	made := b.vault(t, "PUT", "/keys/disk", `{"key":{"kty":"oct","k":"c2VjcmV0"},"attributes":{"exportable":true},`+
		policyBody(strings.Replace(simplePolicy, `"sgx"`, `"tdxvm"`, 1))+`}`, 200)
	kid := made["key"].(map[string]any)["kid"].(string)
	version := strings.TrimPrefix(kid, issuer)
	token := b.attested(t, fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"m","use":"enc","n":%q,"e":"AQAB"}]}`,
		base64.RawURLEncoding.EncodeToString(vaultKeys()[1].N.Bytes())))
	release := func(status int) {
		t.Helper()
		b.vault(t, "POST", version+"/release", `{"target":"`+token+`"}`, status)
	}
	release(403)
	b.vault(t, "PATCH", version, `{`+policyBody(simplePolicy)+`}`, 400)
	b.vault(t, "PATCH", "/keys/disk", `{`+policyBody(simplePolicy)+`,"tags":{"a":"b"}}`, 200)
	release(200)
	b.vault(t, "PATCH", version, `{"attributes":{"enabled":false}}`, 200)
	release(403)
}

func TestWarningsAboutReleasePolicies(t *testing.T) {
	b := newBench(t, nil)
	body := `{"kty":"oct","attributes":{"exportable":true},` +
		policyBody(strings.ReplaceAll(simplePolicy, issuer, "https://unknown.example")) + `}`
	made := b.vault(t, "POST", "/keys/a/create", body, 200)
	warnings, _ := made["warnings"].([]any)
	if len(warnings) != 1 || !strings.Contains(fmt.Sprint(warnings[0]), "unknown.example") {
		t.Errorf("%v", made)
	}
	if got := b.vault(t, "GET", "/keys/a", "", 200); got["warnings"] != nil {
		t.Errorf("%v", got)
	}
}

func TestWorkWithKeysIsWithinTheQuotaOfTheProvider(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "slow", `"probity":{"requestsPerSecond":1,"burst":1}`)
	const key = `{"key":{"kty":"oct","k":"AAAA"}}`
	b.vault(t, "PUT", "/p/slow/keys/a", key, 200)
	w := b.admin("PUT", "/p/slow/keys/a"+vaultVersion, key)
	wantVaultError(t, "the second", w.Code, w.Body.Bytes(), 429, "Throttled", nil)
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.vault(t, "GET", "/p/slow/keys/a", "", 200) // reading takes no place
	b.vault(t, "PUT", "/keys/a", key, 200)
}
