package manage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/wording/phrase"
)

type ledgerVerifyCommand struct {
	dataFlag
	Provider   string   `help:"Attestation provider; by default all that have a ledger." placeholder:"NAME"`
	Export     string   `help:"${exportHelp}" placeholder:"FILE"`
	Verifier   string   `help:"Key that verifies checkpoints, as ledger key prints it; by default the data directory's." placeholder:"KEY"`
	Checkpoint []string `help:"Files with checkpoints that were kept elsewhere." placeholder:"FILE"`
	term.Output
}

// verified is what a ledger is verified with.
type verified struct {
	history   ledger.History
	providers []string
	keys      ledger.Keys
	// outside is the folder with checkpoints, or nil.
	outside *anchor.Folder
	close   func() error
}

// Run verifies ledgers.
func (c *ledgerVerifyCommand) Run(e *term.Env) error {
	v, err := c.open(e)
	if err != nil {
		return err
	}
	defer v.close()
	kept, err := c.kept(v)
	if err != nil {
		return err
	}
	intact := true
	for _, provider := range v.providers {
		notes := kept[provider]
		compared := ""
		if v.outside != nil {
			b, err := v.outside.Read(provider)
			switch {
			case err == nil:
				notes, compared = append(slices.Clip(notes), string(b)), v.outside.Path(provider)
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
		r, err := ledger.Verify(e.Ctx, v.history, provider, v.keys, notes, rows(e))
		if err != nil {
			return err
		}
		intact = intact && len(r.Problems) == 0
		if err := report(e, r, compared); err != nil {
			return err
		}
	}
	if !intact {
		return term.Exit(term.No)
	}
	return nil
}

// kept reads the files of --checkpoint, by provider.
func (c *ledgerVerifyCommand) kept(v *verified) (map[string][]string, error) {
	all := map[string][]string{}
	for _, file := range c.Checkpoint {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		checkpoint, err := ledger.OpenCheckpoint(string(b), v.keys...)
		if err != nil {
			return nil, fmt.Errorf("--checkpoint %s: %w", file, err)
		}
		i := slices.IndexFunc(v.providers,
			func(p string) bool { return checkpoint.Origin == ledger.Origin(v.keys[0].Name(), p) })
		if i < 0 {
			return nil,
				fmt.Errorf("--checkpoint %s: it is of %s, which is not among the ledgers to verify: %s",
					file, checkpoint.Origin, strings.Join(v.providers, ", "))
		}
		all[v.providers[i]] = append(all[v.providers[i]], string(b))
	}
	return all, nil
}

// report prints what was found in a ledger.
func report(e *term.Env, r *ledger.Report, compared string) error {
	if e.JSON {
		return term.PrintJSON(e.Out, r)
	}
	word := "intact"
	if len(r.Problems) > 0 {
		word = "damaged"
	}
	fmt.Fprintf(e.Out, "%s  %s: %s, %s, root %s\n", e.UI.Bold(word), r.Provider, entries(r.Size),
		phrase.Plural(r.Checkpoints, "matching checkpoint"), r.Root)
	for _, p := range r.Problems {
		at := ""
		if p.Seq >= 0 {
			at = fmt.Sprint(p.Seq)
		}
		fmt.Fprintf(e.Out, "  %-18s  %8s  %s\n", p.Check, at, p.Message)
	}
	if r.Uncovered > 0 {
		fmt.Fprintf(e.Out,
			"  no checkpoint covers entries %d to %d: nothing shows whether they were changed\n",
			r.Covered, r.Size-1)
	}
	if r.Forgotten > 0 {
		fmt.Fprintf(e.Out, "  retention removed the text of the first %s, and recorded it\n", entries(r.Forgotten))
	}
	if r.Accepted > 0 {
		fmt.Fprintf(e.Out,
			"  %s damaged, and an operator accepted that (probity ledger search --action ledger.accept)\n",
			damagedRows(r.Accepted))
	}
	if compared != "" {
		fmt.Fprintf(e.Out, "  compared with the checkpoint outside the database, %s\n", compared)
	} else if r.Size > 0 {
		fmt.Fprintln(e.Out, "  no checkpoint outside the database was there to compare with: "+
			"an older copy of the whole database would look intact")
	}
	return nil
}

// rows shows progress on a terminal.
func rows(e *term.Env) func(int64) {
	if e.Quiet || !e.Watched() {
		return nil
	}
	return func(n int64) { fmt.Fprintf(e.Err, "\r%d rows", n) }
}

func (c *ledgerVerifyCommand) open(e *term.Env) (*verified, error) {
	if c.Export == "" {
		return c.dataFlag.ledgers(e, c.Provider, c.Verifier)
	}
	v := &verified{close: func() error { return nil }}
	key := c.Verifier
	if key == "" && (c.Data != "" || c.Config != "") {
		from, err := c.dataFlag.ledgers(e, "", "")
		if err != nil {
			return nil, err
		}
		v.keys = from.keys
		if err := from.close(); err != nil {
			return nil, err
		}
	}
	if key == "" && v.keys == nil {
		return nil, errors.New("an export does not contain the key that verifies it: " +
			"give it with --verifier, as probity ledger key printed it, or name the data directory with --data")
	}
	if key != "" {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("--verifier: %w", err)
		}
		v.keys = ledger.Keys{verifier}
	}
	f, err := os.Open(c.Export)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x, err := ledger.ReadExport(f)
	if err != nil {
		return nil, err
	}
	v.history, v.providers = x, []string{x.Provider}
	return v, nil
}

// ledgers opens the ledgers of a data directory: of one provider, or of all that
// the database or the folder outside it knows.
func (f dataFlag) ledgers(e *term.Env, provider, key string) (v *verified, err error) {
	db, err := f.openStore(e)
	if err != nil {
		return nil, err
	}
	v = &verified{history: db, close: db.Close}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if v.outside, err = f.outside(); err != nil {
		return nil, err
	}
	trusted := []string{key}
	if key == "" {
		if trusted, err = rememberedVerifiers(e, db, v.outside); err != nil {
			return nil, err
		}
	}
	records, err := db.CheckpointKeys(e.Ctx)
	if err != nil {
		return nil, err
	}
	if v.keys, err = node.EndorsedKeys(e.Ctx, db, trusted, keys.CheckpointVerifiers(records)); err != nil {
		return nil, err
	}
	// A key that no known key signed over is reported, and verifies nothing.
	if now, ok := keys.CheckpointVerifier(records); ok {
		current, err := note.NewVerifier(now)
		if err != nil || !slices.ContainsFunc(v.keys, func(k note.Verifier) bool {
			return k.KeyHash() == current.KeyHash() && k.Name() == current.Name()
		}) {
			fmt.Fprintf(e.Err, "the checkpoint key in the database is %s, but the service used %s, "+
				"which did not sign it over: the key was exchanged\n", now, trusted[0])
		}
	}
	if v.providers = []string{provider}; provider != "" {
		return v, nil
	}
	v.providers = nil
	heads, err := db.LedgerHeads(context.WithoutCancel(e.Ctx))
	if err != nil {
		return nil, err
	}
	for _, h := range heads {
		v.providers = append(v.providers, h.Provider)
	}
	if v.outside != nil {
		names, err := v.outside.Names()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			// A colon is in the names of files that are no ledger's.
			if !strings.Contains(name, ":") && !slices.Contains(v.providers, name) {
				v.providers = append(v.providers, name)
			}
		}
	}
	return v, nil
}

// outside opens the folder with checkpoints, or returns nil if there is none.
func (f dataFlag) outside() (*anchor.Folder, error) {
	dir, err := f.dir()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, anchor.Dir, node.LedgerFolder)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return node.OutsideOf(dir)
}

// rememberedVerifiers returns the keys that the data directory remembers, else that
// of the database.
func rememberedVerifiers(e *term.Env, db store.Store, outside *anchor.Folder) ([]string, error) {
	if outside != nil {
		b, err := outside.Read(node.CheckpointKeyFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if known := strings.Fields(string(b)); len(known) > 0 {
			return known, nil
		}
	}
	records, err := db.CheckpointKeys(e.Ctx)
	if err != nil {
		return nil, err
	}
	key, ok := keys.CheckpointVerifier(records)
	if !ok {
		return nil, errors.New("the database has no checkpoint key; give the key with --verifier, " +
			"as probity ledger key printed it")
	}
	return []string{key}, nil
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func damagedRows(n int64) string {
	if n == 1 {
		return "1 row is"
	}
	return fmt.Sprintf("%d rows are", n)
}
