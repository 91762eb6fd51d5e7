package eventlog_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func windowsLog() []byte {
	return evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows()}).Log
}

// bank are the SHA-256 registers of a boot.
func bank(b *evidencetest.Boot) eventlog.Bank {
	out := eventlog.Bank{Algorithm: eventlog.SHA256}
	for i := range b.PCRs {
		out.Values[i] = b.PCRs[i][:]
	}
	return out
}

func prove(t *testing.T, b *evidencetest.Boot) *eventlog.Proof {
	t.Helper()
	p, err := eventlog.Prove([]eventlog.Sent{{Data: b.Log}}, bank(b))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func facts(t *testing.T, b *evidencetest.Boot) *eventlog.Facts {
	t.Helper()
	f, err := prove(t, b).Facts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLinuxBoot(t *testing.T) {
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{Kernel: "/k root=/r"})
	f, l := facts(t, boot), prove(t, boot).Linux()
	if !f.SecureBoot || f.Windows || f.KernelCommandLine != "/k root=/r" ||
		l.KernelCommandLine != f.KernelCommandLine ||
		len(l.Commands) != 1 || len(l.Files) != 1 || len(f.DB.Hashes) != 1 {
		t.Errorf("%+v, %+v", f, l)
	}
	if facts(t, evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true})).SecureBoot {
		t.Error("secure boot off is reported as on")
	}
}

// TestUnifiedKernel: systemd measures the name of each section, then its contents.
func TestUnifiedKernel(t *testing.T) {
	var events []evidencetest.BootEvent
	for _, name := range []string{".linux", ".cmdline"} {
		events = append(events, evidencetest.BootEvent{
			PCR: 11, Type: 0xd, Data: evidencetest.UTF16(name), Hashed: []byte(name + "\x00"),
		},
			evidencetest.BootEvent{PCR: 11, Type: 0xd, Data: evidencetest.UTF16(name), Hashed: []byte("contents")})
	}
	l := prove(t, evidencetest.NewBoot(events...)).Linux()
	if strings.Join(l.Sections, " ") != ".linux .cmdline" {
		t.Errorf("%+v", l)
	}
}

func TestWindowsBoot(t *testing.T) {
	f := facts(t, evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows()}))
	if !f.SecureBoot || !f.Windows || !f.CodeIntegrity || !f.BootDebuggingOff || !f.KernelDebuggingOff ||
		f.HypervisorDebugging || !f.TestSigningOff || !f.FlightSigningOff ||
		!f.NotSafeMode || !f.NotWinPE || !f.VBS || !f.HVCI || f.HVCIPolicy != 1 || !f.IOMMU || !f.ELAM ||
		!f.BitLocker {
		t.Errorf("%+v", f)
	}
}

// TestAFactIsFalseIfAnyValueIsBad: the weakest of several values is reported.
func TestAFactIsFalseIfAnyValueIsBad(t *testing.T) {
	for name, tc := range map[string]struct {
		extra []byte
		spoil func(*eventlog.Facts) bool
	}{
		"code integrity": {evidencetest.SIPA(0x00050002, []byte{0}), func(f *eventlog.Facts) bool {
			return f.CodeIntegrity
		}},
		"boot debugging": {evidencetest.SIPA(0x00040001, []byte{1}), func(f *eventlog.Facts) bool {
			return f.BootDebuggingOff
		}},
		"kernel debugger": {evidencetest.SIPA(0x00050001, []byte{1}), func(f *eventlog.Facts) bool {
			return f.KernelDebuggingOff
		}},
		"test signing": {evidencetest.SIPA(0x00050003, []byte{1}), func(f *eventlog.Facts) bool {
			return f.TestSigningOff
		}},
		"flight signing": {evidencetest.SIPA(0x00050021, []byte{1}), func(f *eventlog.Facts) bool {
			return f.FlightSigningOff
		}},
		"safe mode": {evidencetest.SIPA(0x00050005, []byte{1}), func(f *eventlog.Facts) bool {
			return f.NotSafeMode
		}},
		"WinPE": {evidencetest.SIPA(0x00050006, []byte{1}), func(f *eventlog.Facts) bool {
			return f.NotWinPE
		}},
		"VBS": {evidencetest.SIPA(0x000a0001, []byte{0}), func(f *eventlog.Facts) bool {
			return f.VBS
		}},
		"HVCI": {evidencetest.SIPA(0x000a0007, []byte{0, 0, 0, 0}), func(f *eventlog.Facts) bool {
			return f.HVCI
		}},
		"IOMMU": {evidencetest.SIPA(0x000a0003, []byte{0}), func(f *eventlog.Facts) bool {
			return f.IOMMU
		}},
		"hypervisor": {evidencetest.SIPA(0x0005000d, []byte{1}), func(f *eventlog.Facts) bool {
			return !f.HypervisorDebugging
		}},
		"odd payload": {evidencetest.SIPA(0x00050002, []byte{1, 0, 0}), func(f *eventlog.Facts) bool {
			return f.CodeIntegrity
		}},
	} {
		boot := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows(tc.extra)})
		if tc.spoil(facts(t, boot)) {
			t.Errorf("%s: a bad value among good ones was overlooked", name)
		}
	}
}

