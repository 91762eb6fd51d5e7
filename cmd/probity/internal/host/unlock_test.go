package host

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/release/document"
)

// vaultThat answers everything in one way.
func vaultThat(t *testing.T, status int, body string) *client.Vault {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := client.New(client.Config{URL: s.URL, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	return c.Vault()
}

func TestAVaultWithoutChallengesWantsNone(t *testing.T) {
	for status, fine := range map[int]bool{404: true, 405: true, 401: false, 403: false, 500: false, 503: false} {
		v := vaultThat(t, status, `{"error":{"code":"c","message":"m"}}`)
		if nonce, err := challengeOf(t.Context(), v); nonce != "" || (err == nil) != fine {
			t.Errorf("%d: %q, %v", status, nonce, err)
		}
	}
	v := vaultThat(t, 200, `{"nonce":"n","expires":"2026-03-01T12:00:00Z"}`)
	if nonce, err := challengeOf(t.Context(), v); err != nil || nonce != "n" {
		t.Errorf("%q, %v", nonce, err)
	}
	if nonce, err := challengeOf(t.Context(), vaultThat(t, 200, `{}`)); err == nil {
		t.Errorf("no nonce: %q", nonce)
	}
}

func TestEvidenceThatNamesNoKeyOpensNone(t *testing.T) {
	for _, kind := range []evidence.Kind{evidence.TPM, evidence.SGXEnclave, ""} {
		_, err := (&host{kind: kind}).unlock(t.Context(), vaultThat(t, 200, `{}`), client.ReleaseRequest{Name: "k"})
		if !errors.Is(err, errNoRuntimeData) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestAKeyIsWrittenWholeOrNotAtAll(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, m := range map[string]*document.Material{
		"rsa": {RSA: rsaKey}, "ec": {EC: ecKey}, "octets": {Octets: []byte("secret")},
	} {
		path := filepath.Join(dir, name)
		if err := WriteKey(path, m); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "octets" {
			if string(b) != "secret" {
				t.Errorf("%q", b)
			}
			continue
		}
		block, rest := pem.Decode(b)
		if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
			t.Fatalf("%s: no PEM", name)
		}
		if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for what, tc := range map[string]struct {
		path string
		m    *document.Material
	}{
		"no folder": {filepath.Join(dir, "no", "key"), &document.Material{Octets: []byte("secret")}},
		"no key":    {filepath.Join(dir, "none"), &document.Material{}},
		"a folder":  {dir, &document.Material{Octets: []byte("secret")}},
	} {
		if err := WriteKey(tc.path, tc.m); err == nil {
			t.Errorf("%s: written", what)
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 3 {
		t.Errorf("%v is left, %v", list, err)
	}
}

func TestAReasonThatIsKeptBackIsSaidToBe(t *testing.T) {
	for found, hint := range map[string]bool{"": true, `"innererror":{"check":"release.policy","found":"x"},`: false} {
		v := vaultThat(t, 403, `{"error":{`+found+`"code":"Forbidden","message":"m"}}`)
		_, err := v.Release(t.Context(), client.ReleaseRequest{Name: "k", Token: "a.b.c"})
		var out, errs bytes.Buffer
		err = RefusedRelease(&term.Env{IO: term.IO{Out: &out, Err: &errs}, Ctx: t.Context()}, err)
		var code term.Exit
		if !errors.As(err, &code) || code != term.No ||
			strings.Contains(errs.String(), "vault.explainReleases") != hint {
			t.Errorf("%s: %v\n%s%s", found, err, &out, &errs)
		}
	}
}
