package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

// canary is a secret that must be nowhere but where it is kept.
type canary struct {
	name   string
	secret []byte
}

// forms are the texts under which a secret could be found: raw, hex, and base64 at each of its three positions.
func (c canary) forms() map[string][]byte {
	forms := map[string][]byte{"raw": c.secret[:min(32, len(c.secret))]}
	lower := hex.EncodeToString(c.secret)
	forms["hex"], forms["HEX"] = []byte(lower), []byte(strings.ToUpper(lower))
	for at := range 3 {
		part := c.secret[at:]
		part = part[:len(part)/3*3]
		forms[fmt.Sprint("base64 ", at)] = []byte(base64.RawStdEncoding.EncodeToString(part))
		forms[fmt.Sprint("base64url ", at)] = []byte(base64.RawURLEncoding.EncodeToString(part))
	}
	return forms
}

// seen returns the forms of canaries that bytes contain.
func seen(canaries []canary, b []byte) (all []string) {
	for _, c := range canaries {
		for form, text := range c.forms() {
			if bytes.Contains(b, text) {
				all = append(all, c.name+" ("+form+")")
			}
		}
	}
	return all
}

// look looks for canaries in bytes that came from somewhere.
func look(t *testing.T, canaries []canary, where string, b []byte) {
	t.Helper()
	for _, one := range seen(canaries, b) {
		t.Errorf("%s has %s", where, one)
	}
}

