package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/test/kit/cryptsetup"
)

// TestInitialRAMDisksOpenTheDisk makes initial RAM disks with mkinitramfs and dracut themselves, with the scripts in
// deploy/disk, and runs those in a root that has only what is in the RAM disk: all programs, libraries and files
// that opening a disk takes are there.
func TestInitialRAMDisksOpenTheDisk(t *testing.T) {
	cryptsetup.Need(t)
	if os.Getuid() != 0 {
		t.Skip("making RAM disks in a mount namespace takes root")
	}
	probe := t.TempDir()
	if out, err := exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "none", probe).CombinedOutput(); err != nil {
		t.Skipf("no mount namespaces here: %v %s", err, out)
	}
	deploy, err := filepath.Abs("../../deploy/disk")
	if err != nil {
		t.Fatal(err)
	}
	for tool, needs := range map[string][]string{
		"initramfs-tools": {"mkinitramfs", "unmkinitramfs"}, "dracut": {"dracut", "lsinitrd"},
	} {
		t.Run(tool, func(t *testing.T) {
			for _, name := range needs {
				if _, err := exec.LookPath(name); err != nil && os.Getenv(cryptsetup.Required) != "" {
					t.Fatalf("%s is missing: install initramfs-tools-core, dracut-core and dracut-network", name)
				} else if err != nil {
					t.Skipf("%s is missing", name)
				}
			}
			work := t.TempDir()
			enrolledDisk(t, work)
			out, err := exec.Command("unshare", "--mount", "bash", "testdata/ramdisk/run.sh", tool, work, deploy,
				program).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, as, _ := strings.Cut(string(out), "== the disk as it is\n")
			as, other, _ := strings.Cut(as, "== another key\n")
			other, changed, _ := strings.Cut(other, "== a changed header\n")
			for _, part := range []struct {
				name, text, want string
			}{
				{"the disk as it is", as, "/encrypted/disk.img: the passphrase opens it (slot 1)"},
				{"another key", other, "the passphrase opens no key slot of the disk"},
				{"another key", other, "data is not opened"},
				{"a changed header", changed, "refused: /encrypted/disk.img: luks.header.checksum"},
				{"a changed header", changed, "data is not opened"},
			} {
				if !strings.Contains(part.text, part.want) {
					t.Errorf("%s: no %q in\n%s", part.name, part.want, out)
				}
			}
			if tool == "initramfs-tools" {
				// What failed for want of a key is tried again; a refusal is not.
				if n := strings.Count(other, "opens no key slot"); n != 2 {
					t.Errorf("another key: %d tries, want 2", n)
				}
				if n := strings.Count(changed, "refused:"); n != 1 {
					t.Errorf("a changed header: %d tries, want 1", n)
				}
			}
		})
	}
}

// enrolledDisk leaves an enrolled image in a folder, and the file that names it as it is in a RAM disk.
func enrolledDisk(t *testing.T, work string) {
	t.Helper()
	image := filepath.Join(work, "disk.img")
	if err := cryptsetup.Format(image); err != nil {
		t.Fatal(err)
	}
	const command = "printf 0123456789abcdef"
	cmd := exec.Command("probity", "disk", "enroll", image, "--service", "https://attest.example.org", "--key", "disk",
		"--passphrase-command", command, "--passphrase-file", "-")
	cmd.Stdin = strings.NewReader(cryptsetup.Recovery)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, text := range map[string]string{
		"ca.pem": "a certificate\n",
		"disks.json": `{"disks":[{"name":"data","device":"/encrypted/disk.img","url":"https://attest.example.org","key":"disk",
			"slots":[0],"ca":"/etc/probity/ca.pem","passphraseCommand":"` + command + `"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
