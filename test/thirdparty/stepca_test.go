package thirdparty

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	encoding "encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/test/kit/servicetest"
	"github.com/probity-dev/probity/token"
)

// ca is a certificate authority of smallstep whose OIDC provisioner is a provider of
// the service.
type ca struct {
	url    string
	client *http.Client
	root   *x509.CertPool
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a CA certificate, self-signed without a parent, and leaves it and its key
// in dir.
func issue(
	t *testing.T, dir, name string, parent *x509.Certificate, signer crypto.Signer,
) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*encoding.Block{
		name + ".crt": {Type: "CERTIFICATE", Bytes: der},
		name + ".key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), encoding.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func startCA(t *testing.T, i servicetest.Instance, issuer string) *ca {
	t.Helper()
	program, err := filepath.Abs("bin/step-ca")
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		t.Fatalf("step-ca is missing: run make deps: %v", err)
	}
	dir := t.TempDir()
	root, key := issue(t, dir, "root", nil, nil)
	issue(t, dir, "intermediate", root, key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	config, err := json.Marshal(map[string]any{
		"root": filepath.Join(dir, "root.crt"), "crt": filepath.Join(dir, "intermediate.crt"),
		"key":     filepath.Join(dir, "intermediate.key"),
		"address": address, "dnsNames": []string{"127.0.0.1"}, "logger": map[string]string{"format": "text"},
		"authority": map[string]any{
			"provisioners": []any{map[string]any{"type": "OIDC", "name": "attested", "clientID": "workload",
				"configurationEndpoint": issuer + "/.well-known/openid-configuration"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ca.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(program, file)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+i.CA, "STEPPATH="+dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Logf("log of step-ca:\n%s", log.Bytes())
		}
	})
	c := &ca{url: "https://" + address, root: x509.NewCertPool()}
	c.root.AddCert(root)
	c.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: c.root, MinVersion: tls.VersionTLS12},
	}, Timeout: 5 * time.Second}
	for range 100 {
		if resp, err := c.client.Get(c.url + "/health"); err == nil {
			resp.Body.Close()
			// It accepts no token issued before its start; tokens are backdated, in whole seconds.
			time.Sleep(token.Backdate + time.Second)
			return c
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("step-ca did not start")
	return nil
}

// sign asks for a certificate with a token.
func (c *ca) sign(t *testing.T, compact string) (status int, cert *x509.Certificate) {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{
		"csr": string(encoding.EncodeToMemory(&encoding.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
		"ott": compact,
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.client.Post(c.url+"/1.0/sign", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusCreated {
		return resp.StatusCode, nil
	}
	var answer struct{ Crt, CA string }
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	block, _ := encoding.Decode([]byte(answer.Crt))
	if cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	between.AppendCertsFromPEM([]byte(answer.CA))
	_, err = cert.Verify(x509.VerifyOptions{
		Roots:         c.root,
		Intermediates: between,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, cert
}

// TestStepCA: a certificate authority gives an attested enclave a certificate that
// names the provider and the enclave, and no other certificate does.
func TestStepCA(t *testing.T) {
	i, issuer, attest := servicetest.Relying(t)
	c := startCA(t, i, issuer)
	compact := attest()
	status, cert := c.sign(t, compact)
	if cert == nil {
		t.Fatalf("status %d", status)
	}
	if len(cert.URIs) != 1 || !strings.HasPrefix(cert.URIs[0].String(), issuer+"#") ||
		len(cert.URIs[0].Fragment) != 64 || cert.Subject.CommonName != cert.URIs[0].Fragment {
		t.Errorf("%v, %v", cert.Subject, cert.URIs)
	}
	if status, _ := c.sign(t, compact[:len(compact)-8]+"AAAAAAAA"); status != http.StatusUnauthorized {
		t.Errorf("another signature: status %d", status)
	}
	_, _, other := servicetest.Relying(t)
	if status, _ := c.sign(t, other()); status != http.StatusUnauthorized {
		t.Errorf("a token of another service: status %d", status)
	}
}
