package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/token"
)

// Check a token as a relying party: with the issuer's keys, for one issuer, at one time.
func ExampleVerify() {
	compact, keySet := issued()

	// A relying party gets the key set from https://attest.example.org/certs, as client.Verify does.
	var keys token.KeySet
	if err := json.Unmarshal(keySet, &keys); err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	verified, err := token.Verify(compact, keys, "https://attest.example.org", now)
	if err != nil {
		fmt.Println(err)
		return
	}
	var content struct {
		Type string `json:"x-ms-attestation-type"`
		SVN  int    `json:"x-ms-sgx-svn"`
	}
	if err := json.Unmarshal(verified.Payload, &content); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(content.Type, "version", content.SVN)

	_, err = token.Verify(compact, keys, "https://attest.example.org", now.Add(24*time.Hour))
	fmt.Println("expired:", errors.Is(err, token.ErrExpired))
	// Output:
	// sgx version 3
	// expired: true
}

// issued returns a token and the key set of its issuer, as a service makes them.
func issued() (compact string, keySet []byte) {
	const issuer = "https://attest.example.org"
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	certificate, err := token.InstanceCertificate(rand.Reader, issuer, key, now)
	must(err)
	signer, err := token.NewSigner(issuer, key, certificate, "")
	must(err)
	text := []byte(`{"x-ms-attestation-type": "sgx", "x-ms-sgx-svn": 3}`)
	proven, err := claims.ParseSet(text, claims.AttestationService)
	must(err)
	content := token.Attestation{Issuer: issuer, Time: now, ID: "00", Claims: proven}
	payload, err := content.Payload()
	must(err)
	compact, err = signer.Sign(payload)
	must(err)
	keySet, err = json.Marshal(token.Keys(signer))
	must(err)
	return compact, keySet
}
