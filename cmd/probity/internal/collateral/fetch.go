package collateral

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/kds"
	"github.com/probity-dev/probity/collateral/pcs"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/wording/plainerror"
)

type fetchCommand struct {
	Evidence []string `help:"Fetch what this evidence needs: an SGX or TDX quote, or an SEV-SNP report." placeholder:"FILE"`
	FMSPC    string   `name:"fmspc" help:"Fetch for Intel platforms of this FMSPC (12 hex digits)." placeholder:"HEX"`
	TEE      string   `name:"tee" help:"SGX or TDX, with --fmspc." enum:"SGX,TDX" default:"TDX"`
	CA       string   `name:"pck-ca" help:"${pckCAHelp}" enum:"platform,processor" default:"platform"`
	Number   uint32   `help:"TCB evaluation data number, instead of the newest." placeholder:"N"`
	AMD      []string `name:"amd" help:"Fetch CAs and revocation lists of these product lines: Milan, Genoa, Turin." placeholder:"LINE"`
	Numbers  bool     `help:"List the TCB evaluation data numbers that Intel's service offers, and fetch nothing."`
	IntelURL string   `help:"Intel's service or a PCCS." placeholder:"URL"`
	AMDURL   string   `name:"amd-url" help:"AMD's service or a mirror." placeholder:"URL"`
	TLSCA    string   `name:"tls-ca" help:"PEM file with the CAs of the TLS certificate of Intel's service, for a PCCS." placeholder:"FILE"`
	Update   string   `help:"standard or early; empty leaves it to the service." enum:",standard,early" default:""`
	Out      string   `help:"Write a bundle to this file instead of keeping it in the data directory." placeholder:"FILE"`
	term.Output
	Held
}

// wish is one thing to fetch.
type wish struct {
	name  string
	fetch func(context.Context, collateral.Source) error
}

// Run fetches, verifies and keeps.
func (c *fetchCommand) Run(e *term.Env) error {
	if c.Numbers {
		return c.numbers(e)
	}
	wishes, err := c.wishes(e)
	if err != nil {
		return err
	}
	if len(wishes) == 0 {
		return errors.New("nothing to fetch; name --evidence, --fmspc or --amd")
	}
	if e.JSON && c.Out == "-" {
		return term.Usage("--out - writes the bundle where --format json writes the answer; name a file")
	}
	w, err := c.Open(e, c.Out != "", time.Time{}, c.services)
	if err != nil {
		return err
	}
	defer w.Close()
	answer := fetched{Stored: []collateral.Item{}, Failed: []failure{}}
	for i, wish := range wishes {
		if !e.Quiet {
			fmt.Fprintf(e.Err, "[%d/%d] %s\n", i+1, len(wishes), wish.name)
		}
		if err := wish.fetch(e.Ctx, w); err != nil {
			answer.Failed = append(answer.Failed, failure{wish.name, plainerror.Text(err)})
			if !e.JSON {
				printFailure(e, wish.name, err)
			}
		}
	}
	if answer.Stored = append(answer.Stored, w.List()...); !e.JSON {
		printItems(e, answer.Stored, time.Now())
	}
	if c.Out != "" && len(answer.Failed) < len(wishes) {
		b, err := w.Export(e.Ctx)
		if err != nil {
			return err
		}
		if err := writeBundle(e, c.Out, b); err != nil {
			return err
		}
	}
	if e.JSON {
		if err := term.PrintJSON(e.Out, answer); err != nil {
			return err
		}
	}
	if len(answer.Failed) > 0 {
		return term.Exit(term.No)
	}
	return nil
}

// services fills in whom to ask: the flags, the configuration, the vendors.
func (c *fetchCommand) services(cfg *config.Config) {
	set := func(s *string, values ...string) {
		for _, value := range values {
			if value != "" {
				*s = value
				return
			}
		}
	}
	set(&cfg.Fetch.Intel.URL, c.IntelURL, cfg.Fetch.Intel.URL, pcs.IntelURL)
	set(&cfg.Fetch.AMD.URL, c.AMDURL, cfg.Fetch.AMD.URL, kds.AMDURL)
	set(&cfg.Fetch.Intel.CA, c.TLSCA, cfg.Fetch.Intel.CA)
	set(&cfg.Fetch.Intel.Update, c.Update, cfg.Fetch.Intel.Update)
}

