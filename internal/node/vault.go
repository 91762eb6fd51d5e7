package node

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/probity-dev/probity/internal/api"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/issuer"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
)

// The uses of subkeys of the master key.
const (
	useVaultKeys    = "keys of vaults"
	useVaultTokens  = "ids of keys of vaults in tokens"
	useVaultTransit = "keys of vaults under transit"
	useVaultBackups = "backups of vaults"
)

// openVault opens the keys of providers. The ledger and the providers are open.
func (n *Node) openVault(cfg config.Config, atRest keys.Config) (api.Vault, error) {
	var none api.Vault
	kept, err := n.protections(cfg, atRest)
	if err != nil {
		return none, err
	}
	backups, err := vault.NewBackups(atRest.Master.Subkey(useVaultBackups))
	if err != nil {
		return none, err
	}
	others, err := authorities(cfg.Vault)
	if err != nil {
		return none, err
	}
	answers, err := n.releaseSigner(cfg)
	if err != nil {
		return none, err
	}
	trusted := vault.Authorities{Own: n.providerOf, Others: others}
	n.vault, err = vault.New(vault.Config{
		Store: n.sealed, Protections: kept.all, New: kept.plain, HSM: kept.hsm,
		SoftwareWrapped: cfg.Vault.PKCS11.SoftwareWrapped,
		Backups:         backups, Recoverable: cfg.Vault.RecoverableDays, MaxKeys: cfg.Vault.MaxKeys,
		Authorities: trusted, Challenges: atRest.Master,
		ChallengeLifetime: time.Duration(cfg.Vault.ChallengeLifetime),
		Signer:            answers.get, Record: n.Ledger.Record, Random: rand.Reader, Now: time.Now,
	})
	if err != nil {
		return none, err
	}
	return api.Vault{Vault: n.vault, Authorities: func() []string {
		var own []string
		for _, p := range n.registry.All() {
			own = append(own, p.URL)
		}
		return trusted.Known(own...)
	}}, nil
}

// keyChanged reads a key of a vault that changed, so that this node knows its newest version: it refuses an earlier state
// that someone puts back into the database, also where another node made the change.
func (n *Node) keyChanged(ctx context.Context, provider, key string) {
	_, err := n.sealed.VaultItem(ctx, provider, key, "")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		n.log.Error("a changed key of a vault cannot be read", "provider", provider, "key", key, "err", err.Error())
	}
}

// authorities are the issuers of others that release policies may name.
func authorities(cfg config.Vault) (list []*issuer.Keys, err error) {
	for _, a := range cfg.Authorities {
		transport, err := TransportFor(a.CA)
		if err != nil {
			return nil, fmt.Errorf("vault.authorities: %s: ca: %w", a.Issuer, err)
		}
		list = append(list, &issuer.Keys{URL: a.Issuer, Discovery: a.Discovery, Stale: time.Duration(a.KeepFor),
			Client: &http.Client{Transport: transport, Timeout: 5 * time.Second}})
	}
	return list, nil
}

// providerOf returns the provider of this service with an issuer URL.
func (n *Node) providerOf(issuer string) (*provider.Provider, bool) {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, false
	}
	label, _, _ := strings.Cut(u.Hostname(), ".")
	for _, name := range []string{store.DefaultProvider, path.Base(u.Path), label} {
		if p, ok := n.registry.Get(name); ok && release.SameAuthority(p.URL, issuer) {
			return p, true
		}
	}
	return nil, false
}

// releaseSigner signs released keys with a certificate that may be renewed.
type releaseSigner struct {
	// pair is the certificate now, or nil.
	pair func() *tls.Certificate

	mu     sync.Mutex
	of     *tls.Certificate
	signer *document.Signer
}

// get returns the signer of the certificate of now, or nil if it cannot sign.
func (s *releaseSigner) get() *document.Signer {
	signer, _ := s.current()
	return signer
}

func (s *releaseSigner) current() (*document.Signer, error) {
	pair := s.pair()
	if pair == nil {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == pair {
		return s.signer, nil
	}
	signer, err := signerOf(pair)
	s.of, s.signer = pair, signer
	return signer, err
}

func signerOf(pair *tls.Certificate) (*document.Signer, error) {
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T does not sign", pair.PrivateKey)
	}
	return document.NewSigner(key, chain)
}

// releaseSigner chooses the certificate: vault.certificate, that of TLS, or, in development, one
// of the development CA.
func (n *Node) releaseSigner(cfg config.Config) (*releaseSigner, error) {
	s := &releaseSigner{}
	switch {
	case cfg.Vault.Certificate != "":
		c, err := edge.NewCertificates("vault.certificate and vault.key", cfg.Vault.Certificate,
			cfg.Vault.Key, n.log)
		if err != nil {
			return nil, err
		}
		s.pair = c.Pair
		if _, err := s.current(); err != nil {
			return nil, fmt.Errorf("vault.certificate: %w", err)
		}
	case n.pair != nil:
		s.pair = n.pair.Pair
		if _, err := s.current(); err != nil {
			n.log.Info("keys cannot be released: clients take answers that an RSA certificate signs; "+
				"name one with vault.certificate", "err", err.Error())
		}
	default:
		u, err := url.Parse(cfg.URL)
		if err != nil {
			return nil, err
		}
		pair, err := edge.DevReleaseCertificate(cfg.DataDir, u, time.Now())
		if err != nil {
			return nil, err
		}
		s.pair = func() *tls.Certificate { return pair }
	}
	return s, nil
}

// rotateKeysEvery is how often rotation policies are looked at.
const rotateKeysEvery = time.Hour

// tendVault purges the deleted keys whose time is over, and rotates those of which that is due.
func (n *Node) tendVault(ctx context.Context, now time.Time) error {
	if _, err := n.vault.PurgeDue(ctx, n.registry.Get); err != nil {
		return err
	}
	if now.Sub(n.keysRotated) < rotateKeysEvery {
		return nil
	}
	n.keysRotated = now
	for _, p := range n.registry.All() {
		rotated, err := n.vault.RotateDue(ctx, p, provider.By{Caller: "rotation"})
		for _, name := range rotated {
			n.log.Info("a key was rotated by its policy", "provider", p.Name, "key", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
