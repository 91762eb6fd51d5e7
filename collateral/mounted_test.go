package collateral_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/collateral"
)

// TestAMountedSecretIsReadThroughItsLinks builds what Kubernetes mounts: files are links into
// ..data, which is a link to a folder.
func TestAMountedSecretIsReadThroughItsLinks(t *testing.T) {
	c := newSite().set(nil)
	dir := t.TempDir()
	mount := filepath.Join(dir, "collateral")
	if err := os.MkdirAll(filepath.Join(mount, "..2026_03_01"), 0o700); err != nil {
		t.Fatal(err)
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(mount, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..2026_03_01", "..data")
	for name, b := range pieces(c) {
		if err := os.WriteFile(filepath.Join(mount, "..2026_03_01", name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		link(filepath.Join("..data", name), name)
	}
	link("collateral", "../linked") // as a name for the whole folder
	for name, load := range map[string]func() (*collateral.Bundle, error){
		"a folder of the host":        func() (*collateral.Bundle, error) { return load(mount) },
		"a folder of a file system":   func() (*collateral.Bundle, error) { return collateral.Load(os.DirFS(dir), "collateral") },
		"the whole of a file system":  func() (*collateral.Bundle, error) { return collateral.Load(os.DirFS(mount), ".") },
		"a link to a folder":          func() (*collateral.Bundle, error) { return load(filepath.Join(dir, "linked")) },
		"a link to a folder, as root": func() (*collateral.Bundle, error) { return collateral.Load(os.DirFS(dir), "linked") },
	} {
		b, err := load()
		if err != nil || len(b.Intel) != 1 || len(b.Notes) != 0 {
			t.Errorf("%s: %v, %+v", name, err, b)
			continue
		}
		sameSet(t, name, b.Intel[0], c)
	}
}

// TestFoldersAreReadSixDeep however the uppermost one is written.
func TestFoldersAreReadSixDeep(t *testing.T) {
	text, err := newSite().set(nil).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, top := range []string{"top/1/2/3/4/5/6/set.json", "deep/1/2/3/4/5/6/7/set.json"} {
		if err := os.MkdirAll(filepath.Dir(top), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(top, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []string{"", "./", here + "/", "../" + filepath.Base(here) + "/"} {
		for _, after := range []string{"", "/"} {
			if b, err := load(before + "top" + after); err != nil || b.Len() != 1 {
				t.Errorf("%stop%s: %v", before, after, err)
			}
			if _, err := load(before + "deep" + after); err == nil ||
				!strings.Contains(err.Error(), "deep/1/2/3/4/5/6/7: not used: deeper than 6 folders") ||
				!strings.HasPrefix(err.Error(), before+"deep"+after+": ") {
				t.Errorf("%sdeep%s: %v", before, after, err)
			}
		}
	}
}
