package token

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/claims"
)

// Validity is how long attestation tokens are good for.
const Validity = 8 * time.Hour

// ManagementValidity is how long tokens about policies and certificates are
// good for.
const ManagementValidity = time.Hour

// Backdate is how far iat and nbf are before the time of issue: several
// clients compare nbf with their own clock and allow for no difference.
const Backdate = 5 * time.Second

// Attestation is the content of an attestation token.
type Attestation struct {
	Issuer string
	Time   time.Time
	// ID is the token's identifier, 64 hex digits.
	ID string
	// PolicyHash is the hash of the policy that was applied.
	PolicyHash string
	// PolicySigner is the JWK of who signed the policy, or empty.
	PolicySigner jsontext.Value
	// Nonce is the JSON text of the request's nonce, or empty.
	Nonce jsontext.Value
	// Claims are the service's; Issued the policy's.
	Claims, Issued claims.Set
	// Validity replaces [Validity] if it is not zero.
	Validity time.Duration
	// Audience and Subject become aud and sub, if they are not empty.
	Audience []string
	Subject  string
}

// Payload returns the token's claims as JSON, members in byte order. Claims of
// the policy are at the top level and together under x-ms-policy; they never
// replace a member of the service, nor are beside one whose name differs in case alone.
func (a *Attestation) Payload() ([]byte, error) {
	members := a.Issued.Members()
	service := a.Claims.Members()
	if len(members) > 0 {
		service["x-ms-policy"] = maps.Clone(members)
	}
	validity := a.Validity
	if validity == 0 {
		validity = Validity
	}
	maps.Copy(service, times(a.Issuer, a.Time, validity))
	service["jti"] = a.ID
	switch len(a.Audience) {
	case 0:
	case 1:
		service["aud"] = a.Audience[0]
	default:
		service["aud"] = a.Audience
	}
	if a.Subject != "" {
		service["sub"] = a.Subject
	}
	service["x-ms-ver"] = "1.0"
	service["x-ms-policy-hash"] = a.PolicyHash
	if len(a.PolicySigner) > 0 {
		signer, err := policySigner(a.PolicySigner)
		if err != nil {
			return nil, err
		}
		service["x-ms-policy-signer"] = signer
	}
	if len(a.Nonce) > 0 {
		service["nonce"] = a.Nonce
	}
	// Many readers of JSON compare names of members without case.
	maps.DeleteFunc(members, func(name string, _ any) bool {
		for own := range service {
			if strings.EqualFold(name, own) {
				return true
			}
		}
		return false
	})
	maps.Copy(members, service)
	return marshal(members)
}

// policySigner is the claim x-ms-policy-signer. Azure documents a member jwk; its SDKs
// for Java, JavaScript and Python read the members of the key beside it, and the one for
// Java fails on a token without them.
func policySigner(jwk jsontext.Value) (map[string]any, error) {
	members := map[string]any{}
	if err := json.Unmarshal(jwk, &members); err != nil {
		return nil, fmt.Errorf("token: policy signer: %w", err)
	}
	members["jwk"] = jwk
	return members, nil
}

// Management returns the payload of a token about policies or certificates.
func Management(issuer string, now time.Time, members map[string]any) ([]byte, error) {
	all := times(issuer, now, ManagementValidity)
	maps.Copy(all, members)
	return marshal(all)
}

func times(issuer string, now time.Time, validity time.Duration) map[string]any {
	issued := now.Add(-Backdate).Unix()
	return map[string]any{
		"iss": issuer, "iat": issued, "nbf": issued, "exp": issued + int64(validity/time.Second),
	}
}

func marshal(members map[string]any) ([]byte, error) {
	b, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("token: payload: %w", err)
	}
	return b, nil
}
