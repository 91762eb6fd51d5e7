package document_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

// Verify the answer of a key service, and unwrap the key with the private key of the machine.
func ExampleVerify() {
	// The machine makes a key, attests with it as runtime data, and asks for a key with the token.
	machine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		fmt.Println(err)
		return
	}
	const url = "https://vault.example/keys/disk"
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	answer, roots := answered(&machine.PublicKey, url, at)

	released, err := document.Verify(answer, document.Expectation{
		Roots: roots, Host: "vault.example", Time: at, KeyID: url, Nonce: "ADE0101",
		Algorithm: keywrap.RSAAESKeyWrap256,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// The key may be in a TPM: Open asks for one decryption.
	material, err := released.Open(rand.Reader, machine)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer material.Erase()
	fmt.Println(released.Key.Type, released.Key.Operations)
	fmt.Printf("%s\n", material.Octets)
	// Output:
	// oct [wrapKey unwrapKey]
	// 32 bytes that open an encrypted.
}

// answered is what the service does once the release policy is satisfied.
func answered(machine *rsa.PublicKey, url string, at time.Time) (string, *x509.CertPool) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	d := &document.Document{
		Request: document.Request{
			APIVersion: "7.4", Algorithm: keywrap.RSAAESKeyWrap256, KeyID: url, Nonce: "ADE0101",
		},
		Key:        document.Key{KeyID: url + "/1", Type: "oct", Operations: []string{"wrapKey", "unwrapKey"}},
		Attributes: document.Attributes{Enabled: true, Exportable: true, Created: at.Unix(), Updated: at.Unix()},
		Policy:     document.Policy{ContentType: "application/json; charset=utf-8", Data: "e30"},
	}
	to := &release.WrappingKey{ID: "machine", Public: machine}
	must(d.Seal(rand.Reader, to, &document.Material{Octets: []byte("32 bytes that open an encrypted.")}))

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	signer, err := document.NewSigner(key, []*x509.Certificate{certificateFor("vault.example", key, at)})
	must(err)
	compact, err := signer.Sign(d)
	must(err)
	roots := x509.NewCertPool()
	roots.AddCert(signer.Certificate())
	return compact, roots
}

// certificateFor is a self-signed certificate; services use the one of their HTTPS server.
func certificateFor(host string, key crypto.Signer, at time.Time) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: at, NotAfter: at.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}
