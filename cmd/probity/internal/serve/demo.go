package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/phrase"
)

const demoAddress = "localhost:8443"

type DemoCommand struct {
	Listen  string `help:"Address to listen on; by default localhost:8443, or a free port if that is taken." placeholder:"HOST:PORT"`
	Data    string `help:"Folder for the demonstration's files." default:"probity-demo" placeholder:"DIR"`
	Release bool   `help:"Show how a key is released to an attested machine, and refused to one that booted something else."`
	Once    bool   `help:"End after it was shown instead of staying up."`
}

// story is what a demonstration makes, and tells once a service runs.
type story interface {
	// configure adds what the service must trust.
	configure(cfg *config.Config) error
	play(e *term.Env, cfg config.Config) error
}

// enclaveStory attests an SGX enclave.
type enclaveStory struct {
	c    *DemoCommand
	made *scene
}

func (s *enclaveStory) configure(cfg *config.Config) error {
	cfg.Collateral = []string{s.made.collateralFile}
	cfg.Development.IntelRoot = s.made.rootFile
	return nil
}

func (s *enclaveStory) play(e *term.Env, cfg config.Config) error { return s.c.play(e, cfg, s.made) }

// story makes what the demonstration is about.
func (c *DemoCommand) story(now time.Time) (story, error) {
	if c.Release {
		return newReleaseStory(c.Data, now)
	}
	made, err := makeScene(c.Data, now)
	return &enclaveStory{c, made}, err
}

// scene is what the demonstration made.
type scene struct {
	quote, runtimeData []byte
	collateralFile     string
	rootFile           string
}

// Run plays the demonstration.
func (c *DemoCommand) Run(e *term.Env) error {
	dir := c.Data
	fmt.Fprintf(e.Out, "%s · embedded store in %s · a test root instead of the vendor's (not for production)\n\n",
		e.UI.Bold("probity demo"), dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tale, err := c.story(time.Now())
	if err != nil {
		return err
	}
	address, err := c.address()
	if err != nil {
		return err
	}
	cfg := config.Config{Listen: address, DataDir: dir}
	if err := tale.configure(&cfg); err != nil {
		return err
	}
	if err := cfg.Complete(true); err != nil {
		return err
	}
	cfg.Limits.Drain = 0
	log := slog.New(slog.DiscardHandler) // the demonstration speaks for itself
	s, err := node.Open(e.Ctx, cfg, true, log)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, stop := context.WithCancel(e.Ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	err = tale.play(e, cfg)
	if err != nil || c.Once {
		stop()
	} else {
		fmt.Fprintf(e.Out, "\nCtrl-C stops the service; its data stay in %s.\n", dir)
	}
	return errors.Join(err, <-done)
}

// address returns the address asked for, or the usual one, or, if another
// program has that, a free one.
func (c *DemoCommand) address() (string, error) {
	if c.Listen != "" {
		return c.Listen, nil
	}
	for _, try := range []string{demoAddress, "localhost:0"} {
		l, err := net.Listen("tcp", try)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return "", node.AddressError(try, err)
		}
		_, port, err := net.SplitHostPort(l.Addr().String())
		if closeErr := l.Close(); err == nil {
			err = closeErr
		}
		return net.JoinHostPort("localhost", port), err
	}
	return "", node.AddressError(demoAddress, syscall.EADDRINUSE)
}

// makeScene makes a test hierarchy, a machine with an enclave, and collateral,
// and leaves them as files to play with.
func makeScene(dir string, now time.Time) (*scene, error) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	machine := pki.Platform(evidencetest.HealthyPlatform())
	enclave := evidencetest.DemoEnclave()
	runtimeData := []byte(`{"purpose":"demonstration","greeting":"these bytes are bound by the quote"}`)
	enclave.ReportData = evidencetest.BindData(runtimeData)
	s := &scene{quote: machine.Quote(evidencetest.QuoteConfig{Enclave: enclave}), runtimeData: runtimeData,
		collateralFile: filepath.Join(dir, "collateral.json"), rootFile: filepath.Join(dir, "root.pem")}
	set, err := pki.Collateral(machine,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}).Marshal()
	if err != nil {
		return nil, err
	}
	return s, errors.Join(
		os.WriteFile(s.collateralFile, set, 0o644),
		os.WriteFile(s.rootFile, pki.Root.PEM(), 0o644),
		os.WriteFile(filepath.Join(dir, "quote.bin"), s.quote, 0o644),
		os.WriteFile(filepath.Join(dir, "runtime-data.json"), runtimeData, 0o644))
}

