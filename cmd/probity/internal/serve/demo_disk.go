package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/cmd/probity/internal/disk"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// openDisk makes an encrypted disk image that is enrolled with a key, and tries it with the key and with another
// one, as probity disk does, if the program cryptsetup is there.
func openDisk(ctx context.Context, e *term.Env, image string, from luks.Binding, key []byte) error {
	if _, err := exec.LookPath("cryptsetup"); err != nil {
		return nil
	}
	if err := os.Remove(image); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made, err := disk.NewImage(ctx, filepath.Dir(image), from, key)
	if err != nil {
		return err
	}
	checks, err := made.TestOpen(ctx, key)
	if err != nil {
		return err
	}
	wrong := bytes.Clone(key)
	wrong[0] ^= 1
	defer clear(wrong)
	if _, err := made.TestOpen(ctx, wrong); err == nil {
		return errors.New("the disk image opens with a wrong key")
	}
	_, err = fmt.Fprintf(e.Out, "   %s it opens a disk image (LUKS2, %s) after %d checks of its header; "+
		"a key of another byte does not\n", e.UI.Good("✓"), image, len(checks))
	return err
}
