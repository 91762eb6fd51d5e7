package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(b)
	return p
}

func TestTheDevelopmentCAStaysTheSame(t *testing.T) {
	dir := t.TempDir()
	var first []byte
	for range 2 {
		cfg, err := DevCertificate(dir, "box.example", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"localhost", "127.0.0.1", "box.example"} {
			_, err := leaf.Verify(x509.VerifyOptions{
				DNSName: name,
				Roots:   pool(t, filepath.Join(dir, DevCAFile)),
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		ca, err := os.ReadFile(filepath.Join(dir, DevCAFile))
		if err != nil || first != nil && string(first) != string(ca) {
			t.Errorf("another CA after a restart (%v)", err)
		}
		first = ca
	}
	if st, err := os.Stat(filepath.Join(dir, devCAKeyFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key = %v, %v", st.Mode(), err)
	}
}

// writePair writes the server certificate of a fresh development CA as files.
func writePair(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	if _, err := DevCertificate(dir, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, DevCAFile), filepath.Join(dir, devCAKeyFile)
}

func TestChangedCertificatesAreReloaded(t *testing.T) {
	certFile, keyFile := writePair(t, t.TempDir())
	c, err := NewCertificates("tls", certFile, keyFile, quiet)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	first := c.get(start)
	newCert, newKey := writePair(t, t.TempDir())
	later := func(n int) time.Time { return start.Add(time.Duration(n) * 2 * reloadEvery) }
	move := func(from, to string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(to, time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	move(newCert, certFile)
	if c.get(later(1)) != first {
		t.Error("a pair that does not fit replaced the old one")
	}
	move(newKey, keyFile)
	second := c.get(later(2))
	if second == first || c.get(later(3)) != second {
		t.Error("the new pair was not loaded once")
	}
	if _, err := NewCertificates("tls", "absent", "absent", quiet); err == nil {
		t.Error("absent files were accepted at start")
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	dir := t.TempDir()
	cfg, err := DevCertificate(dir, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	release := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		io.WriteString(w, "whole")
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, l, cfg, handler, Limits{Time: 10 * time.Second, Shutdown: 10 * time.Second}, quiet)
	}()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool(t, filepath.Join(dir, DevCAFile))},
	}}
	answer := make(chan string, 1)
	go func() {
		resp, err := client.Get("https://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-entered
	stop()
	close(release)
	if got := <-answer; got != "whole" {
		t.Errorf("answer = %q", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

// A CA is made only where there is none: what exists may be trusted by clients.
func TestADevelopmentCAIsNotReplaced(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"the key is missing":         func(dir string) error { return os.Remove(filepath.Join(dir, devCAKeyFile)) },
		"the certificate is missing": func(dir string) error { return os.Remove(filepath.Join(dir, DevCAFile)) },
		"the key is cut off": func(dir string) error {
			return os.Truncate(filepath.Join(dir, devCAKeyFile), 20)
		},
		"the certificate is empty": func(dir string) error {
			return os.Truncate(filepath.Join(dir, DevCAFile), 0)
		},
		"the certificate is dangling": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, DevCAFile)),
				os.Symlink("away", filepath.Join(dir, DevCAFile)))
		},
		"the key cannot be read at all": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, devCAKeyFile)),
				os.Mkdir(filepath.Join(dir, devCAKeyFile), 0o700))
		},
	} {
		dir := t.TempDir()
		if _, err := DevCertificate(dir, "", time.Now()); err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join(dir, DevCAFile))
		if err = errors.Join(err, spoil(dir)); err != nil {
			t.Fatal(err)
		}
		_, err = DevCertificate(dir, "", time.Now())
		if err == nil || !strings.Contains(err.Error(), "remove ca.pem and ca-key.pem") {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(filepath.Join(dir, DevCAFile)); err == nil && len(after) > 0 &&
			!bytes.Equal(after, kept) {
			t.Errorf("%s: the certificate was replaced", name)
		}
	}
}

func TestADevelopmentCAThatAWrongClockMadeIsReplaced(t *testing.T) {
	now := time.Now()
	for name, wrong := range map[string]time.Time{
		"years ahead": now.AddDate(10, 0, 0), "1970": time.Unix(100, 0),
	} {
		dir := t.TempDir()
		if _, err := DevCertificate(dir, "", wrong); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			cfg, err := DevCertificate(dir, "", now)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			_, err = leaf.Verify(x509.VerifyOptions{
				Roots:       pool(t, filepath.Join(dir, DevCAFile)),
				DNSName:     "localhost",
				CurrentTime: now,
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
