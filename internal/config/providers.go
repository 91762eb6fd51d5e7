package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/ledger/witness"
	"github.com/probity-dev/probity/internal/private"
	"github.com/probity-dev/probity/wording/spelling"
)

// Store names the database.
type Store struct {
	// PostgresFile is a file with the connection string of a PostgreSQL database,
	// for instance postgres://probity@db1,db2/probity. The environment variable
	// PROBITY_POSTGRES, if set, replaces the file. Without either, the service has a
	// SQLite database in DataDir.
	PostgresFile string `json:"postgresFile,omitzero"`
	// Poll is how often changes of other nodes are looked for besides being told
	// of them. Zero means "500ms".
	Poll Duration `json:"poll,omitzero"`
}

// PostgresEnv replaces the file with the connection string.
const PostgresEnv = "PROBITY_POSTGRES"

// Postgres returns the connection string, or "" for the embedded store.
func (s Store) Postgres() (string, error) {
	if text, set := os.LookupEnv(PostgresEnv); set {
		return strings.TrimSpace(text), nil
	}
	if s.PostgresFile == "" {
		return "", nil
	}
	b, err := private.ReadSecret(s.PostgresFile)
	if err != nil {
		return "", fmt.Errorf("store.postgresFile: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("store.postgresFile: %s is empty", s.PostgresFile)
	}
	return text, nil
}

// Providers says where attestation providers answer, and what each may use where it
// does not say so itself.
type Providers struct {
	// HostSuffix, for instance "attest.example.org", puts provider p at
	// https://p.attest.example.org, which needs a wildcard in DNS and certificate.
	// Empty puts it at URL/p/p.
	HostSuffix string `json:"hostSuffix,omitzero"`
	// RequestsPerSecond and Burst bound the attestations of one provider at one
	// node. Zero means no bound.
	RequestsPerSecond float64 `json:"requestsPerSecond,omitzero"`
	Burst             int     `json:"burst,omitzero"`
	// Concurrent bounds how many attestations of one provider run at once. Zero
	// means half of limits.concurrent.
	Concurrent int `json:"concurrent,omitzero"`
}

// Ledger says how decisions are recorded.
type Ledger struct {
	// Queue is how many decisions may wait to be written; one provider may take
	// half. Zero means 200000.
	Queue int `json:"queue,omitzero"`
	// Checkpoint is how often a ledger that grew gets a signed checkpoint. Zero
	// means "10s".
	Checkpoint Duration `json:"checkpoint,omitzero"`
	// Audit is how often all rows of all ledgers are read and checked. Zero means
	// "24h".
	Audit Duration `json:"audit,omitzero"`
	// Witness is a service of someone else that cosigns checkpoints.
	Witness Witness `json:"witness,omitzero"`
	// MinRetentionDays is for how many days the text of entries is kept at least,
	// whatever a provider's ledgerRetentionDays says. Zero means one day.
	MinRetentionDays int `json:"minRetentionDays,omitzero"`
}

// Witness is a witness of checkpoints (C2SP tlog-witness).
type Witness struct {
	// URL is its submission prefix, to which /add-checkpoint is added.
	URL string `json:"url"`
	// Key is its verifier key, for cosignatures of version 1: NAME+HASH+KEY.
	Key string `json:"key"`
}

// check reads URL and key.
func (w Witness) check() error {
	if w == (Witness{}) {
		return nil
	}
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return fmt.Errorf("url: %q; want an https URL, or http on the loopback interface", w.URL)
	}
	_, err = witness.NewVerifier(w.Key)
	return err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Signing says how signing keys follow each other.
type Signing struct {
	// RotateEvery is how long a key signs before the next one does. Zero means that
	// keys are rotated by hand alone.
	RotateEvery Duration `json:"rotateEvery,omitzero"`
	// PublishAhead is how long a key is published before it signs. Zero means
	// "24h".
	PublishAhead Duration `json:"publishAhead,omitzero"`
	// Overlap is how long a key stays published after it signed. Zero means the
	// longest life of a token and an hour.
	Overlap Duration `json:"overlap,omitzero"`
	// PKCS11 makes new keys in a PKCS#11 token. It needs a program built with the
	// tag pkcs11.
	PKCS11 PKCS11 `json:"pkcs11,omitzero"`
}

// PKCS11 names a token.
type PKCS11 struct {
	// Module is the vendor's library.
	Module string `json:"module"`
	// Token is the token's label.
	Token string `json:"token"`
	// PINFile contains the user's PIN.
	PINFile string `json:"pinFile"`
	// MasterKey is the label of a secret key in the token, for instance
	// "probity-master", from which the token derives the master key; the first start
	// makes it. It replaces MasterKeyFile.
	MasterKey string `json:"masterKey,omitzero"`
}

// Callers says who may manage providers, besides the static tokens in the store
// and the administrator's.
type Callers struct {
	// Issuers are OpenID Connect issuers.
	Issuers []Issuer `json:"issuers,omitzero"`
	// CertificateAuthorities is a PEM file with those who certify clients.
	CertificateAuthorities string `json:"certificateAuthorities,omitzero"`
	// Certificates give roles to client certificates by the claims subject, dns,
	// uri or sha256.
	Certificates []Rule `json:"certificates,omitzero"`
}

// Issuer is an OpenID Connect issuer whose tokens count.
type Issuer struct {
	// URL is the issuer exactly as its tokens name it.
	URL string `json:"url"`
	// Audiences are those that are accepted. Empty means https://attest.azure.net and the
	// service's URL.
	Audiences []string `json:"audiences,omitzero"`
	// CA is a PEM file with the authorities of the issuer's certificate. Empty means
	// the system's.
	CA string `json:"ca,omitzero"`
	// TokenType "at+jwt" accepts access tokens of RFC 9068 alone. Empty accepts tokens
	// without a type and of type JWT as well, ID tokens among them.
	TokenType string `json:"tokenType,omitzero"`
	// Rules give roles by claims of its tokens.
	Rules []Rule `json:"rules"`
}

// Rule gives a role to callers with a claim.
type Rule struct {
	Claim string `json:"claim"`
	Value string `json:"value"`
	// Role is reader, contributor or owner.
	Role string `json:"role"`
	// Providers are names; "*", which is also the default, means all.
	Providers []string `json:"providers,omitzero"`
}

// Rule returns the rule as package auth has it.
func (r Rule) Rule() (auth.Rule, error) {
	role, err := auth.ParseRole(r.Role)
	if err != nil {
		return auth.Rule{}, err
	}
	if r.Claim == "" || r.Value == "" {
		return auth.Rule{}, errors.New("a rule needs claim and value")
	}
	providers := r.Providers
	if len(providers) == 0 {
		providers = []string{auth.Everywhere}
	}
	return auth.Rule{Claim: r.Claim, Value: r.Value, Grant: auth.Grant{Role: role, Providers: providers}}, nil
}

// completeProviders fills in defaults and checks.
func (c *Config) completeProviders(problem func(string, ...any)) {
	c.defaultProviders()
	c.Vault.check(problem)
	c.Vault.completeProtection(c.Signing.PKCS11 != (PKCS11{}), problem)
	if err := c.Ledger.Witness.check(); err != nil {
		problem("ledger.witness: %w", err)
	}
	if c.Signing.RotateEvery > 0 && c.Signing.RotateEvery < 2*c.Signing.PublishAhead {
		problem("signing.rotateEvery: %s is less than twice publishAhead", time.Duration(c.Signing.RotateEvery))
	}
	if p := c.Signing.PKCS11; p != (PKCS11{}) && (p.Module == "" || p.Token == "" || p.PINFile == "") {
		problem("signing.pkcs11: module, token and pinFile belong together")
	}
	if c.MasterKeyFile != "" && c.Signing.PKCS11.MasterKey != "" {
		problem("masterKeyFile and signing.pkcs11.masterKey: give one of them")
	}
	for i := range c.Callers.Issuers {
		c.completeIssuer(&c.Callers.Issuers[i], problem)
	}
	for _, r := range c.Callers.Certificates {
		if _, err := r.Rule(); err != nil {
			problem("callers.certificates: %w", err)
		}
		if !slices.Contains(auth.CertificateClaims(), r.Claim) {
			problem("callers.certificates: claim %q; want subject, dns, uri or sha256%s",
				r.Claim, spelling.After("; ", r.Claim, auth.CertificateClaims()))
		}
	}
	if (c.Callers.CertificateAuthorities == "") != (len(c.Callers.Certificates) == 0) {
		problem("callers: certificateAuthorities and certificates belong together")
	}
}

// defaultProviders fills in what is left out.
func (c *Config) defaultProviders() {
	zero := func(d *Duration, value time.Duration) {
		if *d == 0 {
			*d = Duration(value)
		}
	}
	zero(&c.Store.Poll, 500*time.Millisecond)
	zero(&c.Ledger.Checkpoint, 10*time.Second)
	zero(&c.Ledger.Audit, 24*time.Hour)
	zero(&c.Signing.PublishAhead, 24*time.Hour)
	zero(&c.Signing.Overlap, max(8*time.Hour, time.Duration(c.MaxTokenValidity))+time.Hour)
	if c.Ledger.Queue == 0 {
		c.Ledger.Queue = 200_000
	}
	if c.Providers.Concurrent == 0 {
		c.Providers.Concurrent = max(1, c.Limits.Concurrent/2)
	}
}

// completeIssuer fills in the audiences of an issuer of callers' tokens, and checks it.
func (c *Config) completeIssuer(issuer *Issuer, problem func(string, ...any)) {
	if u, err := url.Parse(issuer.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		problem("callers.issuers: %q is not an https URL", issuer.URL)
	}
	if issuer.TokenType != "" && issuer.TokenType != auth.TokenTypeAccess {
		problem("callers.issuers: %s: tokenType: %q; want %s, or leave it out", issuer.URL,
			issuer.TokenType, auth.TokenTypeAccess)
	}
	if len(issuer.Audiences) == 0 {
		issuer.Audiences = []string{"https://attest.azure.net", c.URL}
	}
	for _, r := range issuer.Rules {
		if _, err := r.Rule(); err != nil {
			problem("callers.issuers: %s: %w", issuer.URL, err)
		}
	}
}
