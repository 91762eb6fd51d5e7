package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a command of this machine in a folder and returns what it printed.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, b)
	}
	return string(b)
}

// TestTheDebianPackageHasWhatItsUnitsNeed makes the package and unpacks it: the units
// start the program that is in it, with the configuration that the example shows.
func TestTheDebianPackageHasWhatItsUnitsNeed(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb not found; Debian packages are made on Debian and Ubuntu")
	}
	out, root := t.TempDir(), filepath.Join(t.TempDir(), "root")
	run(t, "../..", "go", "build", "-trimpath", "-o", filepath.Join(out, "probity"), "./cmd/probity")
	deb := strings.TrimSpace(run(t, "../..", "sh", "deploy/package.sh", out))
	run(t, out, "dpkg-deb", "--extract", deb, root)
	run(t, out, "dpkg-deb", "--control", deb, filepath.Join(root, "control"))

	version := run(t, out, filepath.Join(root, "usr/bin/probity"), "version")
	if !strings.HasPrefix(version, "probity ") {
		t.Errorf("version: %s", version)
	}
	generated(t, root)
	for _, unit := range []string{"probity", "probity-agent"} {
		b, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system", unit+".service"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(b), "\n") {
			if command, ok := strings.CutPrefix(line, "ExecStart="); ok {
				program, rest, _ := strings.Cut(command, " ")
				if _, err := os.Stat(filepath.Join(root, program)); err != nil {
					t.Errorf("%s starts %s: %v", unit, program, err)
				}
				words := strings.Fields(rest)
				help := run(t, out, filepath.Join(root, program), append(words[:len(words):len(words)], "--help")...)
				if !strings.HasPrefix(help, "Usage: probity ") {
					t.Errorf("%s: %s is no command of the program:\n%s", unit, rest, help)
				}
			}
		}
	}
	// The example names files of its reader; everything else in it must be right.
	cmd := exec.Command(filepath.Join(root, "usr/bin/probity"), "config", "check",
		filepath.Join(root, "usr/share/doc/probity/examples/probity.json"))
	b, err := cmd.CombinedOutput()
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if !strings.Contains(line, "no such file") && !strings.Contains(line, "not found") ||
			!strings.Contains(line, "/etc/probity/") {
			t.Errorf("the example's configuration: %s (%v)", line, err)
		}
	}
	for _, script := range []string{
		"control/postinst", "control/prerm", "usr/bin/clevis-encrypt-probity", "usr/bin/clevis-decrypt-probity",
		"usr/share/initramfs-tools/hooks/probity", "usr/share/initramfs-tools/scripts/local-top/probity",
		"usr/lib/dracut/modules.d/90probity/probity-unlock.sh",
	} {
		run(t, out, "sh", "-n", filepath.Join(root, script))
	}
	run(t, out, "bash", "-n", filepath.Join(root, "usr/lib/dracut/modules.d/90probity/module-setup.sh"))
	if _, err := exec.LookPath("systemd-analyze"); err == nil {
		dir := filepath.Join(root, "usr/lib/systemd/system")
		for _, unit := range []string{"probity", "probity-agent"} {
			// The units name the program where the package puts it, not where this test unpacked it.
			path := filepath.Join(dir, unit+".service")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), "/usr/bin/probity",
				filepath.Join(root, "usr/bin/probity"))), 0o644); err != nil {
				t.Fatal(err)
			}
			if text := run(t, dir, "systemd-analyze", "verify", "--man=no", path); strings.Contains(text, unit) {
				t.Errorf("systemd-analyze verify: %s", text)
			}
		}
	}
}

// generated checks what the package makes out of the command tree.
func generated(t *testing.T, root string) {
	t.Helper()
	for _, file := range []string{
		"usr/share/man/man1/probity.1.gz", "usr/share/man/man1/probity-verify-evidence.1.gz",
		"usr/share/bash-completion/completions/probity",
		"usr/share/zsh/vendor-completions/_probity", "usr/share/fish/vendor_completions.d/probity.fish",
	} {
		if st, err := os.Stat(filepath.Join(root, file)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}
