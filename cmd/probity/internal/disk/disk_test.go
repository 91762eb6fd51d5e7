package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/test/kit/cryptsetup"
)

var (
	service = luks.Binding{URL: "https://attest.example.org", Key: "disk-web-1"}
	// released has each byte that texts handle badly: line breaks, zeros, and bytes beyond ASCII.
	released = []byte("\n\x00\xff0123456789abcdef0123456789a\r\n")
)

// gives is a source of passphrases that also keeps count.
func gives(key []byte, asked *int) Passphrase {
	return func(context.Context, luks.Binding) ([]byte, string, error) {
		*asked++
		return bytes.Clone(key), "v1", nil
	}
}

// template is an enrolled image, made once.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "probity-disk")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path, asked := filepath.Join(dir, "disk.img"), 0
	if err := cryptsetup.Format(path); err != nil {
		return nil, err
	}
	d := &Disk{Device: path, Binding: service, Shape: Shape{Slots: []int{0}}}
	slot, before, err := d.enroll(context.Background(), -1, []byte(cryptsetup.Recovery), gives(released, &asked))
	if err != nil || slot != 1 || asked != 1 || before.UUID == "" {
		return nil, fmt.Errorf("slot %d, asked %d times: %w", slot, asked, err)
	}
	return os.ReadFile(path)
})

// enrolledImage returns a disk whose image is enrolled.
func enrolledImage(t *testing.T) *Disk {
	t.Helper()
	cryptsetup.Need(t)
	b, err := template()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return &Disk{Name: "data", Device: path, Binding: service, Shape: Shape{Slots: []int{0}}}
}

func TestAnEnrolledDiskOpensWithTheReleasedKey(t *testing.T) {
	d := enrolledImage(t)
	asked := 0
	done, err := d.unlock(t.Context(), gives(released, &asked), true, false)
	if err != nil || done.Slot != 1 || done.Mapping != "" || asked != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	dump := cryptsetup.Run(t, "", "luksDump", "--dump-json-metadata", d.Device)
	for _, want := range []string{`"type":"probity"`, `"version":"v1"`, `"iterations":1000`} {
		if !strings.Contains(dump, want) {
			t.Errorf("the header has no %s:\n%s", want, dump)
		}
	}
	// The recovery passphrase still opens it, and the slot is that of the key as it is.
	cryptsetup.Run(t, cryptsetup.Recovery, "open", "--test-passphrase", "--key-file", "-", d.Device)
	cryptsetup.Run(t, string(released), "open", "--test-passphrase", "--key-slot", "1", "--key-file", "-", d.Device)
}

func TestAnotherKeyDoesNotOpenIt(t *testing.T) {
	d := enrolledImage(t)
	asked := 0
	for _, key := range [][]byte{
		[]byte("another key of 32 random bytes.."), released[:len(released)-1],
		[]byte(cryptsetup.Recovery), // opens slot 0, which is not the enrolled one
	} {
		if _, err := d.unlock(t.Context(), gives(key, &asked), true, false); !errors.Is(err, errPassphrase) {
			t.Errorf("%d bytes: %v", len(key), err)
		}
	}
}

func TestAChangedHeaderIsRefusedBeforeTheKeyIsAskedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(t *testing.T, d *Disk)
		want   *evidence.Definition
	}{
		"another key in the file":       {func(_ *testing.T, d *Disk) { d.Key = "disk-web-2" }, luks.CheckBinding},
		"another service in the file":   {func(_ *testing.T, d *Disk) { d.URL = "https://attest.example.com" }, luks.CheckBinding},
		"another version in the file":   {func(_ *testing.T, d *Disk) { d.Version = "v2" }, luks.CheckBinding},
		"a recovery slot not named":     {func(_ *testing.T, d *Disk) { d.Slots = nil }, luks.CheckSlots},
		"a cipher that is expected":     {func(_ *testing.T, d *Disk) { d.Ciphers = []string{"serpent-xts-plain64"} }, luks.CheckCipher},
		"an integrity that is expected": {func(_ *testing.T, d *Disk) { d.Integrity = "hmac(sha256)" }, luks.CheckIntegrity},
		"another slot": {func(t *testing.T, d *Disk) {
			cryptsetup.Run(t, cryptsetup.Recovery, "luksAddKey", "-q", "--key-file", "-", "--pbkdf", "pbkdf2",
				"--pbkdf-force-iterations", "1000", d.Device, os.Args[0], "--new-keyfile-size", "32")
		}, luks.CheckSlots},
		"a token of another program": {func(t *testing.T, d *Disk) {
			cryptsetup.Run(t, `{"type":"other","keyslots":["0"]}`, "token", "import", d.Device)
		}, luks.CheckTokens},
		"no token": {func(t *testing.T, d *Disk) {
			cryptsetup.Run(t, "", "token", "remove", "--token-id", "0", d.Device)
		}, luks.CheckBinding},
		"a byte of the label": {func(t *testing.T, d *Disk) {
			cryptsetup.Run(t, "", "config", "--label", "x", d.Device)
			flip(t, d.Device, 24) // the label again, with the checksum of before
		}, luks.CheckChecksum},
		"a header of version 1": {func(t *testing.T, d *Disk) {
			cryptsetup.Run(t, cryptsetup.Recovery, "luksFormat", "-q", "--type", "luks1", "--pbkdf-force-iterations", "1000",
				"--key-file", "-", d.Device)
		}, luks.CheckVersion},
		"no header": {func(t *testing.T, d *Disk) {
			if err := os.WriteFile(d.Device, make([]byte, 20<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}, luks.CheckMagic},
		"an empty device": {func(t *testing.T, d *Disk) {
			if err := os.Truncate(d.Device, 0); err != nil {
				t.Fatal(err)
			}
		}, luks.CheckSize},
	} {
		t.Run(name, func(t *testing.T) {
			d, asked := enrolledImage(t), 0
			tc.change(t, d)
			if _, err := d.unlock(t.Context(), gives(released, &asked), true, false); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %s", err, tc.want.ID)
			}
			if asked != 0 {
				t.Error("the key was asked for all the same")
			}
		})
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{b[0] ^ 1}, at); err != nil {
		t.Fatal(err)
	}
}

