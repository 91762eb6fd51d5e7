// Package serve is the commands that run the service: serve, demo, config check.
package serve

import (
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/buildinfo"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/node"
)

type Command struct {
	Config string `help:"Configuration file (JSON)." placeholder:"FILE"`
	Dev    bool   `help:"Development: make a CA for localhost, allow development settings. Not for production."`
	Listen string `help:"Address to listen on, instead of the configuration's or localhost:8443." placeholder:"HOST:PORT"`
	Data   string `help:"Data directory, instead of the configuration's or probity-data." placeholder:"DIR"`
}

// Run runs the service until the process is asked to stop.
func (c *Command) Run(e *term.Env) error {
	cfg, err := c.read()
	if err != nil {
		return located(err)
	}
	log := slog.New(slog.NewJSONHandler(e.Err, &slog.HandlerOptions{ReplaceAttr: term.PlainError}))
	node.LimitMemory(cfg.Limits.Memory, os.Getenv("GOMEMLIMIT"), os.DirFS("/sys/fs/cgroup"), log)
	s, err := node.Open(e.Ctx, cfg, c.Dev, log)
	if err != nil {
		return located(err)
	}
	defer s.Close()
	log.Info("listening", "address", s.Address(), "url", cfg.URL, "data", cfg.DataDir,
		"collateral", s.Held(), "version", buildinfo.Version())
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func(inForce config.Config) {
		for {
			select {
			case <-e.Ctx.Done():
				return
			case <-hangup:
				inForce = s.Reload(e.Ctx, inForce, c.read, log)
			}
		}
	}(cfg)
	return s.Run(e.Ctx)
}

// located adds to the error of each file that is not there where it was looked for.
func located(err error) error {
	list := files.Each(err)
	for i, one := range list {
		list[i] = files.Located(one)
	}
	return errors.Join(list...)
}

// read reads the configuration with what the command line says.
func (c *Command) read() (config.Config, error) {
	cfg, err := files.Config(c.Config)
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