// play attests the enclave and tells the story.
func (c *DemoCommand) play(e *term.Env, cfg config.Config, made *scene) error {
	verdict, err := explain(e.Ctx, made)
	if err != nil {
		return err
	}
	mrenclave, _ := verdict.Claims.Get("x-ms-sgx-mrenclave")
	text, _ := mrenclave.Text()
	fmt.Fprintf(e.Out,
		"1  a simulated SGX enclave makes a quote (mrenclave %s…, not debuggable)\n2  it attests at %s\n\n",
		text[:8], cfg.URL)
	e.UI.Checks(e.Out, "   ", verdict.Checks)

	caFile := filepath.Join(c.Data, edge.DevCAFile)
	pool, err := files.CertPool(caFile)
	if err != nil {
		return err
	}
	service, err := client.New(client.Config{URL: cfg.URL, Roots: pool})
	if err != nil {
		return err
	}
	compact, err := service.Attest(e.Ctx, client.Request{Kind: evidence.SGXEnclave, Evidence: made.quote,
		RuntimeData: &evidence.Data{Bytes: made.runtimeData, Type: evidence.JSON}})
	if err != nil {
		return err
	}
	verified, err := service.Verify(e.Ctx, compact, time.Now())
	if err != nil {
		return err
	}
	tokenFile := filepath.Join(c.Data, "token.jwt")
	if err := os.WriteFile(tokenFile, []byte(compact), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(e.Out, "\n3  the token (%s, kid %s…, valid %s), in %s\n   %s…\n\n", verified.Header.Algorithm,
		verified.Header.KeyID[:8],
		phrase.Span(token.Validity), tokenFile, compact[:60])
	pretty := verified.Payload.Clone()
	if err := pretty.Indent(); err != nil {
		return err
	}
	fmt.Fprintln(e.Out, "   "+strings.ReplaceAll(string(pretty), "\n", "\n   "))
	c.goOn(e, cfg, caFile, tokenFile)
	return nil
}

// explain runs the same appraisal here, to show the checks that the service's
// answer does not repeat for accepted evidence.
func explain(ctx context.Context, made *scene) (*appraisal.Verdict, error) {
	root, err := files.Anchor(made.rootFile)
	if err != nil {
		return nil, err
	}
	bundle, err := files.Collateral(made.collateralFile)
	if err != nil {
		return nil, err
	}
	rules, err := policy.Parse(policy.Default(string(evidence.SGXEnclave)))
	if err != nil {
		return nil, err
	}
	appraiser := appraisal.Appraiser{
		Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: root}}),
		Collateral: collateral.Fixed(bundle.Intel[0]),
	}
	verdict, err := appraiser.Appraise(ctx, appraisal.Request{Kind: evidence.SGXEnclave, Evidence: made.quote,
		RuntimeData: &evidence.Data{Bytes: made.runtimeData, Type: evidence.JSON}, Time: time.Now()},
		appraisal.Provider{Policy: rules})
	if err != nil {
		return nil, err
	}
	if !verdict.Accepted {
		return nil, verdict.Rejection
	}
	return verdict, nil
}

func (c *DemoCommand) goOn(e *term.Env, cfg config.Config, caFile, tokenFile string) {
	file := func(name string) string { return filepath.Join(c.Data, name) }
	fmt.Fprintf(e.Out, `
Try next, in a second terminal:
  %[1]s verify token "$(cat %[2]s)" --issuer %[3]s --ca %[4]s
  curl --cacert %[4]s %[3]s/.well-known/openid-configuration
  curl --cacert %[4]s "%[3]s/attest/SgxEnclave?api-version=2022-08-01" -d "{\"quote\":\"$(base64 -w0 %[5]s)\"}"
  %[1]s inspect %[5]s
  %[1]s verify evidence SgxEnclave %[5]s --collateral %[6]s --root %[7]s
`, me(), tokenFile, cfg.URL, caFile, file("quote.bin"), file("collateral.json"), file("root.pem"))
}

// me is how this program is called.
func me() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/probity"
	}
	return "probity"
}
