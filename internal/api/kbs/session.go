package kbs

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/kbs"
	"github.com/probity-dev/probity/token"
)

// session is what the service remembers of a guest by handing it out, sealed: no node keeps anything.
type session struct {
	Provider string    `json:"p"`
	TEE      kbs.TEE   `json:"t,omitzero"`
	Version  int       `json:"v,omitzero"`
	Nonce    string    `json:"n"`
	Expires  time.Time `json:"e"`
	// Claims are those of the token, compressed, once the guest has attested; Ends is when the token does.
	Claims []byte    `json:"c,omitempty"`
	Ends   time.Time `json:"x,omitzero"`
}

const (
	cookieName = "kbs-session-id"
	purpose    = "kbs session"
	// maxCookie bounds a cookie that is read, and that is given: headers of requests have 32 KiB in all.
	maxCookie = 16 << 10
	// maxClaims bounds the claims of a session, in bytes.
	maxClaims = 1 << 20
)

func refuse(check *evidence.Definition, expected, found string) error {
	return &kbs.Refused{Check: check.Failed(expected, found)}
}

// give sends a session as a cookie.
func (p *Plane) give(w http.ResponseWriter, c *edge.Call, s *session) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	value := base64.RawURLEncoding.EncodeToString(p.Sealer.Seal(b, purpose))
	if len(value) > maxCookie {
		return fmt.Errorf("kbs: a session of %d bytes; the token of this guest does not fit into a cookie",
			len(value))
	}
	// Without a path it is the folder of the request, which is right below the prefix of any provider.
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: value, Expires: s.Expires, HttpOnly: true,
		Secure: strings.HasPrefix(c.Provider.URL, "https:"), SameSite: http.SameSiteStrictMode})
	return nil
}

// session reads the cookie of a guest.
func (p *Plane) session(r *http.Request, c *edge.Call) (*session, error) {
	bad := func(found string) (*session, error) {
		return nil, refuse(kbs.CheckSession, "a cookie "+cookieName+" of this provider", found)
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return bad("no cookie")
	}
	if len(cookie.Value) > maxCookie {
		return bad(fmt.Sprintf("a cookie of %d bytes", len(cookie.Value)))
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cookie.Value)
	if err != nil {
		return bad("a cookie that this service did not give")
	}
	b, err := p.Sealer.Open(sealed, purpose)
	if err != nil {
		return bad("a cookie that this service did not give")
	}
	var s session
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if s.Provider != c.Provider.Identity() {
		return bad("a cookie of another provider")
	}
	if now := p.Now(); !now.Before(s.Expires) {
		return bad("a session that ended at " + s.Expires.Format(time.RFC3339))
	}
	return &s, nil
}

// attested adds the token to the session.
func (s *session) attested(compact string) error {
	_, payload, err := token.Decode(compact)
	if err != nil {
		return err
	}
	var times struct {
		Expires int64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &times); err != nil {
		return err
	}
	s.Ends = time.Unix(times.Expires, 0).UTC()
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(payload); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	s.Claims = packed.Bytes()
	return nil
}

// token is the token of a guest that has attested.
func (s *session) token(issuer string) (*token.Verified, error) {
	if len(s.Claims) == 0 {
		return nil, refuse(kbs.CheckSession, "a session in which the guest has attested",
			"one in which it has not")
	}
	payload, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(s.Claims)), maxClaims+1))
	if err != nil {
		return nil, err
	}
	if len(payload) > maxClaims {
		return nil, errors.New("kbs: the claims of a session are too long")
	}
	return &token.Verified{Issuer: issuer, Expires: s.Ends, Payload: payload}, nil
}
