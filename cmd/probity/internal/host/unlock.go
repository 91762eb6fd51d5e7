package host

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"

	"github.com/probity-dev/probity/agent"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/release/document"
)

// UnlockCommand attests the host, and gets a key.
type UnlockCommand struct {
	hostFlags
	Name       string   `arg:"" help:"Name of the key."`
	KeyVersion string   `name:"key-version" help:"Version, instead of the newest one." placeholder:"ID"`
	Vault      string   `help:"URL of the service that has the key; by default the one of --service." placeholder:"URL"`
	Out        string   `help:"Write the key to this file, for its owner alone." placeholder:"FILE"`
	Exec       bool     `help:"Run the command after --, with the key in its standard input, only if it was released."`
	FD         int      `name:"fd" help:"With --exec: the file descriptor that has the key, 0 or 3." default:"0" placeholder:"N"`
	Command    []string `arg:"" optional:"" help:"With --exec: the command and its arguments, after --."`
	term.Output
}

// unlocked says what was released, for programs. It never has the key itself.
type unlocked struct {
	Kind evidence.Kind `json:"kind"`
	Key  string        `json:"key"`
	Type string        `json:"type"`
	Out  string        `json:"out"`
}

// Run gets the key.
func (c *UnlockCommand) Run(e *term.Env) error {
	c.Service = cmp.Or(c.Service, os.Getenv(remote.URLEnv))
	switch {
	case c.Exec != (len(c.Command) > 0):
		return term.Usage("--exec and a command after -- belong together, as in: " +
			"probity key unlock disk --exec -- cryptsetup open --key-file - /dev/sdb1 data")
	case c.Exec == (c.Out != ""):
		return term.Usage("say where the key goes: --out FILE, or --exec with a command after --")
	case c.Service == "":
		return term.Usage("name the attestation service with --service or PROBITY_URL")
	case c.FD != 0 && c.FD != 3 || c.FD != 0 && !c.Exec:
		return term.Usage("--fd is 0 or 3, and goes with --exec")
	}
	if c.Out != "" {
		if err := writable(c.Out); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	if kind, err := c.detect(); err != nil || kind == evidence.TPM {
		return cmp.Or(err, errNoRuntimeData)
	}
	h, err := c.open("")
	if err != nil {
		return err
	}
	defer h.close()
	vault, err := c.vault()
	if err != nil {
		return err
	}
	out, err := h.unlock(e.Ctx, vault, client.ReleaseRequest{Name: c.Name, Version: c.KeyVersion})
	if err != nil {
		return RefusedRelease(e, err)
	}
	defer out.Material.Erase()
	key := out.Document.Key
	if !e.Quiet && !e.JSON {
		fmt.Fprintf(e.Err, "%s attested; %s is released (%s)\n", h.kind, key.KeyID, key.Type)
	}
	if c.Exec {
		return c.run(e, out.Material)
	}
	if err := WriteKey(c.Out, out.Material); err != nil {
		return err
	}
	return e.Answer(unlocked{h.kind, key.KeyID, key.Type, c.Out}, "the key is in %s\n", c.Out)
}

func (c *UnlockCommand) vault() (*client.Vault, error) {
	flags := c.hostFlags
	if c.Vault != "" {
		flags.Service = c.Vault
	}
	service, err := flags.connect()
	if err != nil {
		return nil, err
	}
	return service.Vault(), nil
}

// errNoRuntimeData says why a TPM alone gets no keys.
var errNoRuntimeData = errors.New("the token of a TPM alone names no key that another one could be wrapped to: " +
	"keys are released to guests (SevSnpVm, TdxVm, AzureGuest)")

// unlock attests the host, has a key released to it, verifies the answer and unwraps the key.
func (h *host) unlock(
	ctx context.Context, vault *client.Vault, r client.ReleaseRequest,
) (*client.Released, error) {
	var private crypto.Decrypter
	switch h.kind {
	case evidence.AzureGuest:
		// The token names the TPM's own key. Its evidence binds no data of a client, so no challenge.
		key, err := h.azure.EncryptionKey()
		if err != nil {
			return nil, err
		}
		private = key
	case evidence.SEVSNPVM, evidence.TDXVM:
		machine, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		challenge, err := challengeOf(ctx, vault)
		if err != nil {
			return nil, err
		}
		if h.runtime, err = client.RuntimeData(&machine.PublicKey, challenge); err != nil {
			return nil, err
		}
		h.runtimeType, private = evidence.JSON, machine
	default:
		return nil, errNoRuntimeData
	}
	token, err := h.attest(ctx)
	if err != nil {
		return nil, err
	}
	r.Token = token
	return vault.Open(ctx, r, private)
}

// challengeOf asks for a challenge, which some providers want to find in the evidence. A vault that
// has none does not want one.
func challengeOf(ctx context.Context, vault *client.Vault) (string, error) {
	nonce, _, err := vault.Challenge(ctx)
	var answer *client.Error
	if errors.As(err, &answer) && (answer.Status == http.StatusNotFound ||
		answer.Status == http.StatusMethodNotAllowed) {
		return "", nil
	}
	return nonce, err
}

// run runs the command with the key in a pipe: neither arguments nor environment show it.
func (c *UnlockCommand) run(e *term.Env, m *document.Material) error {
	secret, err := keyBytes(m)
	if err != nil {
		return err
	}
	defer clear(secret)
	cmd := exec.CommandContext(e.Ctx, c.Command[0], c.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.In, e.Out, e.Err
	if c.FD == 0 {
		cmd.Stdin = bytes.NewReader(secret)
		return exitOf(cmd.Run())
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{r} // the first one is descriptor 3
	if err := cmd.Start(); err != nil {
		return errors.Join(err, r.Close(), w.Close())
	}
	written := make(chan struct{})
	go func() {
		_, _ = w.Write(secret) // a command that does not read it ends the pipe
		_ = w.Close()
		close(written)
	}()
	closed := r.Close()
	err = cmd.Wait()
	<-written
	return errors.Join(exitOf(err), closed)
}

// exitOf turns the exit code of a command into that of this program.
func exitOf(err error) error {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return term.Exit(failed.ExitCode())
	}
	return err
}

// WriteKey writes a key that was released to a file for its owner alone, whole or not at all: the octets
// of a symmetric key, or PKCS #8 in PEM.
func WriteKey(path string, m *document.Material) error {
	secret, err := keyBytes(m)
	if err != nil {
		return err
	}
	defer clear(secret)
	return agent.WriteSecret(path, secret)
}

func keyBytes(m *document.Material) ([]byte, error) {
	var key any
	switch {
	case len(m.Octets) > 0:
		return bytes.Clone(m.Octets), nil
	case m.RSA != nil:
		key = m.RSA
	case m.EC != nil:
		key = m.EC
	default:
		return nil, errors.New("the released key is empty")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// RefusedRelease prints why a key was not released. Providers may keep the condition that failed to
// themselves.
func RefusedRelease(e *term.Env, err error) error {
	var answer *client.Error
	if errors.As(err, &answer) && answer.Status == http.StatusForbidden && len(answer.Details) == 0 && !e.Quiet {
		fmt.Fprintln(e.Err, "probity: the provider does not say which condition failed (its setting "+
			"vault.explainReleases); try: probity key policy test FILE TOKEN")
	}
	return remote.Refused(e, err)
}
