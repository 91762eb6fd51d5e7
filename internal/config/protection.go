package config

import (
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/probity-dev/probity/wording/spelling"
)

// Transit is a key of the transit secrets engine of OpenBao or HashiCorp Vault.
type Transit struct {
	// URL is the service without a path, for instance "https://bao.example:8200".
	URL string `json:"url"`
	// Mount is the path of the secrets engine. Empty means "transit".
	Mount string `json:"mount,omitzero"`
	// Key is the name of the key: of type aes256-gcm96 or another one with associated data, derived or not. It is not
	// made here.
	Key string `json:"key"`
	// Namespace is the namespace of the engine. Empty means the root namespace.
	Namespace string `json:"namespace,omitzero"`
	// TokenFile contains the token of a policy that may update encrypt/KEY and decrypt/KEY below the mount, and nothing else.
	// It is renewed, and read again when it is refused.
	TokenFile string `json:"tokenFile"`
	// CA is a PEM file with the authorities of the service's certificate. Empty means the system's.
	CA string `json:"ca,omitzero"`
	// Timeout is how long one request may take. Zero means "5s".
	Timeout Duration `json:"timeout,omitzero"`
}

// VaultPKCS11 says how keys are kept in the token of signing.pkcs11.
type VaultPKCS11 struct {
	// SoftwareWrapped keeps those keys of the -HSM types under the master key that the token cannot keep or wrap. Without it,
	// they are refused.
	SoftwareWrapped bool `json:"softwareWrapped,omitzero"`
}

// The protections of new keys.
const (
	ProtectionSoftware = "software"
	ProtectionPKCS11   = "pkcs11"
	ProtectionTransit  = "transit"
)

// Protections are their names.
func Protections() []string {
	return []string{ProtectionSoftware, ProtectionPKCS11, ProtectionTransit}
}

var (
	transitPath = regexp.MustCompile(`^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,127}(/[0-9A-Za-z_-][0-9A-Za-z_.-]{0,127}){0,7}/?$`)
	transitKey  = regexp.MustCompile(`^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,127}$`)
)

const (
	minTransitTimeout = 100 * time.Millisecond
	maxTransitTimeout = time.Minute
)

// completeProtection fills in the defaults of what keeps keys, and checks it. With token, a PKCS#11 token is configured.
func (v *Vault) completeProtection(token bool, problem func(string, ...any)) {
	if v.Protection == "" {
		v.Protection = ProtectionSoftware
	}
	switch v.Protection {
	case ProtectionSoftware:
	case ProtectionPKCS11:
		if !token {
			problem("vault.protection: pkcs11 wants a token: give signing.pkcs11.module, token and pinFile")
		}
	case ProtectionTransit:
		if v.Transit == (Transit{}) {
			problem("vault.protection: transit wants vault.transit: give url, key and tokenFile")
		}
	default:
		problem("vault.protection: %.60q; want %s; did you mean %s?", v.Protection, strings.Join(Protections(), ", "),
			spelling.Nearest(v.Protection, Protections()))
	}
	if v.PKCS11.SoftwareWrapped && v.Protection != ProtectionPKCS11 {
		problem("vault.pkcs11.softwareWrapped: it is for vault.protection pkcs11, and that is %.60q", v.Protection)
	}
	if v.Transit != (Transit{}) {
		v.Transit.complete(problem)
	}
}

// bareURL reports whether a URL is of https, or of http on the loopback interface, and only names a host.
func bareURL(text string) bool {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return false
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

func (t *Transit) complete(problem func(string, ...any)) {
	if t.Mount == "" {
		t.Mount = "transit"
	}
	if t.Timeout == 0 {
		t.Timeout = Duration(5 * time.Second)
	}
	if t.URL == "" || t.Key == "" || t.TokenFile == "" {
		problem("vault.transit: url, key and tokenFile belong together")
	}
	if t.URL != "" && !bareURL(t.URL) {
		problem("vault.transit.url: %.200q; want an https URL without a path, such as https://bao.example:8200, or http on "+
			"the loopback interface", t.URL)
	}
	t.URL = strings.TrimSuffix(t.URL, "/")
	for name, text := range map[string]string{"mount": t.Mount, "namespace": t.Namespace} {
		if text != "" && !transitPath.MatchString(text) {
			problem("vault.transit.%s: %.200q; want up to 8 parts of letters, digits, _, - and dots, with / between them", name,
				text)
		}
	}
	t.Mount = strings.TrimSuffix(t.Mount, "/")
	if t.Key != "" && !transitKey.MatchString(t.Key) {
		problem("vault.transit.key: %.200q; want 1 to 128 letters, digits, _, - and dots", t.Key)
	}
}
