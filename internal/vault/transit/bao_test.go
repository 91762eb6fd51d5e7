package transit_test

import (
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/internal/vault/transit"
	"github.com/probity-dev/probity/test/kit/bao"
	"github.com/probity-dev/probity/test/kit/vaulttest"
)

// client is a client of a server, with a token that a test may replace.
func client(url, mount, namespace string, token *string) *transit.Client {
	return transit.NewClient(transit.Config{URL: url, Mount: mount, Key: "probity", Namespace: namespace,
		Token: func() (string, error) { return *token, nil }, Transport: &http.Transport{}, Timeout: 5 * time.Second})
}

func TestOpenBaoProtectsKeys(t *testing.T) {
	s := bao.Start(t)
	s.Do("POST", "sys/namespaces/team", "", nil)
	for name, tc := range map[string]struct {
		mount, namespace, kind string
		derived                bool
	}{
		"aes256-gcm96":                      {"transit", "", "aes256-gcm96", false},
		"a derived key":                     {"derived", "", "aes256-gcm96", true},
		"chacha20-poly1305 and a namespace": {"apart", "team", "chacha20-poly1305", false},
	} {
		t.Run(name, func(t *testing.T) {
			token := s.Transit(tc.mount, "probity", tc.kind, tc.namespace, "1h", tc.derived)
			c := client(s.URL, tc.mount, tc.namespace, &token)
			vaulttest.Run(t, vaulttest.Subject{Opens: true, New: func(_ *testing.T, subkey []byte) vault.Protection {
				return transit.New(c, subkey, rand.Reader)
			}})
		})
	}
}

func TestOpenBaoThatIsNotSetUpIsUnavailable(t *testing.T) {
	s := bao.Start(t)
	token := s.Transit("transit", "probity", "aes256-gcm96", "", "1h", false)
	id, kind := vault.ID{Provider: "p", Name: "k", Version: "1"}, vault.Kind{Type: "oct", Size: 256}
	none, rsa := "hvs.none", s.Transit("rsa", "probity", "rsa-2048", "", "1h", false)
	for name, c := range map[string]*transit.Client{
		"a token that it does not know": client(s.URL, "transit", "", &none),
		"a mount that is not there":     client(s.URL, "other", "", &s.Root),
		"a token of another policy":     client(s.URL, "transit", "", &rsa),
		"a key without associated data": client(s.URL, "rsa", "", &rsa),
		"a namespace that is not there": client(s.URL, "transit", "none", &token),
		"no service":                    client("http://127.0.0.1:1", "transit", "", &token),
	} {
		sealed, _, err := transit.New(c, make([]byte, 32), rand.Reader).Generate(t.Context(), id, kind)
		if !errors.Is(err, vault.ErrUnavailable) || sealed != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(name, err)
	}
}

func TestATokenOfOpenBaoIsRenewedOrReadAgain(t *testing.T) {
	s := bao.Start(t)
	token := s.Transit("transit", "probity", "aes256-gcm96", "", "1h", false)
	c := client(s.URL, "transit", "", &token)
	if valid, renewable, err := c.Renew(t.Context()); err != nil || !renewable || valid != time.Hour {
		t.Errorf("%v %t %v", valid, renewable, err)
	}
	p := transit.New(c, make([]byte, 32), rand.Reader)
	id, kind := vault.ID{Provider: "p", Name: "k", Version: "1"}, vault.Kind{Type: "oct", Size: 256}
	sealed, _, err := p.Generate(t.Context(), id, kind)
	if err != nil {
		t.Fatal(err)
	}
	s.Do("POST", "auth/token/revoke", "", map[string]any{"token": token})
	if _, err := p.Open(t.Context(), id, sealed); !errors.Is(err, vault.ErrUnavailable) {
		t.Errorf("a token that was withdrawn: %v", err)
	}
	token = s.Root // as an agent writes a new one into the file
	if _, err := p.Open(t.Context(), id, sealed); err != nil {
		t.Errorf("a new token: %v", err)
	}
	// A key that was rotated opens what it sealed before; one that was deleted opens nothing.
	s.Do("POST", "transit/keys/probity/rotate", "", nil)
	if _, err := p.Open(t.Context(), id, sealed); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
	s.Do("POST", "transit/keys/probity/config", "", map[string]any{"min_decryption_version": 2})
	if _, err := p.Open(t.Context(), id, sealed); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("a version that it decrypts no more: %v", err)
	}
	s.Stop()
	if _, err := p.Open(t.Context(), id, sealed); !errors.Is(err, vault.ErrUnavailable) {
		t.Errorf("a stopped server: %v", err)
	}
}
