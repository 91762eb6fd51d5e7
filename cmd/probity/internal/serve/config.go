package serve

import (
	"errors"
	"strings"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/wording/plainerror"
)

type ConfigCommands struct {
	Check configCheckCommand `cmd:"" help:"Check a configuration: every mistake, and the defaults."`
}

type configCheckCommand struct {
	File string `arg:"" help:"Configuration file (JSON)."`
	Dev  bool   `help:"As for serve --dev."`
	Show bool   `help:"Print the configuration with its defaults, as JSON."`
	term.Output
}

// Run checks a configuration.
func (c *configCheckCommand) Run(e *term.Env) error {
	cfg, err := config.Load(c.File, c.Dev)
	var bundle *collateral.Bundle
	for _, check := range []func() error{
		func() error { _, err := cfg.Store.Postgres(); return err },
		func() error { _, err := files.Trust(cfg); return err },
		func() error { _, err := node.AdminTokenHash(cfg); return err },
		func() error { _, err := node.TokenPIN(cfg); return err },
		func() error { _, err := node.Transit(cfg.Vault.Transit); return err },
		func() (err error) { bundle, err = node.CollateralFiles(cfg.Collateral); return err },
		func() error { _, err := files.CertPool(cfg.Callers.CertificateAuthorities); return err },
	} {
		if err == nil {
			err = check()
		}
	}
	if err != nil {
		text := plainerror.Text(err)
		answer := checked{Problems: strings.Split(text, "\n")}
		return errors.Join(e.Answer(answer, "%s\n", text), term.Exit(term.No))
	}
	e.Notes(bundle)
	if c.Show {
		return term.PrintJSON(e.Out, cfg)
	}
	return e.Answer(checked{Valid: true, Listen: cfg.Listen, URL: cfg.URL},
		"%s is good: the service listens on %s and answers as %s\n", c.File, cfg.Listen, cfg.URL)
}

// checked is what config check prints with --format json.
type checked struct {
	Valid    bool     `json:"valid"`
	Listen   string   `json:"listen,omitzero"`
	URL      string   `json:"url,omitzero"`
	Problems []string `json:"problems,omitzero"`
}
