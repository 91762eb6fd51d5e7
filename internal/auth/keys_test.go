package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/issuer"
)

// loggedIn is an issuer, an authenticator that accepts its tokens, and a clock that
// both share.
type loggedIn struct {
	*provider
	t   *testing.T
	a   *Authenticator
	now time.Time
}

func newLoggedIn(t *testing.T) *loggedIn {
	l := &loggedIn{provider: newProvider(t), t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return l.now }
	l.a = New(Config{
		Issuers: []*Issuer{{Keys: issuer.Keys{URL: l.URL, Client: l.Client()}, Audiences: []string{"a"}, Now: clock}},
		Now:     clock,
	})
	return l
}

// with presents a token signed now with a key.
func (l *loggedIn) with(key *ecdsa.PrivateKey) error {
	l.t.Helper()
	_, err := l.a.Caller(request("Bearer " + sign(l.t, key, jose.ES256,
		map[string]any{"iss": l.URL, "sub": "x", "aud": "a", "exp": l.now.Add(time.Hour).Unix()})))
	return err
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAKeyThatItsIssuerWithdrewIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		cache           string
		stillAt, goneAt time.Duration
	}{
		"no Cache-Control":              {"", issuer.DefaultFresh - time.Second, issuer.DefaultFresh},
		"an hour":                       {"public, max-age=3600", time.Hour - time.Second, time.Hour},
		"a year is cut to an hour":      {"max-age=31536000, immutable", time.Hour - time.Second, time.Hour},
		"two minutes":                   {"max-age=120", 2*time.Minute - time.Second, 2 * time.Minute},
		"no-store is asked each minute": {"no-store", time.Minute - time.Second, time.Minute},
		"zero is asked each minute":     {"max-age=0", time.Minute - time.Second, time.Minute},
		"not a number":                  {"max-age=soon", time.Minute - time.Second, time.Minute},
		"30 days later":                 {"", 0, 30 * 24 * time.Hour},
	} {
		l := newLoggedIn(t)
		l.cache = tc.cache
		if err := l.with(l.first); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		l.key = newKey(t) // the first one is withdrawn
		start := l.now
		l.now = start.Add(tc.stillAt)
		if err := l.with(l.first); err != nil || l.asked != 1 {
			t.Errorf("%s: while the key set is fresh: %v, asked %d times", name, err, l.asked)
		}
		l.now = start.Add(tc.goneAt)
		if err := l.with(l.first); !errors.Is(err, ErrRefused) || l.asked != 2 {
			t.Errorf("%s: %v, asked %d times", name, err, l.asked)
		}
		if err := l.with(l.key); err != nil {
			t.Errorf("%s: the new key: %v", name, err)
		}
	}
}

func TestKeysOfAnIssuerThatCannotBeReachedExpire(t *testing.T) {
	l := newLoggedIn(t)
	if err := l.with(l.first); err != nil {
		t.Fatal(err)
	}
	start := l.now
	l.down = true
	for after, want := range map[time.Duration]error{
		issuer.MaxFresh:                   nil,
		issuer.DefaultStale - time.Second: nil,
		issuer.DefaultStale:               ErrUnavailable,
		30 * 24 * time.Hour:               ErrUnavailable,
	} {
		l.now = start.Add(after)
		if err := l.with(l.first); !errors.Is(err, want) {
			t.Errorf("after %s: %v", after, err)
		}
	}
	l.now = start.Add(31 * 24 * time.Hour)
	l.down = false
	if err := l.with(l.first); err != nil {
		t.Errorf("the issuer is back: %v", err)
	}
	// A clock that goes back proves nothing about the age of the keys.
	l.now, l.down = start.Add(24*time.Hour), true
	if err := l.with(l.first); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the clock went back: %v", err)
	}
}

// TestManyCallersWaitForOneRequest: also under the race detector.
func TestManyCallersWaitForOneRequest(t *testing.T) {
	l := newLoggedIn(t)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if err := l.with(l.first); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if l.asked != 1 {
		t.Errorf("asked %d times", l.asked)
	}
}

func TestKeySetsThatAreRefused(t *testing.T) {
	key := newKey(t)
	public, err := json.Marshal(jose.JSONWebKey{Key: &key.PublicKey, KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	other := func(member string) string { return strings.TrimSuffix(string(public), "}") + "," + member + "}" }
	var url string
	metadata := func() string { return `{"issuer":"` + url + `","jwks_uri":"` + url + `/keys"}` }
	for name, tc := range map[string]struct {
		metadata func() string
		keys     string
		want     error
	}{
		"good":                         {metadata, `{"keys":[` + string(public) + `]}`, nil},
		"beside keys of unknown forms": {metadata, `{"keys":[{"kty":"NEW"},{},` + string(public) + `]}`, nil},
		"metadata of another issuer": {
			func() string { return `{"issuer":"https://other.example","jwks_uri":"` + url + `/keys"}` },
			`{"keys":[` + string(public) + `]}`,
			ErrUnavailable,
		},
		"two issuers in the metadata": {
			func() string { return `{"issuer":"x",` + metadata()[1:] },
			`{"keys":[` + string(public) + `]}`,
			ErrUnavailable,
		},
		"keys in the clear": {
			func() string { return strings.Replace(metadata(), `"jwks_uri":"https`, `"jwks_uri":"http`, 1) },
			`{"keys":[` + string(public) + `]}`,
			ErrUnavailable,
		},
		"keys that lead to the clear": {
			func() string { return strings.Replace(metadata(), "/keys", "/away", 1) }, "",
			ErrUnavailable,
		},
		"two lists of keys": {
			metadata, `{"keys":[],"keys":[` + string(public) + `]}`, ErrUnavailable,
		},
		"too many keys": {
			metadata, `{"keys":[` + strings.Repeat("{},", issuer.MaxKeys) + string(public) + `]}`,
			ErrUnavailable,
		},
		"a key for encryption":       {metadata, `{"keys":[` + other(`"use":"enc"`) + `]}`, ErrRefused},
		"a key of another algorithm": {metadata, `{"keys":[` + other(`"alg":"ES384"`) + `]}`, ErrRefused},
		"a private key":              {metadata, `{"keys":[` + string(private) + `]}`, ErrRefused},
	} {
		mux := http.NewServeMux()
		mux.HandleFunc("/.well-known/openid-configuration",
			func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(tc.metadata())) })
		mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(tc.keys)) })
		mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/keys", http.StatusFound)
		})
		server := httptest.NewTLSServer(mux)
		url = server.URL
		a := New(Config{
			Issuers: []*Issuer{{Keys: issuer.Keys{URL: url, Client: server.Client()}, Audiences: []string{"a"}}},
			Now:     time.Now,
		})
		_, err := a.Caller(request("Bearer " + sign(t, key, jose.ES256,
			map[string]any{"iss": url, "sub": "x", "aud": "a", "exp": time.Now().Add(time.Hour).Unix()})))
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}
