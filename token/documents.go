package token

import (
	"crypto/x509"

	"github.com/go-jose/go-jose/v4"
)

// KeySet is a JSON Web Key Set. Every key carries its certificate (x5c), which
// Azure's clients verify with, and its parameters, which all others do.
type KeySet = jose.JSONWebKeySet

// Keys returns the key set of the given signers, first the one that signs.
func Keys(signers ...*Signer) KeySet {
	set := KeySet{Keys: []jose.JSONWebKey{}}
	for _, s := range signers {
		set.Keys = append(set.Keys, jose.JSONWebKey{
			Key:          s.Certificate.PublicKey,
			KeyID:        s.KeyID,
			Algorithm:    string(s.algorithm),
			Use:          "sig",
			Certificates: []*x509.Certificate{s.Certificate},
		})
	}
	return set
}

// Discovery is the OpenID Connect metadata document (OpenID Connect Discovery
// 1.0, section 3) in the form of Azure Attestation.
type Discovery struct {
	ResponseTypes []string `json:"response_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	Revocation    string   `json:"revocation_endpoint"`
	Issuer        string   `json:"issuer"`
	KeySetURL     string   `json:"jwks_uri"`
	Claims        []string `json:"claims_supported"`
}

// NewDiscovery returns the document of an issuer.
func NewDiscovery(issuer string, algorithms ...string) Discovery {
	return Discovery{
		ResponseTypes: []string{"token", "none"},
		Algorithms:    algorithms,
		Revocation:    issuer + "/revoke",
		Issuer:        issuer,
		KeySetURL:     issuer + "/certs",
		Claims: []string{
			"cnf", "nonce", "x-ms-ver", "x-ms-attestation-type", "x-ms-policy-hash",
			"x-ms-policy-signer",
			"x-ms-sgx-is-debuggable", "x-ms-sgx-mrenclave", "x-ms-sgx-mrsigner",
			"x-ms-sgx-svn", "x-ms-sgx-ehd", "x-ms-sgx-collateral",
			"is-debuggable", "sgx-mrsigner",
			"sgx-mrenclave", "product-id", "svn", "tee",
		},
	}
}
