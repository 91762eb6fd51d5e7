package transit_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/internal/vault/transit"
	"github.com/probity-dev/probity/test/kit/vaulttest"
)

// standIn speaks the documented API of a transit engine over TLS, so far as the client uses it. It is no OpenBao:
// TestOpenBaoProtectsKeys is with one, where it is installed.
type standIn struct {
	*httptest.Server
	aead cipher.AEAD
	// answer, if not nil, answers instead; token is the one that it knows.
	answer   atomic.Pointer[func(w http.ResponseWriter, r *http.Request)]
	token    string
	requests atomic.Int32
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{token: "hvs.token"}
	if s.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *standIn) refuse(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"errors": []string{text}})
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	if answer := s.answer.Load(); answer != nil {
		(*answer)(w, r)
		return
	}
	var in struct {
		Plaintext  []byte
		Ciphertext string
		Data       []byte `json:"associated_data"`
		Context    []byte
	}
	if r.Method != http.MethodPost || r.Header.Get("X-Vault-Token") != s.token ||
		r.Header.Get("X-Vault-Namespace") != "team" {
		s.refuse(w, 403, "permission denied")
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !bytes.Equal(in.Data, in.Context) {
		s.refuse(w, 400, "invalid request")
		return
	}
	data := map[string]any{}
	switch r.URL.Path {
	case "/v1/kms/encrypt/probity":
		data["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(s.aead.Seal(nil, nil, in.Plaintext, in.Data))
	case "/v1/kms/decrypt/probity":
		text, ok := strings.CutPrefix(in.Ciphertext, "vault:v1:")
		b, err := base64.StdEncoding.DecodeString(text)
		if err == nil && ok {
			b, err = s.aead.Open(nil, nil, b, in.Data)
		}
		if err != nil || !ok {
			s.refuse(w, 400, "invalid ciphertext: unable to decrypt")
			return
		}
		data["plaintext"] = b
	case "/v1/auth/token/renew-self":
		fmt.Fprint(w, `{"auth":{"lease_duration":3600,"renewable":true}}`)
		return
	default:
		s.refuse(w, 404, "no handler for route")
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "data": data, "warnings": nil})
}

func (s *standIn) client(edit ...func(*transit.Config)) *transit.Client {
	cfg := transit.Config{URL: s.URL, Mount: "kms", Key: "probity", Namespace: "team", Timeout: 2 * time.Second,
		Token: func() (string, error) { return "hvs.token\n", nil }, Transport: s.Client().Transport}
	for _, f := range edit {
		f(&cfg)
	}
	return transit.NewClient(cfg)
}

func TestTransitProtectsKeys(t *testing.T) {
	c := newStandIn(t).client()
	vaulttest.Run(t, vaulttest.Subject{Opens: true, New: func(_ *testing.T, subkey []byte) vault.Protection {
		return transit.New(c, subkey, rand.Reader)
	}})
}

// stored makes a key.
func stored(t *testing.T, p vault.Protection) (vault.ID, []byte) {
	t.Helper()
	id := vault.ID{Provider: "p", Name: "k", Version: rand.Text()}
	sealed, _, err := p.Generate(t.Context(), id, vault.Kind{Type: "oct", Size: 256})
	if err != nil {
		t.Fatal(err)
	}
	return id, sealed
}

func TestTransitThatFailsIsUnavailable(t *testing.T) {
	s := newStandIn(t)
	p := transit.New(s.client(), make([]byte, 32), rand.Reader)
	id, sealed := stored(t, p)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect led to %s with the token %q", r.Host, r.Header.Get("X-Vault-Token"))
	}))
	defer elsewhere.Close()
	text := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	short := base64.StdEncoding.EncodeToString(make([]byte, 31))
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   string
	}{
		"sealed":            {text(503, `{"errors":["Vault is sealed"]}`), "unseal it"},
		"an internal error": {text(500, `{"errors":["internal error"]}`), "500"},
		"too many requests": {text(429, `{"errors":[]}`), "429"},
		"a standby":         {text(473, ``), "473"},
		"a proxy's page":    {text(502, `<html>`), "502"},
		"a page with 200":   {text(200, `<html>`), "not the JSON"},
		"no data":           {text(200, `{}`), "no plaintext of 32 bytes"},
		"a short data key":  {text(200, `{"data":{"plaintext":"`+short+`"}}`), "no plaintext of 32 bytes"},
		"a plaintext twice": {text(200, `{"data":{"plaintext":"AA==","plaintext":"AA=="}}`), "not the JSON"},
		"not base64":        {text(200, `{"data":{"plaintext":"!"}}`), "no plaintext of 32 bytes"},
		"an endless answer": {text(200, strings.Repeat(" ", 100_000)), "more than 65536 bytes"},
		"forbidden":         {text(403, `{"errors":["permission denied"]}`), "vault.transit.tokenFile"},
		"no such key":       {text(404, `{"errors":[]}`), "vault.transit.mount"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "307"},
		"a connection reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
		"nothing for a long time": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(3 * time.Second):
			}
		}, ""},
	} {
		s.answer.Store(&tc.answer)
		for what, try := range map[string]func() ([]byte, error){
			"open": func() ([]byte, error) { return p.Open(t.Context(), id, sealed) },
			"seal": func() ([]byte, error) {
				return p.Seal(t.Context(), id, &vault.Material{Private: []byte("secret")})
			},
		} {
			b, err := try()
			if !errors.Is(err, vault.ErrUnavailable) || b != nil || errors.Is(err, vault.ErrSealed) {
				t.Errorf("%s: %s: %x, %v", name, what, b, err)
			} else if what == "open" && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v, want %s", name, err, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hvs.") || strings.Contains(err.Error(), short)) {
				t.Errorf("%s: a secret in %v", name, err)
			}
		}
	}
	s.answer.Store(nil)
	if _, err := p.Open(t.Context(), id, sealed); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestTransitIsReachedInTLSOfItsAuthorityAlone(t *testing.T) {
	s := newStandIn(t)
	p := transit.New(s.client(func(c *transit.Config) { c.Transport = &http.Transport{} }), make([]byte, 32), rand.Reader)
	_, err := p.Seal(t.Context(), vault.ID{}, &vault.Material{Private: []byte("secret")})
	if !errors.Is(err, vault.ErrUnavailable) || s.requests.Load() != 0 {
		t.Errorf("%v, %d requests", err, s.requests.Load())
	}
}

