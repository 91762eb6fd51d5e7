package serve

import (
	"errors"
	"slices"
	"strings"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
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
	cfg, err := files.Config(c.File)
	if err != nil {
		return c.bad(e, []error{err})
	}
	problems := files.Each(cfg.Complete(c.Dev))
	bundle, more := node.CheckFiles(cfg)
	if problems = append(problems, more...); len(problems) > 0 {
		return c.bad(e, problems)
	}
	e.Notes(bundle)
	if c.Show {
		return term.PrintJSON(e.Out, cfg)
	}
	return e.Answer(checked{Valid: true, Listen: cfg.Listen, URL: cfg.URL},
		"%s is good: the service listens on %s and answers as %s\n", c.File, cfg.Listen, cfg.URL)
}

// bad prints what is wrong, each mistake once: the configuration itself reads some files too.
func (c *configCheckCommand) bad(e *term.Env, problems []error) error {
	answer := checked{}
	for _, one := range problems {
		for _, err := range files.Each(one) {
			text := strings.TrimPrefix(plainerror.Text(files.Located(err)), "config: ")
			if !slices.Contains(answer.Problems, text) {
				answer.Problems = append(answer.Problems, text)
			}
		}
	}
	text := strings.Join(answer.Problems, "\n")
	return errors.Join(e.Answer(answer, "%s\n", text), term.Exit(term.No))
}

// checked is what config check prints with --format json.
type checked struct {
	Valid    bool     `json:"valid"`
	Listen   string   `json:"listen,omitzero"`
	URL      string   `json:"url,omitzero"`
	Problems []string `json:"problems,omitzero"`
}
