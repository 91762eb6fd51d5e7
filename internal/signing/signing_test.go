package signing

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store/sqlite"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestTheKeySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	load := func(issuer string, create bool) (kid, cn, jws string) {
		t.Helper()
		master, err := LoadMasterKey(filepath.Join(dir, "master.key"), rand.Reader, create)
		if err != nil {
			t.Fatal(err)
		}
		s, err := sqlite.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		signers, err := Load(t.Context(), s, Config{Issuer: issuer, Master: master, Random: rand.Reader, Now: now})
		if err != nil || len(signers) != 1 {
			t.Fatalf("Load = %d signers, %v", len(signers), err)
		}
		jws, err = signers[0].Sign([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		return signers[0].KeyID, signers[0].Certificate.Subject.CommonName, jws
	}
	kid, cn, jws := load("https://a", true)
	kid2, cn2, jws2 := load("https://a", false)
	if kid != kid2 || jws != jws2 || cn != "https://a" || cn2 != cn {
		t.Errorf("another key after the restart: %s, %s", kid, kid2)
	}
	kid3, cn3, _ := load("https://b", false)
	if kid3 != kid || cn3 != "https://b" {
		t.Errorf("after the issuer changed: key %s, certificate of %s", kid3, cn3)
	}
	db, err := os.ReadFile(filepath.Join(dir, sqlite.FileName))
	if err != nil || strings.Contains(string(db), "PRIVATE KEY") {
		t.Errorf("the database holds a key in clear, or cannot be read: %v", err)
	}
}

func TestAnotherMasterKeyDoesNotOpenTheKeys(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, wantErr := range []bool{false, true} {
		master, err := NewMasterKey(append(make([]byte, 31), byte(i)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load(t.Context(), s, Config{Issuer: "https://a", Master: master, Random: rand.Reader, Now: now})
		if (err != nil) != wantErr || wantErr && !strings.Contains(err.Error(), "master key") {
			t.Errorf("master key %d: %v", i, err)
		}
	}
}

func TestSealedKeysCannotBeSwapped(t *testing.T) {
	m, err := NewMasterKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	sealed := m.seal([]byte("secret"), "a")
	if _, err := m.unseal(sealed, "b"); err == nil {
		t.Error("opened under another id")
	}
	for _, cut := range [][]byte{nil, sealed[:10], sealed[:len(sealed)-1]} {
		if _, err := m.unseal(cut, "a"); err == nil {
			t.Errorf("opened %d of %d bytes", len(cut), len(sealed))
		}
	}
}

func TestMasterKeysThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "not base64": "hunter2!", "too short": "AAAA"} {
		if _, err := ParseMasterKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadMasterKey(filepath.Join(t.TempDir(), "absent"), rand.Reader, false); err == nil {
		t.Error("an absent key file was accepted")
	}
}