func TestEventsAfterTheSeparatorAreIgnored(t *testing.T) {
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: map[uint32][]byte{}})
	boot.Add(evidencetest.BootEvent{PCR: 12, Type: 6, Data: evidencetest.SIPA(0x40010001,
		evidencetest.SIPA(0x00050002, []byte{1}))})
	if f := facts(t, boot); f.CodeIntegrity || f.Windows {
		t.Error("an event after the separator was believed")
	}
	boot.Add(evidencetest.BootEvent{PCR: 12, Type: 4, Data: []byte("WBCL")})
	if _, err := prove(t, boot).Facts(); !errors.Is(err, eventlog.ErrSeparator) {
		t.Errorf("a second separator: %v", err)
	}
}

// TestRetypedEventsAreStillFound: the author of the log chose the types. A bad entry of
// Windows that is made to look like another refuses the log.
func TestRetypedEventsAreStillFound(t *testing.T) {
	bad := evidencetest.SIPA(0x40010001, evidencetest.SIPA(0x00050003, []byte{1}))
	for name, event := range map[string]evidencetest.BootEvent{
		"another type": {PCR: 12, Type: 0xd, Data: bad}, "other data": {
			PCR: 13, Type: 0xd, Data: []byte("?"), Hashed: bad,
		}, "an unknown type": {PCR: 14, Type: 0x8401, Data: bad},
		"an uncovered separator": {PCR: 12, Type: 4, Data: []byte("WBCL"), Hashed: bad},
	} {
		boot := evidencetest.NewBoot(evidencetest.BootEvent{
			PCR: 12, Type: 6,
			Data: evidencetest.SIPA(0x40010001, evidencetest.SIPA(0x00050003, []byte{0})),
		}, event)
		if _, err := prove(t, boot).Facts(); !errors.Is(err, eventlog.ErrObscured) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecureBootNeedsTheExactSequence(t *testing.T) {
	on := evidencetest.BootEvent{
		PCR: 7, Type: 0x80000001,
		Data: evidencetest.EFIVariable(evidencetest.GlobalVariable, "SecureBoot", []byte{1}),
	}
	others := []evidencetest.BootEvent{}
	for _, v := range [][2]string{
		{evidencetest.GlobalVariable, "PK"},
		{evidencetest.GlobalVariable, "KEK"},
		{evidencetest.ImageSecurity, "db"},
		{evidencetest.ImageSecurity, "dbx"},
	} {
		others = append(others,
			evidencetest.BootEvent{PCR: 7, Type: 0x80000001, Data: evidencetest.EFIVariable(v[0], v[1], nil)})
	}
	separator := evidencetest.BootEvent{PCR: 7, Type: 4, Data: make([]byte, 4)}
	used := evidencetest.BootEvent{
		PCR: 7, Type: 0x800000e0,
		Data: evidencetest.EFIVariable(evidencetest.ImageSecurity, "db", make([]byte, 48)),
	}
	join := func(parts ...any) (list []evidencetest.BootEvent) {
		for _, p := range parts {
			switch p := p.(type) {
			case evidencetest.BootEvent:
				list = append(list, p)
			case []evidencetest.BootEvent:
				list = append(list, p...)
			}
		}
		return list
	}
	off := on
	off.Data = evidencetest.EFIVariable(evidencetest.GlobalVariable, "SecureBoot", []byte{0})
	lying := on
	lying.Hashed = evidencetest.EFIVariable(evidencetest.GlobalVariable, "SecureBoot", []byte{0})
	retyped := on
	retyped.Type = 0x80000002
	for name, tc := range map[string]struct {
		events []evidencetest.BootEvent
		why    string // secure boot is not proven
	}{
		"the sequence": {join(on, others, separator, used), ""},
		"no events":    {nil, "no event of PCR 7 is proven"},
		"off": {
			join(off, others, separator, used), "the variable SecureBoot is not 1: secure boot is off",
		},
		"no authority": {
			join(on, others, separator),
			"PCR 7 names no authority that allowed a boot loader, so that nothing was checked",
		},
		"no separator":       {join(on, others, used), "PCR 7 has no separator after the variables"},
		"a second separator": {join(on, others, separator, separator, used), "event 7 is a second separator"},
		"databases first": {
			join(others, on, separator, used),
			"event 1 is not the variable SecureBoot, which comes next",
		},
		"a database missing": {
			join(on, others[:3], separator, used),
			"event 5, the separator, comes before the variable dbx",
		},
		"after the separator": {
			join(separator, on, others, used),
			"event 1, the separator, comes before the variable SecureBoot",
		},
		"twice": {
			join(on, others, on, separator, used),
			"event 6 gives the variable SecureBoot a second time",
		},
		"twice, after": {
			join(on, others, separator, on, used),
			"event 7 gives the variable SecureBoot a second time",
		},
		"data not measured": {
			join(lying, others, separator, used),
			"event 1, before the separator, is not a variable that its digest covers",
		},
		"another type": {
			join(retyped, others, separator, used),
			"event 1 is not the variable SecureBoot, which comes next",
		},
		"an error separator": {
			join(on, others, evidencetest.BootEvent{PCR: 7, Type: 4, Data: []byte{1, 0, 0, 0}}, used),
			"event 6, the separator, reports an error of the firmware",
		},
	} {
		f := facts(t, evidencetest.NewBoot(tc.events...))
		if f.SecureBoot != (tc.why == "") || f.WhyNotSecureBoot != tc.why {
			t.Errorf("%s: secure boot %v, %q", name, f.SecureBoot, f.WhyNotSecureBoot)
		}
	}
}

// TestMismatchNamesTheEvent: the register, both values, and which event differs
// where that can be known.
func TestMismatchNamesTheEvent(t *testing.T) {
	event := func(what string) evidencetest.BootEvent {
		return evidencetest.BootEvent{PCR: 4, Type: 5, Data: []byte(what)}
	}
	truth := evidencetest.NewBoot(event("a"), event("b"), event("c"))
	altered := event("b")
	altered.Hashed = []byte("another")
	for name, tc := range map[string]struct {
		log  *evidencetest.Boot
		bank eventlog.Bank
		hint string
	}{
		"goes on": {
			evidencetest.NewBoot(event("a"), event("b"), event("c"), event("d")),
			bank(truth),
			"event 4 is the first that is not in it",
		},
		"one too many": {
			evidencetest.NewBoot(event("a"), event("x"), event("b"), event("c")),
			bank(truth),
			"event 2 (EV_ACTION) was not extended",
		},
		"altered digest": {
			evidencetest.NewBoot(event("a"), altered, event("c")),
			bank(truth),
			"event 2 (EV_ACTION) has the digest",
		},
		"nothing extended": {
			truth, bank(evidencetest.NewBoot()), "event 1 is the first that is not in the register",
		},
		"one missing": {evidencetest.NewBoot(event("a"), event("c")), bank(truth), ""},
	} {
		_, err := eventlog.Prove([]eventlog.Sent{{Data: tc.log.Log}}, tc.bank)
		var m *eventlog.Mismatch
		if !errors.As(err, &m) || m.Register != 4 || !strings.Contains(m.Hint, tc.hint) ||
			tc.hint == "" && m.Hint != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnquotedRegistersAreNotBelieved(t *testing.T) {
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	b := bank(boot)
	b.Values[7] = nil
	p, err := eventlog.Prove([]eventlog.Sent{{Data: boot.Log}}, b)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil || f.SecureBoot || f.DB != nil || strings.Contains(p.JSON(), `"PcrIndex":7`) {
		t.Errorf("%+v, %v", f, err)
	}
	if lacking := b.Covers(0xff); len(lacking) != 1 || lacking[0] != 7 {
		t.Errorf("lacking %v", lacking)
	}
}

func TestRegistersWithoutALog(t *testing.T) {
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	b := bank(boot)
	b.Values[15] = bytes.Repeat([]byte{9}, 32)
	p, err := eventlog.Prove([]eventlog.Sent{{Data: boot.Log}}, b)
	if err != nil || len(p.Unexplained) != 1 || p.Unexplained[0] != 15 || len(p.Explained) != 23 {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestUncoveredWindowsEvents: tagged events of Windows whose data their digests do
// not cover are refused, not passed over.
func TestUncoveredWindowsEvents(t *testing.T) {
	boot := evidencetest.NewBoot(evidencetest.BootEvent{
		PCR: 12, Type: 6, Data: evidencetest.SIPA(0x40010001, nil), Hashed: []byte("others"),
	})
	_, err := eventlog.Prove([]eventlog.Sent{{Data: boot.Log}}, bank(boot))
	if err == nil || !strings.Contains(err.Error(), "does not cover") {
		t.Errorf("%v", err)
	}
}

// TestSignatureListInjection: GHSA-9r4w-jg96-92mv. The header of a list belongs
// to its vendor; its bytes are not signatures.
func TestSignatureListInjection(t *testing.T) {
	hash := sha256.Sum256([]byte("allowed"))
	list := func(typ string, header []byte, each uint32, body []byte) []byte {
		b := binary.LittleEndian.AppendUint32(evidencetest.GUID(typ), uint32(28+len(header)+len(body)))
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, uint32(len(header))), each)
		return append(append(b, header...), body...)
	}
	const shaType, otherType = "C1C41626-504C-4092-ACA9-41F936934328", "00000000-0000-0000-0000-00000000ABCD"
	entry := append(make([]byte, 16), hash[:]...)
	if s, err := eventlog.ParseSignatures(list(shaType, nil, 48, entry)); err != nil || len(s.Hashes) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	s, err := eventlog.ParseSignatures(list(otherType, entry, 48, entry))
	if err != nil || len(s.Hashes) != 0 || s.Others != 1 {
		t.Errorf("a vendor's header: %+v, %v", s, err)
	}
	for name, b := range map[string][]byte{
		"a header in a list of hashes": list(shaType, entry, 48, entry),
		"hashes of another size":       list(shaType, nil, 24, entry),
		"no entries' size":             list(shaType, nil, 0, entry),
		"a size below the owner's":     list(shaType, nil, 16, entry), "a rest": list(shaType, nil, 48,
			append(entry, 1)), "cut": list(shaType, nil, 48, entry)[:40],
		"a header beyond the list": func() []byte {
			b := list(shaType, nil, 48, entry)
			binary.LittleEndian.PutUint32(b[20:], 0xffffffff)
			return b
		}(),
		"too many lists": bytes.Repeat(list(shaType, nil, 48, entry), 4097),
	} {
		if s, err := eventlog.ParseSignatures(b); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestTwoMillionNestedHeaders: GHSA-hcm6-rjfh-f25p. Nesting ends at a bound and
// not with the stack.
func TestTwoMillionNestedHeaders(t *testing.T) {
	const n = 2_000_000
	b := make([]byte, 8*n)
	for i := range n {
		binary.LittleEndian.PutUint32(b[8*i:], 0x40010002)
		binary.LittleEndian.PutUint32(b[8*i+4:], uint32(8*(n-i-1)))
	}
	if _, err := eventlog.ParseItems(b); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("%v", err)
	}
	_, err := eventlog.ParseItems(bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 1<<16+1))
	if err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%v", err)
	}
}

// shownEvent is an event as policies read it.
type shownEvent struct {
	EventSeq, PcrIndex int
	EventTypeString    string
	Digests            map[string]string
	ProcessedData      map[string]any
}

func (e shownEvent) isSecureBootOn() bool {
	return e.PcrIndex == 7 && e.ProcessedData["VariableData"] == "AQ" &&
		e.ProcessedData["VariableGuid"] == evidencetest.GlobalVariable && len(e.Digests["SHA256"]) == 64
}

// areHealthyItems: booleans, numbers, lists and names are as Windows's tags have them.
func areHealthyItems(b map[string]any) bool {
	policies, _ := b["EVENT_SI_POLICY"].([]any)
	value, _ := b["EVENT_TRANSFER_CONTROL"].(map[string]any)
	hvci, _ := b["EVENT_VBS_HVCI_POLICY"].(map[string]any)
	return b["EVENT_TESTSIGNING"] == true && b["EVENT_CODEINTEGRITY"] == true && len(policies) == 1 &&
		value["Value"] == 1.0 && hvci["String"] == "HypervisorEnforcedCodeIntegrityEnable" &&
		b["EVENT_APPLICATION_SVN"] == 7.0
}

func TestEventsJSON(t *testing.T) {
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{Windows: evidencetest.HealthyWindows(
		evidencetest.SIPA(0x00050003, []byte{1}), evidencetest.SIPA(0x0005000f, []byte("x")),
	)})
	var got struct{ Events []shownEvent }
	if err := json.Unmarshal([]byte(prove(t, boot).JSON()), &got); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range got.Events {
		items, _ := e.ProcessedData["EVENT_TRUSTBOUNDARY"].(map[string]any)
		switch {
		case e.EventTypeString == "EV_EFI_VARIABLE_DRIVER_CONFIG" && e.ProcessedData["UnicodeName"] == "SecureBoot":
			seen["variable"] = e.isSecureBootOn()
		case e.EventTypeString == "EV_EFI_BOOT_SERVICES_APPLICATION":
			seen["image"] = e.ProcessedData == nil
		case items != nil && e.PcrIndex == 12:
			seen["items"] = areHealthyItems(items)
		case items != nil && e.PcrIndex == 13:
			modules, _ := items["EVENT_LOADEDMODULE_AGGREGATION"].([]any)
			seen["modules"] = len(modules) == 1 && modules[0].(map[string]any)["EVENT_IMAGEVALIDATED"] == true
		}
	}
	for _, what := range []string{"variable", "image", "items", "modules"} {
		if !seen[what] {
			t.Errorf("%s: not as policies read it", what)
		}
	}
	text := eventlog.PCRs([]eventlog.Bank{{Algorithm: eventlog.SHA256, Values: [24][]byte{1: {0xab}}}})
	if text != `{"PCRs":[{"Index":1,"Digests":{"SHA256":"ab"}}]}` {
		t.Error(text)
	}
}

func imaEntry(path string) evidencetest.IMAEntry {
	return evidencetest.IMAEntry{Path: path, Hash: sha256.Sum256([]byte(path))}
}

func TestIMA(t *testing.T) {
	list, pcr10 := evidencetest.IMA(imaEntry("boot_aggregate"), imaEntry("/bin/sh"))
	longer, _ := evidencetest.IMA(imaEntry("boot_aggregate"), imaEntry("/bin/sh"), imaEntry("/bin/evil"))
	b := eventlog.Bank{Algorithm: eventlog.SHA256}
	b.Values[10] = pcr10[:]
	for name, raw := range map[string][]byte{"as quoted": list, "grown since": longer} {
		p, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: raw}}, b)
		if err != nil || p.Len() != 2 || len(p.Unexplained) != 0 ||
			!strings.Contains(p.JSON(), `"Path":"/bin/sh"`) || strings.Contains(p.JSON(), "evil") {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	_, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: list}, {IMA: true, Data: list}}, b)
	if err == nil {
		t.Error("a list that was sent twice is counted twice")
	}
	other, _ := evidencetest.IMA(imaEntry("boot_aggregate"), imaEntry("/bin/other"))
	var m *eventlog.Mismatch
	_, err = eventlog.Prove([]eventlog.Sent{{IMA: true, Data: other}}, b)
	if !errors.As(err, &m) || m.Register != 10 {
		t.Errorf("another list: %v", err)
	}
	// Older kernels extend the SHA-1 digest with zeros; the data must be its own.
	entries, err := eventlog.ParseIMA(list)
	if err != nil {
		t.Fatal(err)
	}
	var old [32]byte
	for _, e := range entries {
		var digest [32]byte
		copy(digest[:], e.Digest)
		old = sha256.Sum256(append(old[:], digest[:]...))
	}
	b.Values[10] = old[:]
	if p, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: list}}, b); err != nil || p.Len() != 2 {
		t.Errorf("padded digests: %v", err)
	}
	lying := bytes.Replace(list, []byte("/bin/sh"), []byte("/bin/xx"), 1)
	if _, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: lying}}, b); !errors.As(err, &m) {
		t.Errorf("data that the SHA-1 digest does not cover: %v", err)
	}
	for name, raw := range map[string][]byte{
		"cut":             list[:len(list)-1],
		"no template":     append(make([]byte, 24), 0, 0, 0, 0),
		"a long template": append(make([]byte, 24), 0xff, 0, 0, 0),
	} {
		if _, err := eventlog.ParseIMA(raw); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}

