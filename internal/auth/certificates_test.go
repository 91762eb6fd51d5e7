package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clientCA certifies clients.
type clientCA struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newClientCA(t *testing.T, name string, now time.Time) *clientCA {
	t.Helper()
	ca := &clientCA{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca
}

func (ca *clientCA) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// client certifies a client until a time.
func (ca *clientCA) client(until time.Time, usage x509.ExtKeyUsage) tls.Certificate {
	ca.t.Helper()
	key := newKey(ca.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "ci"},
		DNSNames:     []string{"ci.example.org"},
		NotBefore:    ca.cert.NotBefore,
		NotAfter:     until,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func connected(certs ...*x509.Certificate) *http.Request {
	r := request("")
	r.TLS = &tls.ConnectionState{PeerCertificates: certs, VerifiedChains: [][]*x509.Certificate{certs}}
	return r
}

func TestClientCertificates(t *testing.T) {
	now := time.Now()
	ca := newClientCA(t, "ca", now)
	cert := ca.client(now.Add(time.Hour), x509.ExtKeyUsageClientAuth).Leaf
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	sum := sha256.Sum256(cert.Raw)
	for name, tc := range map[string]struct {
		rule     Rule
		verified bool
		want     bool
	}{
		"by name":     {Rule{Claim: "subject", Value: "ci"}, true, true},
		"by DNS name": {Rule{Claim: "dns", Value: "ci.example.org"}, true, true},
		"by fingerprint": {
			Rule{Claim: "sha256", Value: strings.ToUpper(hex.EncodeToString(sum[:]))}, true, true,
		},
		"a name that only begins": {Rule{Claim: "dns", Value: "ci.example"}, true, false},
		"by URI, which it lacks":  {Rule{Claim: "uri", Value: ""}, true, false},
		"an unknown claim":        {Rule{Claim: "x", Value: ""}, true, false},
		"not verified":            {Rule{Claim: "subject", Value: "ci"}, false, false},
	} {
		tc.rule.Grant = Grant{Owner, []string{Everywhere}}
		r := connected(cert)
		if !tc.verified {
			r.TLS.VerifiedChains = nil
		}
		c, err := New(Config{Certificates: []Rule{tc.rule}, Authorities: func() *x509.CertPool {
			return pool
		}, Now: time.Now}).Caller(r)
		if got := err == nil && c.May(Owner, "x"); got != tc.want {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestACertificateIsCheckedAgainOnAnOpenConnection(t *testing.T) {
	start := time.Now()
	now := start
	ca, other := newClientCA(t, "ca", now), newClientCA(t, "other", now)
	path := filepath.Join(t.TempDir(), "clients.pem")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		now = now.Add(authoritiesAgain)
	}
	write(append(ca.pem(), other.pem()...))
	authorities, err := NewAuthorities(path, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{
		Certificates: []Rule{{"subject", "ci", Grant{Reader, []string{Everywhere}}}},
		Authorities:  authorities.Pool,
		Now:          func() time.Time { return now },
	})
	cert := ca.client(start.Add(24*time.Hour), x509.ExtKeyUsageClientAuth).Leaf
	try := func(name string, want error) {
		t.Helper()
		if _, err := a.Caller(connected(cert)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	try("valid", nil)
	write(other.pem())
	try("its authority is removed", ErrRefused)
	write(append(ca.pem(), other.pem()...))
	try("its authority is back", nil)
	write([]byte("no certificates"))
	try("the file has no certificates", ErrRefused)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(authoritiesAgain)
	try("the file is gone", ErrRefused)
	write(bytes.Repeat([]byte("\n"), maxAuthorities+1))
	try("the file is too large", ErrRefused)
	write(ca.pem())
	try("the file is back", nil)
	now = start.Add(25 * time.Hour)
	try("it expired", ErrRefused)
	now = start.Add(-2 * time.Hour)
	try("it is not valid yet", ErrRefused)
	now = start.Add(time.Minute)
	cert = ca.client(start.Add(24*time.Hour), x509.ExtKeyUsageServerAuth).Leaf
	try("a server's certificate", ErrRefused)
	a.cfg.Authorities = nil
	try("no authorities", ErrRefused)
	if _, err := NewAuthorities(filepath.Join(t.TempDir(), "absent"), time.Now,
		slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an absent file was read")
	}
}

func TestAuthoritiesOfTheTLSLayerFollowTheFile(t *testing.T) {
	now := time.Now()
	ca, other := newClientCA(t, "ca", now), newClientCA(t, "other", now)
	path := filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(path, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	clock := now
	authorities, err := NewAuthorities(path, func() time.Time { return clock }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) == 0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	named := httptest.NewTLSServer(nil)
	defer named.Close()
	server.EnableHTTP2 = true
	server.TLS = authorities.TLS(&tls.Config{Certificates: named.TLS.Certificates})
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	trusted := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	show := func(cert tls.Certificate, sessions tls.ClientSessionCache) (status int) {
		t.Helper()
		transport := &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: trusted, ClientSessionCache: sessions,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &cert, nil
				}},
		}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Errorf("the client speaks %s", resp.Proto)
		}
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	ours := ca.client(now.Add(time.Hour), x509.ExtKeyUsageClientAuth)
	theirs := other.client(now.Add(time.Hour), x509.ExtKeyUsageClientAuth)
	first, second := tls.NewLRUClientSessionCache(4), tls.NewLRUClientSessionCache(4)
	if a, b := show(ours, first), show(theirs, second); a != http.StatusOK || b == http.StatusOK {
		t.Errorf("before: %d, %d", a, b)
	}
	if err := os.WriteFile(path, other.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(authoritiesAgain)
	// The client that was accepted has a session to resume.
	if a, b := show(ours, first), show(theirs, second); a == http.StatusOK || b != http.StatusOK {
		t.Errorf("after: %d, %d", a, b)
	}
}
