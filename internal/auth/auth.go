// Package auth tells who calls, and what callers may do: bearer tokens of OpenID
// Connect issuers (RFC 6750, OpenID Connect Core 1.0), client certificates (mutual
// TLS), and static tokens of which only hashes are kept.
//
// An [Authenticator] turns a request into a [Caller]; [Caller.May] says whether
// the caller has a role at a provider. What a route needs is in the server's
// table of routes, not here. The package does not judge evidence: attesters are
// no callers.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/issuer"
	"github.com/probity-dev/probity/strict/ascii"
	"github.com/probity-dev/probity/wording/spelling"
)

// Role is what a caller may do at a provider. [Role.Includes] says which roles contain others.
type Role int

// The roles, named as Azure's.
const (
	// Nobody may do what anonymous callers may.
	Nobody Role = iota
	// Reader reads policies and the ledger: Attestation Reader.
	Reader
	// Contributor changes policies and their certificates: Attestation Contributor.
	Contributor
	// Owner changes the provider itself, its keys, and who may call. It includes all other roles.
	Owner
	// Officer manages the keys of the provider's vault, and reads: Key Vault Crypto Officer.
	Officer
	// Releaser asks for the release of keys and does nothing else: Key Vault Crypto Service Release User.
	Releaser
)

// Includes reports whether a caller with the role may do what another role needs.
func (r Role) Includes(need Role) bool {
	switch r {
	case need, Owner:
		return true
	case Officer:
		return need <= Reader
	case Releaser:
		return need == Nobody
	case Nobody, Reader, Contributor:
		return need < r
	}
	return false
}

// roleNames are the names, first the one that is written.
var roleNames = map[Role][]string{
	Reader:      {"reader", "Attestation Reader", "fd1bd22b-8476-40bc-a0bc-69b95687b9f3"},
	Contributor: {"contributor", "Attestation Contributor", "bbf86eb8-f7b4-4cce-96e4-18cddf81d86e"},
	Owner:       {"owner"},
	Officer:     {"officer", "Key Vault Crypto Officer", "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"},
	Releaser: {"releaser", "Key Vault Crypto Service Release User", "Managed HSM Crypto Service Release User",
		"08bbd89e-9f13-488c-ac41-acfcb10c90ab"},
}

// String gives the short name.
func (r Role) String() string {
	if names := roleNames[r]; len(names) > 0 {
		return names[0]
	}
	return "nobody"
}

// ParseRole reads a role by its short name, Azure's name or Azure's id.
func ParseRole(text string) (Role, error) {
	for role, names := range roleNames {
		if slices.ContainsFunc(names, func(n string) bool { return ascii.EqualFold(n, text) }) {
			return role, nil
		}
	}
	return Nobody, fmt.Errorf("unknown role %q; want reader, contributor, owner, officer or releaser%s", text,
		spelling.After("; ", text, []string{"reader", "contributor", "owner", "officer", "releaser"}))
}

// Everywhere stands for all providers.
const Everywhere = "*"

// Grant is a role at some providers.
type Grant struct {
	Role Role
	// Providers are names, or Everywhere.
	Providers []string
}

func (g Grant) covers(provider string) bool {
	return slices.ContainsFunc(g.Providers,
		func(p string) bool { return p == Everywhere || ascii.EqualFold(p, provider) })
}

// Caller is who made a request.
type Caller struct {
	// Name is unique among callers: "oidc:ISSUER#SUBJECT", "cert:SUBJECT" or
	// "token:NAME".
	Name   string
	Grants []Grant
}

// May reports whether the caller has the role at the provider. With Everywhere as
// provider the grant must be for all.
func (c *Caller) May(role Role, provider string) bool {
	return role == Nobody ||
		slices.ContainsFunc(c.Grants, func(g Grant) bool { return g.Role.Includes(role) && g.covers(provider) })
}

// RoleAt returns the highest of reader, contributor and owner that the caller may act as at a provider.
func (c *Caller) RoleAt(provider string) Role {
	for _, role := range []Role{Owner, Contributor, Reader} {
		if c.May(role, provider) {
			return role
		}
	}
	return Nobody
}

// IsCaller reports whether a name is that of a caller: one with a static token, with a client
// certificate, or of an OpenID issuer. What the program does by itself has other names.
func IsCaller(name string) bool {
	return strings.HasPrefix(name, "token:") || strings.HasPrefix(name, "cert:") ||
		strings.HasPrefix(name, "oidc:")
}

// Administrator is the name of the token that the configuration names. No other static
// token may have it.
const Administrator = "administrator"

// The reasons why a request has no caller.
var (
	ErrAnonymous = errors.New("the request names no caller")
	ErrRefused   = errors.New("the credential is not accepted")
	// ErrUnavailable means that the caller cannot be checked now.
	ErrUnavailable = issuer.ErrUnavailable
)

