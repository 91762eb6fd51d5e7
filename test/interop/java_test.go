//go:build interop

package interop

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// TestJavaClient runs Azure's Java SDK. Java reads its CAs from a truststore. The SDK
// has no control plane, so the provider with policy signers is made here, and this test
// is the machine with the TPM.
func TestJavaClient(t *testing.T) {
	guest := evidencetest.NewGuest(evidencetest.TPMConfig{Now: time.Now()})
	authority := filepath.Join(t.TempDir(), "tpm-ca.pem")
	write(t, authority, guest.Root.PEM())
	i := simulated(t, map[string]any{"tpm": map[string]any{"authorities": []string{authority}}})

	truststore := filepath.Join(t.TempDir(), "ca.p12")
	run(t, "java", nil, "keytool", "-importcert", "-noprompt", "-alias", "service", "-file", i.CA,
		"-keystore", truststore, "-storetype", "PKCS12", "-storepass", "changeit")
	machine := httptest.NewServer(machineWithTPM(guest))
	defer machine.Close()
	environment := append(env(i, "SSL_CERT_FILE"), "PROBITY_TRUSTSTORE="+truststore,
		"PROBITY_ISOLATED_URL="+isolated(t, i), "PROBITY_TPM_URL="+machine.URL)
	run(t, "java", environment, "mvn", "--batch-mode", "--offline", "--no-transfer-progress", "test")
}

// isolated makes a provider whose policies must be signed by rsa-key.pem, and returns
// its URL.
func isolated(t *testing.T, i instance) string {
	t.Helper()
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs, Token: adminToken})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(read(t, filepath.Join(i.Folder, "rsa-cert.pem")))
	signer, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := (&jose.JSONWebKey{
		Key:          signer.PublicKey,
		Certificates: []*x509.Certificate{signer},
		Use:          "sig",
	}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.PutProvider(t.Context(), client.Scope{Subscription: "s", Group: "g"}, "isolatedjava",
		client.Provider{Location: "local",
			Properties: client.ProviderProperties{Signers: &client.SignerSet{Keys: []jsontext.Value{jwk}}}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Properties.AttestURI
}

// machineWithTPM answers the service's challenge with the client's second message:
// of a healthy machine, or at /insecure of one that booted without secure boot.
func machineWithTPM(guest *evidencetest.Guest) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var message struct {
			Payload struct {
				Challenge string `json:"challenge"`
				Context   string `json:"service_context"`
			} `json:"payload"`
		}
		if err == nil {
			err = json.Unmarshal(body, &message)
		}
		challenge, decodeErr := base64.RawURLEncoding.DecodeString(message.Payload.Challenge)
		if err != nil || decodeErr != nil {
			http.Error(w, "no challenge in "+string(body), http.StatusBadRequest)
			return
		}
		boot := evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: r.URL.Path == "/insecure"})
		w.Write(guest.Evidence(evidencetest.TPMEvidence{
			Boot:      boot,
			Challenge: challenge,
			Context:   message.Payload.Context,
		}))
	})
}
