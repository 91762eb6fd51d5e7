// Package cryptsetup makes encrypted images for tests with Debian's programs cryptsetup and clevis, which need
// neither privileges nor a device mapper for that.
package cryptsetup

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Required is the environment variable that makes the absence of the programs a failure. Those who install
// them set it.
const Required = "PROBITY_REQUIRE_CRYPTSETUP"

// Available reports whether the programs are there, and fails where they must be.
func Available() (bool, error) {
	for _, program := range []string{"cryptsetup", "clevis", "jose"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv(Required) != "" {
				return false, fmt.Errorf("%s is missing: install cryptsetup-bin and clevis", program)
			}
			return false, nil
		}
	}
	return true, nil
}

// Need skips the test where there are no such programs.
func Need(t testing.TB) {
	t.Helper()
	switch ok, err := Available(); {
	case err != nil:
		t.Fatal(err)
	case !ok:
		t.Skip("cryptsetup or clevis is missing: install cryptsetup-bin and clevis")
	}
}

// Recovery is the passphrase of slot 0 of images.
const Recovery = "the recovery passphrase of this image"

// Image makes an image of 20 MiB, whose slot 0 opens with [Recovery]. More options of luksFormat may follow.
func Image(t testing.TB, options ...string) string {
	t.Helper()
	Need(t)
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := Format(path, options...); err != nil {
		t.Fatal(err)
	}
	return path
}

// Format makes such an image at a path.
func Format(path string, options ...string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(20 << 20); err != nil {
		return err
	}
	args := append([]string{
		"luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "100000",
		"--key-file", "-",
	}, options...)
	_, err = run(Recovery, append(args, path)...)
	return err
}

// Run runs cryptsetup with a text in its standard input, and returns what it printed.
func Run(t testing.TB, in string, args ...string) string {
	t.Helper()
	out, err := run(in, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func run(in string, args ...string) (string, error) {
	cmd := exec.Command("cryptsetup", args...)
	cmd.Stdin = bytes.NewReader([]byte(in))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cryptsetup %v: %w\n%s", args, err, out)
	}
	return string(out), nil
}
