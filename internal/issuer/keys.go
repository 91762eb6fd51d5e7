// Package issuer fetches the keys that an issuer of tokens publishes (OpenID Connect Discovery 1.0, RFC 7517), and
// keeps them within bounds: of the issuers of callers, and of the authorities that release policies name.
//
// The package verifies no token, and trusts no URL that a token names: who configures an issuer pins it.
package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/pubkey"
)

const (
	// MaxDocument bounds metadata and keys of issuers, in bytes, MaxKeys the keys.
	MaxDocument = 1 << 20
	MaxKeys     = 100
	// Again is how long an issuer is left alone after a request that failed, or
	// that brought no key for a token: anyone can send tokens that do not verify.
	Again = 5 * time.Second
	// timeout bounds one request to an issuer.
	timeout = 10 * time.Second

	// Metadata and keys are fetched again at the age that their Cache-Control allows
	// (RFC 9111, section 5.2.2), within these bounds.
	minFresh     = time.Minute
	DefaultFresh = 10 * time.Minute
	MaxFresh     = time.Hour
	// DefaultStale is how long after the last fetch the keys of an issuer that cannot be
	// reached are used, unless it is configured.
	DefaultStale = 2 * time.Hour
)

// ErrUnavailable means that the keys of an issuer cannot be known now.
var ErrUnavailable = errors.New("the issuer of the token cannot be reached")

// Keys fetches the keys of one issuer. It is safe for concurrent use.
type Keys struct {
	// URL is the issuer exactly as tokens name it.
	URL string
	// Discovery is where its metadata is; empty stands for the well-known path below URL.
	Discovery string
	// Client fetches metadata and keys. Nil stands for one that trusts the system's roots.
	Client *http.Client
	// Stale is for how long after the last fetch keys are used while the issuer cannot be reached. Zero
	// stands for [DefaultStale].
	Stale time.Duration

	published keySet
}

// keySet is what an issuer published, while it may be used. Its size does not grow
// with requests. The zero value knows nothing yet.
type keySet struct {
	fetching sync.Mutex // held during requests to the issuer

	mu       sync.Mutex
	keysURL  string
	metadata age
	keys     []jose.JSONWebKey
	of       age
	asked    time.Time // the last request, whatever came of it
	failure  error     // of the last request
}

// age says when a document was fetched, and until when it is fresh.
type age struct{ fetched, fresh time.Time }

// within reports whether now is from the fetch to an end. A clock that went back
// makes a document stale.
func (a age) within(now, end time.Time) bool {
	return !a.fetched.IsZero() && !now.Before(a.fetched) && now.Before(end)
}

// Current returns the keys, fetched again when they are no longer fresh. With retry
// they brought no key for a token, and are fetched again unless that was just done;
// ok then reports whether they were.
func (i *Keys) Current(
	ctx context.Context, now time.Time, retry bool,
) (keys []jose.JSONWebKey, ok bool, err error) {
	s := &i.published
	keys, fresh, usable := i.look(now)
	if fresh && !retry {
		return keys, true, nil
	}
	// Others use what is still usable while one of them asks the issuer.
	if !s.fetching.TryLock() {
		if usable && !retry {
			return keys, true, nil
		}
		s.fetching.Lock()
	}
	defer s.fetching.Unlock()
	before := s.lastAsked()
	if waited := now.Sub(before); !before.IsZero() && waited >= 0 && waited < Again {
		keys, _, usable = i.look(now)
		if usable {
			return keys, !retry, nil
		}
		if failure := s.lastFailure(); failure != nil {
			return nil, false, failure
		}
	}
	failure := i.fetch(ctx, now)
	if keys, _, usable = i.look(now); usable {
		return keys, failure == nil, nil
	}
	return nil, false, failure
}

func (i *Keys) look(now time.Time) (keys []jose.JSONWebKey, fresh, usable bool) {
	s := &i.published
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, s.of.within(now, s.of.fresh), s.of.within(now, s.of.fetched.Add(cmp.Or(i.Stale, DefaultStale)))
}

// Failure is the error of the last request to the issuer, or nil.
func (i *Keys) Failure() error { return i.published.lastFailure() }

func (s *keySet) lastAsked() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.asked }
func (s *keySet) lastFailure() error   { s.mu.Lock(); defer s.mu.Unlock(); return s.failure }

