package disk

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	xterm "golang.org/x/term"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
)

type enrollCommand struct {
	Device         string `arg:"" help:"Encrypted device, or a file with an image."`
	ReleasePolicy  string `help:"${releasePolicyHelp}" placeholder:"FILE"`
	PassphraseFile string `help:"${passphraseFileHelp}" placeholder:"FILE"`
	NewSlot        int    `help:"Key slot to use, by default the first free one." default:"-1" placeholder:"N"`
	bindingFlags
	Origin
	Shape
	term.Output
}

// enrolled is what enroll prints with --format json.
type enrolled struct {
	Device  string       `json:"device"`
	UUID    string       `json:"uuid"`
	Slot    int          `json:"slot"`
	Binding luks.Binding `json:"binding"`
	// Created says that the key was made for this disk.
	Created bool `json:"created"`
}

// Run adds the key slot and the token.
func (c *enrollCommand) Run(e *term.Env) error {
	d := Disk{Device: c.Device, Binding: c.binding(), Origin: c.Origin, Shape: c.Shape}
	d.Machine = c.Machine
	if err := errors.Join(d.check(), available()); err != nil {
		return err
	}
	if len(d.Slots) == 0 {
		d.Slots = []int{0} // that of luksFormat
	}
	get := d.passphrase(e)
	if c.ReleasePolicy != "" {
		get = c.created(e)
	}
	existing, err := c.existing(e)
	if err != nil {
		return err
	}
	defer clear(existing)
	slot, o, err := d.enroll(e.Ctx, c.NewSlot, existing, get)
	if err != nil {
		return refused(e, c.Device, err)
	}
	return e.Answer(enrolled{c.Device, o.UUID, slot, d.Binding, c.ReleasePolicy != ""},
		"%s: %s opens with %s\n\n  try it with: probity disk unlock %s --test-passphrase --service %s --key %s --slot %s\n",
		c.Device, fmt.Sprintf("slot %d", slot), d.Binding, c.Device, d.URL, d.Key,
		strings.Trim(strings.ReplaceAll(fmt.Sprint(d.Slots), " ", ","), "[]"))
}

// enroll adds a key slot with the passphrase that get returns, and a token that says where it comes from.
//
// Security: the disk could show this program one header and cryptsetup another. So the existing passphrase is tried
// on a checked copy before anything is written; and afterwards the header is checked again, must have the digest
// that it had, and the added passphrase must open a copy of it: the slot then contains the key that the existing
// passphrase opened, and no other.
func (d *Disk) enroll(
	ctx context.Context, slot int, existing []byte, get Passphrase,
) (int, *luks.Device, error) {
	before, err := open(d.Device, d.expectation(nil))
	if err != nil {
		return 0, nil, err
	}
	defer before.close()
	if err := before.open(ctx, "", -1, false, existing); err != nil {
		return 0, nil, fmt.Errorf("the existing passphrase: %w", err)
	}
	if slot, err = freeSlot(before.device, slot, d.Binding); err != nil {
		return 0, nil, err
	}
	added, version, err := get(ctx, d.Binding)
	if err != nil {
		return 0, nil, err
	}
	defer clear(added)
	if len(added) < minPassphrase {
		return 0, nil, errShort(d.Key, added)
	}
	if d.Version == "" {
		d.Version = version // a rotation of the key does not change the disk
	}
	token, err := d.Token(slot)
	if err != nil {
		return 0, nil, err
	}
	if err := addKey(ctx, d.Device, slot, existing, added); err != nil {
		return 0, nil, err
	}
	err = importToken(ctx, d.Device, token)
	if err == nil {
		err = d.verify(ctx, before.device, slot, added)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("slot %d was added, but the disk is not enrolled; remove the slot with "+
			"cryptsetup luksKillSlot %s %d: %w", slot, d.Device, slot, err)
	}
	return slot, before.device, nil
}