func TestATokenFileThatHoldsNoTokenIsSaid(t *testing.T) {
	s := newStandIn(t)
	for name, token := range map[string]func() (string, error){
		"no file":       func() (string, error) { return "", errors.New("no such file") },
		"an empty file": func() (string, error) { return "\n", nil },
		"two lines":     func() (string, error) { return "a\nb", nil },
		"a long file":   func() (string, error) { return strings.Repeat("a", 5000), nil },
		"a word of two": func() (string, error) { return "to ken", nil },
	} {
		p := transit.New(s.client(func(c *transit.Config) { c.Token = token }), make([]byte, 32), rand.Reader)
		_, err := p.Seal(t.Context(), vault.ID{}, &vault.Material{Private: []byte("secret")})
		if !errors.Is(err, vault.ErrUnavailable) || !strings.Contains(err.Error(), "token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.requests.Load(); n != 0 {
		t.Errorf("%d requests without a token", n)
	}
}

func TestAnotherTokenIsReadWhenTheFirstIsRefused(t *testing.T) {
	s := newStandIn(t)
	token := "hvs.token"
	p := transit.New(s.client(func(c *transit.Config) { c.Token = func() (string, error) { return token, nil } }),
		make([]byte, 32), rand.Reader)
	id, sealed := stored(t, p)
	s.token, token = "hvs.next", "hvs.next"
	if _, err := p.Open(t.Context(), id, sealed); err != nil {
		t.Error(err)
	}
	s.token = "hvs.other"
	before := s.requests.Load()
	if _, err := p.Open(t.Context(), id, sealed); !errors.Is(err, vault.ErrUnavailable) {
		t.Error(err)
	}
	if n := s.requests.Load() - before; n != 1 {
		t.Errorf("%d requests with a token that was refused", n)
	}
}

// TestATokenIsRenewedAtHalfOfItsLife needs no network: the transport answers.
func TestATokenIsRenewedAtHalfOfItsLife(t *testing.T) {
	for _, tc := range []struct {
		answer string
		status int
		in24h  int
	}{
		{`{"auth":{"lease_duration":3600,"renewable":true}}`, 200, 49},
		{`{"auth":{"lease_duration":864000,"renewable":true}}`, 200, 25},
		{`{"auth":{"lease_duration":1,"renewable":true}}`, 200, 8641},
		{`{"auth":{"lease_duration":0,"renewable":false}}`, 200, 25},
		{`{"auth":{"lease_duration":-1,"renewable":true}}`, 200, 25},
		{`{"auth":{"lease_duration":9223372036854775807,"renewable":true}}`, 200, 25},
		{`{"errors":["lease is not renewable"]}`, 400, 25},
		{`{"errors":["internal"]}`, 500, 8641},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			c := transit.NewClient(transit.Config{URL: "https://bao.example", Mount: "kms", Key: "k",
				Token: func() (string, error) { return "hvs.token", nil },
				Transport: round(func(r *http.Request) *http.Response {
					n++
					w := httptest.NewRecorder()
					w.WriteHeader(tc.status)
					fmt.Fprint(w, tc.answer)
					return w.Result()
				})})
			log := &bytes.Buffer{}
			go c.Run(t.Context(), slog.New(slog.NewTextHandler(log, nil)))
			time.Sleep(24*time.Hour + time.Second)
			synctest.Wait()
			if n != tc.in24h {
				t.Errorf("%s: %d renewals in a day, want %d", tc.answer, n, tc.in24h)
			}
			if warned := strings.Count(log.String(), "WARN"); (warned == 1) != (tc.status == 500) || warned > 1 {
				t.Errorf("%s: %d warnings", tc.answer, warned)
			}
		})
	}
}

type round func(*http.Request) *http.Response

func (f round) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }
