// Package keys keeps the keys that sign tokens: shared by all providers or of
// one, in software and sealed at rest under a master key, or in a PKCS#11 token.
// Keys are rotated without a gap: published, then signing, then retired.
//
// A [Ring] holds the keys of all; [Ring.For] tells which of them signs for a
// provider now, and which are in its key set. [Rotate] and [Retire] change the
// dates within a transaction of the store.
//
// The package cannot make relying parties fetch key sets more often than they do:
// how long a key is published before it signs is the operator's choice.
package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/token"
)

// keyBits is the size of new RSA keys: what Azure's service uses, and the
// smallest that its Java client takes.
const keyBits = 2048

// DefaultAlgorithm is what every client of Azure Attestation takes.
const DefaultAlgorithm = "RS256"

// Config says how keys are made and opened.
type Config struct {
	Master MasterKey
	Random io.Reader
	// Token, if not nil, makes and finds keys in a PKCS#11 token; without, keys are
	// made in software.
	Token Hardware
	// Memory, if not nil, shows that old rows were put back.
	Memory *Memory
}

// Hardware is a PKCS#11 token.
type Hardware interface {
	// Generate makes a key pair for an algorithm under a label.
	Generate(algorithm, label string) (crypto.Signer, error)
	// Find returns the key pair under a label.
	Find(label string) (crypto.Signer, error)
	// Remove destroys the key pair under a label, if it is there.
	Remove(label string) error
}

// Ring is the keys as they were stored at one time. It is safe for concurrent
// use.
type Ring struct {
	cfg    Config
	keys   []*key
	broken []error
}

type key struct {
	store.SigningKey
	open func() (crypto.Signer, error)
}

// algorithm is the key's, with the default of old rows.
func (k *key) algorithm() string {
	if k.Algorithm == "" {
		return DefaultAlgorithm
	}
	return k.Algorithm
}

// NewRing returns a ring. Keys are opened when they are first needed; those that
// an earlier ring opened stay open. Rows that are not as the service wrote them are
// left out; see [Ring.Broken].
func NewRing(cfg Config, records []store.SigningKey, earlier *Ring) *Ring {
	r := &Ring{cfg: cfg}
	var authentic []store.SigningKey
	for _, record := range records {
		// Security: a row that someone changed in the database neither signs nor is
		// published.
		if err := cfg.checkSigning(record); err != nil {
			r.broken = append(r.broken, err)
			continue
		}
		authentic = append(authentic, record)
		k := &key{SigningKey: record}
		k.open = sync.OnceValues(func() (crypto.Signer, error) { return cfg.openKey(record) })
		if earlier != nil {
			if i := slices.IndexFunc(earlier.keys, func(e *key) bool {
				return e.ID == record.ID && bytes.Equal(e.Sealed, record.Sealed) && e.Label == record.Label
			}); i >= 0 {
				k.open = earlier.keys[i].open
			}
		}
		r.keys = append(r.keys, k)
	}
	if err := cfg.Memory.learn(authentic); err != nil {
		r.broken = append(r.broken, err)
	}
	return r
}

// Broken returns what is wrong with rows that were left out, or why their versions
// could not be remembered.
func (r *Ring) Broken() []error { return r.broken }

