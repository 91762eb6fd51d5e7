package anchor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T) *Folder {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "data", Dir))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	f := open(t)
	if _, err := f.Read("default"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that was never written: %v", err)
	}
	for _, text := range []string{"one", "two", ""} {
		if err := f.Write("default", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := f.Read("default"); err != nil || string(b) != text {
			t.Errorf("read %q, %v; want %q", b, err, text)
		}
	}
	if err := errors.Join(f.Remove("default"), f.Remove("default")); err != nil {
		t.Error(err)
	}
	if _, err := f.Read("default"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after its removal: %v", err)
	}
}

// Whatever the umask, only the service's user reads and writes.
func TestFilesArePrivate(t *testing.T) {
	f := open(t)
	sub, err := f.Sub("ledger")
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Write("default", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{f.path: 0o700, sub.path: 0o700, sub.Path("default"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", path, info.Mode(), err, want)
		}
	}
}

func TestWhatOthersCanChangeIsRefused(t *testing.T) {
	f := open(t)
	if err := f.Write("a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.Path("a"), 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read("a"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a file that its group can write: %v", err)
	}
	if err := os.Symlink("/dev/zero", f.Path("b")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read("b"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a symbolic link: %v", err)
	}
	if err := os.Chmod(f.path, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f.path); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a folder that its group can write: %v", err)
	}
}

func TestNames(t *testing.T) {
	f := open(t)
	names := []string{
		"Default", "default", "a/../b", "..", ".writing-x", "ä", "a.b", "%41", "team-a#2",
		strings.Repeat("x", maxName),
	}
	for _, name := range names {
		if err := f.Write(name, []byte(name)); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	for _, name := range names {
		if b, err := f.Read(name); err != nil || string(b) != name {
			t.Errorf("%q: read %q, %v", name, b, err)
		}
	}
	got, err := f.Names()
	slices.Sort(got)
	slices.Sort(names)
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("names %q, %v", got, err)
	}
	for _, name := range []string{"", strings.Repeat("x", maxName+1)} {
		if f.Write(name, nil) == nil {
			t.Errorf("%q was written", name)
		}
	}
}

func TestFilesThatAreTooLarge(t *testing.T) {
	f := open(t)
	if f.Write("a", make([]byte, maxFile+1)) == nil {
		t.Error("written")
	}
	if err := os.WriteFile(f.Path("a"), make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read("a"); err == nil {
		t.Error("read")
	}
}

// A file is set aside for examination, and is no entry any more. What a crash left
// half written is no entry either.
func TestSetAsideAndLeftovers(t *testing.T) {
	f := open(t)
	if err := f.Write("a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	aside, err := f.SetAside("a", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(aside); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(f.path, temporary+"1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := f.Names(); err != nil || len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
}

// Readers see whole contents, whatever is written meanwhile.
func TestReadersSeeWholeContents(t *testing.T) {
	f := open(t)
	long := strings.Repeat("b", 4000)
	if err := f.Write("a", []byte(long)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 50 {
			if err := f.Write("a", []byte(strings.Repeat(string(rune('a'+i%26)), 4000))); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		b, err := f.Read("a")
		if err != nil || len(b) != 4000 || strings.Trim(string(b), string(b[:1])) != "" {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	wg.Wait()
}

func FuzzFileNames(f *testing.F) {
	for _, name := range []string{"default", "%41", "%4", "A", "a.b", "%zz", "%2e"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if file, err := encode(text); err == nil {
			if name, ok := decode(file); !ok || name != text || strings.ContainsAny(file, "/.\x00") {
				t.Errorf("%q became %q, and %q", text, file, name)
			}
		}
		if name, ok := decode(text); ok {
			if file, err := encode(name); err != nil || file != text {
				t.Errorf("the file %q is %q, whose file is %q", text, name, file)
			}
		}
	})
}

// TestDamagedFilesHaveARemedy: what the file is for, and what to do.
func TestDamagedFilesHaveARemedy(t *testing.T) {
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text := f.Damaged("signing-keys").Error()
	for _, want := range []string{
		f.Path("signing-keys"), "is damaged", "restore it from a backup", "remove the file",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
}
