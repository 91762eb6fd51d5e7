//go:build pkcs11

package hsm_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/keys/hsm"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/test/kit/softhsm"
	"github.com/probity-dev/probity/token"
)

const pin = softhsm.PIN

// module is SoftHSM2 with one token: a process initialises a module once.
var module string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "softhsm")
		if err == nil {
			defer os.RemoveAll(dir)
			var conf string
			if module, conf, err = softhsm.Token(dir); err == nil {
				err = os.Setenv("SOFTHSM2_CONF", conf)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func openToken(t *testing.T) *hsm.Token {
	t.Helper()
	opened, err := hsm.Open(module, "probity", pin)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func TestWhatATokenHasNot(t *testing.T) {
	for name, try := range map[string][3]string{
		"another label": {module, "other", pin}, "no module": {module + ".none", "probity", pin},
	} {
		if _, err := hsm.Open(try[0], try[1], try[2]); err == nil || strings.Contains(err.Error(), try[2]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	opened := openToken(t)
	if _, err := opened.Find("absent"); err == nil {
		t.Error("a key that is not there was found")
	}
	if _, err := opened.Generate("EdDSA", "x"); err == nil {
		t.Error("a key of another algorithm was made")
	}
}

func TestKeysOfAToken(t *testing.T) {
	opened := openToken(t)
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	master, err := keys.NewMasterKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg := keys.Config{Master: master, Random: rand.Reader, Token: opened}
	now := time.Now()
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "ES384"} {
		t.Run(algorithm, func(t *testing.T) { signInToken(t, db, cfg, algorithm, now) })
	}
	records, err := db.SigningKeys(t.Context())
	if err != nil || len(records) != 4 {
		t.Fatalf("%d keys, %v", len(records), err)
	}
	for _, r := range records {
		if len(r.Sealed) != 0 || r.Label == "" {
			t.Errorf("%s left the token", r.Algorithm)
		}
	}
	// A key that left the key sets leaves the token.
	gone := rotateOut(t, db, cfg, now)
	if err := cfg.Destroy([]store.SigningKey{gone, {ID: "in software"}}); err != nil {
		t.Error(err)
	}
	if _, err := opened.Find(gone.Label); err == nil {
		t.Error("a removed key is still in the token")
	}
	// Without the token no one signs.
	cfg.Token = nil
	_, err = keys.NewRing(cfg, records, nil).For("p", "RS256", "https://a", now.Add(time.Second))
	if err == nil || !strings.Contains(err.Error(), "PKCS#11") {
		t.Errorf("error = %v", err)
	}
}

// signInToken makes a key of an algorithm in the token, and signs an attestation token with it.
func signInToken(t *testing.T, db store.Store, cfg keys.Config, algorithm string, now time.Time) {
	if err := db.Update(t.Context(), store.TopicKeys, "", func(tx store.Tx) error {
		_, err := keys.Ensure(tx, cfg, nil, "", algorithm, false, now)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	records, err := db.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := keys.NewRing(cfg, records, nil).For("p", algorithm, "https://a", now.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	payload := fmt.Appendf(nil, `{"iss":"https://a","iat":%d,"nbf":%d,"exp":%d}`, now.Unix(), now.Unix(),
		now.Unix()+60)
	text, err := s.Sign.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.Verify(text, token.Keys(s.Published...), "https://a", now)
	if err != nil || v.Header.Algorithm != algorithm {
		t.Errorf("%+v, %v", v, err)
	}
}

// rotateOut replaces the key for ES256, and returns the one that no key set has any more.
func rotateOut(t *testing.T, db store.Store, cfg keys.Config, now time.Time) (gone store.SigningKey) {
	t.Helper()
	if err := db.Update(t.Context(), store.TopicKeys, "", func(tx store.Tx) error {
		next, err := cfg.New("", "ES256", now)
		if err != nil {
			return err
		}
		if _, err := keys.Rotate(tx, cfg, next, keys.Rotation{}, "test", now); err != nil {
			return err
		}
		removed, err := keys.Prune(tx, cfg, now.Add(time.Hour))
		if err == nil && len(removed) == 1 {
			gone = removed[0]
		}
		return err
	}); err != nil || gone.Label == "" {
		t.Fatalf("%+v, %v", gone, err)
	}
	return gone
}

func TestTheMasterKeyOfAToken(t *testing.T) {
	run := rand.Text() // the token is that of all runs
	master, another, readable, twice, short := "master "+run, "another "+run, "readable "+run, "twice "+run,
		"short "+run
	opened, err := hsm.Open(module, "probity", pin)
	if err != nil {
		t.Fatal(err)
	}
	// A lost one is not replaced.
	_, err = opened.MasterSecret(master, false)
	if err == nil || !strings.Contains(err.Error(), "no key is labelled") {
		t.Errorf("error = %v", err)
	}
	first, err := opened.MasterSecret(master, true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := opened.MasterSecret(master, false)
	if err != nil || len(first) != 32 || !bytes.Equal(first, again) {
		t.Fatalf("%d bytes, again the same: %v; %v", len(first), bytes.Equal(first, again), err)
	}
	other, err := opened.MasterSecret(another, true)
	if err != nil || bytes.Equal(first, other) {
		t.Errorf("another key derives the same: %v", err)
	}
	put(t, readable, 32, true)
	put(t, twice, 32, false)
	put(t, twice, 32, false)
	put(t, short, 31, false)
	for label, want := range map[string]string{
		readable: "can be read out of the token",
		twice:    "several keys are labelled",
		short:    "has 31 bytes",
	} {
		if _, err := opened.MasterSecret(label, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", label, err)
		}
	}
}

// TestATokenThatEndsSessions: an HSM may do that at any time, and the service goes on.
func TestATokenThatEndsSessions(t *testing.T) {
	label := rand.Text() // the token is that of all runs
	opened, err := hsm.Open(module, "probity", pin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := opened.Generate("ES256", label)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.MasterSecret(label, true); err != nil {
		t.Fatal(err)
	}
	end := func() {
		t.Helper()
		ctx := pkcs11.New(module)
		slots, err := ctx.GetSlotList(true)
		if err == nil {
			err = ctx.CloseAllSessions(slots[0])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	digest := sha256.Sum256([]byte("x"))
	for name, call := range map[string]func() error{
		"sign": func() error {
			signature, err := signer.Sign(nil, digest[:], crypto.SHA256)
			if err == nil && !ecdsa.VerifyASN1(signer.Public().(*ecdsa.PublicKey), digest[:], signature) {
				t.Error("another signature")
			}
			return err
		},
		"find":   func() error { _, err := opened.Find(label); return err },
		"new":    func() error { _, err := opened.Generate("ES256", label+" 2"); return err },
		"master": func() error { _, err := opened.MasterSecret(label, false); return err },
	} {
		end()
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	end()
	for range 2 { // what is gone is done with
		if err := opened.Remove(label); err != nil {
			t.Error(err)
		}
	}
	if _, err := opened.Find(label); err == nil {
		t.Error("a removed key is found")
	}
	if _, err := signer.Sign(nil, digest[:], crypto.SHA256); err == nil {
		t.Error("a removed key signs")
	}
}

// put brings a secret key into the token, as another program would.
func put(t *testing.T, label string, size int, readable bool) {
	t.Helper()
	ctx := pkcs11.New(module)
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	session, err := ctx.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	defer ctx.CloseSession(session)
	if _, err := ctx.CreateObject(session, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, !readable),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, readable),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_VALUE, make([]byte, size)),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}); err != nil {
		t.Fatal(err)
	}
}
