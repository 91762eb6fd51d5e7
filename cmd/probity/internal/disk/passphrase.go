package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/cmd/probity/internal/host"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// Passphrase gets the passphrase of a key slot: the octets of a key of a vault, which is released to this machine if
// its evidence satisfies the release policy of the key, with its version, or "" if that is not known. The caller
// clears it.
type Passphrase func(ctx context.Context, from luks.Binding) (passphrase []byte, version string, err error)

// bindingFlags say which key of which service, and what it takes to get it.
type bindingFlags struct {
	Service    string `help:"URL of the service." placeholder:"URL"`
	Provider   string `help:"Attestation provider that has the key; by default the one of the service's own address." placeholder:"NAME"`
	Key        string `help:"Name of the key in the vault." placeholder:"NAME"`
	KeyVersion string `help:"Version of the key, instead of the one that the disk was enrolled with." placeholder:"ID"`
	Kind       string `complete:"kind" help:"Kind of evidence to attest with, instead of what the machine has." placeholder:"KIND"`
	host.Machine
}

func (f bindingFlags) binding() luks.Binding {
	return luks.Binding{URL: f.Service, Provider: f.Provider, Key: f.Key, Kind: f.Kind, Version: f.KeyVersion}
}

// passphrase is how the passphrase of a disk is got.
func (d *Disk) passphrase(e *term.Env) Passphrase {
	if d.Command != "" {
		return fromCommand(d.Command, e.Err)
	}
	return func(ctx context.Context, from luks.Binding) ([]byte, string, error) {
		out, err := d.Machine.Unlock(ctx, from.URL, from.Provider, from.Kind, from.Key, from.Version)
		if err != nil {
			return nil, "", err
		}
		if len(out.Material.Octets) == 0 {
			out.Material.Erase()
			return nil, "", fmt.Errorf("the key %s is of the type %s: expected oct", from.Key, out.Document.Key.Type)
		}
		return out.Material.Octets, versionOf(out.Document.Key.KeyID), nil
	}
}

// versionOf is the last part of the URL of a version of a key.
func versionOf(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// Origin says how the passphrase is got.
type Origin struct {
	Command string `name:"passphrase-command" json:"passphraseCommand,omitzero" help:"${passphraseCommandHelp}" placeholder:"COMMAND"`
}

// maxPassphrase bounds a passphrase, in bytes: the largest oct key of a vault.
const maxPassphrase = 64 << 10

// minPassphrase is the shortest that is enrolled: 128 random bits. Its slot needs no costly derivation.
const minPassphrase = 16

// fromCommand runs a command whose standard output, as it is, is the passphrase.
func fromCommand(command string, messages io.Writer) Passphrase {
	return func(ctx context.Context, from luks.Binding) ([]byte, string, error) {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
		cmd.Env = append(os.Environ(), "PROBITY_KEY="+from.Key, "PROBITY_URL="+from.URL,
			"PROBITY_PROVIDER="+from.Provider, "PROBITY_KIND="+from.Kind, "PROBITY_VERSION="+from.Version)
		cmd.Stderr, cmd.WaitDelay = messages, time.Second
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, "", err
		}
		if err := cmd.Start(); err != nil {
			return nil, "", err
		}
		b, err := io.ReadAll(io.LimitReader(out, maxPassphrase+1))
		err = errors.Join(err, out.Close()) // what still writes ends
		waitErr := cmd.Wait()
		switch {
		case len(b) > maxPassphrase:
			err = fmt.Errorf("more than %d bytes", maxPassphrase)
		case waitErr != nil:
			err = waitErr
		case err == nil && len(b) == 0:
			err = errors.New("it wrote nothing")
		}
		if err != nil {
			clear(b)
			return nil, "", fmt.Errorf("--passphrase-command: %w", err)
		}
		return b, "", nil
	}
}
