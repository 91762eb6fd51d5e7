package policy

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/wording/plainerror"
)

type signCommand struct {
	File string `arg:"" help:"Policy file; - reads standard input."`
	Key  string `help:"PEM file with the private key (PKCS#8, RSA or EC); without it the JWS is not signed." placeholder:"FILE"`
	Cert string `help:"PEM file with the key's certificate chain, leaf first." placeholder:"FILE"`

	For      string        `help:"Sign for this provider alone: its attest URI." placeholder:"URL"`
	Type     string        `complete:"kind" help:"With --for: the attestation type." placeholder:"TYPE"`
	Replaces int64         `help:"With --for: the version that is in force before; 0 is the default policy." placeholder:"N"`
	Valid    time.Duration `help:"With --for: how long it can be submitted, at most 744h." default:"24h" placeholder:"DURATION"`
	term.Output
}

func (c *signCommand) binding(signed bool) ([]policyjws.Binding, error) {
	if c.For == "" {
		return nil, nil
	}
	if !signed {
		return nil, errors.New("--for needs --key and --cert: only a signature binds")
	}
	kind, err := evidence.ParseKind(c.Type)
	if err == nil {
		err = errors.Join(bounds.Check("--valid", c.Valid, time.Second, 744*time.Hour),
			bounds.Check[int64]("--replaces", c.Replaces, 0, 1<<53))
	}
	now := time.Now()
	return []policyjws.Binding{{
		Purpose: policyjws.PurposeSet, Provider: strings.TrimSuffix(c.For, "/"), Kind: string(kind),
		Version: &c.Replaces, Issued: now.Unix(), Expires: now.Add(c.Valid).Unix(),
	}}, err
}

// Run prints the JWS.
func (c *signCommand) Run(e *term.Env) error {
	p, err := e.ReadPolicy(c.File, false)
	if err != nil {
		return err
	}
	if (c.Key == "") != (c.Cert == "") {
		return errors.New("--key and --cert belong together")
	}
	var key crypto.Signer
	var chain []*x509.Certificate
	if c.Key != "" {
		if key, err = files.ReadKey(c.Key); err != nil {
			return err
		}
		if chain, err = files.ReadChain(c.Cert); err != nil {
			return err
		}
	}
	binding, err := c.binding(key != nil)
	if err != nil {
		return err
	}
	jws, err := policyjws.Wrap(rand.Reader, p.Text, key, chain, binding...)
	if err != nil {
		return err
	}
	return e.Answer(map[string]string{"jws": jws}, "%s\n", jws)
}

type unwrapCommand struct {
	File string `arg:"" help:"File with the compact JWS; - reads standard input."`
	term.Output
}

// unwrapped is a policy out of its JWS, for programs.
type unwrapped struct {
	Text string `json:"text"`
	// Hash is what tokens carry as x-ms-policy-hash.
	Hash string `json:"hash"`
	// Signer is the subject of the certificate that signed. Whether it is the right one is for the
	// reader to say.
	Signer string `json:"signer,omitzero"`
}

// Run prints the policy.
func (c *unwrapCommand) Run(e *term.Env) error {
	b, err := e.ReadLimited(c.File, policyjws.MaxSize)
	if err != nil {
		return err
	}
	p, err := policyjws.Parse(strings.Trim(strings.TrimSpace(string(b)), `"`))
	if errors.Is(err, policyjws.ErrFormat) {
		if _, parseErr := policy.Parse(string(b)); parseErr == nil {
			err = fmt.Errorf("%s: this is a policy already", c.File)
		}
		if e.JSON {
			answer := map[string]string{"verdict": term.VerdictRejected, "message": plainerror.Text(err)}
			return errors.Join(term.PrintJSON(e.Out, answer), term.Exit(term.No))
		}
		fmt.Fprintln(e.Err, "probity:", err)
		return term.Exit(term.No)
	}
	if err != nil {
		return err
	}
	if e.JSON {
		answer := unwrapped{Text: p.Text, Hash: p.Hash()}
		if len(p.Signer) > 0 {
			answer.Signer = p.Signer[0].Subject.String()
		}
		return term.PrintJSON(e.Out, answer)
	}
	signer := "not signed"
	if len(p.Signer) > 0 {
		signer = "signed by " + p.Signer[0].Subject.String() +
			"; whether that is the right signer is for you to say"
	}
	if !e.Quiet {
		fmt.Fprintf(e.Err, "%s\ntoken hash %s\n", signer, p.Hash())
	}
	fmt.Fprint(e.Out, p.Text)
	return nil
}