// verify checks a disk after its enrolment.
func (d *Disk) verify(ctx context.Context, before *luks.Device, slot int, added []byte) error {
	want := d.expected(false)
	want.Slots = before.Slots
	after, err := open(d.Device, want)
	if err != nil {
		return err
	}
	defer after.close()
	if after.device.UUID != before.UUID || !bytes.Equal(after.device.Digest, before.Digest) {
		return errors.New("the disk has another key than before: its header was changed meanwhile")
	}
	if after.device.Enrolled.Slot != slot {
		return fmt.Errorf("the token is for slot %d instead of %d", after.device.Enrolled.Slot, slot)
	}
	return after.open(ctx, "", slot, false, added)
}

func errShort(name string, key []byte) error {
	return fmt.Errorf("the key %s has %d bytes: expected a random one of %d or more", name, len(key), minPassphrase)
}

// freeSlot is the slot that was asked for, or the first free one.
func freeSlot(d *luks.Device, asked int, b luks.Binding) (int, error) {
	for _, e := range d.Enrolments {
		if b.Covers(e.Binding) {
			return 0, fmt.Errorf("slot %d is enrolled with this key already; to enrol it again, first: "+
				"cryptsetup luksKillSlot DEVICE %d; cryptsetup token remove --token-id %d DEVICE", e.Slot, e.Slot, e.Token)
		}
	}
	const last = 31
	if asked > last {
		return 0, fmt.Errorf("--new-slot: expected 0 to %d, found %d", last, asked)
	}
	if asked >= 0 {
		if slices.Contains(d.Slots, asked) {
			return 0, fmt.Errorf("--new-slot: slot %d is in use", asked)
		}
		return asked, nil
	}
	for n := range last + 1 {
		if !slices.Contains(d.Slots, n) {
			return n, nil
		}
	}
	return 0, errors.New("all key slots are in use")
}

// existing reads the passphrase that opens the disk today.
func (c *enrollCommand) existing(e *term.Env) ([]byte, error) {
	var b []byte
	var err error
	switch {
	case c.PassphraseFile != "":
		b, err = e.ReadLimited(c.PassphraseFile, maxPassphrase)
	default:
		in, ok := e.In.(*os.File)
		if !ok || !xterm.IsTerminal(int(in.Fd())) {
			return nil, errors.New("name a file with the existing passphrase by --passphrase-file; - is standard input")
		}
		fmt.Fprintf(e.Err, "Existing passphrase of %s: ", c.Device)
		b, err = xterm.ReadPassword(int(in.Fd()))
		fmt.Fprintln(e.Err)
	}
	if err == nil && len(b) == 0 {
		err = errors.New("the existing passphrase is empty")
	}
	return b, err
}

// created makes the key: 256 random bits, which go to the vault and into the key slot, and stay nowhere else.
func (c *enrollCommand) created(e *term.Env) Passphrase {
	return func(ctx context.Context, from luks.Binding) ([]byte, string, error) {
		text, err := e.ReadLimited(c.ReleasePolicy, release.MaxPolicySize)
		if err != nil {
			return nil, "", err
		}
		if _, err := release.Parse(text); err != nil {
			return nil, "", fmt.Errorf("%s: %w", c.ReleasePolicy, err)
		}
		service, err := remote.Connection{
			Service: from.URL, CA: c.CA, BearerFile: c.BearerFile, CertificateFlags: c.Certificates(),
		}.At(remote.ProviderFlag{Provider: from.Provider})
		if err != nil {
			return nil, "", err
		}
		key := make([]byte, 32)
		if _, err := io.ReadFull(rand.Reader, key); err != nil {
			return nil, "", err
		}
		exportable := true
		made, err := service.Vault().Import(ctx, from.Key, client.ImportedKey{
			Material:   &document.Material{Octets: key},
			Attributes: client.KeyAttributes{Exportable: &exportable},
			Policy:     &client.ReleasePolicy{Data: text},
		})
		if err != nil {
			clear(key)
			return nil, "", err
		}
		return key, versionOf(made.ID()), nil
	}
}
