package manage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
)

type ledgerAcceptCommand struct {
	dataFlag
	Provider string `help:"Attestation provider." required:"" placeholder:"NAME"`
	Damaged  bool   `name:"damaged-rows" help:"Accept rows whose text or hash was changed or removed, too; the ledger records which."`
	term.Output
}

// Run leaves the acceptance for the service.
func (c *ledgerAcceptCommand) Run(e *term.Env) error {
	v, err := c.ledgers(e, c.Provider, "")
	if err != nil {
		return err
	}
	defer v.close()
	if v.outside == nil {
		return errors.New("the data directory has no checkpoints outside the database: " +
			"the service has not been started with it")
	}
	r, err := ledger.Verify(e.Ctx, v.history, c.Provider, v.keys, nil, rows(e))
	if err != nil {
		return err
	}
	contradicted, damaged := false, ledger.Rows(nil)
	for _, p := range r.Problems {
		switch row := p.Check == "ledger.row" || p.Check == "ledger.chain"; {
		case p.Check == "ledger.fork" || p.Check == "ledger.checkpoint":
			contradicted = true
		case row && c.Damaged:
		case row:
			return errors.Join(report(e, r, ""), fmt.Errorf("rows of the ledger are damaged (%s at %d): "+
				"restore the database from a backup, or accept them as they are: --damaged-rows", p.Check, p.Seq))
		default:
			return errors.Join(report(e, r, ""), fmt.Errorf("the rows of the ledger do not fit together "+
				"(%s at %d): restore the database from a backup first", p.Check, p.Seq))
		}
	}
	if damaged, err = r.Damaged(); err != nil {
		return err
	}
	db := v.history.(store.Store)
	if contradicted {
		if err := moveCheckpoints(e, db, v.outside, c.Provider); err != nil {
			return err
		}
	}
	root, err := tlog.ParseHash(r.Root)
	if err != nil {
		return err
	}
	err = ledger.Accept(v.outside, c.Provider, ledger.Acceptance{Size: r.Size, Root: root, Damaged: damaged})
	if err != nil {
		return err
	}
	return e.Answer(map[string]any{"provider": c.Provider, "size": r.Size, "root": r.Root},
		"accepted  %s: %s, root %s; the service goes on with it within a minute, or at its next start\n",
		c.Provider, entries(r.Size), r.Root)
}

// moveCheckpoints moves the checkpoints of a ledger from the database to a file.
func moveCheckpoints(e *term.Env, db store.Store, outside *anchor.Folder, provider string) error {
	list, err := db.Checkpoints(e.Ctx, provider, 1_000_000)
	if err != nil || len(list) == 0 {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(outside.Path(provider)), provider+".removed-*.txt")
	if err != nil {
		return err
	}
	for _, c := range list {
		if _, err = fmt.Fprintln(f, c.Note); err != nil {
			break
		}
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(e.Err, "checkpoints that contradict the history were moved to %s\n", f.Name())
	return db.DeleteCheckpoints(e.Ctx, provider)
}
