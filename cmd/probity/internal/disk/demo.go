package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/evidence"
)

// imageSize is that of the images that are made for demonstrations, in bytes: the header has 16 MiB.
const imageSize = 20 << 20

// Image is an encrypted image in a file, for demonstrations.
type Image struct {
	Path    string
	Binding luks.Binding
}

// NewImage makes an encrypted image in a folder: disk.img, with a random recovery passphrase that it forgets, and an
// enrolment with the passphrase, a random key of 16 bytes or more. It needs no privileges, and
// no device mapper.
func NewImage(ctx context.Context, dir string, b luks.Binding, passphrase []byte) (*Image, error) {
	i := &Image{Path: filepath.Join(dir, "disk.img"), Binding: b}
	if err := available(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(i.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(imageSize), f.Close()); err != nil {
		return nil, err
	}
	recovery := []byte(rand.Text())
	if err := format(ctx, i.Path, recovery); err != nil {
		return nil, err
	}
	d := Disk{Device: i.Path, Binding: b, Shape: Shape{Slots: []int{0}}}
	_, _, err = d.enroll(ctx, -1, recovery, func(context.Context, luks.Binding) ([]byte, string, error) {
		return append([]byte(nil), passphrase...), "", nil
	})
	return i, err
}

// format makes an empty encrypted disk of what is at path. The least memory and time that a slot of a person
// may have keep demonstrations short.
func format(ctx context.Context, path string, passphrase []byte) error {
	return call{args: []string{
		"luksFormat", "--batch-mode", "--type", "luks2", "--cipher", luks.DefaultCipher, "--key-size", "512",
		"--pbkdf", "argon2id", "--pbkdf-memory", "65536", "--pbkdf-force-iterations", "4", "--key-file", "-", "--", path,
	}, in: passphrase}.run(ctx)
}

// TestOpen checks the header of the image and tries whether the passphrase opens it, by the copy that was checked. The
// checks come back with an error, too.
func (i *Image) TestOpen(ctx context.Context, passphrase []byte) ([]evidence.Check, error) {
	d := Disk{Device: i.Path, Binding: i.Binding, Shape: Shape{Slots: []int{0}}}
	o, err := open(d.Device, d.expected(false))
	if err != nil {
		if o == nil {
			return nil, err
		}
		return o.checks, err
	}
	defer o.close()
	return o.checks, o.open(ctx, "", o.device.Enrolled.Slot, false, passphrase)
}
