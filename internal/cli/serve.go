package cli

import (
	"fmt"
	"log/slog"
	"os"
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

Examples:
  probity serve --config probity.json
  probity serve --dev --data ./probity-data`
}

// Run runs the service until the process is asked to stop.
func (c *serveCommand) Run(e *env) error {
	cfg, err := config.Read(c.Config)
	if err != nil {
		return err
	}
	if c.Listen != "" {
		cfg.Listen = c.Listen
	}
	if c.Data != "" {
		cfg.DataDir = c.Data
	}
	if err := cfg.Complete(c.Dev); err != nil {
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
	s.run(e.ctx)
	return server.Serve(e.ctx, s.listener, s.tls, s.handler, s.limits, log)
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
	return fmt.Errorf("cannot listen on %s: %w; choose another address with --listen", address, err)
}