func TestIMATemplates(t *testing.T) {
	hash := strings.Repeat("ab", 20)
	for line, want := range map[string]string{
		"10 " + hash + " ima-ng sha256:" + hash + " /a b": "/a b", "10 " + hash + " ima " + hash + " /x": "/x",
		"10 " + hash + " ima-sig sha256:" + hash + " /y 0302":               "/y",
		"10 " + hash + " ima-buf sha256:" + hash + " kernel_version 352e38": "kernel_version",
	} {
		list, err := eventlog.ParseIMAText([]byte(line + "\n"))
		if err != nil || len(list) != 1 || list[0].Name != want {
			t.Errorf("%s: %+v, %v", line, list, err)
		}
	}
	for _, line := range []string{
		"10 zz ima-ng sha1:00 x", "x 00 ima-ng sha1:00 x", "10 00 ima-ng sha1:0 x",
		"10 00 other sha1:00 x", "10 00 ima-ng",
	} {
		if list, err := eventlog.ParseIMAText([]byte(line)); err == nil {
			t.Errorf("%s: %+v", line, list)
		}
	}
	legacy, err := eventlog.ParseIMAText([]byte("10 " + hash + " ima " + hash + " /x"))
	if err != nil {
		t.Fatal(err)
	}
	if m := legacy[0]; len(m.Data) != sha1.Size+256 || m.FileDigest != "sha1:"+hash {
		t.Errorf("%d bytes, %s", len(m.Data), m.FileDigest)
	}
}

