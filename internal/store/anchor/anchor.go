// Package anchor keeps small pieces of state in files outside the database, so
// that anyone who can write the database alone cannot roll that state back: the
// newest checkpoint of each ledger, the newest revision of each provider.
//
// A [Folder] writes each file whole or not at all (temporary file, fsync, rename,
// fsync of the folder), readable by the service's user alone. It refuses a folder
// or file that others can write, because then it proves nothing. Contents belong
// to the caller; the folder signs and judges nothing.
package anchor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Dir is the folder's name in the data directory of the service.
const Dir = "anchor"

const (
	// maxName bounds the name of an entry, in bytes; maxFile the size of a file.
	maxName = 80
	maxFile = 64 << 10
	// temporary begins the names of files that are being written.
	temporary = ".writing-"
)

// ErrUnsafe is returned for a folder or file that others can write, or that is
// not a plain file: its contents prove nothing.
var ErrUnsafe = errors.New("other users can change it")

// Folder is a folder of files, one for each name. Its methods are safe for
// concurrent use; of two writers of one name, the last wins.
type Folder struct{ path string }

// Open opens a folder and creates it if it does not exist. The error wraps
// [ErrUnsafe] if others can write the folder.
func Open(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("anchor: %s has mode %04o: %w; run: chmod 700 %s", path, info.Mode().Perm(),
			ErrUnsafe, path)
	}
	return &Folder{path}, nil
}

// Sub opens a folder inside the folder.
func (f *Folder) Sub(name string) (*Folder, error) {
	file, err := encode(name)
	if err != nil {
		return nil, err
	}
	return Open(filepath.Join(f.path, file))
}

// Path is where the file of a name is, for messages.
func (f *Folder) Path(name string) string {
	file, err := encode(name)
	if err != nil {
		return f.path
	}
	return filepath.Join(f.path, file)
}

// Damaged returns the error for a file whose content cannot be read: what it means, and what
// to do.
func (f *Folder) Damaged(name string) error {
	return fmt.Errorf("anchor: %s is damaged: it remembers a state before which the database must not go "+
		"back; restore it from a backup of the data folder, "+
		"or, if you are sure that no one changed the database, remove the file and start again: "+
		"the state of the database is then trusted as it is", f.Path(name))
}

// Read returns what was written under a name. The error wraps [fs.ErrNotExist] if
// nothing was, and [ErrUnsafe] if others can write the file.
func (f *Folder) Read(name string) ([]byte, error) {
	path, err := f.file(name)
	if err != nil {
		return nil, err
	}
	// Lstat before opening: a device or pipe must not be waited for.
	if err := safe(path); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("anchor: %s is larger than %d bytes", path, maxFile)
	}
	return b, nil
}

func safe(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("anchor: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("anchor: %s has mode %s: %w", path, info.Mode(), ErrUnsafe)
	}
	return nil
}

// Write replaces what is under a name. After a crash the file has the old or the
// new contents, never a mixture.
func (f *Folder) Write(name string, contents []byte) (err error) {
	path, err := f.file(name)
	if err != nil {
		return err
	}
	if len(contents) > maxFile {
		return fmt.Errorf("anchor: %s: %d bytes are more than %d", name, len(contents), maxFile)
	}
	file, err := os.CreateTemp(f.path, temporary+"*") // mode 0600
	if err != nil {
		return fmt.Errorf("anchor: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
			err = fmt.Errorf("anchor: %w", err)
		}
	}()
	_, err = file.Write(contents)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	return f.sync()
}

// SetAside renames the file of a name, so that it no longer counts and can still
// be examined, and returns its new path.
func (f *Folder) SetAside(name string, now time.Time) (string, error) {
	path, err := f.file(name)
	if err != nil {
		return "", err
	}
	aside := path + ".replaced-" + now.UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("anchor: %w", err)
	}
	return aside, f.sync()
}

// Remove removes the file of a name. A file that does not exist is no error.
func (f *Folder) Remove(name string) error {
	path, err := f.file(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("anchor: %w", err)
	}
	return f.sync()
}

// Names returns the names that have a file.
func (f *Folder) Names() ([]string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := decode(e.Name()); ok && !e.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}

func (f *Folder) sync() error {
	d, err := os.Open(f.path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *Folder) file(name string) (string, error) {
	file, err := encode(name)
	return filepath.Join(f.path, file), err
}

const (
	hexDigits = "0123456789abcdef"
	plain     = "abcdefghijklmnopqrstuvwxyz0123456789-_"
)

// encode makes a file name of a name. Upper case is escaped too, so that two names
// are two files on file systems that ignore case; names of other files (with dots)
// are never an entry's.
func encode(name string) (string, error) {
	if name == "" || len(name) > maxName {
		return "", fmt.Errorf("anchor: a name of %d bytes; want 1 to %d", len(name), maxName)
	}
	var b strings.Builder
	for _, c := range []byte(name) {
		if strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String(), nil
}

// decode is the inverse of encode; ok is false for what encode does not make.
func decode(file string) (name string, ok bool) {
	var b []byte
	for i := 0; i < len(file); i++ {
		if file[i] != '%' {
			b = append(b, file[i])
			continue
		}
		if i+2 >= len(file) {
			return "", false
		}
		high, low := strings.IndexByte(hexDigits, file[i+1]), strings.IndexByte(hexDigits, file[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b = append(b, byte(high<<4|low))
		i += 2
	}
	again, err := encode(string(b))
	return string(b), err == nil && again == file
}
