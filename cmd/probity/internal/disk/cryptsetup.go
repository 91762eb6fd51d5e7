package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// program is Debian's package cryptsetup-bin.
const program = "cryptsetup"

// errProgram is what cryptsetup ended with.
type errProgram struct {
	command, text string
	code          int
}

func (e *errProgram) Error() string {
	return fmt.Sprintf("%s %s: %s (exit code %d)", program, e.command, e.text, e.code)
}

// wrongPassphrase is cryptsetup's exit code where no key slot opens.
const wrongPassphrase = 2

// available says how to install the program where it is absent.
func available() error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is not installed: on Debian, apt install cryptsetup-bin", program)
	}
	return nil
}

// call is one run of cryptsetup.
type call struct {
	args []string
	// in is its standard input; a secret is given there, or as secret.
	in []byte
	// secret is what it reads from file descriptor 3.
	secret []byte
	// header is file descriptor 3, too: no call has both.
	header *os.File
}

// fd3 is how cryptsetup names the first file that it inherits.
const fd3 = "/proc/self/fd/3"

// run runs cryptsetup. Its messages are in the error.
func (c call) run(ctx context.Context) error {
	if err := available(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, c.args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var text bytes.Buffer
	cmd.Stdin, cmd.Stderr, cmd.Stdout = bytes.NewReader(c.in), &text, &text
	written := make(chan error, 1)
	written <- nil
	switch {
	case c.header != nil:
		cmd.ExtraFiles = []*os.File{c.header}
	case c.secret != nil:
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		cmd.ExtraFiles = []*os.File{r}
		<-written
		go func() {
			_, err := w.Write(c.secret)
			written <- errors.Join(err, w.Close())
		}()
	}
	err := cmd.Run()
	for _, f := range cmd.ExtraFiles {
		if f != c.header {
			f.Close() // ends the writing, if cryptsetup did not read everything
		}
	}
	writeErr := <-written
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		words := strings.Join(strings.Fields(text.String()), " ")
		return &errProgram{command: c.args[0], text: fmt.Sprintf("%.300s", words), code: failed.ExitCode()}
	}
	return errors.Join(err, writeErr)
}

// open opens the disk by its checked header, or only tries the passphrase if mapping is empty. The slot is -1 for any.
func (o *opened) open(ctx context.Context, mapping string, slot int, readOnly bool, passphrase []byte) error {
	header, err := o.copied()
	if err != nil {
		return err
	}
	defer header.Close()
	// Security: the header in memory has tokens of the listed types alone; external ones would run code of
	// their own before the passphrase is tried.
	args := []string{"open", "--type", "luks2", "--header", fd3, "--key-file", "-", "--disable-external-tokens"}
	if slot >= 0 {
		args = append(args, "--key-slot", fmt.Sprint(slot))
	}
	if readOnly {
		args = append(args, "--readonly")
	}
	if mapping == "" {
		args = append(args, "--test-passphrase", "--", o.file.Name())
	} else {
		args = append(args, "--", o.file.Name(), mapping)
	}
	err = call{args: args, in: passphrase, header: header}.run(ctx)
	var failed *errProgram
	if errors.As(err, &failed) && failed.code == wrongPassphrase {
		return fmt.Errorf("%s: the passphrase opens no key slot of the disk: %w", o.file.Name(), errPassphrase)
	}
	return err
}

var errPassphrase = errors.New("another key of the vault, a rotated one, or another disk")

// addKey adds a key slot with a random passphrase: PBKDF2 with the fewest iterations there are, as no one can try
// out 128 bits or more.
func addKey(ctx context.Context, device string, slot int, existing, added []byte) error {
	return call{args: []string{
		"luksAddKey", "--batch-mode", "--type", "luks2", "--key-slot", fmt.Sprint(slot), "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", "-", "--new-keyfile", fd3, "--", device,
	}, in: existing, secret: added}.run(ctx)
}

// importToken writes a token into the header.
func importToken(ctx context.Context, device string, token []byte) error {
	return call{args: []string{"token", "import", "--json-file", "-", "--", device}, in: token}.run(ctx)
}