// TestTheDiskCannotShowCryptsetupAnotherHeader: after the check, the host writes a header that its own passphrase
// opens. What is opened is the checked one.
func TestTheDiskCannotShowCryptsetupAnotherHeader(t *testing.T) {
	d := enrolledImage(t)
	swapped := func(ctx context.Context, b luks.Binding) ([]byte, string, error) {
		// While the key is asked for, the disk becomes the host's.
		err := cryptsetup.Format(d.Device)
		return bytes.Clone(released), "", err
	}
	if _, err := d.unlock(t.Context(), swapped, true, false); !errors.Is(err, errPassphrase) {
		// The key slots are read after the change: the host's do not fit the digest that was checked.
		t.Errorf("%v", err)
	}
	d = enrolledImage(t)
	asked := 0
	onlyHeader := func(ctx context.Context, b luks.Binding) ([]byte, string, error) {
		f, err := os.OpenFile(d.Device, os.O_RDWR, 0)
		if err == nil {
			_, err = f.WriteAt(make([]byte, 32<<10), 0)
			f.Close()
		}
		asked++
		return bytes.Clone(released), "", err
	}
	if _, err := d.unlock(t.Context(), onlyHeader, true, false); err != nil || asked != 1 {
		t.Errorf("the checked header is not the one in use: %v", err)
	}
}

func TestTheCheckedCopyCannotBeChanged(t *testing.T) {
	d := enrolledImage(t)
	o, err := open(d.Device, d.expected(false))
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	f, err := o.copied()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0}, 0); err == nil {
		t.Error("a byte was changed")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("the copy was cut")
	}
}

