package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/term"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/signing"
	"github.com/probity-dev/probity/internal/store"
)

type ledgerCommands struct {
	Tail   ledgerTailCommand   `cmd:"" help:"Show the last entries, and go on with those to come."`
	Search ledgerSearchCommand `cmd:"" help:"Find decisions and changes."`
	Verify ledgerVerifyCommand `cmd:"" help:"Check a ledger whole: every row, the chain, every checkpoint."`
	Export ledgerExportCommand `cmd:"" help:"Write a ledger as NDJSON, which verify reads."`
	Key    ledgerKeyCommand    `cmd:"" help:"Print what verifies checkpoints, and the newest checkpoint: keep it elsewhere."`
	Prove  ledgerProveCommand  `cmd:"" help:"Print the proof that an entry is in the ledger, and check it."`
}

type ledgerFlags struct {
	manageFlags
	providerFlag
}

// show prints an entry in one line.
func show(e *env, text []byte) error {
	entry, err := ledger.Parse(text)
	if err != nil {
		return err
	}
	var parts []string
	switch entry.Type {
	case ledger.Decision:
		parts = append(parts, entry.Outcome, entry.Kind)
		for _, p := range [][2]string{{"", entry.Check}, {"evidence ", entry.Evidence}, {"token ", entry.Token}} {
			if p[1] != "" {
				parts = append(parts, p[0]+shorten(p[1], 40))
			}
		}
	case ledger.Change:
		parts = append(parts, entry.Action, entry.Subject, "by "+entry.By)
	case ledger.Loss:
		parts = append(parts, fmt.Sprintf("%d decisions were lost", entry.Lost))
	}
	_, err = fmt.Fprintf(e.Out, "%8d  %s  %-8s  %s\n", entry.Seq, entry.Time.UTC().Format(time.RFC3339), entry.Type, strings.Join(parts, "  "))
	return err
}

type ledgerTailCommand struct {
	ledgerFlags
	N      int  `help:"How many entries." short:"n" default:"20" placeholder:"N"`
	Follow bool `help:"Go on with those to come." short:"f"`
}

// Run shows the end of a ledger.
func (c *ledgerTailCommand) Run(e *env) error {
	api, err := c.at(c.providerFlag)
	if err != nil {
		return err
	}
	query := map[string]string{"last": strconv.Itoa(c.N), "limit": "1000"}
	away := false
	for {
		page, err := api.Ledger(e.ctx, query)
		if err != nil {
			if !c.Follow || !passes(err) {
				return refusedBy(e, err)
			}
			if !away {
				fmt.Fprintf(e.Err, "the service does not answer now, and is asked again: %v\n", err)
			}
			if away = true; !pause(e.ctx, followAgain) {
				return nil
			}
			continue
		}
		away = false
		for _, text := range page.Value {
			if c.JSON {
				fmt.Fprintln(e.Out, string(text))
			} else if err := show(e, text); err != nil {
				return err
			}
		}
		next := page.Size
		if page.Next != nil {
			next = *page.Next
		} else if !c.Follow {
			return nil
		}
		query = map[string]string{"from": strconv.FormatInt(next, 10), "limit": "1000"}
		if page.Next == nil && !pause(e.ctx, time.Second) {
			return nil
		}
	}
}

// followAgain is how long after a failure a ledger that is followed is asked for
// again.
const followAgain = 2 * time.Second