// TestUnknownEventTypes: types outside the table replay, and nothing is believed
// of them (a peer overflows its stack on such a log).
func TestUnknownEventTypes(t *testing.T) {
	boot := evidencetest.NewBoot(evidencetest.BootEvent{PCR: 6, Type: 0x8401, Data: []byte("vendor")})
	p := prove(t, boot)
	if p.Len() != 1 || p.Events()[0].Covered || !strings.Contains(p.JSON(), `"EventTypeString":"0x00008401"`) {
		t.Errorf("%s", p.JSON())
	}
}

func FuzzParseItems(f *testing.F) {
	f.Add(evidencetest.SIPA(0x40010001, evidencetest.HealthyWindows()[12]))
	f.Fuzz(func(t *testing.T, b []byte) { eventlog.ParseItems(b) })
}

func FuzzParseSignatures(f *testing.F) {
	f.Add(evidencetest.SignatureList(make([]byte, 32), []byte("certificate")))
	f.Fuzz(func(t *testing.T, b []byte) { eventlog.ParseSignatures(b) })
}

func FuzzParseVariable(f *testing.F) {
	f.Add(evidencetest.EFIVariable(evidencetest.GlobalVariable, "SecureBoot", []byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		eventlog.ParseVariable(b)
		eventlog.ParseGPT(b)
		eventlog.ParseImage(b)
	})
}

func FuzzParseIMA(f *testing.F) {
	list, _ := evidencetest.IMA(imaEntry("/a"), imaEntry("/b"))
	f.Add(list)
	f.Add([]byte("10 " + strings.Repeat("ab", 20) + " ima-ng sha1:00 /x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		eventlog.ParseIMA(b)
		eventlog.ParseIMAText(b)
	})
}
