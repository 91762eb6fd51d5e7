package manage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/wording/phrase"
	"github.com/probity-dev/probity/wording/plainerror"
)

type LedgerCommands struct {
	Tail      ledgerTailCommand      `cmd:"" help:"Show the last entries; with --follow also new ones."`
	Search    ledgerSearchCommand    `cmd:"" help:"Find decisions and changes."`
	Verify    ledgerVerifyCommand    `cmd:"" help:"Check ledgers: every row, the chain of hashes, every checkpoint."`
	Accept    ledgerAcceptCommand    `cmd:"" help:"Go on with the history as it is, after a backup was restored."`
	Export    ledgerExportCommand    `cmd:"" help:"Write a ledger as NDJSON, which verify reads."`
	Key       ledgerKeyCommand       `cmd:"" help:"Print the newest checkpoint, and the key that verifies it, to keep them elsewhere."`
	RotateKey ledgerRotateKeyCommand `cmd:"" help:"Make a new key for checkpoints, which the old one signs over."`
	Prove     ledgerProveCommand     `cmd:"" help:"Print the proof that an entry is in the ledger, and check it."`
}

type ledgerFlags struct {
	remote.Flags
	remote.ProviderFlag
}

// show prints an entry in one line.
func show(e *term.Env, text []byte) error {
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
				parts = append(parts, p[0]+phrase.Shorten(p[1], 40))
			}
		}
	case ledger.Release:
		parts = append(parts, entry.Outcome, entry.Subject, "by "+entry.By)
		for _, text := range []string{entry.Check, entry.Details["reason"]} {
			if text != "" {
				parts = append(parts, phrase.Shorten(text, 120))
			}
		}
	case ledger.Change:
		parts = append(parts, entry.Action, entry.Subject, "by "+entry.By)
	case ledger.Loss:
		parts = append(parts, fmt.Sprintf("%d decisions could not be recorded", entry.Lost))
	case ledger.Withheld:
		parts = append(parts, "token "+phrase.Shorten(entry.Token, 40), entry.Reason)
	}
	_, err = fmt.Fprintf(e.Out, "%8d  %s  %-8s  %s\n", entry.Seq, entry.Time.UTC().Format(time.RFC3339),
		entry.Type, strings.Join(parts, "  "))
	return err
}

type ledgerTailCommand struct {
	ledgerFlags
	N      int  `help:"How many entries; by default 20." short:"n" default:"20" placeholder:"N"`
	Follow bool `help:"Wait for new entries and show them." short:"f"`
}

// Run shows the end of a ledger.
func (c *ledgerTailCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	query := map[string]string{"last": strconv.Itoa(c.N), "limit": "1000"}
	away := false
	for {
		page, err := api.Ledger(e.Ctx, query)
		if err != nil {
			if !c.Follow || !passes(err) {
				return remote.Refused(e, err)
			}
			if !away {
				fmt.Fprintf(e.Err, "the service does not answer; trying again: %v\n", err)
			}
			if away = true; !pause(e.Ctx, followAgain) {
				return nil
			}
			continue
		}
		away = false
		for _, text := range page.Value {
			if e.JSON {
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
		if page.Next == nil && !pause(e.Ctx, time.Second) {
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
	Type     string `help:"decision, change, release, loss or withheld." placeholder:"TYPE"`
	Kind     string `help:"Attestation type." placeholder:"KIND"`
	Outcome  string `help:"accepted or refused." placeholder:"OUTCOME"`
	Check    string `help:"The check that failed, for instance dcap.tcb.status." placeholder:"ID"`
	Evidence string `help:"SHA-256 of the evidence, in hex." placeholder:"HEX"`
	TokenID  string `name:"token-id" help:"The token's jti." placeholder:"ID"`
	By       string `help:"The caller." placeholder:"NAME"`
	Action   string `help:"What was changed, for instance policy.set." placeholder:"ACTION"`
	Request  string `help:"The id that the service gave the request." placeholder:"ID"`
	From     int64  `help:"Row to begin with." placeholder:"N"`
}

// Run finds entries.
func (c *ledgerSearchCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	found := 0
	for from := c.From; ; {
		page, err := api.Ledger(e.Ctx, map[string]string{"from": strconv.FormatInt(from,
			10), "limit": "1000", "type": c.Type, "kind": c.Kind, "outcome": c.Outcome, "check": c.Check,
			"evidence": c.Evidence, "token": c.TokenID, "by": c.By, "action": c.Action, "request": c.Request})
		if err != nil {
			return remote.Refused(e, err)
		}
		for _, text := range page.Value {
			found++
			if e.JSON {
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
		fmt.Fprintln(e.Err, "no entry matches")
		return term.Exit(term.No)
	}
	return nil
}

type ledgerExportCommand struct {
	remote.Connection
	remote.ProviderFlag
}

// Run writes the ledger.
func (c *ledgerExportCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	if err := api.ExportLedger(e.Ctx, e.Out); err != nil {
		return remote.Refused(e, err)
	}
	return nil
}

type ledgerKeyCommand struct{ ledgerFlags }

// Run prints verifier and checkpoint.
func (c *ledgerKeyCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	p, err := api.Checkpoint(e.Ctx)
	if err != nil {
		return remote.Refused(e, err)
	}
	if e.JSON {
		return term.PrintJSON(e.Out, p)
	}
	fmt.Fprintln(e.Err, p.Verifier)
	fmt.Fprint(e.Out, p.Checkpoint)
	if p.Cosigned != "" {
		fmt.Fprintf(e.Err, "the witness cosigned the first %s:\n%s", entries(p.CosignedSize), p.Cosigned)
	}
	return nil
}

type ledgerProveCommand struct {
	ledgerFlags
	Seq int64 `arg:"" help:"Number of the entry."`
}

// Run prints and checks a proof.
func (c *ledgerProveCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	text, err := api.Proof(e.Ctx, c.Seq)
	if err != nil {
		return remote.Refused(e, err)
	}
	key, err := api.Checkpoint(e.Ctx)
	if err != nil {
		return remote.Refused(e, err)
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
		answer := map[string]string{"verdict": term.VerdictRejected, "message": plainerror.Text(err)}
		return errors.Join(e.Answer(answer, "%s: %v\n", e.UI.Bold("refused"), err), term.Exit(term.No))
	}
	checkpoint, err := ledger.OpenCheckpoint(p.Checkpoint, verifier)
	if err != nil {
		return err
	}
	return e.Answer(text, "%s  entry %d is in %s, among the first %s\n", e.UI.Good("proven"), p.Seq,
		checkpoint.Origin, entries(checkpoint.Size))
}
