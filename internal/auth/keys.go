package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/jws"
	"github.com/probity-dev/probity/strict/pubkey"
)

const (
	// maxDocument bounds metadata and keys of issuers, in bytes, maxKeys the keys.
	maxDocument = 1 << 20
	maxKeys     = 100
	// issuerAgain is how long an issuer is left alone after a request that failed, or
	// that brought no key for a token: anyone can send tokens that do not verify.
	issuerAgain = 5 * time.Second
	// issuerTimeout bounds one request to an issuer.
	issuerTimeout = 10 * time.Second

	// Metadata and keys are fetched again at the age that their Cache-Control allows
	// (RFC 9111, section 5.2.2), within these bounds.
	freshMin     = time.Minute
	freshDefault = 10 * time.Minute
	freshMax     = time.Hour
	// staleMax is how long after the last fetch the keys of an issuer that cannot be
	// reached are used.
	staleMax = 2 * time.Hour
)

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

// current returns the keys, fetched again when they are no longer fresh. With retry
// they brought no key for a token, and are fetched again unless that was just done;
// ok then reports whether they were.
func (i *Issuer) current(
	ctx context.Context, now time.Time, retry bool,
) (keys []jose.JSONWebKey, ok bool, err error) {
	s := &i.published
	keys, fresh, usable := s.look(now)
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
	if waited := now.Sub(before); !before.IsZero() && waited >= 0 && waited < issuerAgain {
		keys, _, usable = s.look(now)
		if usable {
			return keys, !retry, nil
		}
		if failure := s.lastFailure(); failure != nil {
			return nil, false, failure
		}
	}
	failure := i.fetch(ctx, now)
	if keys, _, usable = s.look(now); usable {
		return keys, failure == nil, nil
	}
	return nil, false, failure
}

func (s *keySet) look(now time.Time) (keys []jose.JSONWebKey, fresh, usable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, s.of.within(now, s.of.fresh), s.of.within(now, s.of.fetched.Add(staleMax))
}

func (s *keySet) lastAsked() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.asked }
func (s *keySet) lastFailure() error   { s.mu.Lock(); defer s.mu.Unlock(); return s.failure }

// fetch reads the metadata, if it is no longer fresh, and the keys. What cannot be
// fetched or read changes nothing.
func (i *Issuer) fetch(ctx context.Context, now time.Time) (err error) {
	s := &i.published
	// The answer serves others too: it does not end with the request that asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), issuerTimeout)
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
func (i *Issuer) discover(ctx context.Context, now time.Time) (string, age, error) {
	body, at, err := i.get(ctx, strings.TrimSuffix(i.URL, "/")+"/.well-known/openid-configuration", now)
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
func (i *Issuer) fetchKeys(ctx context.Context, from string, now time.Time) ([]jose.JSONWebKey, age, error) {
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
	if len(set.Keys) > maxKeys {
		return nil, at, fmt.Errorf("its key set has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.Valid() && pubkey.Check(k.Key) == nil && k.IsPublic() &&
			(k.Use == "" || k.Use == "sig") {
			keys = append(keys, k)
		}
	}
	return keys, at, nil
}

// get fetches a document. Redirects stay on https.
func (i *Issuer) get(ctx context.Context, from string, now time.Time) ([]byte, age, error) {
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
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, at, err
	}
	if len(body) > maxDocument {
		return nil, at, fmt.Errorf("%s answers with more than %d bytes", u.Host, maxDocument)
	}
	at.fresh = now.Add(freshness(resp.Header))
	return body, at, nil
}

// freshness is how long an answer may be used without asking again.
func freshness(h http.Header) time.Duration {
	fresh := freshDefault
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return freshMin
		case "max-age":
			n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				return freshMin
			}
			fresh = time.Duration(n) * time.Second
		}
	}
	if passed, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		fresh -= time.Duration(passed) * time.Second
	}
	return min(max(fresh, freshMin), freshMax)
}

// verifies implements [oidc.KeySet] with keys that were current at one time.
type verifies []jose.JSONWebKey

var errNoKey = errors.New("no key of the issuer verifies its signature")

// VerifySignature implements [oidc.KeySet].
func (keys verifies) VerifySignature(_ context.Context, text string) ([]byte, error) {
	signed, err := jws.Parse(text, algorithms)
	if err != nil {
		return nil, err
	}
	header := signed.Signatures[0].Header
	for _, k := range keys {
		if header.KeyID != "" && k.KeyID != header.KeyID || k.Algorithm != "" && k.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := signed.Verify(k); err == nil {
			return payload, nil
		}
	}
	return nil, errNoKey
}

// algorithms are those that bearer tokens may be signed with: none with a shared
// secret.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}

func algorithmNames() (names []string) {
	for _, a := range algorithms {
		names = append(names, string(a))
	}
	slices.Sort(names)
	return names
}
