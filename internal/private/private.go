// Package private keeps what is secret to the user that the service runs as: the data
// folder with everything in it, and the files with secrets that a configuration names. It
// is a leaf: it imports no other package of this module.
//
// On systems without Unix modes (Windows) the folder's access list decides, and nothing is
// checked here.
package private

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// others are the permissions of everyone but the owner.
const others fs.FileMode = 0o077

// maxSecret bounds a file with a secret, in bytes.
const maxSecret = 1 << 20

// Folder makes a data folder, or closes the one that is there to everyone but its owner,
// with all files and folders in it; links are not followed. It returns what was open
// before. Secrets, by their names in the folder, are refused if they were open, and not
// closed: someone may have them. A folder that cannot be written is an error that says why.
func Folder(path string, secrets ...string) (wasOpen []string, err error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, Explain(path, err)
	}
	if err := writable(path); err != nil {
		return nil, err
	}
	for _, name := range secrets {
		name = filepath.Join(path, name)
		if info, err := os.Stat(name); err == nil {
			if err := check(name, info); err != nil {
				return nil, err
			}
		}
	}
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed in the meantime, as SQLite does with its own files
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() && !info.Mode().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		if !hasModes || mode&others == 0 {
			return nil
		}
		if err := os.Chmod(name, mode&^others); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s can be read by other users, and its mode cannot be changed: %w; "+
				"make it yours: chown -R %d %s",
				name, err, os.Geteuid(), path)
		}
		wasOpen = append(wasOpen, name)
		return nil
	})
	return wasOpen, err
}

// writable tries to write, which tells more than modes do.
func writable(path string) error {
	probe, err := os.CreateTemp(path, ".writable-*")
	if err == nil {
		_, err = probe.WriteString("probe")
		err = errors.Join(err, probe.Close(), os.Remove(probe.Name()))
	}
	return Explain(path, err)
}

// Explain says in plain words why a data folder cannot be written. A nil error stays nil.
func Explain(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the data folder %s is on a read-only file system; mount it for writing, "+
			"or choose another folder with --data", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the data folder %s is read-only for this user (uid %d); give it to the user "+
			"that the service runs as, or choose another folder with --data", path, os.Geteuid())
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf(
			"the disk of the data folder %s is full; make room, or choose another folder with --data",
			path,
		)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("the data folder %s is not a folder; choose another one with --data", path)
	}
	return fmt.Errorf("the data folder %s: %w", path, err)
}

// ReadSecret reads a file with a secret. It refuses a file that all users can read, and
// one that its own group can read although its owner, this process, could close it. A file
// of another owner may be open to a group: so a secret is given to a service that runs as
// another user, in containers for instance.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := check(path, info); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = fmt.Errorf("%s is larger than %d bytes, and is not a file with a secret", path, maxSecret)
	}
	return b, err
}

func check(path string, info fs.FileInfo) error {
	mode := info.Mode().Perm()
	open := mode & 0o007
	if owns(info) {
		open = mode & others
	}
	if !hasModes || open == 0 || !info.Mode().IsRegular() { // a pipe has its secret for one reader
		return nil
	}
	return fmt.Errorf("%s contains a secret, and other users can read or change it (mode %04o); "+
		"if you are sure that no one did, run: chmod 600 %s; otherwise make a new secret", path, mode, path)
}
