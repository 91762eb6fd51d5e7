package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/probity-dev/probity/evidence"
)

// Report is hardware evidence of a guest.
type Report struct {
	Kind evidence.Kind
	// Raw is the SEV-SNP report or the TDX quote, Certificates what the host sent
	// along with a report.
	Raw, Certificates []byte
}

// BindData is the report data that binds runtime data: their SHA-256, then zeros.
func BindData(runtime []byte) (data [64]byte) {
	sum := sha256.Sum256(runtime)
	copy(data[:], sum[:])
	return data
}

// tsmRoot is where the kernel hands out reports (configfs-tsm, Linux 6.7).
const tsmRoot = "/sys/kernel/config/tsm/report"

// folder is what is asked of a file system: that of the kernel, or one of a test.
type folder interface {
	Mkdir(path string) error
	Remove(path string) error
	Write(path string, b []byte) error
	Read(path string) ([]byte, error)
}

type osFolder struct{}

func (osFolder) Mkdir(path string) error           { return os.Mkdir(path, 0o700) }
func (osFolder) Remove(path string) error          { return os.Remove(path) }
func (osFolder) Write(path string, b []byte) error { return os.WriteFile(path, b, 0) }
func (osFolder) Read(path string) ([]byte, error)  { return os.ReadFile(path) }

// maxReport bounds what the kernel hands out.
const maxReport = 1 << 20

// HardwareReport asks the kernel for evidence over the given data: by configfs-tsm,
// or by /dev/sev-guest where the kernel is older.
func HardwareReport(data [64]byte) (*Report, error) {
	if _, err := os.Stat(tsmRoot); err == nil {
		return tsmReport(osFolder{}, data)
	}
	if _, err := os.Stat(sevGuest); err == nil {
		return sevReport(data)
	}
	return nil, fmt.Errorf("neither %s (configfs-tsm, Linux 6.7) nor %s is there: "+
		"this is not a SEV-SNP or TDX guest, or configfs is not mounted", tsmRoot, sevGuest)
}

// tsmReport makes an entry, writes the data and reads the report. The kernel counts
// writes: a count other than one says that someone else used the entry.
func tsmReport(f folder, data [64]byte) (report *Report, err error) {
	// The containers of a node share the folder, and each has a process 1.
	entry := filepath.Join(tsmRoot, "probity-"+strconv.Itoa(os.Getpid())+"-"+rand.Text()[:8])
	if err := f.Mkdir(entry); err != nil {
		return nil, fmt.Errorf("configfs-tsm: %w", err)
	}
	defer func() { err = errors.Join(err, f.Remove(entry)) }()
	if err := f.Write(filepath.Join(entry, "inblob"), data[:]); err != nil {
		return nil, fmt.Errorf("configfs-tsm: %w", err)
	}
	var read [4][]byte
	for i, name := range []string{"provider", "outblob", "auxblob", "generation"} {
		if read[i], err = f.Read(filepath.Join(entry, name)); err != nil && name != "auxblob" {
			return nil, fmt.Errorf("configfs-tsm: %s: %w", name, err)
		}
		if len(read[i]) > maxReport {
			return nil, fmt.Errorf("configfs-tsm: %s of %d bytes", name, len(read[i]))
		}
	}
	if generation := strings.TrimSpace(string(read[3])); generation != "1" {
		return nil, fmt.Errorf("configfs-tsm: generation %s: another program wrote to the entry", generation)
	}
	switch provider := strings.TrimSpace(string(read[0])); provider {
	case "sev_guest":
		return &Report{evidence.SEVSNPVM, read[1], read[2]}, nil
	case "tdx_guest":
		return &Report{Kind: evidence.TDXVM, Raw: read[1]}, nil
	default:
		return nil, fmt.Errorf("configfs-tsm: provider %q, want sev_guest or tdx_guest", provider)
	}
}
