//go:build pkcs11

package pkcs11_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/keys/hsm"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/internal/vault/pkcs11"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/test/kit/softhsm"
	"github.com/probity-dev/probity/test/kit/vaulttest"
)

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
	opened, err := hsm.Open(module, softhsm.Label, softhsm.PIN)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func newProtection(t *testing.T, subkey []byte) vault.Protection {
	t.Helper()
	p, err := pkcs11.New(openToken(t), subkey, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// SoftHSM2 2.6 does RSAES-OAEP with SHA-1 alone, and adds zeros to keys before it wraps them.
var offered = []keywrap.Algorithm{keywrap.RSAAESKeyWrap}

func TestATokenProtectsKeys(t *testing.T) {
	vaulttest.Run(t, vaulttest.Subject{New: newProtection, Algorithms: offered, Pads: true})
}

func TestATokenTellsWhatItOffers(t *testing.T) {
	list, err := openToken(t).Algorithms(rand.Reader)
	if err != nil || fmt.Sprint(list) != fmt.Sprint(offered) {
		t.Fatalf("%v, %v", list, err)
	}
	p := newProtection(t, make([]byte, 32))
	id := vault.ID{Provider: "p", Name: "k", Version: rand.Text()}
	sealed, _, err := p.Generate(t.Context(), id, vault.Kind{Type: "EC-HSM", Curve: "P-256"})
	if err != nil {
		t.Fatal(err)
	}
	to, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Wrap(t.Context(), id, sealed, &to.PublicKey, keywrap.RSAAESKeyWrap256)
	var r *vault.Refusal
	if !errors.As(err, &r) || r.Code != vault.CodeBadParameter ||
		!strings.Contains(r.Check.Remedy, string(keywrap.RSAAESKeyWrap)) {
		t.Errorf("%+v", err)
	}
}

func TestATokenHasOneKeyOfAnID(t *testing.T) {
	p := newProtection(t, make([]byte, 32))
	id, kind := vault.ID{Provider: "p", Name: "k", Version: rand.Text()}, vault.Kind{Type: "oct-HSM", Size: 256}
	sealed, _, err := p.Generate(t.Context(), id, kind)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Generate(t.Context(), id, kind); !errors.Is(err, hsm.ErrExists) {
		t.Errorf("a second key: %v", err)
	}
	if _, err := p.Seal(t.Context(), id, &vault.Material{Kind: kind, Private: make([]byte, 32)}); !errors.Is(err,
		hsm.ErrExists) {
		t.Errorf("an imported key: %v", err)
	}
	if err := p.Destroy(t.Context(), id, sealed); err != nil {
		t.Error(err)
	}
	if _, err := p.Seal(t.Context(), id, &vault.Material{Kind: kind, Private: make([]byte, 32)}); err != nil {
		t.Errorf("after it was destroyed: %v", err)
	}
}

func TestATokenRefusesKeysThatItCannotRead(t *testing.T) {
	p := newProtection(t, make([]byte, 32))
	for what, m := range map[string]*vault.Material{
		"no PKCS#8":     {Kind: vault.Kind{Type: "RSA-HSM", Size: 2048}, Private: []byte("not a key at all")},
		"half of a key": {Kind: vault.Kind{Type: "EC-HSM", Curve: "P-256"}, Private: []byte{0x30, 0x20, 2, 1, 0}},
	} {
		id := vault.ID{Provider: "p", Name: "k", Version: rand.Text()}
		if _, err := p.Seal(t.Context(), id, m); err == nil {
			t.Errorf("%s was taken", what)
		}
		// Nothing of it was left.
		if _, err := p.Seal(t.Context(), id, &vault.Material{Kind: vault.Kind{Type: "oct-HSM", Size: 128},
			Private: make([]byte, 16)}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestATokenProtectsNoKindThatItDoesNotKnow(t *testing.T) {
	p := newProtection(t, make([]byte, 32))
	for _, k := range []vault.Kind{{Type: "RSA-HSM", Size: 17}, {Type: "EC-HSM", Curve: "P-192"},
		{Type: "oct-HSM", Size: 8}} {
		id := vault.ID{Provider: "p", Name: "k", Version: rand.Text()}
		if _, _, err := p.Generate(t.Context(), id, k); err == nil {
			t.Errorf("%+v was made", k)
		}
	}
}
