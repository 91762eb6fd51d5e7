package disk

import (
	"fmt"
	"os"
	"slices"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

type listCommand struct {
	Config string `help:"${disksHelp}" env:"PROBITY_DISKS" default:"/etc/probity/disks.json" placeholder:"FILE"`
	Names  bool   `help:"Print the names of the mappings alone." xor:"what"`
	Files  bool   `help:"Print the files that the disks name, such as certificates: what an initramfs needs beside the program." xor:"what"`
	term.Output
}

// Run prints the disks of the file.
func (c *listCommand) Run(e *term.Env) error {
	disks, err := readDisks(e, c.Config)
	if err != nil {
		return err
	}
	var lines []string
	for n := range disks {
		d := &disks[n]
		if d.Name == "" || d.Device == "" {
			return fmt.Errorf("%s: disk %d: expected a name and a device", c.Config, n+1)
		}
		switch {
		case c.Names:
			lines = append(lines, d.Name)
		case c.Files:
			lines = append(lines, d.files()...)
		default:
			lines = append(lines, fmt.Sprintf("%s  %s  %s", d.Name, d.Device, d.Binding))
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if e.JSON {
		if !c.Names && !c.Files {
			return term.PrintJSON(e.Out, disks)
		}
		return term.PrintJSON(e.Out, append([]string{}, lines...))
	}
	for _, line := range lines {
		fmt.Fprintln(e.Out, line)
	}
	return nil
}

// files are those that the disk names. The key of the TPM in its folder is there once the machine has attested.
func (d *Disk) files() []string {
	var list []string
	for _, file := range []string{d.CA, d.BearerFile, d.ClientCert, d.ClientKey} {
		if file != "" {
			list = append(list, file)
		}
	}
	if d.State != "" {
		const name = "/attestation-key.json"
		if _, err := os.Stat(d.State + name); err == nil {
			list = append(list, d.State+name)
		}
	}
	return list
}
