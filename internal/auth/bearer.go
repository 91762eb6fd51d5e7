package auth

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/ascii"
	"github.com/probity-dev/probity/strict/jws"
)

// TokenTypeAccess as [Issuer.TokenType] accepts access tokens of RFC 9068 alone.
const TokenTypeAccess = "at+jwt"

// skew is how far an issuer's clock may be ahead of this host's.
const skew = time.Minute

// latest is the end of the year 9999; later times are not dates.
const latest = 253402300799

// bearerHeader is the protected header of a bearer token (RFC 7515, section 4).
type bearerHeader struct {
	Algorithm string         `json:"alg"`
	Type      *string        `json:"typ"`
	Critical  jsontext.Value `json:"crit"`
	Encoded   jsontext.Value `json:"b64"`
	Zip       jsontext.Value `json:"zip"`
}

// bearerClaims are the claims that decide when a token is good (RFC 7519, section
// 4.1).
type bearerClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Expires   *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	IssuedAt  *float64 `json:"iat"`
}

// readBearer decodes a token strictly, before anything is verified: what two
// readers could understand differently is refused.
func readBearer(bearer string) (h bearerHeader, c bearerClaims, err error) {
	header, payload, _, err := jws.Split(bearer)
	if err != nil {
		return h, c, fmt.Errorf("%w: the bearer token is not a JSON Web Token: %w", ErrRefused, err)
	}
	for part, into := range map[string]any{header: &h, payload: &c} {
		b, err := jws.Decode(part)
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			return h, c, fmt.Errorf("%w: the bearer token is not a JSON Web Token: header or claims are "+
				"not base64url of a JSON object without duplicate members and with the right types", ErrRefused)
		}
	}
	if c.Issuer == "" {
		return h, c, fmt.Errorf("%w: the bearer token is a JSON Web Token without an issuer", ErrRefused)
	}
	return h, c, nil
}

// check refuses tokens of other protocols: the same keys sign logout tokens, security
// events, proofs of possession, none of which its holder may log in with (RFC 8725,
// section 3.11).
func (h bearerHeader) check(only string) error {
	for name, v := range map[string]jsontext.Value{"crit": h.Critical, "b64": h.Encoded, "zip": h.Zip} {
		if len(v) > 0 {
			return fmt.Errorf("%w: its header has the extension %s, which is not supported", ErrRefused, name)
		}
	}
	known := false
	for _, a := range algorithms {
		known = known || string(a) == h.Algorithm
	}
	if !known {
		return fmt.Errorf("%w: it is signed with %.20q; want one of %s", ErrRefused, h.Algorithm,
			strings.Join(algorithmNames(), ", "))
	}
	typ := ""
	if h.Type != nil {
		if typ = strings.TrimPrefix(ascii.Lower(*h.Type), "application/"); typ == "" {
			return fmt.Errorf("%w: its type (typ) is empty", ErrRefused)
		}
	}
	switch {
	case only == TokenTypeAccess && typ != TokenTypeAccess:
		return fmt.Errorf("%w: its type (typ) is %.40q; this issuer's tokens must be access tokens of "+
			"type at+jwt (tokenType)",
			ErrRefused, typ)
	case typ != "" && typ != "jwt" && typ != TokenTypeAccess:
		return fmt.Errorf("%w: its type (typ) is %.40q; want JWT, at+jwt, or no type", ErrRefused, typ)
	}
	return nil
}

// check refuses tokens that are not good now.
func (c bearerClaims) check(now time.Time) error {
	if c.Expires == nil {
		return fmt.Errorf("%w: it has no time of expiry (exp)", ErrRefused)
	}
	for name, v := range map[string]*float64{"exp": c.Expires, "nbf": c.NotBefore, "iat": c.IssuedAt} {
		if v != nil && (*v < 0 || *v > latest || math.IsNaN(*v)) {
			return fmt.Errorf("%w: %s is not a date between 1970 and 9999", ErrRefused, name)
		}
	}
	at := func(v float64) time.Time { return time.UnixMilli(int64(v * 1000)).UTC() }
	if e := at(*c.Expires); !now.Before(e) {
		return fmt.Errorf("%w: it expired at %s", ErrRefused, e.Format(time.RFC3339))
	}
	for name, v := range map[string]*float64{"nbf": c.NotBefore, "iat": c.IssuedAt} {
		if v != nil && at(*v).After(now.Add(skew)) {
			return fmt.Errorf("%w: %s is %s, which is in the future by more than %s; "+
				"compare the clocks of issuer and service",
				ErrRefused, name, at(*v).Format(time.RFC3339), skew)
		}
	}
	return nil
}
