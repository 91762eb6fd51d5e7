//go:build pkcs11

package hsm_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/signing"
	"github.com/probity-dev/probity/internal/signing/hsm"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/token"
)

const pin = "1234"

// softHSM makes a token of SoftHSM2, and returns its module.
func softHSM(t *testing.T) string {
	t.Helper()
	modules, _ := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	modules = append(modules, "/usr/lib/softhsm/libsofthsm2.so")
	module := ""
	for _, m := range modules {
		if _, err := os.Stat(m); err == nil {
			module = m
		}
	}
	if module == "" {
		t.Fatal("SoftHSM2 is missing: install softhsm2")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "probity", "--pin", pin, "--so-pin", "5678").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return module
}

func TestKeysOfAToken(t *testing.T) {
	module := softHSM(t)
	for name, try := range map[string][3]string{"another PIN": {module, "probity", "0000"}, "another label": {module, "other", pin}, "no module": {module + ".none", "probity", pin}} {
		if _, err := hsm.Open(try[0], try[1], try[2]); err == nil || strings.Contains(err.Error(), try[2]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	opened, err := hsm.Open(module, "probity", pin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Find("absent"); err == nil {
		t.Error("a key that is not there was found")
	}
	if _, err := opened.Generate("EdDSA", "x"); err == nil {
		t.Error("a key of another algorithm was made")
	}
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	master, err := signing.NewMasterKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg := signing.Config{Master: master, Random: rand.Reader, Token: opened}
	now := time.Now()
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "ES384"} {
		if err := db.Update(t.Context(), store.TopicKeys, "", func(tx store.Tx) error {
			return signing.Ensure(tx, cfg, "", algorithm, false, now)
		}); err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		records, err := db.SigningKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s, err := signing.NewRing(cfg, records, nil).For("p", algorithm, "https://a", now.Add(time.Second))
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		payload := fmt.Appendf(nil, `{"iss":"https://a","iat":%d,"nbf":%d,"exp":%d}`, now.Unix(), now.Unix(), now.Unix()+60)
		text, err := s.Sign.Sign(payload)
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if v, err := token.Verify(text, token.Keys(s.Published...), "https://a", now); err != nil || v.Header.Algorithm != algorithm {
			t.Errorf("%s: %+v, %v", algorithm, v, err)
		}
	}
	records, err := db.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if len(r.Sealed) != 0 || r.Label == "" {
			t.Errorf("%s left the token", r.Algorithm)
		}
	}
	// Without the token nobody signs.
	cfg.Token = nil
	if _, err := signing.NewRing(cfg, records, nil).For("p", "RS256", "https://a", now.Add(time.Second)); err == nil || !strings.Contains(err.Error(), "PKCS#11") {
		t.Errorf("error = %v", err)
	}
}
