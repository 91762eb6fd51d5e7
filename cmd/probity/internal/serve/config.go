package serve

import (
	"fmt"

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
	Show bool   `help:"Print the configuration with its defaults."`
}

// Help gives the examples of the help text.
func (configCheckCommand) Help() string {
	return `Exit code 0: good; 1: not, with every mistake. Files that it names are read; databases,
networks and PKCS#11 tokens are not asked.

Examples:
  probity config check probity.json
  probity config check probity.json --show`
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
		func() (err error) { bundle, err = node.CollateralFiles(cfg.Collateral); return err },
		func() error { _, err := files.CertPool(cfg.Callers.CertificateAuthorities); return err },
	} {
		if err == nil {
			err = check()
		}
	}
	if err != nil {
		fmt.Fprintln(e.Out, plainerror.Text(err))
		return term.Exit(term.No)
	}
	e.Notes(bundle)
	if c.Show {
		return term.PrintJSON(e.Out, cfg)
	}
	fmt.Fprintf(e.Out, "%s is good: the service listens on %s and answers as %s\n", c.File, cfg.Listen, cfg.URL)
	return nil
}
