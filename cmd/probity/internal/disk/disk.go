// Package disk is the commands for encrypted disks: check, enroll, unlock, and the two that Clevis calls.
// Their passphrases are keys of a vault, released to the attested machine.
//
// Passphrases go through pipes alone: they are in no argument, no file and no environment.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/host"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/wording/jsonerror"
)

type Commands struct {
	Check  checkCommand  `cmd:"" help:"Check the header of an encrypted disk, before a passphrase is used with it."`
	Enroll enrollCommand `cmd:"" help:"Give an encrypted disk a key slot whose passphrase is a key of a vault."`
	Unlock unlockCommand `cmd:"" help:"Check the header, get the passphrase for the attested machine, and open the disk."`
	List   listCommand   `cmd:"" help:"List the disks that this machine expects, as the file says."`
	Clevis clevisCommand `cmd:"" help:"What the pin of Clevis calls: encrypt and decrypt."`
}

// Disk is an encrypted disk as the machine knows it, from elsewhere than the disk: flags, or the file
// /etc/probity/disks.json in its measured image.
type Disk struct {
	// Name is that of the mapping: the opened disk is /dev/mapper/NAME.
	Name string `json:"name"`
	// Device is the encrypted one, such as /dev/disk/by-uuid/UUID. The pin of Clevis checks its header if it is named.
	Device string `json:"device,omitzero"`
	luks.Binding
	host.Machine
	Origin
	Shape
}

// Shape is what is expected of the header.
type Shape struct {
	Slots      []int    `name:"slot" json:"slots,omitzero" help:"${slotHelp}" placeholder:"N"`
	Ciphers    []string `name:"cipher" json:"ciphers,omitzero" help:"${cipherHelp}" placeholder:"CIPHER"`
	Integrity  string   `name:"integrity" json:"integrity,omitzero" help:"${integrityHelp}" placeholder:"KIND"`
	TokenTypes []string `name:"token-type" json:"tokenTypes,omitzero" help:"${tokenTypeHelp}" placeholder:"TYPE"`
}

// expectation is the shape, with the binding that a token of the disk must say, or without.
func (s Shape) expectation(b *luks.Binding) luks.Expectation {
	return luks.Expectation{
		Slots: s.Slots, Ciphers: s.Ciphers, Integrity: s.Integrity, TokenTypes: s.TokenTypes, Binding: b,
	}
}

// expected is what the header of the disk must be. A disk that Clevis opens has a token of Clevis's, which contains
// the binding inside, and need not have one of Probity's.
func (d *Disk) expected(clevis bool) luks.Expectation {
	if clevis {
		e := d.expectation(nil)
		e.TokenTypes = append(e.TokenTypes, clevisType)
		return e
	}
	return d.expectation(&d.Binding)
}

// maxConfig bounds the file with the disks, in bytes.
const maxConfig = 1 << 20

// readDisks reads the file with the disks of a machine.
func readDisks(e *term.Env, path string) ([]Disk, error) {
	b, err := e.ReadLimited(path, maxConfig)
	if err != nil {
		return nil, err
	}
	var file struct {
		Disks []Disk `json:"disks"`
	}
	if err := json.Unmarshal(b, &file, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %s", path, jsonerror.Text(err))
	}
	if len(file.Disks) == 0 {
		return nil, fmt.Errorf("%s: no disks; docs/how-to/encrypted-disk.md has an example", path)
	}
	seen := map[string]bool{}
	for n := range file.Disks {
		d := &file.Disks[n]
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("%s: disk %d: %w", path, n+1, err)
		}
		if seen[d.Name] {
			return nil, fmt.Errorf("%s: two disks have the name %s", path, d.Name)
		}
		seen[d.Name] = true
	}
	return file.Disks, nil
}

// check makes the names those that a token can have.
func (d *Disk) check() error {
	d.URL = strings.TrimRight(d.URL, "/")
	switch {
	case d.Name != "" && !validMapping(d.Name):
		return fmt.Errorf("the name %.130q: expected 1 to 127 letters, digits, dots, dashes and underscores", d.Name)
	case d.URL == "":
		return errors.New("no service: name its URL; it is not taken from the disk, which the host can change")
	case !strings.HasPrefix(d.URL, "https://"):
		return fmt.Errorf("the service %.200q: expected an https URL", d.URL)
	case d.Key == "":
		return errors.New("no key: name the key of the vault; it is not taken from the disk, which the host can change")
	}
	if d.Kind != "" {
		if _, err := evidence.ParseKind(d.Kind); err != nil {
			return err
		}
	}
	return nil
}

// validMapping reports whether a name can be one of a mapping: no path, and no option of a command line.
func validMapping(name string) bool {
	return name != "" && len(name) <= 127 && name[0] != '-' && name[0] != '.' &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// opened is a device that is open for reading, with its checked header.
type opened struct {
	file   *os.File
	device *luks.Device
	checks []evidence.Check
}

// open reads and checks the header of a device. The checks that were made come with an error, too.
func open(path string, want luks.Expectation) (*opened, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	o := &opened{file: f}
	if o.device, o.checks, err = luks.Inspect(f, size, want); err != nil {
		f.Close()
		var refused *evidence.Rejection
		if !errors.As(err, &refused) {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return o, err
	}
	return o, nil
}

func (o *opened) close() { o.file.Close() }

// refused shows the check that failed, of the header or of the service; other errors come back.
func refused(e *term.Env, path string, err error) error {
	var r *evidence.Rejection
	var answer *client.Error
	if errors.As(err, &answer) {
		return host.RefusedRelease(e, err)
	}
	if !errors.As(err, &r) {
		return err
	}
	fmt.Fprintf(e.Err, "%s %s: %s\n\n  expected  %s\n  found     %s\n  remedy    %s\n  see       %s\n",
		e.UI.Bad("refused:"), path, r.Check.ID, r.Check.Expected, r.Check.Found, r.Check.Remedy,
		term.CheckPage(r.Check.ID))
	return term.Exit(term.No)
}