// passes reports whether a failure may pass by itself: the service is busy, fails, or
// cannot be reached.
func passes(err error) bool {
	var answer *client.Error
	return !errors.As(err, &answer) || answer.Status == http.StatusTooManyRequests || answer.Status >= 500
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

type ledgerSearchCommand struct {
	ledgerFlags
	Type     string `help:"decision, change or loss." placeholder:"TYPE"`
	Kind     string `help:"Attestation type." placeholder:"KIND"`
	Outcome  string `help:"accepted or refused." placeholder:"OUTCOME"`
	Check    string `help:"The check that failed, for instance dcap.tcb.status." placeholder:"ID"`
	Evidence string `help:"SHA-256 of the evidence, in hex." placeholder:"HEX"`
	TokenID  string `name:"token-id" help:"The token's jti." placeholder:"ID"`
	By       string `help:"The caller." placeholder:"NAME"`
	Action   string `help:"What was changed, for instance policy.set." placeholder:"ACTION"`
	Request  string `help:"The request's id." placeholder:"ID"`
	From     int64  `help:"Row to begin with." placeholder:"N"`
}

// Help gives the examples of the help text.
func (ledgerSearchCommand) Help() string {
	return `Examples:
  probity ledger search --outcome refused --check dcap.tcb.status
  probity ledger search --type change --provider team-a`
}

// Run finds entries.
func (c *ledgerSearchCommand) Run(e *env) error {
	api, err := c.at(c.providerFlag)
	if err != nil {
		return err
	}
	found := 0
	for from := c.From; ; {
		page, err := api.Ledger(e.ctx, map[string]string{"from": strconv.FormatInt(from, 10), "limit": "1000", "type": c.Type, "kind": c.Kind, "outcome": c.Outcome, "check": c.Check,
			"evidence": c.Evidence, "token": c.TokenID, "by": c.By, "action": c.Action, "request": c.Request})
		if err != nil {
			return refusedBy(e, err)
		}
		for _, text := range page.Value {
			found++
			if c.JSON {
				fmt.Fprintln(e.Out, string(text))
			} else if err := show(e, text); err != nil {
				return err
			}
		}
		if page.Next == nil {
			break
		}
		from = *page.Next
	}
	if found == 0 {
		fmt.Fprintln(e.Err, "nothing matches")
		return exit(exitNo)
	}
	return nil
}

type ledgerExportCommand struct{ ledgerFlags }

// Run writes the ledger.
func (c *ledgerExportCommand) Run(e *env) error {
	api, err := c.at(c.providerFlag)
	if err != nil {
		return err
	}
	if err := api.ExportLedger(e.ctx, e.Out); err != nil {
		return refusedBy(e, err)
	}
	return nil
}

type ledgerKeyCommand struct{ ledgerFlags }

// Run prints verifier and checkpoint.
func (c *ledgerKeyCommand) Run(e *env) error {
	api, err := c.at(c.providerFlag)
	if err != nil {
		return err
	}
	p, err := api.Checkpoint(e.ctx)
	if err != nil {
		return refusedBy(e, err)
	}
	fmt.Fprintln(e.Err, p.Verifier)
	fmt.Fprint(e.Out, p.Checkpoint)
	return nil
}

type ledgerProveCommand struct {
	ledgerFlags
	Seq int64 `arg:"" help:"Number of the entry."`
}

// Run prints and checks a proof.
func (c *ledgerProveCommand) Run(e *env) error {
	api, err := c.at(c.providerFlag)
	if err != nil {
		return err
	}
	text, err := api.Proof(e.ctx, c.Seq)
	if err != nil {
		return refusedBy(e, err)
	}
	key, err := api.Checkpoint(e.ctx)
	if err != nil {
		return refusedBy(e, err)
	}
	verifier, err := note.NewVerifier(key.Verifier)
	if err != nil {
		return err
	}
	var p ledger.Proof
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	if err := p.Check(verifier); err != nil {
		fmt.Fprintf(e.Out, "%s: %v\n", e.ui.bold("refused"), err)
		return exit(exitNo)
	}
	return printJSON(e.Out, text)
}

type ledgerVerifyCommand struct {
	dataFlag
	Provider   string   `help:"Attestation provider; by default all that the database has a ledger of." placeholder:"NAME"`
	Export     string   `help:"Verify this export instead of a database." placeholder:"FILE"`
	Verifier   string   `help:"What verifies checkpoints, as ledger key prints it; by default that of the database." placeholder:"KEY"`
	From       string   `name:"verifier-from" help:"Data directory whose key verifies the checkpoints of an export." placeholder:"DIR"`
	Checkpoint []string `help:"Files with checkpoints that were kept elsewhere." placeholder:"FILE"`
	JSON       bool     `name:"json" help:"Answer in JSON."`
}

// Help gives the examples of the help text.
func (ledgerVerifyCommand) Help() string {
	return `Reads a database, or a copy of one, or an export; changes nothing that was recorded. Exit code 0: whole; 1: not, with every row that is wrong; 2: could not tell.

A checkpoint kept elsewhere convicts even those who hold both the database and its key.

Examples:
  probity ledger verify --data-dir /var/lib/probity
  probity ledger verify --export ledger.ndjson --verifier "$KEY" --checkpoint kept.txt`
}

// Run verifies ledgers.
func (c *ledgerVerifyCommand) Run(e *env) error {
	var kept []string
	for _, file := range c.Checkpoint {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		kept = append(kept, string(b))
	}
	history, providers, key, err := c.open(e)
	if err != nil {
		return err
	}
	if closer, ok := history.(interface{ Close() error }); ok {
		defer closer.Close()
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return fmt.Errorf("--verifier: %w", err)
	}
	whole := true
	for _, provider := range providers {
		r, err := ledger.Verify(e.ctx, history, provider, ledger.Keys{verifier}, kept, e.rows())
		if err != nil {
			return err
		}
		whole = whole && len(r.Problems) == 0
		if c.JSON {
			err = printJSON(e.Out, r)
		} else {
			c.report(e, r)
		}
		if err != nil {
			return err
		}
	}
	if !whole {
		return exit(exitNo)
	}
	return nil
}

func (c *ledgerVerifyCommand) report(e *env, r *ledger.Report) {
	if len(r.Problems) == 0 {
		fmt.Fprintf(e.Out, "%s  %s: %s, %s, signed up to entry %d, root %s\n", e.ui.bold("whole"), r.Provider, entries(r.Size), plural(r.Checkpoints, "checkpoint"), r.Covered, r.Root)
		if r.Forgotten > 0 {
			fmt.Fprintf(e.Out, "  the text of the first %d entries was removed; compare with the provider's ledgerRetentionDays\n", r.Forgotten)
		}
		return
	}
	fmt.Fprintf(e.Out, "%s  %s: %s, %s\n", e.ui.bold("not whole"), r.Provider, entries(r.Size), plural(len(r.Problems), "problem"))
	for _, p := range r.Problems {
		fmt.Fprintf(e.Out, "  %-18s  %8d  %s\n", p.Check, p.Seq, p.Message)
	}
}

// rows shows progress on a terminal.
func (e *env) rows() func(int64) {
	if f, ok := e.Err.(*os.File); e.quiet || !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return func(n int64) { fmt.Fprintf(e.Err, "\r%d rows", n) }
}

func (c *ledgerVerifyCommand) open(e *env) (ledger.History, []string, string, error) {
	if c.Export != "" {
		key := c.Verifier
		if key == "" && c.From != "" {
			var err error
			if key, err = (dataFlag{DataDir: c.From}).verifier(e); err != nil {
				return nil, nil, "", err
			}
		}
		if key == "" {
			return nil, nil, "", errors.New("an export says nothing about its key: name it with --verifier, as probity ledger key printed it, or --verifier-from")
		}
		f, err := os.Open(c.Export)
		if err != nil {
			return nil, nil, "", err
		}
		defer f.Close()
		x, err := ledger.ReadExport(f)
		if err != nil {
			return nil, nil, "", err
		}
		return x, []string{x.Provider}, key, nil
	}
	db, err := c.openStore(e)
	if err != nil {
		return nil, nil, "", err
	}
	key := c.Verifier
	if key == "" {
		if key, err = storedVerifier(e, db); err != nil {
			return nil, nil, "", errors.Join(err, db.Close())
		}
	}
	providers := []string{c.Provider}
	if c.Provider == "" {
		heads, err := db.LedgerHeads(context.WithoutCancel(e.ctx))
		if err != nil {
			return nil, nil, "", errors.Join(err, db.Close())
		}
		providers = nil
		for _, h := range heads {
			providers = append(providers, h.Provider)
		}
	}
	return db, providers, key, nil
}

// verifier reads what verifies checkpoints from a database.
func (f dataFlag) verifier(e *env) (string, error) {
	db, err := f.openStore(e)
	if err != nil {
		return "", err
	}
	defer db.Close()
	return storedVerifier(e, db)
}

func storedVerifier(e *env, db store.Store) (string, error) {
	records, err := db.SigningKeys(e.ctx)
	if err != nil {
		return "", err
	}
	key, ok := signing.CheckpointVerifier(records)
	if !ok {
		return "", errors.New("the database has no checkpoint key")
	}
	return key, nil
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
