package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAStockGuest runs a program that contains the client library of the guest components of Confidential
// Containers (kbs_protocol), which no package registry has: PROBITY_KBS_GUEST names it. It is called with
// the URL of the provider, the kind of guest, a program that makes evidence for report data in hex, the
// resource, the algorithm of its key and, if wanted, a file of init data; it prints "resource " and the
// resource in hex.
func TestAStockGuest(t *testing.T) {
	program := os.Getenv("PROBITY_KBS_GUEST")
	if program == "" {
		t.Skip("PROBITY_KBS_GUEST names no program")
	}
	for _, algorithm := range []string{"ECDH-ES+A256KW-P256", "ECDH-ES+A256KW-P521", "RSA-OAEP-256"} {
		for tee, claim := range kinds {
			t.Run(tee+" "+algorithm, func(t *testing.T) {
				c := newCoco(t, "", func(cfg *Config) { cfg.AppraisalTime = now })
				c.now = time.Now() // its tokens must be valid for the guest
				c.resource(t, "disk", "the passphrase", claim[0], claim[1])
				const initData = "algorithm = \"sha256\"\nversion = \"0.1.0\"\n"
				host := []byte(nil)
				args := []string{}
				dir := t.TempDir()
				if tee == "snp" || tee == "tdx" {
					host = sum256(initData)
					path := filepath.Join(dir, "initdata.toml")
					if err := os.WriteFile(path, []byte(initData), 0o600); err != nil {
						t.Fatal(err)
					}
					args = append(args, path)
				}
				service := httptest.NewUnstartedServer(c.handler)
				var ca []byte
				service.TLS, ca = loopback(t)
				service.StartTLS()
				defer service.Close()
				maker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					data, err := hex.DecodeString(strings.Trim(r.URL.Path, "/"))
					if err != nil {
						t.Error(err)
					}
					json.NewEncoder(w).Encode(c.evidenceOf(t, tee, data, host))
				}))
				defer maker.Close()
				script := filepath.Join(dir, "evidence")
				if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nexec curl -s %s/$1\n",
					maker.URL), 0o700); err != nil {
					t.Fatal(err)
				}
				cert := filepath.Join(dir, "ca.pem")
				if err := os.WriteFile(cert, ca, 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), program, append([]string{service.URL + at, tee, script,
					"kbs:///default/key/disk", algorithm}, args...)...)
				cmd.Env = append(os.Environ(), "KBS_CERT="+cert)
				out, err := cmd.CombinedOutput()
				want := "resource " + hex.EncodeToString([]byte("the passphrase"))
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
	}
}

// loopback is a certificate for 127.0.0.1 of a CA of its own. Go's certificate for tests is its own CA, which
// other libraries refuse.
func loopback(t *testing.T) (*tls.Config, []byte) {
	t.Helper()
	issue := func(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
		template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "loopback"}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		template.BasicConstraintsValid = true
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	root := &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	root = issue(root, root, keys[0], keys[0])
	leaf := issue(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, root, keys[1], keys[0])
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: keys[1]}}},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
}
