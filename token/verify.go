package token

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/jws"
	"github.com/probity-dev/probity/strict/pubkey"
)

// MaxSize bounds the compact form of a token that is read, in bytes.
const MaxSize = 1 << 20

// The reasons for which a token is refused.
var (
	ErrFormat    = errors.New("not a compact JWS")
	ErrUnsecured = errors.New("the token is not signed")
	ErrKey       = errors.New("no key of the issuer has the token's kid")
	ErrSignature = errors.New("the signature does not verify")
	ErrIssuer    = errors.New("the token is of another issuer")
	ErrExpired   = errors.New("the token has expired")
	ErrNotYet    = errors.New("the token is not valid yet")
	ErrClaims    = errors.New("the token's claims are malformed")
)

var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}

// Verified is a token whose signature, issuer and times were checked.
type Verified struct {
	Header    Header
	Issuer    string
	IssuedAt  time.Time
	NotBefore time.Time
	Expires   time.Time
	// Payload is the signed JSON.
	Payload jsontext.Value
}

// Header is what a token's header says. Its jku, jwk and x5c are never used to
// find a key.
type Header struct {
	Algorithm string
	KeyID     string
}

// Verify checks a compact token: it must be signed by the key of keys that its
// kid names, be of the given issuer, and be valid at the given time. Only the text
// that was signed verifies: parts in other spellings of base64url, and white space around
// them, are refused. The error wraps one of the reasons above.
func Verify(compact string, keys KeySet, issuer string, at time.Time) (*Verified, error) {
	if len(compact) > MaxSize {
		return nil, fmt.Errorf("token of %d bytes: %w", len(compact), ErrFormat)
	}
	if header, err := unverifiedHeader(compact); err == nil && header.Alg == "none" {
		return nil, ErrUnsecured
	}
	signed, err := jws.Parse(compact, algorithms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	header := signed.Signatures[0].Header
	candidates := keys.Key(header.KeyID)
	if header.KeyID == "" || len(candidates) == 0 {
		return nil, fmt.Errorf("kid %q: %w", header.KeyID, ErrKey)
	}
	if err := pubkey.Check(candidates[0].Key); err != nil {
		return nil, fmt.Errorf("kid %q: %w: %w", header.KeyID, ErrKey, err)
	}
	payload, err := signed.Verify(candidates[0].Key)
	if err != nil {
		return nil, ErrSignature
	}
	v := &Verified{Header: Header{Algorithm: header.Algorithm, KeyID: header.KeyID}, Payload: payload}
	return v, v.check(issuer, at)
}

func (v *Verified) check(issuer string, at time.Time) error {
	var c struct {
		Issuer    string `json:"iss"`
		IssuedAt  int64  `json:"iat"`
		NotBefore *int64 `json:"nbf"`
		Expires   *int64 `json:"exp"`
	}
	if err := json.Unmarshal(v.Payload, &c); err != nil {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	if c.Expires == nil || c.NotBefore == nil {
		return fmt.Errorf("%w: exp or nbf is missing", ErrClaims)
	}
	v.Issuer, v.IssuedAt = c.Issuer, time.Unix(c.IssuedAt, 0).UTC()
	v.NotBefore, v.Expires = time.Unix(*c.NotBefore, 0).UTC(), time.Unix(*c.Expires, 0).UTC()
	switch {
	case c.Issuer != issuer:
		return fmt.Errorf("iss %q, want %q: %w", c.Issuer, issuer, ErrIssuer)
	case !at.Before(v.Expires):
		return fmt.Errorf("exp %s: %w", v.Expires.Format(time.RFC3339), ErrExpired)
	case at.Before(v.NotBefore):
		return fmt.Errorf("nbf %s: %w", v.NotBefore.Format(time.RFC3339), ErrNotYet)
	}
	return nil
}
