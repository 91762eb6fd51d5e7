package oracle

import (
	"crypto"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-eventlog/ccel"
	"github.com/google/go-eventlog/extract"
	"github.com/google/go-eventlog/register"

	"github.com/probity-dev/probity/evidence/eventlog"
)

// TestRealCCEL replays the logs of real trust domains that ship with go-eventlog
// and lets that library check the registers that we found.
func TestRealCCEL(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/go-eventlog").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(strings.TrimSpace(string(out)), "testdata", "eventlogs", "ccel")
	for name, tableName := range map[string]string{
		"cos-113-intel-tdx.bin":                "cos-113-intel-tdx.table.bin",
		"cos-113-intel-tdx-dupe-separator.bin": "CCEL.bin",
	} {
		table, err := os.ReadFile(filepath.Join(folder, tableName))
		if err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		l, err := eventlog.Parse(log)
		if err != nil {
			t.Fatal(err)
		}
		replayed, err := l.Replay(eventlog.SHA384)
		if err != nil {
			t.Fatal(err)
		}
		var bank register.RTMRBank
		for i := range 4 {
			value, events, ok := replayed.Register(uint32(i) + 1)
			if !ok {
				continue
			}
			bank.RTMRs = append(bank.RTMRs, register.RTMR{Index: i, Digest: value})
			t.Logf("%s: RTMR%d %s… by %d events", name, i, hex.EncodeToString(value[:8]), events)
		}
		if len(bank.RTMRs) < 3 {
			t.Errorf("%s: %d registers", name, len(bank.RTMRs))
		}
		if err := replay(table, log, bank); err != nil && !strings.Contains(err.Error(), "separator") {
			t.Errorf("%s: the oracle says %v", name, err)
		}
		bank.RTMRs[0].Digest = make([]byte, crypto.SHA384.Size())
		if replay(table, log, bank) == nil {
			t.Errorf("%s: the oracle accepts any register", name)
		}
	}
}

func replay(table, log []byte, bank register.RTMRBank) error {
	_, err := ccel.ReplayAndExtract(table, log, bank, extract.Opts{Loader: extract.GRUB})
	return err
}
