package edge

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/probity-dev/probity/internal/private"
)

// reloadEvery is how often certificate files are looked at.
const reloadEvery = 5 * time.Second

// Certificates serves a certificate from PEM files and reads them again when
// they change, so that a renewal needs no restart. A pair that does not load
// is reported and the one before stays.
type Certificates struct {
	// settings names the files in messages.
	settings, certFile, keyFile string
	log                         *slog.Logger

	mu      sync.Mutex // guards the rest
	current *tls.Certificate
	stamp   string
	looked  time.Time
}

// NewCertificates loads the files once; a failure then is an error, which begins with the names of the settings.
func NewCertificates(settings, certFile, keyFile string, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{settings: settings, certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	c.stamp = c.fileStamp()
	pair, err := loadPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settings, err)
	}
	c.current = &pair
	return c, nil
}

func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := private.ReadSecret(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// Config returns the server's TLS configuration.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(time.Now()), nil },
	}
}

// Pair is the certificate of now.
func (c *Certificates) Pair() *tls.Certificate { return c.get(time.Now()) }

func (c *Certificates) get(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < reloadEvery {
		return c.current
	}
	c.looked = now
	stamp := c.fileStamp()
	if stamp == c.stamp {
		return c.current
	}
	pair, err := loadPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Error("the changed certificate does not load; the old one stays", "err", err.Error())
		return c.current
	}
	c.current, c.stamp = &pair, stamp
	c.log.Info("certificate reloaded", "file", c.certFile)
	return c.current
}

// Reload reads the files now. The earlier certificate stays if they do not load.
func (c *Certificates) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	pair, err := loadPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%s: %w", c.settings, err)
	}
	c.current, c.stamp, c.looked = &pair, c.fileStamp(), time.Now()
	return nil
}

// fileStamp changes when either file does.
func (c *Certificates) fileStamp() string {
	stamp := ""
	for _, name := range []string{c.certFile, c.keyFile} {
		if st, err := os.Stat(name); err == nil {
			stamp += fmt.Sprint(st.ModTime().UnixNano(), "/", st.Size(), " ")
		}
	}
	return stamp
}
