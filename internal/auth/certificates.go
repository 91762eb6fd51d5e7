package auth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/probity-dev/probity/strict/pubkey"
)

const (
	// authoritiesAgain is how often the file of client authorities is looked at.
	authoritiesAgain = 10 * time.Second
	// maxAuthorities bounds that file, in bytes.
	maxAuthorities = 4 << 20
)

// Authorities are those who certify clients, from a PEM file that is read again when
// it changes: an authority that is removed from it can no longer certify callers, also on
// open connections.
type Authorities struct {
	path string
	now  func() time.Time
	log  *slog.Logger

	mu     sync.Mutex
	looked time.Time
	sum    [sha256.Size]byte
	pool   *x509.CertPool
	failed bool
}

// NewAuthorities reads the file.
func NewAuthorities(path string, now func() time.Time, log *slog.Logger) (*Authorities, error) {
	a := &Authorities{path: path, now: now, log: log}
	return a, a.read()
}

// Pool returns the authorities now. A file that cannot be read, or that has no
// certificate, leaves no authority: it fails closed, and the log says so.
func (a *Authorities) Pool() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := a.now().Sub(a.looked); age >= 0 && age < authoritiesAgain {
		return a.pool
	}
	switch err := a.read(); {
	case err != nil:
		a.pool, a.sum = x509.NewCertPool(), [sha256.Size]byte{}
		if !a.failed {
			a.log.Error("callers.certificateAuthorities cannot be read; no client certificate is "+
				"accepted until it can",
				"err", err.Error())
		}
		a.failed = true
	case a.failed:
		a.failed = false
		a.log.Info("callers.certificateAuthorities is read again")
	}
	return a.pool
}

func (a *Authorities) read() error {
	a.looked = a.now()
	f, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAuthorities+1))
	if err != nil {
		return err
	}
	if len(b) > maxAuthorities {
		return fmt.Errorf("%s is larger than %d bytes", a.path, maxAuthorities)
	}
	if sum := sha256.Sum256(b); sum != a.sum {
		pool, err := pubkey.Pool(b)
		if err != nil {
			return fmt.Errorf("%s: %w", a.path, err)
		}
		a.sum, a.pool = sum, pool
	}
	return nil
}

// TLS lets clients of a server show certificates of the authorities. Attesters have
// none: it stays optional here, and routes say what they need.
func (a *Authorities) TLS(c *tls.Config) *tls.Config {
	var mu sync.Mutex
	var of *x509.CertPool
	var current *tls.Config
	base := c.Clone()
	base.ClientAuth = tls.VerifyClientCertIfGiven
	if len(base.NextProtos) == 0 {
		base.NextProtos = []string{"h2", "http/1.1"} // the HTTP server adds them to c alone
	}
	c = base.Clone()
	c.ClientCAs = a.Pool()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pool := a.Pool()
		mu.Lock()
		defer mu.Unlock()
		// One configuration for each list: with a new one, sessions of the old list are
		// not resumed.
		if of != pool {
			of, current = pool, base.Clone()
			current.ClientCAs = pool
		}
		return current, nil
	}
	return c
}

// valid checks again, for a request, what the TLS layer verified when the connection
// began: connections stay open for days, and sessions are resumed.
func (a *Authenticator) valid(state *tls.ConnectionState) error {
	opts := x509.VerifyOptions{
		CurrentTime: a.cfg.Now(),
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if a.cfg.Authorities == nil {
		return errors.New("no authorities of client certificates are configured")
	}
	if opts.Roots = a.cfg.Authorities(); opts.Roots == nil {
		return errors.New("no authorities of client certificates are configured")
	}
	opts.Intermediates = x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(opts)
	return err
}
