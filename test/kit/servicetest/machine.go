package servicetest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/release/document"
)

// The files of a machine that keys are released to: its private key, its runtime data with the public one,
// and a quote over these.
const (
	MachineKey     = "machine-key.pem"
	MachineRuntime = "machine-runtime.json"
	MachineQuote   = "machine-quote.bin"
)

// machine makes the files of a machine.
func machine(t *testing.T, on *evidencetest.Platform, enclave evidencetest.Enclave) map[string][]byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := jose.JSONWebKey{Key: key.Public(), KeyID: "machine", Use: "enc"}
	runtime, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		t.Fatal(err)
	}
	enclave.ReportData = evidencetest.BindData(runtime)
	return map[string][]byte{
		MachineKey:     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		MachineRuntime: runtime, MachineQuote: on.Quote(evidencetest.QuoteConfig{Enclave: enclave}),
	}
}

// OpenReleased verifies a released key as the machine of [Simulated] does, and opens it. Of want, the roots,
// the host and the time are filled in.
func (i Instance) OpenReleased(
	t *testing.T, compact string, want document.Expectation,
) (*document.Document, *document.Material) {
	t.Helper()
	u, err := url.Parse(i.URL)
	if err != nil {
		t.Fatal(err)
	}
	want.Roots, want.Host, want.Time = i.Trust().RootCAs, u.Host, time.Now()
	d, err := document.Verify(compact, want)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(i.Folder, MachineKey))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.Open(nil, key.(*rsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return d, m
}
