package eventlog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// windowsEvents are what Windows writes when all is well, with its separators.
func windowsEvents() (list []evidencetest.BootEvent) {
	healthy := evidencetest.HealthyWindows(evidencetest.SIPA(0x00050023, []byte("a key of an enclave's signer")))
	for pcr := uint32(12); pcr <= 14; pcr++ {
		list = append(list,
			evidencetest.BootEvent{PCR: pcr, Type: 6, Data: evidencetest.SIPA(0x40010001, healthy[pcr])},
			evidencetest.BootEvent{PCR: pcr, Type: 4, Data: []byte("WBCL")})
	}
	return list
}

// saysWindows reports whether a fact of Windows is stated.
func saysWindows(f *eventlog.Facts) bool {
	return f.Windows || f.CodeIntegrity || f.BootDebuggingOff || f.KernelDebuggingOff || f.TestSigningOff ||
		f.FlightSigningOff || f.NotSafeMode || f.NotWinPE ||
		f.VBS || f.HVCI || f.IOMMU || f.ELAM || f.BitLocker || f.HVCIPolicy != 0 || f.SigningKey != nil
}

// TestOnlyWindowsStatesFactsOfWindows: whatever else was allowed to run can extend the
// registers of Windows by events that look like Windows's.
func TestOnlyWindowsStatesFactsOfWindows(t *testing.T) {
	own := []byte{0x30, 0x82, 0, 4, 1, 2, 3, 4}
	hash := evidencetest.BootEvent{
		PCR: 7, Type: 0x800000e0,
		Data: evidencetest.EFIVariable(evidencetest.ImageSecurity, "db", make([]byte, 48)),
	}
	renamed := evidencetest.BootEvent{
		PCR: 7, Type: 0x800000e0, Data: evidencetest.EFIVariable(evidencetest.ImageSecurity,
			"dbx", append(make([]byte, 16), evidencetest.WindowsAuthority()...)),
	}
	windows := evidencetest.BootConfig{Windows: map[uint32][]byte{}}
	base := func(cfg evidencetest.BootConfig) []evidencetest.BootEvent {
		var list []evidencetest.BootEvent
		for _, e := range evidencetest.HealthyBoot(cfg).Events {
			if e.PCR < 12 {
				list = append(list, e)
			}
		}
		return list
	}
	for name, before := range map[string][]evidencetest.BootEvent{
		"Linux by shim": base(evidencetest.BootConfig{}),
		"secure boot off": base(evidencetest.BootConfig{
			Windows:       map[uint32][]byte{},
			SecureBootOff: true,
		}),
		"Windows, and another's authority": append(base(windows),
			evidencetest.Authority(evidencetest.ThirdPartyAuthority())),
		"Windows, and a key of the owner": append(base(windows), evidencetest.Authority(own)),
		"Windows, and a hash":             append(base(windows), hash),
		"Windows's certificate elsewhere": append(base(windows), renamed),
		"Windows, and an entry that is not covered": append(base(windows), evidencetest.BootEvent{
			PCR: 7, Type: 0x800000e0, Data: evidencetest.Authority(own).Data, Hashed: []byte("others"),
		}),
		"Windows, and an entry that is not an authority": append(base(windows), evidencetest.BootEvent{
			PCR: 7, Type: 0x80000001,
			Data: evidencetest.EFIVariable(evidencetest.GlobalVariable, "Boot0000", []byte{1}),
		}),
	} {
		boot := evidencetest.NewBoot(append(before, windowsEvents()...)...)
		f := facts(t, boot)
		if saysWindows(f) || f.WindowsBooted || f.NoWindows {
			t.Errorf("%s: facts of Windows are stated", name)
		}
		if !strings.Contains(strings.Join(f.LeftOut, "; "), "events of Windows") {
			t.Errorf("%s: it is not told that events were left out: %q", name, f.LeftOut)
		}
		if text := prove(t, boot).JSON(); strings.Contains(text, `"EVENT_`) {
			t.Errorf("%s: the events say what Windows says", name)
		}
	}
	boot := evidencetest.NewBoot(append(base(windows), windowsEvents()...)...)
	if f := facts(t, boot); !f.Windows || !f.WindowsBooted || f.SigningKey == nil || len(f.LeftOut) > 0 ||
		!strings.Contains(prove(t, boot).JSON(), "EVENT_VBS_VSM_REQUIRED") {
		t.Errorf("Windows is not recognised: %q", f.LeftOut)
	}
}

