// Package sidecar is probity sidecar: the local HTTP interface of Microsoft's side-car for secure key
// release, so that pods that were written for Azure run elsewhere as they are.
//
// It collects the evidence of its own guest, has it attested at the endpoint that a call names, has a key
// released at the endpoint that the call names, and answers with the key only after it verified the released
// document.
package sidecar

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
)

// Command is probity sidecar.
type Command struct {
	Listen      string `help:"Address to listen at." default:"localhost:8080" placeholder:"ADDRESS"`
	AllowRemote bool   `help:"Listen at an address that others reach, too: they get the keys of this guest."`
	CA          string `name:"ca" help:"${sidecarCAHelp}" env:"PROBITY_CA" placeholder:"FILE"`
	BearerFile  string `help:"${sidecarBearerHelp}" placeholder:"FILE"`

	Endpoint  []string `help:"${endpointHelp}" placeholder:"HOST[:PORT]"`
	Challenge bool     `help:"Answer a challenge of the vault with each attestation, for vaults that want it."`

	SecurityContext string `help:"${contextHelp}" env:"UVM_SECURITY_CONTEXT_DIR" placeholder:"DIR"`
	Certs           string `help:"${certsHelp}" placeholder:"FILE"`
	EvidenceFrom    string `help:"${evidenceFromHelp}" placeholder:"DIR"`
}

// Run answers calls until it is told to stop.
func (c *Command) Run(e *term.Env) error {
	log := slog.New(slog.NewTextHandler(e.Err, &slog.HandlerOptions{ReplaceAttr: term.PlainError}))
	h, err := c.handler(log)
	if err != nil {
		return err
	}
	l, err := c.listen(e.Ctx)
	if err != nil {
		return err
	}
	if !isLoopback(l.Addr()) {
		log.Warn("others than this guest can reach the address, and get its keys", "address", l.Addr().String())
	}
	h.remote = !isLoopback(l.Addr())
	log.Info("listening", "url", "http://"+l.Addr().String())
	return serve(e.Ctx, l, h, log)
}

// handler checks the flags, and reads what they name.
func (c *Command) handler(log *slog.Logger) (*handler, error) {
	h := &handler{log: log, bearerFile: c.BearerFile, challenge: c.Challenge,
		slots: make(chan struct{}, maxCalls)}
	var err error
	if h.roots, err = c.roots(); err != nil {
		return nil, err
	}
	if c.BearerFile != "" {
		// Security: a program in the guest could otherwise send the token to a host of its own.
		if len(c.Endpoint) == 0 {
			return nil, term.Usage("--bearer-file: name the endpoints that may get the token with --endpoint")
		}
		if _, err := h.token(""); err != nil {
			return nil, err
		}
	}
	for _, name := range c.Endpoint {
		one, err := parseEndpoint(name)
		if err != nil {
			return nil, term.Usage("--endpoint: %s", err)
		}
		h.endpoints = append(h.endpoints, one)
	}
	h.guest, err = c.guest(log)
	return h, err
}

func (c *Command) roots() (*x509.CertPool, error) {
	pool, err := files.CertPool(c.CA)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	return pool, nil
}

// listen listens at an address of this guest alone, unless others are allowed. A name is resolved once.
func (c *Command) listen(ctx context.Context) (net.Listener, error) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, term.Usage("--listen: %q is not HOST:PORT, for instance localhost:8080", c.Listen)
	}
	if !c.AllowRemote && !config.LoopbackHost(host) {
		return nil, term.Usage("--listen: %q is not a loopback address: who reaches it gets the keys of this "+
			"guest; use localhost:8080, or say that you mean it with --allow-remote", c.Listen)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if !c.AllowRemote && !isLoopback(l.Addr()) {
		return nil, errors.Join(l.Close(), term.Usage("--listen: %q is %s here, which is not a loopback "+
			"address; say that you mean it with --allow-remote", c.Listen, l.Addr()))
	}
	return l, nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Times of the server. A call makes a key, an attestation and a release.
const (
	callTime   = time.Minute
	readTime   = 10 * time.Second
	graceTime  = 15 * time.Second
	headerSize = 16 << 10
)

// serve answers until ctx ends, and then lets calls end.
func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: readTime, ReadTimeout: readTime, WriteTimeout: callTime + readTime,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: headerSize,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping", "grace", graceTime.String())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	err := s.Shutdown(end)
	if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// maxToken bounds a bearer token, in bytes.
const maxToken = 16 << 10

// token is the access token of a call, that of the file, or none. The file is read each time: tokens are
// renewed.
func (h *handler) token(ofCall string) (string, error) {
	if ofCall != "" || h.bearerFile == "" {
		return ofCall, nil
	}
	b, err := os.ReadFile(h.bearerFile)
	if err != nil {
		return "", fmt.Errorf("--bearer-file: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" || len(text) > maxToken {
		return "", fmt.Errorf("--bearer-file: %s: expected a token of at most %d bytes, found %d", h.bearerFile,
			maxToken, len(text))
	}
	return text, nil
}
