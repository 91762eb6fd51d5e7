package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/wording/plainerror"
)

type collateralCommands struct {
	Fetch  collateralFetchCommand  `cmd:"" help:"Fetch collateral from the vendors, verify it, and keep it."`
	List   collateralListCommand   `cmd:"" help:"List what is held, and until when it is valid."`
	Show   collateralShowCommand   `cmd:"" help:"Decode one piece."`
	Export collateralExportCommand `cmd:"" help:"Write what is held as a bundle for a site without a network."`
	Import collateralImportCommand `cmd:"" help:"Verify a bundle and keep what holds."`
	Verify collateralVerifyCommand `cmd:"" help:"Verify a bundle without keeping anything."`
}

// held says where collateral is kept, and whom to trust.
type held struct {
	Data   string `help:"Data directory of the service; it may be running." default:"probity-data" placeholder:"DIR"`
	Config string `help:"Configuration of the service: its dataDir, fetch and development roots." placeholder:"FILE"`
}

// settings reads the configuration; --data is used unless that names a folder.
func (h *held) settings() (config.Config, error) {
	cfg, err := config.Read(h.Config)
	if cfg.DataDir == "" {
		cfg.DataDir = h.Data
	}
	return cfg, err
}

// workshop is a plane for one command.
type workshop struct {
	*collateralcache.Plane
	store store.Store
}

func (w *workshop) close() {
	w.Close()
	if w.store != nil {
		w.store.Close()
	}
}

// open opens the plane over the data directory, or, with memory, over nothing.
func (h *held) open(e *env, memory bool, at time.Time, edit func(*config.Config)) (*workshop, error) {
	cfg, err := h.settings()
	if err != nil {
		return nil, err
	}
	if edit != nil {
		edit(&cfg)
	}
	trust, err := trustOf(cfg)
	if err != nil {
		return nil, err
	}
	w := &workshop{}
	if !memory {
		if w.store, err = sqlite.Open(e.ctx, cfg.DataDir); err != nil {
			return nil, err
		}
	}
	now := time.Now
	if !at.IsZero() {
		now = func() time.Time { return at }
	}
	log := slog.New(slog.NewTextHandler(e.Err, &slog.HandlerOptions{Level: slog.LevelError, ReplaceAttr: plainAttr}))
	if w.Plane, err = newPlane(e.ctx, cfg.Fetch, trust, w.store, nil, now, log); err != nil && w.store != nil {
		w.store.Close()
	}
	return w, err
}

// storedBundle reads everything that a data directory holds, unverified.
func storedBundle(ctx context.Context, dir string) (*collateral.Bundle, error) {
	if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	records, err := db.Collateral(ctx, "")
	if err != nil {
		return nil, err
	}
	all := &collateral.Bundle{}
	for _, r := range records {
		b, err := collateral.ParseBundle(r.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Key, err)
		}
		all.Add(b)
		if r.Fetched.After(all.Created) {
			all.Created = r.Fetched
		}
	}
	return all, nil
}

// bundleAt reads a bundle file, or, without a file, what the data directory
// holds.
func (h *held) bundleAt(e *env, file string) (*collateral.Bundle, error) {
	if file != "" {
		return e.loadBundle(file)
	}
	cfg, err := h.settings()
	if err != nil {
		return nil, err
	}
	b, err := storedBundle(e.ctx, cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no data directory at %s; name it with --data, or name a bundle file", cfg.DataDir)
	}
	return b, err
}

// addIntermediates gives AMD's revocation lists that came alone the known CAs of
// their branches.
func (h *held) addIntermediates(b *collateral.Bundle) error {
	cfg, err := h.settings()
	if err != nil {
		return err
	}
	trust, err := trustOf(cfg)
	if err != nil {
		return err
	}
	roots := trust.AMD.Roots
	if roots == nil {
		roots = snp.AMDRoots()
	}
	for _, c := range b.AMD {
		if len(c.Chain) == 0 {
			c.Chain = roots.Intermediates(c.AMDQuery)
		}
	}
	return nil
}

type collateralListCommand struct {
	File   string `arg:"" optional:"" help:"Bundle or other collateral instead of the data directory."`
	Format string `help:"Output: text or json." enum:"text,json" default:"text"`
	held
}

// Help gives the examples of the help text.
func (collateralListCommand) Help() string {
	return `Nothing is verified: see probity collateral verify.

Examples:
  probity collateral list
  probity collateral list bundle.json --format json`
}

// Run prints a line for each piece.
func (c *collateralListCommand) Run(e *env) error {
	b, err := c.bundleAt(e, c.File)
	if err != nil {
		return err
	}
	items := describe(b)
	if c.Format == "json" {
		return json.MarshalEncode(jsontext.NewEncoder(e.Out, jsontext.WithIndent("  ")), items)
	}
	if len(items) == 0 {
		fmt.Fprintln(e.Out, "nothing is held")
		return nil
	}
	printItems(e, items, time.Now())
	return nil
}

func printItems(e *env, items []collateral.Item, now time.Time) {
	width := 0
	for _, item := range items {
		width = max(width, utf8.RuneCountInString(shorten(item.Key, 72)))
	}
	for _, item := range items {
		left := "expires in " + span(item.NextUpdate.Sub(now))
		if now.After(item.NextUpdate) {
			left = e.ui.bad("expired " + span(now.Sub(item.NextUpdate)) + " ago")
		}
		number := ""
		if item.EvaluationNumber != 0 {
			number = fmt.Sprintf(", evaluation %d", item.EvaluationNumber)
		}
		fmt.Fprintf(e.Out, "%-*s  until %s  %s%s\n", width, shorten(item.Key, 72), stamp(item.NextUpdate), left, number)
	}
}