// TestWindowsNeedsItsClosedRegisters: without the separator, or without the register, worse
// events could be missing or others' could be there.
func TestWindowsNeedsItsClosedRegisters(t *testing.T) {
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows()})
	for _, register := range []uint32{12, 13} {
		var open []evidencetest.BootEvent
		for _, e := range boot.Events {
			if e.PCR != register || e.Type != 4 {
				open = append(open, e)
			}
		}
		if f := facts(t, evidencetest.NewBoot(open...)); saysWindows(f) {
			t.Errorf("PCR %d is not closed: %+v", register, f)
		}
		registers := bank(boot)
		registers.Values[register] = nil
		p, err := eventlog.Prove([]eventlog.Sent{{Data: boot.Log}}, registers)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := p.Facts(); err != nil || saysWindows(f) {
			t.Errorf("PCR %d is not quoted: %+v, %v", register, f, err)
		}
	}
}

// everyFact are items of Windows that would prove each fact.
func everyFact() []byte {
	module := evidencetest.SIPA(0x40010003, append(evidencetest.SIPA(
		0x00070001, evidencetest.UTF16(`\Windows\System32\drivers\wd\WdBoot.sys`),
	), evidencetest.SIPA(0x0007000a, []byte{1})...))
	good := append(module, evidencetest.SIPA(0x000a0007, []byte{1, 0, 0, 0})...)
	good = append(append(good, evidencetest.SIPA(0x00020005, []byte{4, 0, 0, 0})...),
		evidencetest.SIPA(0x00050023, []byte("key"))...)
	return append(good, evidencetest.SIPA(0x000a0001, []byte{1})...)
}

// TestFactsHaveTheirRegisters: the running system extends and resets the others.
func TestFactsHaveTheirRegisters(t *testing.T) {
	good := everyFact()
	zero := evidencetest.SIPA(0x00050003, []byte{0})
	for register := uint32(15); register < 24; register++ {
		boot := evidencetest.HealthyBoot(evidencetest.BootConfig{
			Windows: map[uint32][]byte{12: zero, 13: zero, 14: evidencetest.SIPA(0x00060002, []byte("key"))},
		})
		boot.PCRs[register] = [32]byte{} // a reset or a launch
		boot.Add(evidencetest.BootEvent{PCR: register, Type: 6, Data: evidencetest.SIPA(0x40010001, good)})
		if register == 17 {
			boot.PCRs[17] = [32]byte{}
			boot.Add(evidencetest.BootEvent{PCR: 17, Type: 6, Data: []byte("others")})
			continue
		}
		f := facts(t, boot)
		if !f.Windows || f.ELAM || f.HVCI || f.HVCIPolicy != 0 || f.BitLocker || f.VBS || f.SigningKey != nil {
			t.Errorf("an event in PCR %d: %+v", register, f)
		}
		if strings.Contains(prove(t, boot).JSON(), "HVCI_POLICY") {
			t.Errorf("an event in PCR %d is shown as Windows's", register)
		}
	}
}

// TestADynamicLaunchHasRegistersOfItsOwn: after one, which PCR 17 shows, 19 and 20 are those
// of the launched system.
func TestADynamicLaunchHasRegistersOfItsOwn(t *testing.T) {
	good, zero := everyFact(), evidencetest.SIPA(0x00050003, []byte{0})
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: map[uint32][]byte{12: zero, 13: zero}})
	for _, register := range []uint32{17, 19} {
		boot.PCRs[register] = [32]byte{}
		boot.Add(evidencetest.BootEvent{PCR: register, Type: 6, Data: evidencetest.SIPA(0x40010001, good)})
	}
	if f := facts(t, boot); !f.ELAM || !f.HVCI || !f.BitLocker || !f.VBS || f.SigningKey != nil {
		t.Errorf("a dynamic launch: %+v", f)
	}
	registers := bank(boot)
	registers.Values[17] = nil
	p, err := eventlog.Prove([]eventlog.Sent{{Data: boot.Log}}, registers)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := p.Facts(); err != nil || f.ELAM || f.VBS {
		t.Errorf("PCR 17 is not quoted: %+v, %v", f, err)
	}
}