func (c *fetchCommand) wishes(e *term.Env) (list []wish, err error) {
	if c.FMSPC != "" {
		raw, err := hex.DecodeString(c.FMSPC)
		if err != nil || len(raw) != 6 {
			return nil, fmt.Errorf("--fmspc: %q is not 12 hex digits", c.FMSPC)
		}
		list = append(list, wishIntel(collateral.Query{
			TEE: collateral.TEE(c.TEE), FMSPC: [6]byte(raw), CA: c.CA, EvaluationNumber: c.Number,
		}))
	}
	for _, name := range c.AMD {
		at := slices.IndexFunc(snp.Lines(), func(l snp.Line) bool { return strings.EqualFold(string(l), name) })
		if at < 0 {
			return nil, fmt.Errorf("--amd: unknown line %q; want Milan, Genoa or Turin", name)
		}
		for _, vlek := range []bool{false, true} {
			list = append(list, wishAMD(collateral.AMDQuery{Line: string(snp.Lines()[at]), VLEK: vlek}))
		}
	}
	for _, path := range c.Evidence {
		b, err := e.Evidence(path, "")
		if err != nil {
			return nil, err
		}
		more, err := c.needs(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, more...)
	}
	return list, nil
}

// needs tells what a piece of evidence needs.
func (c *fetchCommand) needs(b []byte) ([]wish, error) {
	if q, err := dcap.ParseQuote(b); err == nil {
		pck, err := dcap.InspectPCK(q.CertificationData)
		if err != nil {
			return nil, fmt.Errorf("the quote names no platform: %w", err)
		}
		tee := collateral.SGX
		if q.TEEType == dcap.TEETypeTDX {
			tee = collateral.TDX
		}
		ca := "platform"
		if pck.Platform == nil {
			ca = "processor"
		}
		return []wish{
			wishIntel(collateral.Query{TEE: tee, FMSPC: pck.FMSPC, CA: ca, EvaluationNumber: c.Number}),
		}, nil
	}
	framed, err := snp.Frame(b)
	if err != nil {
		return nil, errors.New("neither an SGX or TDX quote nor an SEV-SNP report")
	}
	needs, err := snp.Needs(framed)
	if err != nil {
		return nil, err
	}
	var list []wish
	for _, q := range needs.Published {
		list = append(list, wishAMD(q))
	}
	for _, q := range needs.VCEK {
		list = append(list, wish{
			"VCEK " + q.String(),
			func(ctx context.Context, s collateral.Source) error { _, err := s.VCEK(ctx, q); return err },
		})
	}
	return list, nil
}

func wishIntel(q collateral.Query) wish {
	return wish{
		"Intel: " + q.String(),
		func(ctx context.Context, s collateral.Source) error { _, err := s.Intel(ctx, q); return err },
	}
}

func wishAMD(q collateral.AMDQuery) wish {
	return wish{"AMD: CAs and revocation list of " + q.Line + " (" + q.Branch() + ")",
		func(ctx context.Context, s collateral.Source) error { _, err := s.AMD(ctx, q); return err }}
}

// numbers lists the evaluation data numbers on offer.
func (c *fetchCommand) numbers(e *term.Env) error {
	cfg, err := c.Settings()
	if err != nil {
		return err
	}
	c.services(&cfg)
	transport, err := node.TransportFor(cfg.Fetch.Intel.CA)
	if err != nil {
		return fmt.Errorf("--tls-ca: %w", err)
	}
	client, err := pcs.New(pcs.Config{
		URL:       cfg.Fetch.Intel.URL,
		Version:   cfg.Fetch.Intel.Version,
		Transport: transport,
	})
	if err != nil {
		return err
	}
	list, err := client.EvaluationNumbers(e.Ctx, collateral.TEE(c.TEE))
	if err != nil {
		return err
	}
	if e.JSON {
		return term.PrintJSON(e.Out, list)
	}
	for _, n := range list {
		fmt.Fprintf(e.Out, "%d  TCB of %s, recovery event of %s\n", n.Number, n.Date.Format(time.DateOnly),
			n.Recovery.Format(time.DateOnly))
	}
	return nil
}
