package serve

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/phrase"
)

// releaseStory has a key released to a confidential machine, and refused to one that booted
// something else.
type releaseStory struct {
	dir   string
	admin string
	amd   *evidencetest.AMD
	chip  *evidencetest.Chip
	// bundle is the collateral of the chip.
	bundle *collateral.Bundle
}

const demoKey = "disk"

// adminEnv is the environment variable that has the administrator's token, if it is set.
const adminEnv = "PROBITY_ADMIN_TOKEN"

func newReleaseStory(dir string, now time.Time) (story, error) {
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Bits: 4096})
	s := &releaseStory{dir: dir, admin: os.Getenv(adminEnv), amd: amd, chip: amd.Chip(evidencetest.ChipConfig{})}
	s.bundle = &collateral.Bundle{
		Created: now,
		AMD:     []*collateral.AMD{amd.Collateral(false)},
		VCEK:    []*collateral.VCEK{s.chip.VCEK()},
	}
	text, err := s.bundle.Marshal()
	if err != nil {
		return nil, err
	}
	if s.admin == "" {
		s.admin = rand.Text()
		err = os.WriteFile(s.file("admin.token"), []byte(s.admin+"\n"), 0o600)
	}
	return s, errors.Join(err,
		os.WriteFile(s.file("bundle.json"), text, 0o644),
		os.WriteFile(s.file("amd-roots.pem"), amd.RootsPEM(), 0o644))
}

func (s *releaseStory) file(name string) string { return filepath.Join(s.dir, name) }

func (s *releaseStory) configure(cfg *config.Config) error {
	cfg.Collateral = []string{s.file("bundle.json")}
	cfg.Development.AMDRoots = s.file("amd-roots.pem")
	cfg.AdminTokenFile = s.file("admin.token")
	return nil
}

// guestOf is the measurement of what a machine booted.
func guestOf(booted string) [48]byte { return sha512.Sum384([]byte(booted)) }

// rules is the release policy of the demonstration.
func rules(authority string, measurement [48]byte) []byte {
	return fmt.Appendf(nil, `{
  "version": "1.0.0",
  "anyOf": [{
    "authority": %q,
    "allOf": [
      {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
      {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": false},
      {"claim": "x-ms-sevsnpvm-launchmeasurement", "equals": "%x"}
    ]
  }]
}`, authority, measurement)
}

// play tells the story.
func (s *releaseStory) play(e *term.Env, cfg config.Config) error {
	caFile := s.file(edge.DevCAFile)
	pool, err := files.CertPool(caFile)
	if err != nil {
		return err
	}
	service, err := client.New(client.Config{URL: cfg.URL, Roots: pool, Token: s.admin})
	if err != nil {
		return err
	}
	approved, other := guestOf("the system that was approved"), guestOf("another system")
	text := rules(cfg.URL, approved)
	key, err := s.createKey(e, service, text)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Out, "1  a key is made, %s (%s)\n   its release policy, in %s:\n\n%s\n", key.ID(), key.Public.Type,
		s.file("release.json"), indented(string(text)))
	fmt.Fprintf(e.Out, "2  a simulated SEV-SNP machine boots what was approved, and asks for the key\n\n")
	released, err := s.unlock(e, service, approved, "token.jwt")
	if err != nil {
		return err
	}
	defer released.Material.Erase()
	digest := sha256.Sum256(released.Material.Octets)
	d := released.Document
	fmt.Fprintf(e.Out, "   %s the answer is signed for %s, under the CA in %s\n"+
		"   %s it answers this request: nonce %s…, wrapping %s\n"+
		"   %s the key is unwrapped: %d bytes, SHA-256 %s…\n", e.UI.Good("✓"), cfg.URL, caFile, e.UI.Good("✓"),
		d.Request.Nonce[:8], d.Request.Algorithm, e.UI.Good("✓"), len(released.Material.Octets),
		hex.EncodeToString(digest[:4]))
	from := luks.Binding{URL: cfg.URL, Key: demoKey}
	if err := openDisk(e.Ctx, e, s.file("disk.img"), from, released.Material.Octets); err != nil {
		return err
	}
	fmt.Fprintf(e.Out, "\n3  a machine that booted another system asks for the key\n\n")
	_, err = s.unlock(e, service, other, "other.jwt")
	if err := s.refused(e, err); err != nil {
		return err
	}
	s.goOn(e, cfg, caFile)
	return nil
}

// createKey makes the key. The provider says which condition fails, which is not its default.
func (s *releaseStory) createKey(e *term.Env, service *client.Client, text []byte) (*client.Key, error) {
	scope := client.Scope{Subscription: "probity", Group: "default"}
	settings := client.Provider{
		Properties: client.ProviderProperties{Probity: jsontext.Value(`{"vault":{"explainReleases":true}}`)},
	}
	if _, err := service.UpdateProvider(e.Ctx, scope, "default", settings); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.file("release.json"), text, 0o644); err != nil {
		return nil, err
	}
	yes := true
	return service.Vault().Create(e.Ctx, demoKey, client.NewKey{Type: "oct", Size: 256,
		Attributes: client.KeyAttributes{Exportable: &yes}, Policy: &client.ReleasePolicy{Data: text}})
}

