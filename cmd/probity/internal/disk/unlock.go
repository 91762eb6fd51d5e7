package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

type unlockCommand struct {
	Device         string `arg:"" optional:"" help:"Encrypted device, or a file with an image; without it, the disks of --config."`
	Name           string `help:"Name of the mapping: the opened disk is /dev/mapper/NAME." placeholder:"NAME"`
	Config         string `help:"${disksHelp}" env:"PROBITY_DISKS" placeholder:"FILE"`
	TestPassphrase bool   `help:"Only try whether the passphrase opens the disk; this needs no device mapper."`
	ReadOnly       bool   `help:"Open the disk for reading only."`
	bindingFlags
	Origin
	Shape
	term.Output
}

// unlocked is a disk that was opened, for programs.
type unlocked struct {
	Device string `json:"device"`
	// Mapping is empty after a test.
	Mapping string `json:"mapping,omitzero"`
	UUID    string `json:"uuid"`
	Slot    int    `json:"slot"`
}

// Run opens the disk, or all disks of the file.
func (c *unlockCommand) Run(e *term.Env) error {
	disks, err := c.disks(e)
	if err != nil {
		return err
	}
	done := []unlocked{}
	for n := range disks {
		d := &disks[n]
		one, err := d.unlock(e.Ctx, d.passphrase(e), c.TestPassphrase, c.ReadOnly)
		if err != nil {
			return refused(e, d.Device, err)
		}
		done = append(done, *one)
		if !e.JSON {
			word := "opened as /dev/mapper/" + one.Mapping
			if one.Mapping == "" {
				word = "the passphrase opens it"
			}
			fmt.Fprintf(e.Out, "%s: %s (slot %d)\n", d.Device, word, one.Slot)
		}
	}
	if e.JSON {
		return term.PrintJSON(e.Out, done)
	}
	return nil
}

// disks are those of the command line, or of the file.
func (c *unlockCommand) disks(e *term.Env) ([]Disk, error) {
	if c.Device == "" {
		if c.Config == "" {
			return nil, errors.New("name a device, or a file with disks by --config")
		}
		disks, err := readDisks(e, c.Config)
		if err != nil {
			return nil, err
		}
		for n := range disks {
			if d := &disks[n]; d.Device == "" || d.Name == "" {
				return nil, fmt.Errorf("%s: disk %d: expected a name and a device", c.Config, n+1)
			}
		}
		if c.Name != "" {
			return named(disks, c.Name, c.Config)
		}
		return disks, nil
	}
	if c.Name == "" && !c.TestPassphrase {
		return nil, errors.New("name the mapping with --name, or try the passphrase alone with --test-passphrase")
	}
	d := Disk{Name: c.Name, Device: c.Device, Binding: c.binding(), Origin: c.Origin, Shape: c.Shape}
	d.Machine = c.Machine
	return []Disk{d}, d.check()
}

func named(disks []Disk, name, file string) ([]Disk, error) {
	for n := range disks {
		if disks[n].Name == name {
			return disks[n : n+1], nil
		}
	}
	return nil, fmt.Errorf("%s: no disk %s", file, name)
}

// mapper is where the kernel shows opened disks.
const mapper = "/dev/mapper"

// unlock checks the header, gets the passphrase, and opens the disk by a copy of what was checked.
func (d *Disk) unlock(ctx context.Context, get Passphrase, test, readOnly bool) (*unlocked, error) {
	if err := available(); err != nil {
		return nil, err
	}
	mapping := d.Name
	if test {
		mapping = ""
	} else if _, err := os.Lstat(filepath.Join(mapper, mapping)); err == nil {
		return nil, fmt.Errorf("%s is there already: close it with cryptsetup close %s, or choose another name",
			filepath.Join(mapper, mapping), mapping)
	}
	o, err := open(d.Device, d.expected(false))
	if err != nil {
		return nil, err
	}
	defer o.close()
	passphrase, _, err := get(ctx, o.device.Enrolled.Binding)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	slot := o.device.Enrolled.Slot
	if err := o.open(ctx, mapping, slot, readOnly, passphrase); err != nil {
		return nil, err
	}
	return &unlocked{d.Device, mapping, o.device.UUID, slot}, nil
}
