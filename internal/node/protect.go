package node

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/private"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/internal/vault/pkcs11"
	"github.com/probity-dev/probity/internal/vault/transit"
)

// protections are what keeps the keys of the vault: all by name, and the names of those of new keys.
type protections struct {
	all        map[string]vault.Protection
	plain, hsm string
}

// protections opens all that are configured: keys stay where they were made.
func (n *Node) protections(cfg config.Config, atRest keys.Config) (protections, error) {
	out := protections{all: map[string]vault.Protection{}, plain: vault.Software}
	software, err := vault.NewSoftware(atRest.Master.Subkey(useVaultKeys), rand.Reader)
	if err != nil {
		return out, err
	}
	out.all[vault.Software] = software
	if token, ok := atRest.Token.(pkcs11.Token); ok {
		if err := n.protectByToken(out.all, token, cfg, atRest); err != nil {
			return out, err
		}
	}
	if n.transit, err = Transit(cfg.Vault.Transit); err != nil {
		return out, err
	}
	if n.transit != nil {
		out.all[transit.Name] = transit.New(n.transit, atRest.Master.Subkey(useVaultTransit), rand.Reader)
	}
	switch cfg.Vault.Protection {
	case config.ProtectionPKCS11:
		out.hsm = pkcs11.Name
	case config.ProtectionTransit:
		out.plain = transit.Name
	}
	return out, nil
}

// protectByToken adds the protection by a token. It is needed where new keys go there; elsewhere a token that
// does not wrap is no reason not to start.
func (n *Node) protectByToken(
	all map[string]vault.Protection, token pkcs11.Token, cfg config.Config, atRest keys.Config,
) error {
	p, err := pkcs11.New(token, atRest.Master.Subkey(useVaultTokens), rand.Reader)
	needed := cfg.Vault.Protection == config.ProtectionPKCS11
	switch {
	case err != nil && needed:
		return fmt.Errorf("vault.protection: %w", err)
	case err != nil:
		n.log.Info("the PKCS#11 token keeps no keys that can be released", "err", err.Error())
		return nil
	}
	all[pkcs11.Name] = p
	if !needed {
		return nil
	}
	algorithms, err := token.Algorithms(rand.Reader)
	if err != nil {
		return fmt.Errorf("vault.protection: %w", err)
	}
	n.log.Info("keys of the -HSM types are kept in the PKCS#11 token", "wraps", fmt.Sprint(algorithms))
	if one, ok := token.(interface{ Pads() bool }); ok && one.Pads() {
		n.log.Warn("the PKCS#11 token adds zeros to keys before it wraps them, and RFC 5649 wants their own size: the PKCS#8 " +
			"of released RSA and EC keys ends with up to 7 zero bytes, which strict readers refuse")
	}
	return nil
}

// Transit returns a client of the transit service of a configuration, or nil if none is named.
func Transit(cfg config.Transit) (*transit.Client, error) {
	if cfg == (config.Transit{}) {
		return nil, nil
	}
	pool, err := files.CertPool(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("vault.transit.ca: %w", err)
	}
	token := func() (string, error) {
		text, err := private.ReadSecret(cfg.TokenFile)
		return string(text), err
	}
	if _, err := token(); err != nil {
		return nil, fmt.Errorf("vault.transit.tokenFile: %w", err)
	}
	// Security: no proxy of the environment is between this service and what opens its keys.
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: time.Duration(cfg.Timeout)}
	return transit.NewClient(transit.Config{URL: cfg.URL, Mount: cfg.Mount, Key: cfg.Key, Namespace: cfg.Namespace,
		Token: token, Transport: transport, Timeout: time.Duration(cfg.Timeout)}), nil
}
