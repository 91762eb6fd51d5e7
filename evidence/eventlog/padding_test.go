package eventlog_test

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func localityEvent(n byte, behind ...byte) evidencetest.BootEvent {
	return evidencetest.BootEvent{
		PCR: 0, Type: 3, Data: append(append([]byte("StartupLocality\x00"), n), behind...),
	}
}

func TestZeroPaddingAfterStartupLocalityIsAccepted(t *testing.T) {
	for _, padding := range []int{0, 1, 3, 15, 47, 239} {
		boot := evidencetest.NewBoot(localityEvent(3, make([]byte, padding)...),
			evidencetest.BootEvent{PCR: 0, Type: 8, Data: []byte("v")})
		l, err := eventlog.Parse(boot.Log)
		if err != nil || l.Locality != 3 {
			t.Fatalf("%d bytes of padding: locality %v, %v", padding, l, err)
		}
		// The register of a machine that started at locality 3 is led to.
		start, sum := make([]byte, 32), sha256.Sum256([]byte("v"))
		start[31] = 3
		want := sha256.Sum256(append(start, sum[:]...))
		r, err := l.Replay(eventlog.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if value, _, _ := r.Register(0); !bytes.Equal(value, want[:]) {
			t.Errorf("%d bytes of padding: PCR 0 is %x", padding, value)
		}
	}
}

func TestWrongStartupLocalityRecordsAreNamed(t *testing.T) {
	first := evidencetest.BootEvent{PCR: 0, Type: 8, Data: []byte("v")}
	elsewhere := localityEvent(3)
	elsewhere.PCR = 1
	other := localityEvent(3)
	other.Data[15] = 1
	for want, events := range map[string][]evidencetest.BootEvent{
		"16 bytes, the structure has 17": {
			{PCR: 0, Type: 3, Data: []byte("StartupLocality\x00")},
		},
		"15 bytes, the structure has 17": {
			{PCR: 0, Type: 3, Data: []byte("StartupLocality")},
		},
		"1 bytes after the structure are not zero padding":        {localityEvent(3, 4)},
		"9 bytes after the structure are not zero padding":        {localityEvent(3, 0, 0, 0, 0, 0, 0, 0, 0, 1)},
		"locality 9, expected 0, 3 or 4":                          {localityEvent(9)},
		"a second StartupLocality record":                         {localityEvent(0), localityEvent(3)},
		"a StartupLocality record after PCR 0 was extended":       {first, localityEvent(3)},
		"it is in PCR 1, expected PCR 0":                          {elsewhere},
		`unknown signature "StartupLocality\x01"`:                 {other},
		"event 2: StartupLocality record: locality 5, expected 0": {{PCR: 1, Type: 8}, localityEvent(5)},
	} {
		_, err := eventlog.Parse(evidencetest.NewBoot(events...).Log)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

// specification returns a log whose first record is the given one.
func specification(data []byte) []byte {
	boot := evidencetest.NewBoot(evidencetest.BootEvent{PCR: 0, Type: 8, Data: []byte("v")})
	const head = 28
	size := int(boot.Log[head])
	log := append(slices.Clone(boot.Log[:head]), byte(len(data)), 0, 0, 0)
	return append(append(log, data...), boot.Log[head+4+size:]...)
}

func TestHeaderRecordsMayBePadded(t *testing.T) {
	boot := evidencetest.NewBoot()
	good := boot.Log[32:]
	vendor := append(slices.Clone(good[:len(good)-1]), 3, 'a', 'b', 'c')
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"as it is":                   {good, ""},
		"without vendor information": {good[:len(good)-1], ""},
		"padded":                     {append(slices.Clone(good), make([]byte, 21)...), ""},
		"vendor information":         {vendor, ""},
		"padded vendor information":  {append(slices.Clone(vendor), 0, 0, 0), ""},
		"other bytes after it": {
			append(slices.Clone(good), 0, 7), "2 bytes after its structure that are not zero padding",
		},
		"vendor information cut": {vendor[:len(vendor)-1], "3 bytes of vendor information that is cut off"},
		"bytes after vendor's bytes": {
			append(slices.Clone(vendor), 1), "1 bytes after its structure that are not zero padding",
		},
	} {
		l, err := eventlog.Parse(specification(tc.data))
		switch {
		case tc.want == "" && (err != nil || len(l.Events) != 1 || len(l.Banks) != 2):
			t.Errorf("%s: %+v, %v", name, l, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, expected %q", name, err, tc.want)
		}
	}
}

// padded returns the boot with zero bytes after the data of each event; digests are those of
// the data alone, or of the padded data.
func padded(events []evidencetest.BootEvent, n int, hashPadding bool) []evidencetest.BootEvent {
	out := slices.Clone(events)
	for i := range out {
		if out[i].Hashed == nil && !hashPadding {
			out[i].Hashed = out[i].Data
		}
		out[i].Data = append(slices.Clone(out[i].Data), make([]byte, n)...)
	}
	return out
}

func TestFactsOfPaddedLogs(t *testing.T) {
	for name, cfg := range map[string]evidencetest.BootConfig{
		"Linux": {Kernel: "/k root=/r"}, "Windows": {Windows: evidencetest.HealthyWindows()},
	} {
		boot := evidencetest.HealthyBoot(cfg)
		want := facts(t, boot)
		if !want.SecureBoot || !want.AuthoritiesProven {
			t.Fatalf("%s: the test's own boot is not a secure one: %+v", name, want)
		}
		for _, n := range []int{1, 4, 8, 40} {
			got := facts(t, evidencetest.NewBoot(padded(boot.Events, n, false)...))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %d zero bytes after each structure: %+v, expected %+v", name, n, got, want)
			}
		}
		for i, e := range boot.Events {
			if e.PCR != 7 {
				continue
			}
			hostile := slices.Clone(boot.Events)
			hostile[i].Hashed = e.Data
			hostile[i].Data = append(slices.Clone(e.Data), 0, 1)
			if got := facts(t, evidencetest.NewBoot(hostile...)); got.SecureBoot && got.AuthoritiesProven {
				t.Errorf("%s: event %d with other bytes after its structure: facts are proven", name, i+1)
			}
		}
	}
}

func TestDisabledDMAProtectionIsSeenAfterPadding(t *testing.T) {
	events := evidencetest.HealthyBoot(evidencetest.BootConfig{}).Events
	action := evidencetest.BootEvent{PCR: 7, Type: 0x80000007, Data: []byte("DMA Protection Disabled")}
	for _, hashed := range []bool{false, true} {
		list := slices.Concat([]evidencetest.BootEvent{},
			padded([]evidencetest.BootEvent{action}, 9, hashed), events)
		if f := facts(t, evidencetest.NewBoot(list...)); !f.DMAUnprotected {
			t.Errorf("hashed %v: the action is not seen", hashed)
		}
	}
}

func TestWindowsLogsMayBePadded(t *testing.T) {
	items := evidencetest.HealthyWindows()[12]
	for _, n := range []int{1, 7, 8, 64} {
		list, err := eventlog.ParseItems(append(slices.Clone(items), make([]byte, n)...))
		want, _ := eventlog.ParseItems(items)
		if err != nil || len(list) != len(want) {
			t.Errorf("%d zero bytes: %d items, expected %d; %v", n, len(list), len(want), err)
		}
	}
	if _, err := eventlog.ParseItems(append(slices.Clone(items), 0, 0, 1)); err == nil {
		t.Error("other bytes after the items are accepted")
	}
}

func TestStructuresWithOtherBytesAfterThemAreRefused(t *testing.T) {
	variable := evidencetest.EFIVariable(evidencetest.GlobalVariable, "SecureBoot", []byte{1})
	v, err := eventlog.ParseVariable(append(slices.Clone(variable), 0, 0))
	if err != nil || !bytes.Equal(v.Data, []byte{1}) {
		t.Errorf("a padded variable: %+v, %v", v, err)
	}
	if _, err := eventlog.ParseVariable(append(slices.Clone(variable), 0, 2)); err == nil {
		t.Error("a variable with other bytes after it is accepted")
	}
	gpt := make([]byte, 100)
	copy(gpt, "EFI PART")
	gpt[84] = 128
	image := make([]byte, 32)
	for name, parse := range map[string]func([]byte) error{
		"GPT": func(b []byte) error {
			_, _, err := eventlog.ParseGPT(append(slices.Clone(gpt), b...))
			return err
		},
		"image": func(b []byte) error {
			_, err := eventlog.ParseImage(append(slices.Clone(image), b...))
			return err
		},
	} {
		if err := parse(make([]byte, 12)); err != nil {
			t.Errorf("%s with zero padding: %v", name, err)
		}
		if err := parse([]byte{0, 0, 9}); err == nil {
			t.Errorf("%s with other bytes after it is accepted", name)
		}
	}
}