// unlock is what a machine does, with each step shown.
func (s *releaseStory) unlock(
	e *term.Env, service *client.Client, measurement [48]byte, tokenFile string,
) (*client.Released, error) {
	machine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	vault := service.Vault()
	challenge, _, err := vault.Challenge(e.Ctx)
	if err != nil {
		return nil, err
	}
	data, err := client.RuntimeData(&machine.PublicKey, challenge)
	if err != nil {
		return nil, err
	}
	report := s.chip.Report(evidencetest.ReportConfig{
		ReportData: evidencetest.BindData(data), Measurement: measurement,
	})
	raw := s.chip.Evidence(s.amd, report)
	fmt.Fprintf(e.Out, "   it makes an RSA key; its report binds the key and a nonce of the vault (measurement %x…)\n",
		measurement[:4])
	checks, err := s.checks(e.Ctx, raw, data)
	if err != nil {
		return nil, err
	}
	e.UI.Checks(e.Out, "   ", checks)
	compact, err := service.Attest(e.Ctx, client.Request{Kind: evidence.SEVSNPVM, Evidence: raw,
		RuntimeData: &evidence.Data{Bytes: data, Type: evidence.JSON}})
	if err != nil {
		return nil, err
	}
	verified, err := service.Verify(e.Ctx, compact, time.Now())
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(e.Out, "\n   it is attested: a token of %s, valid %s\n   with the token it asks for the key:\n\n",
		verified.Issuer, phrase.Span(token.Validity))
	if err := s.decide(e, verified); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.file(tokenFile), []byte(compact), 0o600); err != nil {
		return nil, err
	}
	return vault.Open(e.Ctx, client.ReleaseRequest{Name: demoKey, Token: compact}, machine)
}

// decide shows the decision that the service makes, condition by condition.
func (s *releaseStory) decide(e *term.Env, verified *token.Verified) error {
	text, err := os.ReadFile(s.file("release.json"))
	if err != nil {
		return err
	}
	rules, err := release.Parse(text)
	if err != nil {
		return err
	}
	claims, err := release.ParseClaims(verified.Payload)
	if err != nil {
		return err
	}
	_, steps, _ := strings.Cut(rules.Evaluate(verified.Issuer, claims).String(), "\n")
	fmt.Fprintln(e.Out, indented(strings.TrimSpace(steps)))
	return nil
}

func indented(text string) string { return "     " + strings.ReplaceAll(text, "\n", "\n     ") + "\n" }

// checks verifies evidence here, as the service does, to show the checks.
func (s *releaseStory) checks(ctx context.Context, raw, data []byte) ([]evidence.Check, error) {
	rules, err := policy.Parse(policy.Default(string(evidence.SEVSNPVM)))
	if err != nil {
		return nil, err
	}
	source, err := collateral.NewStatic(s.bundle)
	if err != nil {
		return nil, err
	}
	appraiser := appraisal.Appraiser{
		Verifiers:  appraisal.Verifiers(appraisal.Trust{AMD: snp.Config{Roots: s.amd.Roots()}}),
		Collateral: source,
	}
	verdict, err := appraiser.Appraise(ctx, appraisal.Request{Kind: evidence.SEVSNPVM, Evidence: raw,
		RuntimeData: &evidence.Data{Bytes: data, Type: evidence.JSON}, Time: time.Now()},
		appraisal.Provider{Policy: rules})
	if err != nil {
		return nil, err
	}
	if !verdict.Accepted {
		return nil, verdict.Rejection
	}
	return verdict.Checks, nil
}

// refused shows why the key was not released. Another outcome is an error.
func (s *releaseStory) refused(e *term.Env, err error) error {
	var answer *client.Error
	switch {
	case err == nil:
		return errors.New("the key was released to a machine that booted another system")
	case !errors.As(err, &answer) || answer.Inner == nil:
		return err
	}
	fmt.Fprintf(e.Out, "   %s %s\n     expected  %s\n     found     %s\n     remedy    %s\n", e.UI.Bad("refused:"),
		answer.Inner.Check, answer.Inner.Expected, answer.Inner.Found, answer.Inner.Remedy)
	return nil
}

func (s *releaseStory) goOn(e *term.Env, cfg config.Config, caFile string) {
	admin := "$(cat " + s.file("admin.token") + ")"
	if os.Getenv(adminEnv) != "" {
		admin = "$" + adminEnv
	}
	fmt.Fprintf(e.Out, `
Try next, in a second terminal:
  export PROBITY_URL=%[1]s PROBITY_CA=%[2]s PROBITY_TOKEN="%[3]s"
  %[4]s key show %[5]s
  %[4]s key policy test %[6]s %[7]s
  %[4]s key release %[5]s %[7]s
  %[4]s ledger tail
`, cfg.URL, caFile, admin, me(), demoKey, s.file("release.json"), s.file("token.jwt"))
}
