package client_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

// Get the key of a disk inside of a confidential machine: attest with a fresh RSA key in the runtime
// data, have the disk's key released to it, verify the answer, and unwrap the key.
func ExampleVault_Unlock() {
	server, roots := keyService() // a test server; in production, the URL alone
	defer server.Close()

	service, err := client.New(client.Config{URL: server.URL, Roots: roots})
	if err != nil {
		fmt.Println(err)
		return
	}
	released, err := service.Vault().Unlock(context.Background(), client.Unlock{
		Name: "disk",
		Attest: func(ctx context.Context, runtimeData []byte) (string, error) {
			return service.Attest(ctx, client.Request{Kind: evidence.SEVSNPVM,
				Evidence:    report(sha256.Sum256(runtimeData)), // of agent.HardwareReport, for instance
				RuntimeData: &evidence.Data{Bytes: runtimeData, Type: evidence.JSON}})
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer released.Material.Erase()
	fmt.Printf("%s: %s\n", released.Document.Key.Type, released.Material.Octets)
	// Output: oct: 32 bytes that open an encrypted.
}

func report(bound [32]byte) []byte { return bound[:] }

// keyService attests everything, and releases one key to each machine that it attested.
func keyService() (*httptest.Server, *x509.CertPool) {
	var server *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("POST /attest/SevSnpVm", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ RuntimeData struct{ Data string } }
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			return
		}
		data, _ := base64.RawURLEncoding.DecodeString(in.RuntimeData.Data)
		claims := base64.RawURLEncoding.EncodeToString([]byte(`{"x-ms-runtime":` + string(data) + `}`))
		fmt.Fprintf(w, `{"token":"%s"}`, claims)
	})
	mux.HandleFunc("POST /keys/disk/release", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Target, Enc, Nonce string }
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			return
		}
		answer, err := answerTo(in.Target, document.Request{
			APIVersion: r.URL.Query().Get("api-version"), Algorithm: keywrap.Algorithm(in.Enc),
			KeyID: server.URL + "/keys/disk", Nonce: in.Nonce,
		}, server)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"value":"%s"}`, answer)
	})
	server = httptest.NewTLSServer(mux)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server, roots
}

// answerTo wraps the key to the machine of the token, and signs the answer with the server's certificate.
func answerTo(token string, request document.Request, server *httptest.Server) (string, error) {
	payload, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", err
	}
	claims, err := release.ParseClaims(payload)
	if err != nil {
		return "", err
	}
	machine, err := claims.WrappingKey()
	if err != nil {
		return "", err
	}
	now := time.Now().Unix()
	d := &document.Document{Request: request,
		Key:        document.Key{KeyID: request.KeyID + "/1", Type: "oct"},
		Attributes: document.Attributes{Enabled: true, Exportable: true, Created: now, Updated: now},
		Policy:     document.Policy{ContentType: "application/json", Data: "e30"}}
	secret := &document.Material{Octets: []byte("32 bytes that open an encrypted.")}
	if err := d.Seal(rand.Reader, machine, secret); err != nil {
		return "", err
	}
	pair := server.TLS.Certificates[0]
	signer, err := document.NewSigner(pair.PrivateKey.(crypto.Signer), []*x509.Certificate{server.Certificate()})
	if err != nil {
		return "", err
	}
	return signer.Sign(d)
}