func (c Config) openKey(record store.SigningKey) (crypto.Signer, error) {
	if record.Label != "" {
		if c.Token == nil {
			return nil,
				fmt.Errorf(
					"signing: key %s is in a PKCS#11 token, and none is configured: name it under pkcs11",
					record.ID,
				)
		}
		return c.Token.Find(record.Label)
	}
	der, err := c.Master.unseal(useTokenKeys, record.Sealed, record.ID)
	if err != nil {
		return nil, fmt.Errorf("signing: key %s: %w", record.ID, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("signing: the unsealed key cannot be read")
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing: keys of type %T do not sign", parsed)
	}
	return signer, nil
}

// scope are the keys of a use.
func (r *Ring) scope(provider string, u store.KeyUse) (keys []*key) {
	if !u.Own {
		provider = ""
	}
	for _, k := range r.keys {
		if of(k.SigningKey, provider, u.Algorithm) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Signs reports whether a provider has a key for what it signs with now.
func (r *Ring) Signs(provider string, uses []store.KeyUse, now time.Time) (store.KeyUse, bool) {
	u := current(uses, now)
	return u, slices.ContainsFunc(r.scope(provider, u), func(k *key) bool { return active(k.SigningKey, now) })
}

// current is the use that began last. Before the first began, a clock is wrong; the
// first is then as good as any.
func current(uses []store.KeyUse, now time.Time) store.KeyUse {
	u := uses[0]
	for _, later := range uses[1:] {
		if !later.From.After(now) {
			u = later
		}
	}
	return u
}

// ErrNoKey is returned where no key signs.
var ErrNoKey = errors.New("no signing key")

// Signers are what a provider signs with, for a while.
type Signers struct {
	// Sign signs now.
	Sign *token.Signer
	// Published are the signers in the key set: the one that signs, those to come,
	// those that signed.
	Published []*token.Signer
	// Until is when this is no longer so; zero means that no date is known.
	Until time.Time
}

// For returns a provider's signers for an algorithm: its own keys, if it has any, else
// the shared ones.
func (r *Ring) For(provider, algorithm, issuer string, now time.Time) (*Signers, error) {
	return r.ForUses(provider, []store.KeyUse{r.Use(provider, algorithm)}, issuer, now)
}

// Use is what a provider signs with that never changed it.
func (r *Ring) Use(provider, algorithm string) store.KeyUse {
	own := store.KeyUse{Own: true, Algorithm: algorithm}
	own.Own = provider != "" && len(r.scope(provider, own)) > 0
	return own
}

// ForUses returns a provider's signers. The key set has the keys of all uses that did not
// end: those that signed tokens that may still be good, and those to come. Certificates
// are made here, the same on every node where the algorithm is deterministic: they contain
// the issuer's name, which each provider has its own of.
func (r *Ring) ForUses(provider string, uses []store.KeyUse, issuer string, now time.Time) (*Signers, error) {
	s := &Signers{}
	var signing *key
	published := []*key{}
	inForce := current(uses, now)
	algorithm := inForce.Algorithm
	for _, u := range uses {
		s.changesAt(now, u.From, u.Until)
		if over(u.Until, now) && u != inForce {
			continue
		}
		for _, k := range r.scope(provider, u) {
			s.changesAt(now, k.SignFrom, k.SignUntil, k.PublishUntil)
			if over(k.PublishUntil, now) {
				continue
			}
			published = append(published, k)
			// The newest of those that may sign does.
			if u == inForce && active(k.SigningKey, now) && (signing == nil || k.SignFrom.After(signing.SignFrom)) {
				signing = k
			}
		}
	}
	if signing == nil {
		return nil, errors.Join(fmt.Errorf("signing: provider %q, algorithm %s: %w", provider, algorithm,
			ErrNoKey), errors.Join(r.broken...))
	}
	slices.SortStableFunc(published, func(a, b *key) int {
		switch signing {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	for _, k := range published {
		signer, err := k.signer(issuer)
		if err != nil {
			return nil, err
		}
		s.Published = append(s.Published, signer)
	}
	s.Sign = s.Published[0]
	return s, nil
}

// changesAt keeps the next of the times in Until.
func (s *Signers) changesAt(now time.Time, times ...time.Time) {
	for _, at := range times {
		if at.After(now) && (s.Until.IsZero() || at.Before(s.Until)) {
			s.Until = at
		}
	}
}

// over reports whether an end is set and has come.
func over(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

func (k *key) signer(issuer string) (*token.Signer, error) {
	private, err := k.open()
	if err != nil {
		return nil, err
	}
	// Without a source of randomness ECDSA signatures are deterministic (RFC 6979).
	cert, err := token.InstanceCertificate(nil, issuer, private, k.Created)
	if err != nil {
		return nil, err
	}
	return token.NewSigner(issuer, private, cert, k.algorithm())
}

// New makes a key, which takes a while: it is done outside transactions. The key signs
// once [Ensure] or [Rotate] stored it; otherwise [Config.Destroy] removes it.
func (c Config) New(provider, algorithm string, now time.Time) (store.SigningKey, error) {
	record := store.SigningKey{Provider: provider, Algorithm: algorithm, Created: now, Certificate: []byte{}}
	var private crypto.Signer
	var err error
	if c.Token != nil {
		var unique [8]byte
		if _, err := io.ReadFull(c.Random, unique[:]); err != nil {
			return record, fmt.Errorf("signing: new key: %w", err)
		}
		record.Label = fmt.Sprintf("probity %s %s %s %x", provider, algorithm,
			now.UTC().Format(time.DateOnly), unique)
		private, err = c.Token.Generate(algorithm, record.Label)
	} else {
		private, err = c.software(algorithm)
	}
	if err != nil {
		return record, fmt.Errorf("signing: new key: %w", err)
	}
	if record.ID, err = token.KeyID(private.Public()); err != nil {
		return record, err
	}
	if c.Token == nil {
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return record, fmt.Errorf("signing: new key: %w", err)
		}
		record.Sealed = c.Master.seal(useTokenKeys, der, record.ID)
	}
	return record, nil
}

func (c Config) software(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "RS256", "PS256":
		return rsa.GenerateKey(c.Random, keyBits)
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), c.Random)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), c.Random)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(c.Random)
		return private, err
	}
	return nil, fmt.Errorf("no algorithm %q; tokens are signed by %v", algorithm, token.Algorithms())
}