// TestWhetherWindowsBooted: it is shown by PCR 7, or by registers that nothing extended;
// never by what a log leaves out.
func TestWhetherWindowsBooted(t *testing.T) {
	shim := func(name string) evidencetest.BootEvent {
		return evidencetest.BootEvent{PCR: 7, Type: 0x800000e0, Data: evidencetest.EFIVariable(
			"605DAB50-E046-4300-ABB6-3DD810DD8B23", name, []byte("sbat,1,2021030218\n"),
		)}
	}
	add := func(b *evidencetest.Boot, events ...evidencetest.BootEvent) *evidencetest.Boot {
		b.Add(events...)
		return b
	}
	linux := func() *evidencetest.Boot { return evidencetest.HealthyBoot(evidencetest.BootConfig{}) }
	windows := func() *evidencetest.Boot {
		return evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows()})
	}
	off := evidencetest.BootConfig{SecureBootOff: true}
	extended := evidencetest.BootEvent{PCR: 14, Type: 0xd, Data: []byte("MokList")}
	const firmware = 0xff
	for name, tc := range map[string]struct {
		boot             *evidencetest.Boot
		mask             uint32
		windows, without bool
	}{
		"Windows":                           {windows(), 0xffffff, true, false},
		"Windows, its registers not quoted": {windows(), firmware, true, false},
		"Windows without secure boot": {evidencetest.HealthyBoot(evidencetest.BootConfig{
			SecureBootOff: true,
			Windows:       evidencetest.HealthyWindows(),
		}), 0xffffff, false, false},
		"Windows without secure boot, not quoted": {evidencetest.HealthyBoot(evidencetest.BootConfig{
			SecureBootOff: true,
			Windows:       evidencetest.HealthyWindows(),
		}), firmware, false, false},
		"another system": {linux(), firmware, false, true},
		"another system, by shim": {
			add(linux(), shim("SbatLevel"), shim("Shim")), firmware, false, true,
		},
		"another system, by a key of the owner": {add(linux(), shim("MokList")), firmware, false, false},
		"another system, by an unknown authority": {add(linux(),
			evidencetest.Authority([]byte{0x30, 0x82, 0, 4, 1, 2, 3, 4})), firmware, false, false},
		"another system, an authority that is hidden": {add(linux(), evidencetest.BootEvent{
			PCR: 7, Type: 0x80000002,
			Data: evidencetest.Authority(evidencetest.WindowsAuthority()).Data,
		}), firmware, false, false},
		"two systems": {add(linux(),
			evidencetest.Authority(evidencetest.WindowsAuthority())), firmware, false, false},
		"without secure boot, nothing extended": {evidencetest.HealthyBoot(off), 0xffffff, false, true},
		"without secure boot, not quoted":       {evidencetest.HealthyBoot(off), firmware, false, false},
		"without secure boot, one not quoted": {
			evidencetest.HealthyBoot(off), 0xffffff &^ (1 << 13), false, false,
		},
		"without secure boot, one extended": {
			add(evidencetest.HealthyBoot(off), extended), 0xffffff, false, false,
		},
	} {
		registers := bank(tc.boot)
		for i := range registers.Values {
			if tc.mask&(1<<i) == 0 {
				registers.Values[i] = nil
			}
		}
		p, err := eventlog.Prove([]eventlog.Sent{{Data: tc.boot.Log}}, registers)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := p.Facts()
		if err != nil || f.WindowsBooted != tc.windows || f.NoWindows != tc.without {
			t.Errorf("%s: Windows %v, without Windows %v; %v", name, f.WindowsBooted, f.NoWindows, err)
		}
	}
}

// TestRelabelledWindowsProvesNothing: called by another type, bad events are not seen, and
// nothing follows from that.
func TestRelabelledWindowsProvesNothing(t *testing.T) {
	var items []byte
	for _, tag := range []uint32{0x00040001, 0x00050005, 0x00050006} {
		items = append(items, evidencetest.SIPA(tag, []byte{1})...)
	}
	for _, typ := range []uint32{0xd, 5, 0x80000001, 0x8401} {
		boot := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: map[uint32][]byte{12: items, 13: items}})
		var events []evidencetest.BootEvent
		for _, e := range boot.Events {
			if e.PCR >= 12 && e.Type == 6 {
				e.Type = typ
			}
			events = append(events, e)
		}
		f := facts(t, evidencetest.NewBoot(events...))
		if saysWindows(f) || f.KernelCommandLine != "" {
			t.Errorf("type %#x: %+v", typ, f)
		}
	}
}