// StaticToken is a bearer token by its hash.
type StaticToken struct {
	name    string
	hash    [sha256.Size]byte
	grant   Grant
	expires time.Time
}

// NewStaticToken reads a token as it is stored: hash is its SHA-256 in hex. A zero
// expires means never.
func NewStaticToken(name, hash, role string, providers []string, expires time.Time) (StaticToken, error) {
	t := StaticToken{name: name, expires: expires}
	sum, err := hex.DecodeString(hash)
	if err != nil || len(sum) != sha256.Size {
		return t, errors.New("the hash is not 64 hex digits of SHA-256")
	}
	t.hash = [sha256.Size]byte(sum)
	t.grant.Providers = providers
	t.grant.Role, err = ParseRole(role)
	return t, err
}

// Rule gives a role to callers with a claim, or of a certificate.
type Rule struct {
	// Claim and Value: of tokens, a claim that is the value or a list with it; of
	// certificates, "subject" (the common name), "dns", "uri" or "sha256".
	Claim, Value string
	Grant        Grant
}

// Config says which callers are accepted.
type Config struct {
	// Tokens returns the static tokens now.
	Tokens func() []StaticToken
	// Issuers sign the bearer tokens that are accepted.
	Issuers []*Issuer
	// Certificates are rules for client certificates that the TLS layer verified.
	Certificates []Rule
	// Authorities returns those who certify clients now; see [Authorities.Pool].
	Authorities func() *x509.CertPool
	Now         func() time.Time
}

// Authenticator finds the caller of a request. It is safe for concurrent use.
type Authenticator struct{ cfg Config }

// New returns an authenticator.
func New(cfg Config) *Authenticator { return &Authenticator{cfg} }

// maxBearer bounds a bearer token, in bytes.
const maxBearer = 16 << 10

// Caller returns who made the request. The error wraps ErrAnonymous, ErrRefused or
// ErrUnavailable; it never contains the credential.
func (a *Authenticator) Caller(r *http.Request) (*Caller, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return a.certificate(r.TLS)
	}
	scheme, bearer, _ := strings.Cut(header, " ")
	bearer = strings.TrimSpace(bearer)
	if !ascii.EqualFold(scheme, "Bearer") || bearer == "" {
		return nil, fmt.Errorf("%w: the Authorization header is not a bearer token", ErrRefused)
	}
	if len(bearer) > maxBearer {
		return nil, fmt.Errorf("%w: a bearer token of %d bytes, at most %d are read", ErrRefused,
			len(bearer), maxBearer)
	}
	if c, err := a.static(bearer); c != nil || err != nil {
		return c, err
	}
	if strings.Count(bearer, ".") != 2 {
		return nil, fmt.Errorf("%w: the bearer token is neither a token of this service nor a JSON Web Token",
			ErrRefused)
	}
	return a.openID(r.Context(), bearer)
}

// static compares hashes: that they differ early or late tells nothing about a
// token.
func (a *Authenticator) static(bearer string) (*Caller, error) {
	if a.cfg.Tokens == nil {
		return nil, nil
	}
	sum := sha256.Sum256([]byte(bearer))
	for _, t := range a.cfg.Tokens() {
		if subtle.ConstantTimeCompare(sum[:], t.hash[:]) != 1 {
			continue
		}
		if !t.expires.IsZero() && !a.cfg.Now().Before(t.expires) {
			return nil, fmt.Errorf("%w: the token %q expired at %s", ErrRefused, t.name,
				t.expires.Format(time.RFC3339))
		}
		return &Caller{Name: "token:" + t.name, Grants: []Grant{t.grant}}, nil
	}
	return nil, nil
}

// certificate finds the caller of a connection.
func (a *Authenticator) certificate(state *tls.ConnectionState) (*Caller, error) {
	// Security: only what the TLS layer verified is looked at.
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 ||
		len(a.cfg.Certificates) == 0 {
		return nil, ErrAnonymous
	}
	if err := a.valid(state); err != nil {
		return nil, fmt.Errorf("%w: the client certificate is no longer valid: %w", ErrRefused, err)
	}
	leaf := state.PeerCertificates[0]
	c := &Caller{Name: "cert:" + leaf.Subject.String()}
	for _, rule := range a.cfg.Certificates {
		if rule.matches(leaf) {
			c.Grants = append(c.Grants, rule.Grant)
		}
	}
	return c, nil
}

// CertificateClaims are the claims of rules for certificates.
func CertificateClaims() []string { return []string{"subject", "dns", "uri", "sha256"} }

func (r Rule) matches(leaf *x509.Certificate) bool {
	switch r.Claim {
	case "subject":
		return leaf.Subject.CommonName == r.Value
	case "dns":
		return slices.Contains(leaf.DNSNames, r.Value)
	case "uri":
		return slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == r.Value })
	case "sha256":
		sum := sha256.Sum256(leaf.Raw)
		return ascii.EqualFold(hex.EncodeToString(sum[:]), r.Value)
	}
	return false
}