// fetch reads the metadata, if it is no longer fresh, and the keys. What cannot be
// fetched or read changes nothing.
func (i *Keys) fetch(ctx context.Context, now time.Time) (err error) {
	s := &i.published
	// The answer serves others too: it does not end with the request that asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	s.mu.Lock()
	keysURL, metadata := s.keysURL, s.metadata
	s.mu.Unlock()
	var keys []jose.JSONWebKey
	var of age
	if !metadata.within(now, metadata.fresh) {
		keysURL, metadata, err = i.discover(ctx, now)
	}
	if err == nil {
		keys, of, err = i.fetchKeys(ctx, keysURL, now)
	}
	if err != nil {
		err = fmt.Errorf("%w: %s: %w", ErrUnavailable, i.URL, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.failure = now, err
	if err == nil {
		s.keysURL, s.metadata, s.keys, s.of = keysURL, metadata, keys, of
	}
	return err
}

// discover reads where the issuer's keys are (OpenID Connect Discovery 1.0, section
// 4).
func (i *Keys) discover(ctx context.Context, now time.Time) (string, age, error) {
	from := cmp.Or(i.Discovery, strings.TrimSuffix(i.URL, "/")+"/.well-known/openid-configuration")
	body, at, err := i.get(ctx, from, now)
	if err != nil {
		return "", at, err
	}
	var m struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	if json.Unmarshal(body, &m) != nil {
		return "", at, errors.New("its metadata is not a JSON object without duplicate members")
	}
	if m.Issuer != i.URL {
		return "", at, fmt.Errorf("its metadata names the issuer %.200q", m.Issuer)
	}
	return m.KeysURL, at, nil
}

// fetchKeys reads a key set (RFC 7517). Keys of an unknown form are left out.
func (i *Keys) fetchKeys(ctx context.Context, from string, now time.Time) ([]jose.JSONWebKey, age, error) {
	body, at, err := i.get(ctx, from, now)
	if err != nil {
		return nil, at, err
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil, at, errors.New("its key set is not a JSON object without duplicate members")
	}
	if len(set.Keys) > MaxKeys {
		return nil, at, fmt.Errorf("its key set has %d keys, more than %d", len(set.Keys), MaxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		if k, ok := readKey(raw); ok {
			keys = append(keys, k)
		}
	}
	return keys, at, nil
}

// readKey reads a key that may sign tokens. Azure Attestation publishes certificates without the
// numbers of their keys.
func readKey(raw jsontext.Value) (k jose.JSONWebKey, ok bool) {
	if k.UnmarshalJSON(raw) != nil {
		var m struct {
			KeyID string   `json:"kid"`
			Use   string   `json:"use"`
			Alg   string   `json:"alg"`
			N     string   `json:"n"`
			X     string   `json:"x"`
			X5C   [][]byte `json:"x5c"`
		}
		if json.Unmarshal(raw, &m) != nil || m.N+m.X != "" || len(m.X5C) == 0 {
			return k, false
		}
		cert, err := pubkey.ParseCertificate(m.X5C[0])
		if err != nil {
			return k, false
		}
		k = jose.JSONWebKey{Key: cert.PublicKey, KeyID: m.KeyID, Use: m.Use, Algorithm: m.Alg}
	}
	return k, k.Valid() && pubkey.Check(k.Key) == nil && k.IsPublic() && (k.Use == "" || k.Use == "sig")
}

// get fetches a document. Redirects stay on https.
func (i *Keys) get(ctx context.Context, from string, now time.Time) ([]byte, age, error) {
	at := age{now, now}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || u.Scheme != "https" {
		return nil, at, fmt.Errorf("%.200q is not an https URL", from)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, at, err
	}
	client := http.Client{}
	if i.Client != nil {
		client = *i.Client
	}
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) >= 5 {
			return errors.New("too many redirects, or one that leaves https")
		}
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, at, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, at, fmt.Errorf("%s answers with status %d", u.Host, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxDocument+1))
	if err != nil {
		return nil, at, err
	}
	if len(body) > MaxDocument {
		return nil, at, fmt.Errorf("%s answers with more than %d bytes", u.Host, MaxDocument)
	}
	at.fresh = now.Add(freshness(resp.Header))
	return body, at, nil
}

// freshness is how long an answer may be used without asking again.
func freshness(h http.Header) time.Duration {
	fresh := DefaultFresh
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				return minFresh
			}
			fresh = time.Duration(n) * time.Second
		}
	}
	if passed, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		fresh -= time.Duration(passed) * time.Second
	}
	return min(max(fresh, minFresh), MaxFresh)
}
