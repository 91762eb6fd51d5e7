package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// diskSize is that of the disk image, in bytes: the header of LUKS2 takes 16 MiB.
const diskSize = 20 << 20

// openDisk encrypts a disk image with a key (LUKS2), and opens it with the key and with another one, if the
// program cryptsetup is there. The key goes through a pipe.
func openDisk(ctx context.Context, e *term.Env, image string, key []byte) error {
	program, err := exec.LookPath("cryptsetup")
	if err != nil {
		return nil
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(image, diskSize); err != nil {
		return err
	}
	// The key is random: deriving another one from it slowly would protect nothing.
	format := []string{"--batch-mode", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", "-", image}
	open := []string{"open", "--test-passphrase", "--key-file", "-", image}
	if err := cryptsetup(ctx, program, key, format...); err != nil {
		return err
	}
	if err := cryptsetup(ctx, program, key, open...); err != nil {
		return err
	}
	wrong := bytes.Clone(key)
	wrong[0] ^= 1
	defer clear(wrong)
	if cryptsetup(ctx, program, wrong, open...) == nil {
		return errors.New("the disk image opens with a wrong key")
	}
	_, err = fmt.Fprintf(e.Out, "   %s it opens a disk image (LUKS2, %s), and a key of another byte does not\n",
		e.UI.Good("✓"), image)
	return err
}

func cryptsetup(ctx context.Context, program string, key []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = bytes.NewReader(key)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cryptsetup %s: %w: %.200s", args[0], err, out)
	}
	return nil
}
