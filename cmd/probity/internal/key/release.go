package key

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/probity-dev/probity/agent"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/host"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/token"
)

type releaseCommand struct {
	named
	Token      string `arg:"" help:"The token of the attested machine, or a file that contains it; - reads standard input."`
	KeyVersion string `name:"key-version" help:"Version, instead of the newest one." placeholder:"ID"`
	Nonce      string `help:"Text that comes back in the answer; by default one is drawn." placeholder:"TEXT"`
	Algorithm  string `help:"Wrapping." enum:"CKM_RSA_AES_KEY_WRAP,RSA_AES_KEY_WRAP_256,RSA_AES_KEY_WRAP_384" default:"RSA_AES_KEY_WRAP_256"`
	MachineKey string `help:"PEM file with the private key of the machine: unwrap the released key into --out." placeholder:"FILE"`
	Out        string `help:"File to write, for its owner alone: the key with --machine-key, else the answer." placeholder:"FILE"`
}

// released is what key release prints for programs. It never has the key itself.
type released struct {
	Key         string `json:"key"`
	Type        string `json:"type"`
	WrappingKey string `json:"wrappingKey"`
	Algorithm   string `json:"algorithm"`
	// Answer is the signed document, unless a file has it, or the key.
	Answer string `json:"answer,omitzero"`
	Out    string `json:"out,omitzero"`
}

// Run has a key released, and verifies the answer.
func (c *releaseCommand) Run(e *term.Env) error {
	if c.MachineKey != "" && c.Out == "" {
		return term.Usage("--machine-key needs --out: keys are written to files, and never printed")
	}
	compact, err := readToken(e, c.Token)
	if err != nil {
		return err
	}
	private, err := c.private()
	if err != nil {
		return err
	}
	v, err := c.vault()
	if err != nil {
		return err
	}
	r := client.ReleaseRequest{Name: c.Name, Version: c.KeyVersion, Token: compact, Nonce: c.Nonce,
		Algorithm: keywrap.Algorithm(c.Algorithm)}
	if r.Nonce == "" {
		r.Nonce = rand.Text()
	}
	answer, err := v.Release(e.Ctx, r)
	if err != nil {
		return host.RefusedRelease(e, err)
	}
	d, err := v.Verify(answer, r, time.Now())
	if err != nil {
		return err
	}
	return c.deliver(e, d, answer, private)
}

func (c *releaseCommand) private() (*rsa.PrivateKey, error) {
	if c.MachineKey == "" {
		return nil, nil
	}
	key, err := files.ReadKey(c.MachineKey)
	if err != nil {
		return nil, fmt.Errorf("--machine-key: %w", err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("--machine-key: %s: expected an RSA key, found %T", c.MachineKey, key)
	}
	return private, nil
}

func (c *releaseCommand) deliver(
	e *term.Env, d *document.Document, answer string, private *rsa.PrivateKey,
) error {
	wrapped, err := document.ParseWrapped(d.Key.Wrapped)
	if err != nil {
		return err
	}
	done := released{Key: d.Key.KeyID, Type: d.Key.Type, WrappingKey: wrapped.KeyID,
		Algorithm: string(wrapped.Algorithm), Out: c.Out}
	switch {
	case private != nil:
		m, err := d.Open(rand.Reader, private)
		if err != nil {
			return err
		}
		defer m.Erase()
		if err := host.WriteKey(c.Out, m); err != nil {
			return err
		}
	case c.Out != "":
		if err := agent.WriteSecret(c.Out, []byte(answer+"\n")); err != nil {
			return err
		}
	default:
		done.Answer = answer
		return e.Answer(done, "%s\n", answer)
	}
	return e.Answer(done, "%s is released: %s, wrapped to %s; in %s\n", done.Key, done.Type, done.WrappingKey, c.Out)
}

// readToken reads a token that was given itself or as a file.
func readToken(e *term.Env, text string) (string, error) {
	if _, err := os.Stat(text); err == nil || text == "-" {
		b, err := e.ReadLimited(text, token.MaxSize)
		if err != nil {
			return "", err
		}
		text = string(b)
	}
	text = strings.TrimSpace(text)
	if strings.Count(text, ".") != 2 {
		return "", errors.New("no token, and no file with one: expected a compact JWS of three parts")
	}
	return text, nil
}