func TestEnrolmentsThatFailChangeNothing(t *testing.T) {
	image := cryptsetup.Image(t)
	before, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for name, tc := range map[string]struct {
		slots    []int
		slot     int
		existing string
		get      Passphrase
		want     string
	}{
		"a wrong passphrase":       {[]int{0}, -1, "wrong", gives(released, &asked), "opens no key slot"},
		"a slot that is in use":    {[]int{0}, 0, cryptsetup.Recovery, gives(released, &asked), "slot 0 is in use"},
		"a slot that is none":      {[]int{0}, 32, cryptsetup.Recovery, gives(released, &asked), "expected 0 to 31"},
		"a slot that is not named": {[]int{1}, -1, cryptsetup.Recovery, gives(released, &asked), "luks.keyslot.expected"},
		"a short key":              {[]int{0}, -1, cryptsetup.Recovery, gives(released[:15], new(int)), "has 15 bytes"},
		"a key that is refused": {[]int{0}, -1, cryptsetup.Recovery,
			func(context.Context, luks.Binding) ([]byte, string, error) { return nil, "", errors.New("no release") }, "no release"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Disk{Device: image, Binding: service, Shape: Shape{Slots: tc.slots}}
			if _, _, err := d.enroll(t.Context(), tc.slot, []byte(tc.existing), tc.get); err == nil ||
				!strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
	if asked != 0 {
		t.Errorf("the key was asked for %d times", asked)
	}
	if after, err := os.ReadFile(image); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the disk was changed: %v", err)
	}
	d := enrolledImage(t)
	if _, _, err := d.enroll(t.Context(), -1, []byte(cryptsetup.Recovery), gives(released, &asked)); err == nil ||
		!strings.Contains(err.Error(), "enrolled with this key already") {
		t.Errorf("the same enrolment twice: %v", err)
	}
}

func TestPassphrasesAreInNoArgumentAndNoFile(t *testing.T) {
	d := enrolledImage(t)
	// A program in place of cryptsetup writes down what it was started with.
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nfor a in \"$@\"; do echo \"$a\" >> %[1]s/seen; done\nenv >> %[1]s/seen\ncat > /dev/null\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "cryptsetup"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	secret := []byte("0123456789abcdef-secret")
	asked := 0
	if _, err := d.unlock(t.Context(), gives(secret, &asked), true, false); err != nil {
		t.Fatal(err)
	}
	if err := addKey(t.Context(), d.Device, 5, secret, secret); err != nil {
		t.Fatal(err)
	}
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	if err != nil || !bytes.Contains(seen, []byte("--test-passphrase")) || bytes.Contains(seen, secret) {
		t.Errorf("%v\n%s", err, seen)
	}
}

func TestTheErrorOfCryptsetupHasNoPassphrase(t *testing.T) {
	cryptsetup.Need(t)
	err := call{args: []string{"luksUUID", "--", filepath.Join(t.TempDir(), "absent")}, in: released}.run(t.Context())
	if err == nil || strings.Contains(err.Error(), "0123456789abcdef") || !strings.Contains(err.Error(), "luksUUID") {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	if err := available(); err == nil || !strings.Contains(err.Error(), "apt install cryptsetup-bin") {
		t.Error(err)
	}
}

func TestImagesOfDemonstrationsOpenWithTheirKeyAlone(t *testing.T) {
	cryptsetup.Need(t)
	dir := t.TempDir()
	i, err := NewImage(t.Context(), dir, service, released)
	if err != nil {
		t.Fatal(err)
	}
	if checks, err := i.TestOpen(t.Context(), released); err != nil || len(checks) < len(luks.Catalogue()) {
		t.Errorf("%d checks: %v", len(checks), err)
	}
	if _, err := i.TestOpen(t.Context(), []byte("another key of 32 random bytes..")); !errors.Is(err, errPassphrase) {
		t.Error(err)
	}
	if _, err := NewImage(t.Context(), dir, service, released); !errors.Is(err, os.ErrExist) {
		t.Errorf("an image that is there: %v", err)
	}
	i.Binding.Key = "other"
	if checks, err := i.TestOpen(t.Context(), released); !errors.Is(err, luks.CheckBinding) || len(checks) == 0 {
		t.Error(err)
	}
}

func TestPassphraseCommandsAreReadAsTheyAre(t *testing.T) {
	for command, want := range map[string]string{
		`printf 'a\n'`:             "a\n",
		`printf %s "$PROBITY_KEY"`: "disk-web-1",
		`printf %s "$PROBITY_URL"`: "https://attest.example.org",
	} {
		b, _, err := fromCommand(command, os.Stderr)(t.Context(), service)
		if err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", command, b, err)
		}
	}
	for command, want := range map[string]string{
		"true":                    "it wrote nothing",
		"printf secret; exit 3":   "exit status 3",
		"head -c 70000 /dev/zero": "more than 65536 bytes",
		"cat /dev/zero":           "more than 65536 bytes",
		"no-such-program-at-all":  "exit status 127",
	} {
		_, _, err := fromCommand(command, &bytes.Buffer{})(t.Context(), service)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func TestFilesOfDisksAreReadStrictly(t *testing.T) {
	const one = `{"name":"data","device":"/dev/sdb1","url":"https://a.example/","key":"k","slots":[0]}`
	read := func(text string) ([]Disk, error) {
		path := filepath.Join(t.TempDir(), "disks.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return readDisks(&term.Env{}, path)
	}
	disks, err := read(`{"disks":[` + one + `]}`)
	if err != nil || len(disks) != 1 || disks[0].URL != "https://a.example" || !slices.Equal(disks[0].Slots, []int{0}) {
		t.Fatalf("%+v, %v", disks, err)
	}
	for text, want := range map[string]string{
		``:                                    "it ends early",
		`{"disks":[]}`:                        "no disks",
		`{"disks":[` + one + `,` + one + `]}`: "two disks",
		`{"disk":[` + one + `]}`:              "disk",
		`{"disks":[{"name":"../x","url":"https://a","key":"k"}]}`:               "the name",
		`{"disks":[{"name":"-x","url":"https://a","key":"k"}]}`:                 "the name",
		`{"disks":[{"name":"x","url":"http://a","key":"k"}]}`:                   "https URL",
		`{"disks":[{"name":"x","key":"k"}]}`:                                    "no service",
		`{"disks":[{"name":"x","url":"https://a"}]}`:                            "no key",
		`{"disks":[{"name":"x","url":"https://a","key":"k","kind":"Fax"}]}`:     "Fax",
		`{"disks":[{"name":"x","url":"https://a","key":"k","slot":1}]}`:         "slot",
		`{"disks":[{"name":"x","name":"y","url":"https://a","key":"k"}]}`:       "duplicate member",
		`{"disks":[{"name":"x","url":"https://a","key":"k","passphrase":"s"}]}`: "passphrase",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