type collateralShowCommand struct {
	Key    string `arg:"" help:"Key of the piece, or the beginning of one, as list prints it."`
	File   string `arg:"" optional:"" help:"Bundle or other collateral instead of the data directory."`
	Format string `help:"Output: text or json." enum:"text,json" default:"text"`
	held
}

// Help gives the examples of the help text.
func (collateralShowCommand) Help() string {
	return `Examples:
  probity collateral show amd/vcek/Milan
  probity collateral show intel/TDX bundle.json --format json`
}

// Run decodes the pieces whose key begins so.
func (c *collateralShowCommand) Run(e *env) error {
	b, err := c.bundleAt(e, c.File)
	if err != nil {
		return err
	}
	shown := 0
	for _, one := range apart(b) {
		item := describe(one)[0]
		if !strings.HasPrefix(item.Key, c.Key) {
			continue
		}
		shown++
		f := append(fields{{"key", item.Key}}, bundleFields(one)...)
		if c.Format == "json" {
			if err := json.MarshalEncode(jsontext.NewEncoder(e.Out, jsontext.WithIndent("  ")), f); err != nil {
				return err
			}
			continue
		}
		f.print(e.Out, e.ui, "")
	}
	if shown == 0 {
		return fmt.Errorf("no piece whose key begins with %q; probity collateral list shows the keys", c.Key)
	}
	return nil
}

type collateralExportCommand struct {
	File string `arg:"" help:"File to write; - writes standard output."`
	held
}

// Help gives the examples of the help text.
func (collateralExportCommand) Help() string {
	return `The bundle holds the pieces as their vendors signed them, for any mix of vendors. Carry it to the other site and import it there: every piece is verified again.

Examples:
  probity collateral export bundle.json --data /var/lib/probity`
}

// Run writes the bundle.
func (c *collateralExportCommand) Run(e *env) error {
	b, err := c.bundleAt(e, "")
	if err != nil {
		return err
	}
	b = single(b)
	b.Created = time.Now()
	return e.writeBundle(c.File, b)
}

func (e *env) writeBundle(path string, b *collateral.Bundle) error {
	if b.Len() == 0 {
		return errors.New("nothing is held, so there is nothing to write")
	}
	text, err := b.Marshal()
	if err != nil {
		return err
	}
	if path == "-" {
		_, err = e.Out.Write(append(text, '\n'))
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return err
	}
	if !e.quiet {
		fmt.Fprintf(e.Err, "wrote %d pieces to %s\n", b.Len(), path)
	}
	return nil
}

type collateralImportCommand struct {
	File  string `arg:"" help:"Bundle, or other collateral: a JSON set, responses of Intel's service, platform_collaterals.json, Open Enclave endorsements, AMD's revocation list, or a folder of these."`
	Older bool   `help:"Let an older release replace a newer one."`
	held
}

// Help gives the examples of the help text.
func (collateralImportCommand) Help() string {
	return `Every signature, window and revocation in the bundle is checked up to the vendors' roots before a piece is kept; what does not hold changes nothing. A running service takes it over within a minute. Exit code 1 if a piece was refused.

Examples:
  probity collateral import bundle.json --data /var/lib/probity`
}

// Run imports the bundle.
func (c *collateralImportCommand) Run(e *env) error {
	b, err := e.loadBundle(c.File)
	if err != nil {
		return err
	}
	if err := c.addIntermediates(b); err != nil {
		return err
	}
	w, err := c.open(e, false, time.Time{}, nil)
	if err != nil {
		return err
	}
	defer w.close()
	return e.report(c.File, w.Import(e.ctx, b, c.Older), "kept")
}

type collateralVerifyCommand struct {
	File string `arg:"" help:"Bundle or other collateral."`
	At   string `help:"Judge at this time (RFC 3339) instead of now." placeholder:"TIME"`
	held
}

// Help gives the examples of the help text.
func (collateralVerifyCommand) Help() string {
	return `Exit code 0: every piece holds; 1: one does not.

Examples:
  probity collateral verify bundle.json
  probity collateral verify bundle.json --at 2026-12-24T00:00:00Z`
}

// Run verifies the bundle.
func (c *collateralVerifyCommand) Run(e *env) error {
	b, err := e.loadBundle(c.File)
	if err != nil {
		return err
	}
	var at time.Time
	if c.At != "" {
		if at, err = time.Parse(time.RFC3339, c.At); err != nil {
			return fmt.Errorf("--at: %q is not a time such as 2025-06-11T19:18:17Z", c.At)
		}
	}
	if err := c.addIntermediates(b); err != nil {
		return err
	}
	w, err := c.open(e, true, at, nil)
	if err != nil {
		return err
	}
	defer w.close()
	return e.report(c.File, w.Import(e.ctx, b, true), "holds")
}

// report prints what became of each piece, and where a folder held it.
func (e *env) report(path string, outcomes []collateralcache.Outcome, word string) error {
	bad := 0
	for _, out := range outcomes {
		from := ""
		if out.File != "" && out.File != path {
			from = "  (" + out.File + ")"
		}
		if out.Err != nil {
			bad++
			fmt.Fprintf(e.Out, "%s %s%s\n    %s\n", e.ui.bad("✗"), out.Item.Key, from, plainerror.Text(out.Err))
			continue
		}
		fmt.Fprintf(e.Out, "%s %s  %s until %s%s\n", e.ui.good("✓"), out.Item.Key, word, stamp(out.Item.NextUpdate), from)
	}
	if len(outcomes) == 0 {
		return errors.New("the bundle is empty")
	}
	if bad > 0 {
		fmt.Fprintf(e.Out, "%d of %d pieces failed verification\n", bad, len(outcomes))
		return exit(exitNo)
	}
	return nil
}
