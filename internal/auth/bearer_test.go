package auth

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/test/kit/jwstest"
)

// compact signs any header and payload, also those that no library makes.
func compact(t *testing.T, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	in := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(payload))
	digest := sha256.Sum256([]byte(in))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return in + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)),
		s.FillBytes(make([]byte, 32))...))
}

func TestABearerTokenHasOneText(t *testing.T) {
	l := newLoggedIn(t)
	payload := fmt.Sprintf(`{"iss":%q,"sub":"x","aud":"a","exp":%d}`, l.URL, l.now.Add(time.Hour).Unix())
	good := compact(t, l.key, `{"alg":"ES256","kid":"k"}`, payload)
	if _, err := l.a.Caller(request("Bearer " + good)); err != nil {
		t.Fatal(err)
	}
	for text := range jwstest.Neighbours(good) {
		// White space around it is the header's, not the token's.
		if strings.TrimSpace(text) == good {
			continue
		}
		if c, err := l.a.Caller(request("Bearer " + text)); !errors.Is(err, ErrRefused) {
			t.Fatalf("%q: %+v, %v", text, c, err)
		}
	}
}

func TestBearerTokensOfOtherKindsAreRefused(t *testing.T) {
	l := newLoggedIn(t)
	const header = `{"alg":"ES256","kid":"k"}`
	payload := func(more string) string {
		return fmt.Sprintf(`{"iss":%q,"sub":"x","aud":"a"%s}`, l.URL, more)
	}
	at := func(d time.Duration) int64 { return l.now.Add(d).Unix() }
	exp := fmt.Sprintf(`,"exp":%d`, at(time.Hour))
	good := payload(exp)
	for name, token := range map[string]string{
		"no type":              compact(t, l.key, header, good),
		"JWT":                  compact(t, l.key, `{"alg":"ES256","kid":"k","typ":"JWT"}`, good),
		"jwt in small letters": compact(t, l.key, `{"alg":"ES256","kid":"k","typ":"jwt"}`, good),
		"at+jwt":               compact(t, l.key, `{"alg":"ES256","kid":"k","typ":"at+jwt"}`, good),
		"application/at+jwt": compact(t, l.key,
			`{"alg":"ES256","kid":"k","typ":"application/at+jwt"}`, good),
		"no key id": compact(t, l.key, `{"alg":"ES256"}`, good),
		"a clock a minute fast": compact(t, l.key, header,
			payload(exp+fmt.Sprintf(`,"iat":%d,"nbf":%d`, at(skew), at(skew)))),
		"parts of seconds": compact(t, l.key, header,
			payload(fmt.Sprintf(`,"exp":%d.5,"iat":%d.25`, at(time.Hour), at(0)))),
	} {
		if _, err := l.a.Caller(request("Bearer " + token)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	typ := func(typ string) string { return compact(t, l.key, `{"alg":"ES256","kid":"k","typ":`+typ+`}`, good) }
	der, err := x509.MarshalPKIXPublicKey(&l.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	in := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"k"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(good))
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte(in))
	refused := map[string]string{
		"a logout token":              typ(`"logout+jwt"`),
		"a security event":            typ(`"secevent+jwt"`),
		"an application/secevent+jwt": typ(`"application/secevent+jwt"`),
		"a proof of possession":       typ(`"dpop+jwt"`),
		"an introspection response":   typ(`"token-introspection+jwt"`),
		"a key binding":               typ(`"kb+jwt"`),
		"an authorization request":    typ(`"oauth-authz-req+jwt"`),
		"an entity statement":         typ(`"entity-statement+jwt"`),
		"a policy or ledger entry":    typ(`"JWS"`),
		"a type with a parameter":     typ(`"JWT; x=y"`),
		"an empty type":               typ(`""`),
		"application/ and nothing":    typ(`"application/"`),
		"a type that is no text":      typ(`["JWT"]`),
		"two types": compact(t, l.key,
			`{"alg":"ES256","kid":"k","typ":"logout+jwt","typ":"JWT"}`, good),
		"critical extensions": compact(t, l.key, `{"alg":"ES256","kid":"k","crit":["x"],"x":1}`, good),
		"an empty crit":       compact(t, l.key, `{"alg":"ES256","kid":"k","crit":[]}`, good),
		"a payload that is not base64": compact(t, l.key,
			`{"alg":"ES256","kid":"k","crit":["b64"],"b64":false}`, good),
		"compressed": compact(t, l.key, `{"alg":"ES256","kid":"k","zip":"DEF"}`, good),
		"none": strings.Join(strings.Split(compact(t, l.key, `{"alg":"none"}`, good), ".")[:2],
			".") + ".",
		"nOnE with a signature":       compact(t, l.key, `{"alg":"nOnE"}`, good),
		"the public key as a secret":  in + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"an algorithm in other case":  compact(t, l.key, `{"alg":"es256","kid":"k"}`, good),
		"two algorithms":              compact(t, l.key, `{"alg":"none","alg":"ES256","kid":"k"}`, good),
		"two issuers":                 compact(t, l.key, header, `{"iss":"https://other.example",`+good[1:]),
		"two subjects":                compact(t, l.key, header, payload(exp+`,"sub":"admin"`)),
		"two equal members deep down": compact(t, l.key, header, payload(exp+`,"x":{"a":1,"a":2}`)),
		"no expiry":                   compact(t, l.key, header, payload("")),
		"expiry null":                 compact(t, l.key, header, payload(`,"exp":null`)),
		"expiry as text": compact(t, l.key, header,
			payload(fmt.Sprintf(`,"exp":"%d"`, at(time.Hour)))),
		"expiry beyond all dates": compact(t, l.key, header, payload(`,"exp":1e300`)),
		"expired this second":     compact(t, l.key, header, payload(fmt.Sprintf(`,"exp":%d`, at(0)))),
		"issued in the future": compact(t, l.key, header,
			payload(exp+fmt.Sprintf(`,"iat":%d`, at(skew+time.Second)))),
		"good in the future": compact(t, l.key, header,
			payload(exp+fmt.Sprintf(`,"nbf":%d`, at(skew+time.Second)))),
		"good in four minutes": compact(t, l.key, header,
			payload(exp+fmt.Sprintf(`,"nbf":%d`, at(4*time.Minute)))),
		"issued before all dates": compact(t, l.key, header, payload(exp+`,"iat":-1e300`)),
		"claims that are a list":  compact(t, l.key, header, "["+good+"]"),
		"bytes after the claims":  compact(t, l.key, header, good+"{}"),
		"bits after the base64":   strings.Replace(compact(t, l.key, header, good), ".", "=.", 1),
		"another key id":          compact(t, l.key, `{"alg":"ES256","kid":"K"}`, good),
	}
	for name, token := range refused {
		if c, err := l.a.Caller(request("Bearer " + token)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	// Access tokens alone, if the issuer is configured so.
	l.a.cfg.Issuers[0].TokenType = TokenTypeAccess
	for typ, ok := range map[string]bool{
		`"at+jwt"`: true, `"application/at+jwt"`: true, `"JWT"`: false, `"logout+jwt"`: false,
	} {
		_, err := l.a.Caller(
			request("Bearer " + compact(t, l.key, `{"alg":"ES256","kid":"k","typ":`+typ+`}`, good)),
		)
		if (err == nil) != ok {
			t.Errorf("%s where access tokens alone are accepted: %v", typ, err)
		}
	}
	_, err = l.a.Caller(request("Bearer " + compact(t, l.key, header, good)))
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "tokenType") {
		t.Errorf("no type where access tokens alone are accepted: %v", err)
	}
}
