package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, text string, dev bool) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "probity.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, dev)
}

func TestDefaults(t *testing.T) {
	c, err := Load("", true)
	if err != nil || c.Listen != "localhost:8443" || c.URL != "https://localhost:8443" ||
		c.DataDir != "probity-data" ||
		c.Limits.Body != 1<<20 || c.Limits.Concurrent != 256 || c.Limits.Time != Duration(20*time.Second) {
		t.Errorf("Load = %+v, %v", c, err)
	}
}

func TestAWholeFile(t *testing.T) {
	c, err := load(t,
		`{"listen":":443","url":"https://attest.example.org/","dataDir":"/var/lib/probity",
		"masterKeyFile":"/run/key","tls":{"certificate":"c","key":"k"},
		"collateral":["a","b"],"tcb":"any","limits":{"body":1,"concurrent":2,"time":"3s","shutdown":"4s"}}`, false)
	if err != nil || c.URL != "https://attest.example.org" || c.Limits.Time != Duration(3*time.Second) ||
		len(c.Collateral) != 2 {
		t.Errorf("Load = %+v, %v", c, err)
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown member":            {`{"lissten":":1"}`, "lissten"},
		"duplicate member":          {`{"listen":":1","listen":":2"}`, "duplicate"},
		"trailing data":             {`{}{}`, "after top-level value"},
		"listen without a port":     {`{"listen":"localhost"}`, "listen"},
		"http":                      {`{"url":"http://x"}`, "not an https URL"},
		"url with a query":          {`{"url":"https://x?a=b"}`, "not an https URL"},
		"a port that is too large":  {`{"listen":":99999"}`, "0 to 65535"},
		"a port by name":            {`{"listen":":https"}`, "0 to 65535"},
		"url with a password":       {`{"url":"https://ann:secret@x"}`, "names a user"},
		"url with a large port":     {`{"url":"https://x:70000"}`, "0 to 65535"},
		"url with an empty query":   {`{"url":"https://x?"}`, "not an https URL"},
		"url without a host":        {`{"url":"https://:8443"}`, "not an https URL"},
		"details for everyone":      {`{"operations":{"listen":"0.0.0.0:9090"}}`, "loopback"},
		"details on all interfaces": {`{"operations":{"listen":":9090"}}`, "loopback"},
		"details on another host":   {`{"operations":{"listen":"192.0.2.1:9090"}}`, "loopback"},
		"details, a large port":     {`{"operations":{"listen":"127.0.0.1:99999"}}`, "0 to 65535"},
		"details at the same port": {
			`{"listen":":8443","operations":{"listen":"127.0.0.1:8443"}}`, "choose another port",
		},
		"details at localhost": {
			`{"listen":"127.0.0.1:8443","operations":{"listen":"localhost:8443"}}`,
			"choose another port",
		},
		"a suffix beyond ASCII":        {`{"providers":{"hostSuffix":"ſ.test"}}`, "hostSuffix"},
		"a suffix with two dots":       {`{"providers":{"hostSuffix":"a..test"}}`, "hostSuffix"},
		"a suffix with a user":         {`{"providers":{"hostSuffix":"a@test"}}`, "hostSuffix"},
		"a suffix with a large port":   {`{"providers":{"hostSuffix":"a.test:0"}}`, "1 to 65535"},
		"a data folder that is a file": {`{"dataDir":"config_test.go"}`, "not a folder"},
		"half a certificate":           {`{"tls":{"certificate":"c"}}`, "belong together"},
		"no certificate":               {`{}`, "--dev"},
		"unknown status":               {`{"tcb":"Fine"}`, "unknown TCB status"},
		"Revoked":                      {`{"tcb":"Revoked"}`, "cannot be accepted"},
		"duration without a unit":      {`{"limits":{"time":"20"}}`, "not a duration"},
		"negative duration":            {`{"limits":{"time":"-1s"}}`, "not a duration"},
		"fetch from nowhere":           {`{"fetch":{"intel":{"url":"pcs"}}}`, "fetch.intel"},
		"fetch with a query":           {`{"fetch":{"amd":{"url":"https://x?y"}}}`, "fetch.amd"},
		"fetch, unknown version":       {`{"fetch":{"intel":{"version":5}}}`, "want 3 or 4"},
		"fetch, unknown update":        {`{"fetch":{"intel":{"update":"late"}}}`, "standard or early"},
		"an outage without end":        {`{"fetch":{"outage":"169h"}}`, "want 1s to 168h0m0s"},
		"unknown product line":         {`{"snp":{"refuseLines":["Rome"]}}`, "want Milan"},
		"chip id too short":            {`{"snp":{"refuseChips":["00"]}}`, "not a chip id"},
		"UVM issuer that is none": {
			`{"snp":{"uvm":[{"issuer":"did:web:x","feed":"f","status":"s"}]}}`, "not did:x509",
		},
		"UVM trust without a feed": {
			`{"snp":{"uvm":[{"issuer":"did:x509:0:sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA::eku` +
				`:1.2","status":"s"}]}}`,
			"feed or status",
		},
		"CCA key without ids": {`{"cca":{"platformKeys":[{"key":"k.pem"}]}}`, "implementationId"},
		"CCA key that is absent": {`{"cca":{"platformKeys":[{"implementationId":"` + strings.Repeat("00",
			32) + `","instanceId":"` + strings.Repeat("01", 33) + `","key":"absent.pem"}]}}`, "absent.pem"},
		"authority that is absent": {`{"tpm":{"authorities":["absent.pem"]}}`, "absent.pem"},
		"EK that is no hash":       {`{"tpm":{"endorsementKeys":["AB"]}}`, "endorsementKeys"},
		"challenge for a day":      {`{"tpm":{"challengeLifetime":"24h"}}`, "want 1s to 1h0m0s"},
		"authentication, unknown":  {`{"tpm":{"authentication":"On"}}`, "want Enabled or Disabled"},
		"host suffix with a path":  {`{"providers":{"hostSuffix":"x/y"}}`, "hostSuffix"},
		"negative quota": {
			`{"providers":{"requestsPerSecond":-1}}`, "providers.requestsPerSecond: -1",
		},
		"a queue of one": {`{"ledger":{"queue":1}}`, "ledger.queue"},
		"witness over http": {
			`{"ledger":{"witness":{"url":"http://witness.example.net","key":"k"}}}`,
			"want an https URL",
		},
		"witness without a key": {
			`{"ledger":{"witness":{"url":"https://witness.example.net"}}}`, "NAME+HASH+KEY",
		},
		"rotation too fast":      {`{"signing":{"rotateEvery":"1h"}}`, "less than twice publishAhead"},
		"half a PKCS#11 token":   {`{"signing":{"pkcs11":{"module":"m"}}}`, "belong together"},
		"master key of no token": {`{"signing":{"pkcs11":{"masterKey":"k"}}}`, "belong together"},
		"two master keys": {
			`{"masterKeyFile":"f","signing":{"pkcs11":{"module":"m","token":"t","pinFile":"p",` +
				`"masterKey":"k"}}}`,
			"give one of them",
		},
		"issuer over http": {`{"callers":{"issuers":[{"url":"http://x"}]}}`, "not an https URL"},
		"a token type of its own": {
			`{"callers":{"issuers":[{"url":"https://x","tokenType":"JWT"}]}}`, "want at+jwt",
		},
		"unknown role": {
			`{"callers":{"issuers":[{"url":"https://x","rules":[{"claim":"a","value":"b","role":"root"}]}]}}`,
			"unknown role",
		},
		"rule without a value": {
			`{"callers":{"issuers":[{"url":"https://x","rules":[{"claim":"a","role":"owner"}]}]}}`,
			"claim and value",
		},
		"claim of no certificate": {
			`{"callers":{"certificateAuthorities":"f","certificates":[{"claim":"email","value":"b",` +
				`"role":"owner"}]}}`,
			"want subject, dns, uri or sha256",
		},
		"rules without authorities": {
			`{"callers":{"certificates":[{"claim":"dns","value":"b","role":"owner"}]}}`,
			"belong together",
		},
		"authorities without rules": {`{"callers":{"certificateAuthorities":"f"}}`, "belong together"},
		"baseline that is no hash":  {`{"tpm":{"secureBoot":{"db":["x"]}}}`, "secureBoot"},
		"negative limit":            {`{"limits":{"body":-1}}`, "limits.body: -1"},
		"development without --dev": {
			`{"development":{"time":"2025-06-11T19:18:17Z"},"tls":{"certificate":"c","key":"k"}}`,
			"need --dev",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t, tc.text, false); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent"), true); err == nil {
		t.Error("an absent file was accepted")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"listen":":1","limits":{"time":"3s"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Read(path)
		if err == nil {
			c.Complete(true)
		}
	})
}

// TestMessagesContainNoPassword: whatever is wrong with the address.
func TestMessagesContainNoPassword(t *testing.T) {
	for _, text := range []string{
		"https://ann:secret@x", "http://ann:secret@x", "https://ann:secret@x?q",
		"ht tps://ann:secret@x", "https://ann:secret@x:70000",
	} {
		if _, err := load(t, `{"url":"`+text+`"}`, false); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTenantsIsTheEarlierNameOfProviders: a configuration of an earlier release is read.
func TestTenantsIsTheEarlierNameOfProviders(t *testing.T) {
	read := func(text string) (Config, error) {
		path := filepath.Join(t.TempDir(), "probity.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Read(path)
	}
	c, err := read(`{"tenants":{"hostSuffix":"attest.example.org","burst":7}}`)
	if err != nil || c.Providers.HostSuffix != "attest.example.org" || c.Providers.Burst != 7 {
		t.Errorf("%+v, %v", c.Providers, err)
	}
	_, err = read(`{"tenants":{"burst":7},"providers":{"concurrent":2}}`)
	if err == nil || !strings.Contains(err.Error(), "both set") {
		t.Errorf("both names: %v", err)
	}
}