func TestCanariesAreSeen(t *testing.T) {
	_, canaries := imports(t)
	for _, c := range canaries {
		one := []canary{c}
		for before := range 4 {
			long := slices.Concat(make([]byte, before), c.secret, []byte("and more"))
			for what, b := range map[string][]byte{"raw": long, "hex": fmt.Appendf(nil, "%x", long), "HEX": fmt.Appendf(nil, "%X", long),
				"base64": []byte(base64.StdEncoding.EncodeToString(long)), "base64url": []byte(base64.URLEncoding.EncodeToString(long))} {
				if len(seen(one, b)) == 0 {
					t.Errorf("%s after %d bytes, as %s", c.name, before, what)
				}
			}
		}
		if n := len(seen(one, make([]byte, 4096))); n != 0 {
			t.Errorf("%s in zeros", c.name)
		}
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// imports are the bodies that import one key of each kind, and what of them is secret.
func imports(t *testing.T) (bodies map[string]string, canaries []canary) {
	t.Helper()
	oct := make([]byte, 32)
	rand.Read(oct)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := e.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(r)
	if err != nil {
		t.Fatal(err)
	}
	bodies = map[string]string{
		"oct": `{"kty":"oct","k":"` + b64(oct) + `"}`,
		"rsa": fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB","d":%q,"p":%q,"q":%q}`, b64(r.N.Bytes()), b64(r.D.Bytes()),
			b64(r.Primes[0].Bytes()), b64(r.Primes[1].Bytes())),
		"ec": fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q,"d":%q}`, b64(point[1:33]), b64(point[33:]), b64(d)),
	}
	return bodies, []canary{{"the oct key", oct}, {"d of the RSA key", r.D.Bytes()}, {"p", r.Primes[0].Bytes()},
		{"q", r.Primes[1].Bytes()}, {"d of the EC key", d}, {"the PKCS#8 of the RSA key", der[len(der)-300:]}}
}

// TestNoKeyIsWhereItDoesNotBelong imports keys, uses them in every way, and looks for them in all that leaves the service
// or stays behind: answers, errors, log, metrics, ledger, backups, and the files of the database.
func TestNoKeyIsWhereItDoesNotBelong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l := startLive(t, dir)
	bodies, canaries := imports(t)
	machine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(method, path, body string, status int) []byte {
		t.Helper()
		out := l.vaultDo(method, path, body, status)
		look(t, canaries, method+" "+path, out)
		return out
	}
	for name, jwk := range bodies {
		answer("PUT", "/keys/"+name, `{"key":`+jwk+`,`+l.exportableKey()+`}`, 200)
		answer("GET", "/keys/"+name, "", 200)
		answer("PATCH", "/keys/"+name, `{"tags":{"a":"b"}}`, 200)
		var backup struct{ Value string }
		if err := json.Unmarshal(answer("POST", "/keys/"+name+"/backup", "", 200), &backup); err != nil {
			t.Fatal(err)
		}
		blob, err := base64.RawURLEncoding.DecodeString(backup.Value)
		if err != nil {
			t.Fatal(err)
		}
		look(t, canaries, "a backup", blob)
		answer("POST", "/keys/restore", `{"value":"`+backup.Value+`"}`, 409)
		for _, algorithm := range keywrap.Algorithms() {
			out := answer("POST", "/keys/"+name+"/release", l.attested(&machine.PublicKey, string(algorithm)), 200)
			released(t, l, out, name, algorithm, machine, canaries)
		}
		// Refusals that have the key before them.
		answer("PUT", "/keys/"+name, `{"key":`+strings.Replace(jwk, `"kty"`, `"x5c":1,"kty"`, 1)+`,"tags":1}`, 400)
		answer("PUT", "/keys/"+name, `{"key":`+strings.Replace(jwk, `"kty":"`, `"kty":"X`, 1)+`}`, 400)
		answer("PUT", "/keys/"+name, `{"key":`+strings.Replace(jwk, `":"`, `":"!`, 2)+`}`, 400)
		answer("PUT", "/keys/"+name, `{"key":`+jwk+`,"attributes":{"exportable":false}}`, 400)
		answer("PUT", "/keys/"+name, `{"key":`+jwk, 400)
		answer("PUT", "/keys/"+name, `{"key":`+jwk+`}}`, 400)
		answer("POST", "/keys/"+name+"/release", `{"target":"a.b.c"}`, 403)
		answer("POST", "/keys/"+name+"/rotate", "", 200)
	}
	answer("GET", "/keys", "", 200)
	for name := range bodies {
		answer("DELETE", "/keys/"+name, "", 200)
		answer("PUT", "/keys/"+name, `{"key":`+bodies[name]+`}`, 409)
		answer("POST", "/deletedkeys/"+name+"/recover", "", 200)
	}
	for _, path := range []string{"/metrics", "/ledger", "/ledger/export", "/readyz"} {
		code, out := l.do("GET", path, "")
		if code != http.StatusOK || len(out) == 0 {
			t.Errorf("%s: %d", path, code)
		}
		look(t, canaries, path, out)
	}
	resp, err := http.Get("http://" + l.operations.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	var metrics bytes.Buffer
	metrics.ReadFrom(resp.Body)
	resp.Body.Close()
	look(t, canaries, "the metrics of operators", metrics.Bytes())
	lookInFiles(t, canaries, dir, "probity.db-wal")
	l.stop()
	look(t, canaries, "the log", l.log.Bytes())
	lookInFiles(t, canaries, dir, "probity.db")
	if log := l.log.Bytes(); !bytes.Contains(log, []byte("/release")) && !bytes.Contains(log, []byte("release")) {
		t.Errorf("the log does not show what was done:\n%s", log)
	}
}

// released opens an answer, so that the test fails where no key was released, and looks for the canaries before that.
func released(
	t *testing.T, l *live, answer []byte, name string, a keywrap.Algorithm, machine *rsa.PrivateKey, canaries []canary,
) *document.Material {
	t.Helper()
	var out struct{ Value string }
	if err := json.Unmarshal(answer, &out); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(l.cfg.DataDir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	d, err := document.Verify(out.Value, document.Expectation{Roots: roots, Host: "localhost", Time: time.Now(), Algorithm: a,
		KeyID: l.registry.Default().URL + "/keys/" + name})
	if err != nil {
		t.Fatal(err)
	}
	look(t, canaries, "a released key", []byte(d.Key.Wrapped))
	m, err := d.Open(nil, machine)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lookInFiles looks in all files of a folder, one of which must be there and have something in it.
func lookInFiles(t *testing.T, canaries []canary, dir, want string) {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		look(t, canaries, path, b)
		found = found || filepath.Base(path) == want && len(b) > 0
		return err
	})
	if err != nil || !found {
		t.Errorf("%s, %v", want, err)
	}
}

// TestANodeWithAnotherMasterKeyDoesNotStart: the refusal says what to do, and the keys are there again with the right one.
func TestANodeWithAnotherMasterKeyDoesNotStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l := startLive(t, dir)
	l.vaultDo("PUT", "/keys/k", `{"key":{"kty":"oct","k":"c2VjcmV0"},`+l.exportableKey()+`}`, 200)
	l.stop()
	t.Setenv(masterKeyEnv, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32)))
	cfg := config.Config{Listen: "localhost:0", DataDir: dir}
	if err := cfg.Complete(true); err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), cfg, true, slog.New(slog.DiscardHandler))
	if err == nil {
		n.Close()
		t.Fatal("it started")
	}
	if !strings.Contains(err.Error(), "master key") || !strings.Contains(err.Error(), "start with the master key of this data directory") {
		t.Errorf("%v", err)
	}
	os.Unsetenv(masterKeyEnv)
	again := startLive(t, dir)
	again.vaultDo("POST", "/keys/k/backup", "", 200)
}
