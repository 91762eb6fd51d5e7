package node

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/test/kit/bao"
)

// byTransit protects new keys by a transit key.
func byTransit(t *testing.T, url, token string) func(*config.Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *config.Config) {
		c.Vault.Protection = config.ProtectionTransit
		c.Vault.Transit = config.Transit{URL: url, Key: "probity", TokenFile: file}
	}
}

func TestATransitServiceThatDoesNotAnswerIsA503(t *testing.T) {
	l := startLive(t, filepath.Join(t.TempDir(), "data"), byTransit(t, "http://127.0.0.1:1", "hvs.secret"))
	code, answer := l.do("POST", "/keys/k/create?api-version=7.4", `{"kty":"oct"}`)
	if code != 503 || !bytes.Contains(answer, []byte("vault.protection-available")) ||
		bytes.Contains(answer, []byte("127.0.0.1")) {
		t.Errorf("%d %s", code, answer)
	}
	l.vaultDo("GET", "/keys/k", "", 404) // nothing was kept elsewhere
	l.stop()
	log := string(l.log.Bytes())
	if !strings.Contains(log, "127.0.0.1:1: connection refused") || !strings.Contains(log, "level=ERROR") ||
		strings.Contains(log, "hvs.secret") {
		t.Errorf("the log has no reason, or a token:\n%s", log)
	}
}

func TestKeysUnderATransitKeyAreReleased(t *testing.T) {
	s := bao.Start(t)
	token := s.Transit("transit", "probity", "aes256-gcm96", "", "1h", false)
	l := startLive(t, filepath.Join(t.TempDir(), "data"), byTransit(t, s.URL, token))
	machine, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	bodies, canaries := imports(t)
	for name, jwk := range bodies {
		l.vaultDo("PUT", "/keys/"+name, `{"key":`+jwk+`,`+l.exportableKey()+`}`, 200)
		for _, a := range keywrap.Algorithms() {
			out := l.vaultDo("POST", "/keys/"+name+"/release", l.attested(&machine.PublicKey, string(a)), 200)
			released(t, l, out, name, a, machine, canaries)
		}
		l.vaultDo("POST", "/keys/"+name+"/backup", "", 200)
	}
	s.Stop()
	code, answer := l.do("POST", "/keys/oct/release?api-version=7.4", l.attested(&machine.PublicKey, ""))
	if code != 503 {
		t.Errorf("%d %s", code, answer)
	}
	l.stop()
	look(t, append(canaries, canary{"the token", []byte(token)}), "the log", l.log.Bytes())
	lookInFiles(t, canaries, l.cfg.DataDir, "probity.db")
	if !strings.Contains(string(l.log.Bytes()), "connection refused") {
		t.Error("the log has no reason")
	}
}
