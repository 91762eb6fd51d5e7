// Package collateral is the commands about what vendors publish: fetch, list, carry, verify.
package collateral

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/describe"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/wording/phrase"
)

type Commands struct {
	Fetch  fetchCommand  `cmd:"" help:"Fetch collateral from the vendors, verify it, and keep it."`
	List   listCommand   `cmd:"" help:"List the stored collateral, and until when it is valid."`
	Show   showCommand   `cmd:"" help:"Decode one piece."`
	Export exportCommand `cmd:"" help:"Write the stored collateral as a bundle for a site without a network."`
	Import importCommand `cmd:"" help:"Verify a bundle, and store the parts that pass."`
	Verify verifyCommand `cmd:"" help:"Verify a bundle without keeping anything."`
}

// Held says where collateral is kept, and whom to trust: the configuration's fetch settings
// and development roots.
type Held struct{ term.DataFlags }

// Workshop is a plane for one command.
type Workshop struct {
	*collateralcache.Plane
	store store.Store
}

// Close ends the plane and the store.
func (w *Workshop) Close() {
	w.Plane.Close()
	if w.store != nil {
		w.store.Close()
	}
}

// Open opens the plane over the data directory, or, with memory, over nothing.
func (h *Held) Open(e *term.Env, memory bool, at time.Time, edit func(*config.Config)) (*Workshop, error) {
	cfg, err := h.Settings()
	if err != nil {
		return nil, err
	}
	if edit != nil {
		edit(&cfg)
	}
	trust, err := files.Trust(cfg)
	if err != nil {
		return nil, err
	}
	w := &Workshop{}
	if !memory {
		if w.store, err = sqlite.Open(e.Ctx, cfg.DataDir); err != nil {
			return nil, err
		}
	}
	now := time.Now
	if !at.IsZero() {
		now = func() time.Time { return at }
	}
	log := slog.New(slog.NewTextHandler(e.Err,
		&slog.HandlerOptions{Level: slog.LevelError, ReplaceAttr: term.PlainError}))
	w.Plane, err = node.NewPlane(e.Ctx, cfg.Fetch, trust, w.store, nil, now, log)
	if err != nil && w.store != nil {
		w.store.Close()
	}
	return w, err
}

// bundleAt reads a bundle file, or, without a file, what the data directory
// holds.
func (h *Held) bundleAt(e *term.Env, file string) (*collateral.Bundle, error) {
	if file != "" {
		return e.LoadBundle(file)
	}
	cfg, err := h.Settings()
	if err != nil {
		return nil, err
	}
	b, err := files.Stored(e.Ctx, cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no data directory at %s; name it with --data, or name a bundle file", cfg.DataDir)
	}
	return b, err
}

// addIntermediates gives AMD's revocation lists that came alone the known CAs of
// their branches.
func (h *Held) addIntermediates(b *collateral.Bundle) error {
	cfg, err := h.Settings()
	if err != nil {
		return err
	}
	trust, err := files.Trust(cfg)
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

type listCommand struct {
	File string `arg:"" optional:"" help:"Bundle or other collateral instead of the data directory."`
	term.Output
	Held
}

// Run prints a line for each piece.
func (c *listCommand) Run(e *term.Env) error {
	b, err := c.bundleAt(e, c.File)
	if err != nil {
		return err
	}
	items := describe.Items(b)
	if e.JSON {
		return json.MarshalEncode(jsontext.NewEncoder(e.Out, jsontext.WithIndent("  ")), items)
	}
	if len(items) == 0 {
		fmt.Fprintln(e.Out, "no collateral is stored")
		return nil
	}
	printItems(e, items, time.Now())
	return nil
}

func printItems(e *term.Env, items []collateral.Item, now time.Time) {
	width := 0
	for _, item := range items {
		width = max(width, utf8.RuneCountInString(phrase.Shorten(item.Key, 72)))
	}
	for _, item := range items {
		left := "expires in " + phrase.Span(item.NextUpdate.Sub(now))
		if now.After(item.NextUpdate) {
			left = e.UI.Bad("expired " + phrase.Span(now.Sub(item.NextUpdate)) + " ago")
		}
		number := ""
		if item.EvaluationNumber != 0 {
			number = fmt.Sprintf(", evaluation %d", item.EvaluationNumber)
		}
		fmt.Fprintf(e.Out, "%-*s  until %s  %s%s\n", width, phrase.Shorten(item.Key, 72),
			phrase.Stamp(item.NextUpdate), left, number)
	}
}

type showCommand struct {
	Key  string `arg:"" help:"Key of the piece, or the beginning of one, as list prints it."`
	File string `arg:"" optional:"" help:"Bundle or other collateral instead of the data directory."`
	term.Output
	Held
}

// Run decodes the pieces whose key begins so.
func (c *showCommand) Run(e *term.Env) error {
	b, err := c.bundleAt(e, c.File)
	if err != nil {
		return err
	}
	shown := 0
	for _, one := range describe.Apart(b) {
		item := describe.Items(one)[0]
		if !strings.HasPrefix(item.Key, c.Key) {
			continue
		}
		shown++
		f := append(describe.Fields{{Name: "key", Value: item.Key}}, describe.Bundle(one)...)
		if e.JSON {
			if err := json.MarshalEncode(jsontext.NewEncoder(e.Out, jsontext.WithIndent("  ")), f); err != nil {
				return err
			}
			continue
		}
		f.Print(e.Out, e.UI.Bold, "")
	}
	if shown == 0 {
		return fmt.Errorf("no piece whose key begins with %q; probity collateral list shows the keys", c.Key)
	}
	return nil
}

type exportCommand struct {
	File string `arg:"" help:"File to write; - writes standard output."`
	Held
}

// Run writes the bundle.
func (c *exportCommand) Run(e *term.Env) error {
	b, err := c.bundleAt(e, "")
	if err != nil {
		return err
	}
	b = describe.Single(b)
	b.Created = time.Now()
	return writeBundle(e, c.File, b)
}

func writeBundle(e *term.Env, path string, b *collateral.Bundle) error {
	if b.Len() == 0 {
		return errors.New("no collateral is stored, so there is nothing to write")
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
	if !e.Quiet {
		fmt.Fprintf(e.Err, "wrote %d pieces to %s\n", b.Len(), path)
	}
	return nil
}

type importCommand struct {
	File  string `arg:"" help:"${fileHelp}"`
	Older bool   `help:"Let an older release replace a newer one."`
	term.Output
	Held
}

// Run imports the bundle.
func (c *importCommand) Run(e *term.Env) error {
	b, err := e.LoadBundle(c.File)
	if err != nil {
		return err
	}
	if err := c.addIntermediates(b); err != nil {
		return err
	}
	w, err := c.Open(e, false, time.Time{}, nil)
	if err != nil {
		return err
	}
	defer w.Close()
	return printOutcomes(e, c.File, w.Import(e.Ctx, b, c.Older), "kept")
}

type verifyCommand struct {
	File string `arg:"" help:"Bundle or other collateral."`
	At   string `help:"Judge at this time (RFC 3339) instead of now." placeholder:"TIME"`
	term.Output
	Held
}

// Run verifies the bundle.
func (c *verifyCommand) Run(e *term.Env) error {
	b, err := e.LoadBundle(c.File)
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
	w, err := c.Open(e, true, at, nil)
	if err != nil {
		return err
	}
	defer w.Close()
	return printOutcomes(e, c.File, w.Import(e.Ctx, b, true), "verified")
}
