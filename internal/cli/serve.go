package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/server"
)

type serveCommand struct {
	Config string `help:"Configuration file (JSON)." placeholder:"FILE"`
	Dev    bool   `help:"Development: make a CA for localhost, allow development settings. Not for production."`
	Listen string `help:"Address to listen on, instead of the configuration's." placeholder:"HOST:PORT"`
	Data   string `help:"Data directory, instead of the configuration's." placeholder:"DIR"`
}

// Help gives the examples of the help text.
func (serveCommand) Help() string {
	return `Reads the configuration file and the environment variable PROBITY_MASTER_KEY (base64 of 32 bytes, instead of the key file). Logs go to standard error as JSON.

SIGTERM drains: /readyz answers 503, and after limits.drain running requests end. SIGHUP reads the configuration and its files again.

Examples:
  probity serve --config probity.json
  probity serve --dev --data ./probity-data`
}

// Run runs the service until the process is asked to stop.
func (c *serveCommand) Run(e *env) error {
	cfg, err := c.read()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(e.Err, &slog.HandlerOptions{ReplaceAttr: plainAttr}))
	limitMemory(cfg.Limits.Memory, os.Getenv("GOMEMLIMIT"), os.DirFS("/sys/fs/cgroup"), log)
	s, err := newService(e.ctx, cfg, c.Dev, log)
	if err != nil {
		return err
	}
	defer s.close()
	log.Info("listening", "address", s.listener.Addr().String(), "url", cfg.URL, "data", cfg.DataDir,
		"collateral", s.held, "version", version())
	// Background work goes on until the last request is answered.
	s.run(context.WithoutCancel(e.ctx))
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func(inForce config.Config) {
		for {
			select {
			case <-e.ctx.Done():
				return
			case <-hangup:
				inForce = s.reload(e.ctx, inForce, c.read, log)
			}
		}
	}(cfg)
	return server.Serve(s.drained(e.ctx, time.Duration(cfg.Limits.Drain), log), s.listener, s.tls, s.handler, s.limits, log)
}

// read reads the configuration with what the command line says.
func (c *serveCommand) read() (config.Config, error) {
	cfg, err := config.Read(c.Config)
	if err != nil {
		return cfg, err
	}
	if c.Listen != "" {
		cfg.Listen = c.Listen
	}
	if c.Data != "" {
		cfg.DataDir = c.Data
	}
	return cfg, cfg.Complete(c.Dev)
}

// drained returns a context that ends some time after ctx, while /readyz says that the
// service is about to stop.
func (s *service) drained(ctx context.Context, drain time.Duration, log *slog.Logger) context.Context {
	end, stop := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		s.server.Drain()
		if drain > 0 {
			log.Info("draining; a second signal ends the service at once", "for", drain.String())
		}
		time.AfterFunc(drain, stop)
	})
	return end
}

// warnDevelopment says loudly what a development setting does.
func warnDevelopment(log *slog.Logger, d config.Development) {
	if !d.Time.IsZero() {
		log.Warn("DEVELOPMENT: all evidence is judged at a fixed time; expired collateral and revoked keys may pass",
			"time", d.Time.UTC().Format(time.RFC3339))
	}
	for vendor, path := range map[string]string{"Intel": d.IntelRoot, "AMD": d.AMDRoots, "AWS": d.NitroRoot} {
		if path != "" {
			log.Warn("DEVELOPMENT: a root other than the vendor's is trusted; tokens prove nothing about real hardware", "vendor", vendor, "root", path)
		}
	}
}

func addressError(address string, err error) error {
	return cannotListen(address, "with --listen", err)
}

// cannotListen says how another address is chosen.
func cannotListen(address, how string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		err = errors.New("another program uses it")
	}
	return fmt.Errorf("cannot listen on %s: %w; choose another address %s", address, err, how)
}