func TestResumeIsShownByTheBootManager(t *testing.T) {
	for _, tc := range []struct {
		values []uint32
		want   bool
	}{
		{nil, false}, {[]uint32{1}, false}, {[]uint32{2}, true}, {[]uint32{1, 2}, false},
		{[]uint32{2, 5}, true}, {[]uint32{5}, false},
	} {
		var items []byte
		for _, v := range tc.values {
			items = append(items, evidencetest.SIPA(0x00020003, []byte{byte(v), 0, 0, 0})...)
		}
		one := evidencetest.SIPA(0x00050002, []byte{1})
		boot := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: map[uint32][]byte{
			12: append(items, one...),
			13: append(evidencetest.SIPA(0x00020003, []byte{2, 0, 0, 0}), one...),
		}})
		if f := facts(t, boot); f.Resumed != tc.want {
			t.Errorf("%v: resumed %v", tc.values, f.Resumed)
		}
	}
}

// TestVariablesAreReadOnlyWhereFirmwareMeasuresThem: what runs later can measure a variable that
// says that secure boot is on, and call the true one what it is not.
func TestVariablesAreReadOnlyWhereFirmwareMeasuresThem(t *testing.T) {
	on := evidencetest.EFIVariable(evidencetest.GlobalVariable, "SecureBoot", []byte{1})
	for _, register := range []uint32{0, 1, 7, 8, 12, 16, 23} {
		for _, typ := range []uint32{0x80000001, 0x80000002, 0x8000000c, 0x800000e0} {
			if register == 7 && typ == 0x800000e0 {
				continue // an authority of that name says nothing of the configuration
			}
			boot := evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true})
			boot.Add(evidencetest.BootEvent{PCR: register, Type: typ, Data: on})
			for _, e := range jsonEvents(t, prove(t, boot)) {
				if e.ProcessedData["UnicodeName"] == "SecureBoot" && e.ProcessedData["VariableData"] != "AA" {
					t.Errorf("PCR %d, type %#x: %+v", register, typ, e)
				}
			}
		}
	}
	// The true one under another label is not shown as something else.
	var events []evidencetest.BootEvent
	for _, e := range evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true}).Events {
		if e.PCR == 7 && e.Type == 0x80000001 {
			e.Type = 0x80000002
		}
		events = append(events, e)
	}
	for _, e := range jsonEvents(t, prove(t, evidencetest.NewBoot(events...))) {
		if e.PcrIndex == 7 && e.ProcessedData["UnicodeName"] != nil {
			t.Errorf("a variable under another label: %+v", e)
		}
	}
}

type jsonEvent struct {
	EventSeq, PcrIndex int
	EventTypeString    string
	Covered            bool
	Digests            map[string]string
	ProcessedData      map[string]any
}

func jsonEvents(t *testing.T, p *eventlog.Proof) []jsonEvent {
	t.Helper()
	var got struct{ Events []jsonEvent }
	if err := json.Unmarshal([]byte(p.JSON()), &got); err != nil {
		t.Fatal(err)
	}
	return got.Events
}

// TestEventsShowWhatIsProven: digests of the proven bank, what they cover, and an order that
// the sender of the log cannot choose.
func TestEventsShowWhatIsProven(t *testing.T) {
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	events := jsonEvents(t, prove(t, boot))
	for i, e := range events {
		if len(e.Digests) != 1 || len(e.Digests["SHA256"]) != 64 {
			t.Errorf("event %d has digests that nothing proves: %v", i, e.Digests)
		}
		if e.EventSeq != i || i > 0 && e.PcrIndex < events[i-1].PcrIndex {
			t.Errorf("event %d: sequence %d, PCR %d", i, e.EventSeq, e.PcrIndex)
		}
		if e.Covered != (e.EventTypeString != "EV_EFI_BOOT_SERVICES_APPLICATION" &&
			e.EventTypeString != "EV_EFI_PLATFORM_FIRMWARE_BLOB" && e.PcrIndex != 9) {
			t.Errorf("event %d (%s): covered %v", i, e.EventTypeString, e.Covered)
		}
		if !e.Covered && e.ProcessedData != nil {
			t.Errorf("event %d: data that nothing covers: %v", i, e.ProcessedData)
		}
	}
	// The same registers, the log in another order across registers.
	var later, sooner []evidencetest.BootEvent
	for _, e := range boot.Events {
		if e.PCR == 4 {
			later = append(later, e)
		} else {
			sooner = append(sooner, e)
		}
	}
	a, b := prove(t, boot).JSON(), prove(t, evidencetest.NewBoot(append(sooner, later...)...)).JSON()
	if a != b {
		t.Error("the order of the log across registers is told as if it were proven")
	}
	if text := fmt.Sprint(events); !strings.Contains(text, "SecureBoot") {
		t.Error("the variables are missing")
	}
}
