//go:build pkcs11

package node

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/test/kit/softhsm"
)

// TestKeysInATokenAreReleased is with SoftHSM2, a real PKCS#11 module. A process initialises a module once, so that all of
// this is one test.
func TestKeysInATokenAreReleased(t *testing.T) {
	dir := t.TempDir()
	module, conf, err := softhsm.Token(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	pin := filepath.Join(dir, "pin")
	if err := os.WriteFile(pin, []byte(softhsm.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	inToken := func(c *config.Config) {
		c.Signing.PKCS11 = config.PKCS11{Module: module, Token: softhsm.Label, PINFile: pin, MasterKey: "master"}
		c.Vault.Protection = config.ProtectionPKCS11
	}
	l := startLive(t, data, inToken)
	machine, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"r": `"kty":"RSA-HSM","key_size":3072`, "e": `"kty":"EC-HSM","crv":"P-384"`,
		"o": `"kty":"oct-HSM"`, "plain": `"kty":"oct"`} {
		l.vaultDo("POST", "/keys/"+name+"/create", `{`+body+`,`+l.exportableKey()+`}`, 200)
		a := keywrap.RSAAESKeyWrap
		out := l.vaultDo("POST", "/keys/"+name+"/release", l.attested(&machine.PublicKey, string(a)), 200)
		released(t, l, out, name, a, machine, nil)
	}
	bodies, canaries := imports(t)
	for name, jwk := range bodies {
		l.vaultDo("PUT", "/keys/i-"+name, `{"hsm":true,"key":`+jwk+`,`+l.exportableKey()+`}`, 200)
		out := l.vaultDo("POST", "/keys/i-"+name+"/release", l.attested(&machine.PublicKey, ""), 200)
		released(t, l, out, "i-"+name, "", machine, canaries)
	}
	// What the token cannot do is refused, with what it can.
	out := l.vaultDo("POST", "/keys/r/release", l.attested(&machine.PublicKey, "RSA_AES_KEY_WRAP_384"), 400)
	if !bytes.Contains(out, []byte("expected enc CKM_RSA_AES_KEY_WRAP.")) {
		t.Errorf("%s", out)
	}
	odd := `{"hsm":true,"key":{"kty":"oct","k":"` + b64([]byte("seven b")) + `"},` + l.exportableKey() + `}`
	if out := l.vaultDo("PUT", "/keys/odd", odd, 400); !bytes.Contains(out, []byte("softwareWrapped")) {
		t.Errorf("%s", out)
	}
	l.vaultDo("POST", "/keys/r/backup", "", 400)
	l.vaultDo("POST", "/keys/plain/backup", "", 200)
	l.vaultDo("DELETE", "/keys/e", "", 200)
	l.vaultDo("DELETE", "/deletedkeys/e", "", 204)
	where := protectionsIn(t, l)
	if where["key:r"] != "pkcs11" || where["key:i-ec"] != "pkcs11" || where["key:plain"] != "software" {
		t.Errorf("%v", where)
	}
	l.stop()
	look(t, append(canaries, canary{"the PIN", []byte("pin " + softhsm.PIN)}), "the log", l.log.Bytes())
	lookInFiles(t, canaries, data, "probity.db")
	if !strings.Contains(string(l.log.Bytes()), "adds zeros") {
		t.Errorf("no warning:\n%s", l.log.Bytes())
	}

	// A new start finds them, and what the token does not take goes to software where that is allowed.
	l = startLive(t, data, inToken, func(c *config.Config) { c.Vault.PKCS11.SoftwareWrapped = true })
	out = l.vaultDo("POST", "/keys/r/release", l.attested(&machine.PublicKey, ""), 200)
	released(t, l, out, "r", "", machine, nil)
	l.vaultDo("PUT", "/keys/odd", odd, 200)
	if where := protectionsIn(t, l); where["key:odd"] != "software" {
		t.Errorf("%v", where)
	}
	l.stop()

	// Without the protection its keys are not released, and the others are.
	l = startLive(t, data, inToken, func(c *config.Config) { c.Vault.Protection = config.ProtectionSoftware })
	out = l.vaultDo("POST", "/keys/r/release", l.attested(&machine.PublicKey, ""), 200)
	released(t, l, out, "r", "", machine, nil)
	l.vaultDo("POST", "/keys/later/create", `{"kty":"oct-HSM"}`, 200)
	if where := protectionsIn(t, l); where["key:later"] != "software" {
		t.Errorf("%v", where)
	}
}

// protectionsIn reads from the ledger where keys are kept.
func protectionsIn(t *testing.T, l *live) map[string]string {
	t.Helper()
	_, text := l.do("GET", "/ledger/export", "")
	where := map[string]string{}
	for line := range bytes.Lines(text) {
		var row struct{ Entry json.RawMessage }
		var e struct {
			Subject string
			Details map[string]string
		}
		if json.Unmarshal(line, &row) != nil || json.Unmarshal(row.Entry, &e) != nil {
			continue
		}
		if p := e.Details["protection"]; p != "" {
			name, _, _ := strings.Cut(e.Subject, "/")
			where[name] = p
		}
	}
	if len(where) == 0 {
		t.Fatal(fmt.Sprintf("%.2000s", text))
	}
	return where
}
