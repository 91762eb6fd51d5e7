//go:build unix

package private_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/probity-dev/probity/internal/private"
)

func write(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

func TestAnOpenDataFolderIsClosed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, sub := range []string{dir, filepath.Join(dir, "anchor")} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, 0o644)
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "probity.db"), 0o644)
	write(t, filepath.Join(dir, "anchor", "default"), 0o666)
	write(t, filepath.Join(dir, "private"), 0o400)
	was, err := private.Folder(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range was {
		was[i], _ = filepath.Rel(dir, was[i])
	}
	if want := []string{".", "anchor", "anchor/default", "probity.db"}; !slices.Equal(was, want) {
		t.Errorf("open were %v, want %v", was, want)
	}
	for name, want := range map[string]fs.FileMode{
		".": 0o700, "anchor": 0o700, "anchor/default": 0o600, "probity.db": 0o600, "private": 0o400,
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %04o", name, info.Mode(), err, want)
		}
	}
	if info, err := os.Stat(outside); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("a file outside, behind a link, was changed: %v, %v", info.Mode(), err)
	}
	if was, err := private.Folder(dir); err != nil || len(was) != 0 {
		t.Errorf("again: %v, %v", was, err)
	}
}

func TestANewDataFolderIsPrivate(t *testing.T) {
	old := syscall.Umask(0)
	dir := filepath.Join(t.TempDir(), "a", "data")
	was, err := private.Folder(dir)
	syscall.Umask(old)
	if err != nil || len(was) != 0 {
		t.Fatalf("%v, %v", was, err)
	}
	for _, name := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestSecretsThatOthersCanReadAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		write(t, path, mode)
		if b, err := private.ReadSecret(path); err != nil || string(b) != "secret" {
			t.Errorf("mode %04o: %q, %v", mode, b, err)
		}
		os.Remove(path)
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o606, 0o602, 0o620, 0o660, 0o444, 0o777} {
		write(t, path, mode)
		b, err := private.ReadSecret(path)
		if err == nil || b != nil || !strings.Contains(err.Error(), "chmod 600 "+path) ||
			!strings.Contains(err.Error(), fmt.Sprintf("%04o", mode)) {
			t.Errorf("mode %04o: %q, %v", mode, b, err)
		}
		os.Remove(path)
	}
	write(t, path, 0o600)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := private.ReadSecret(link); err != nil {
		t.Errorf("a link to a private file: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := private.ReadSecret(link); err == nil {
		t.Error("a link to a file that others can read was accepted")
	}
	if _, err := private.ReadSecret(path + ".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path+".large", make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := private.ReadSecret(path + ".large"); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("%v", err)
	}
}

// TestASecretOfAnotherOwner runs where the test may give files away: a secret that is
// mounted for a group is accepted, one for everyone is not.
func TestASecretOfAnotherOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for mode, ok := range map[fs.FileMode]bool{0o440: true, 0o640: true, 0o444: false, 0o644: false} {
		write(t, path, mode)
		if err := os.Chown(path, 65534, os.Getegid()); err != nil {
			t.Skipf("this user cannot give a file away: %v", err)
		}
		if _, err := private.ReadSecret(path); (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
		os.Remove(path)
	}
}

func TestWhyADataFolderCannotBeWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"read-only file system": {
			&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "is on a read-only file system",
		},
		"permission": {
			&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "is read-only for this user",
		},
		"not permitted": {
			&fs.PathError{Op: "open", Path: "x", Err: syscall.EPERM}, "is read-only for this user",
		},
		"full":   {&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "is full"},
		"a file": {&fs.PathError{Op: "mkdir", Path: "x", Err: syscall.ENOTDIR}, "is not a folder"},
		"else":   {errors.New("odd"), "odd"},
	} {
		err := private.Explain("/data", tc.err)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "/data") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := private.Explain("/data", nil); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, 0o600)
	_, err := private.Folder(filepath.Join(file, "data"))
	if err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("%v", err)
	}
}

// TestAReadOnlyDataFolderIsNamed: as a user who may not write, and on a read-only mount
// where this user may make one.
func TestAReadOnlyDataFolderIsNamed(t *testing.T) {
	if dir := os.Getenv("PROBITY_TEST_FOLDER"); dir != "" {
		_, err := private.Folder(dir)
		fmt.Printf("answer: %v\n", err)
		return
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	test := self + " -test.run=TestAReadOnlyDataFolderIsNamed"
	run := func(cmd *exec.Cmd) string {
		cmd.Env = append(os.Environ(), "PROBITY_TEST_FOLDER="+dir)
		out, err := cmd.CombinedOutput()
		return fmt.Sprint(string(out), err)
	}
	if os.Geteuid() == 0 {
		mount := exec.Command("unshare", "-m", "sh", "-c",
			"mount --bind "+dir+" "+dir+" && mount -o remount,bind,ro "+dir+" && exec "+test)
		out := run(mount)
		switch {
		case strings.Contains(out, "answer:") && !strings.Contains(out, "is on a read-only file system"):
			t.Error(out)
		case !strings.Contains(out, "answer:"):
			t.Logf("no read-only mount can be made here: %s", out)
		}
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sh", "-c", test)
	if os.Geteuid() == 0 {
		// Root writes where it wants: run as the user nobody, from a place that this user cannot read.
		program := filepath.Join(t.TempDir(), "test")
		b, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, b, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(filepath.Dir(program)), 0o755); err != nil {
			t.Fatal(err)
		}
		other = exec.Command(program, "-test.run=TestAReadOnlyDataFolderIsNamed")
		other.Dir = "/"
		other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out := run(other); !strings.Contains(out, "is read-only for this user") {
		t.Error(out)
	}
}
