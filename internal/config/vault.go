package config

import (
	"net/url"
	"time"
)

// Vault says how the keys of providers are kept and released.
type Vault struct {
	// Certificate and Key are PEM files of an RSA certificate that signs released keys: for the host name by
	// which clients call the vault, and for server authentication. They are read again when they change.
	// Empty means those of tls.
	Certificate string `json:"certificate,omitzero"`
	Key         string `json:"key,omitzero"`
	// RecoverableDays is for how long a deleted key can be recovered, 7 to 90 days. Zero means 90.
	RecoverableDays int `json:"recoverableDays,omitzero"`
	// MaxKeys is how many keys a provider may have, deleted ones included. Zero means 100000.
	MaxKeys int `json:"maxKeys,omitzero"`
	// ChallengeLifetime is how long a challenge of POST /keys:challenge can be answered. Zero means "5m".
	ChallengeLifetime Duration `json:"challengeLifetime,omitzero"`
	// Authorities are issuers that release policies may name, besides the providers of this service: other
	// instances, and Azure Attestation.
	Authorities []Authority `json:"authorities,omitzero"`
	// Protection is what keeps new keys: "software" (under the master key), "pkcs11" (those of the -HSM types in the
	// token of signing.pkcs11) or "transit" (under a key of OpenBao or HashiCorp Vault). Empty means "software". Keys
	// stay where they were made.
	Protection string      `json:"protection,omitzero"`
	PKCS11     VaultPKCS11 `json:"pkcs11,omitzero"`
	// Transit names the service of the protection transit. It is needed for as long as keys are under it.
	Transit Transit `json:"transit,omitzero"`
}

// Authority is an issuer of attestation tokens whose keys are fetched.
type Authority struct {
	// Issuer is its URL, as tokens name it in iss.
	Issuer string `json:"issuer"`
	// Discovery is where its OpenID Connect metadata are. Empty means /.well-known/openid-configuration
	// below Issuer.
	Discovery string `json:"discovery,omitzero"`
	// CA is a PEM file with the authorities of its TLS certificate. Empty means the system's.
	CA string `json:"ca,omitzero"`
	// KeepFor is for how long keys are used after they were last fetched, while the issuer cannot be
	// reached. Zero means "2h".
	KeepFor Duration `json:"keepFor,omitzero"`
}

// maxKeepFor bounds how long keys of an issuer are used that it may have withdrawn.
const maxKeepFor = 30 * day

func (v *Vault) check(problem func(string, ...any)) {
	if (v.Certificate == "") != (v.Key == "") {
		problem("vault: certificate and key belong together")
	}
	seen := map[string]bool{}
	for _, a := range v.Authorities {
		for name, text := range map[string]string{"issuer": a.Issuer, "discovery": a.Discovery} {
			u, err := url.Parse(text)
			if text == "" && name == "discovery" {
				continue
			}
			if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
				problem("vault.authorities: %s: %.200q is not an https URL", name, text)
			}
		}
		if seen[a.Issuer] {
			problem("vault.authorities: %.200q is listed twice", a.Issuer)
		}
		seen[a.Issuer] = true
		if keep := time.Duration(a.KeepFor); keep > maxKeepFor {
			problem("vault.authorities: %.200q: keepFor: %s is more than %s", a.Issuer, keep, maxKeepFor)
		}
	}
}
