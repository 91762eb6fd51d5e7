// Package provider contains the attestation providers: what each of them wants, in
// memory, as the store has it, and the rules by which it may be changed.
//
// A [Registry] knows them all. Requests read a [Provider], which never changes; a
// change is made in the store, in one transaction with its entry in the ledger,
// and then read back, on this node and on every other. Who may ask for a change is
// decided before, by package auth; whether a signature or an approval is needed
// is decided here.
package provider

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/provider/quota"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/policy/policyjws"
)

// PolicyInForce is a policy with the form in which it was submitted.
type PolicyInForce struct {
	Submitted *policyjws.Submission
	Policy    *policy.Policy // nil for a type that has none
	// Version is 0 for a default that was never changed.
	Version int64
	// Broken says why a stored policy cannot be applied. Nothing passes it.
	Broken error

	hashed sync.Once
	hash   string
}

// Hash is the policy's hash as tokens have it.
func (p *PolicyInForce) Hash() string {
	p.hashed.Do(func() { p.hash = policy.Hash(p.Policy.Text) })
	return p.hash
}

// Provider is a provider as it was at one time. It is safe for concurrent use.
type Provider struct {
	store.Provider
	// URL is the attest URI, without a trailing slash; tokens name it as issuer.
	URL      string
	Settings settings.Settings
	TCB      appraisal.TCBPolicy
	// Explain, MaxValidity are the settings with the service's defaults.
	Explain     bool
	MaxValidity time.Duration
	// Certificates may sign policies, where Isolated.
	Certificates []*x509.Certificate

	policies map[evidence.Kind]*PolicyInForce
	enrolled map[string]string // attestation key to endorsement key
	*quota.Quota
	// tpmNeedsCaller says whether TPMs attest for callers alone.
	tpmNeedsCaller bool
	ring           *atomic.Pointer[keys.Ring]
	signers        atomic.Pointer[cachedSigners]
}

type cachedSigners struct {
	ring *keys.Ring
	*keys.Signers
}

// Policy returns the policy in force for a type.
func (t *Provider) Policy(kind evidence.Kind) *PolicyInForce {
	if p := t.policies[kind]; p != nil {
		return p
	}
	return defaults()[kind]
}

// Enrolled tells to which endorsement key an attestation key was bound.
func (t *Provider) Enrolled(key [sha256.Size]byte) (string, bool) {
	ek, ok := t.enrolled[fingerprint(key)]
	return ek, ok
}

// Signers returns what the provider signs with now.
func (t *Provider) Signers(now time.Time) (*keys.Signers, error) {
	ring := t.ring.Load()
	if c := t.signers.Load(); c != nil && c.ring == ring && (c.Until.IsZero() || now.Before(c.Until)) {
		return c.Signers, nil
	}
	s, err := ring.ForUses(t.Name, t.uses(ring), t.URL, now)
	if err != nil {
		return nil, err
	}
	t.signers.Store(&cachedSigners{ring, s})
	return s, nil
}

// FailsClosed reports whether the provider gives no answer that is not in its ledger.
func (t *Provider) FailsClosed() bool { return t.Settings.Ledger == settings.LedgerFailClosed }

// TPMNeedsCaller reports whether POST /attest/Tpm and /tpm/enroll need a caller who may read: as at
// Azure, unless the provider's tpmAttestationAuthentication is Disabled. Where the default
// provider does not say, the service's configuration does.
func (t *Provider) TPMNeedsCaller() bool { return t.tpmNeedsCaller }

// Defaults are what the service chooses where a provider does not.
type Defaults struct {
	TCB         string
	Explain     bool
	MaxValidity time.Duration
	// TPMNeedsCaller is for the default provider alone.
	TPMNeedsCaller bool
	// MaxTPMKeys bounds the enrolled keys of a provider. Zero means 10,000.
	MaxTPMKeys int
	Rate       float64
	Burst      int
	Concurrent int
}

// defaults are the policies of types that have none of their own.
var defaults = sync.OnceValue(func() map[evidence.Kind]*PolicyInForce {
	all := map[evidence.Kind]*PolicyInForce{}
	for _, kind := range evidence.Kinds() {
		text := policy.Default(string(kind))
		if text == "" {
			all[kind] = &PolicyInForce{Submitted: &policyjws.Submission{JWS: policyjws.NoPolicy, Empty: true}}
			continue
		}
		jws, err := policyjws.Wrap(nil, text, nil, nil)
		if err == nil {
			all[kind], err = ReadPolicy(jws)
		}
		if err != nil {
			all[kind] = &PolicyInForce{
				Submitted: &policyjws.Submission{JWS: policyjws.NoPolicy, Empty: true},
				Broken:    err,
			}
		}
	}
	return all
})

// ReadPolicy reads a policy from its submitted form. The error wraps
// policyjws.ErrFormat, or is a *policy.ParseError.
func ReadPolicy(jws string) (*PolicyInForce, error) {
	submitted, err := policyjws.Parse(jws)
	if err != nil {
		return nil, err
	}
	parsed, err := policy.Parse(submitted.Text)
	if err != nil {
		return nil, err
	}
	return &PolicyInForce{Submitted: submitted, Policy: parsed}, nil
}
