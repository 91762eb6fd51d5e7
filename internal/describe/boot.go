package describe

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/wording/plainerror"
)

// recogniseLog shows bytes whose structure shows that they are a log of measured boot.
func recogniseLog(b []byte) Fields {
	if _, ok := eventlog.Recognize(b); !ok {
		if damage := eventlog.Damage(b); damage != "" {
			return Fields{
				{"what", "log of measured boot (TCG, crypto agile) that cannot be read to its end"},
				{"problem", plainerror.Words(damage)},
			}
		}
		return nil
	}
	return inspectLog(b)
}

// inspectLog shows a log of measured boot: what each of its banks leads to, and what it
// would prove if a quote said the same.
func inspectLog(b []byte) Fields {
	l, err := eventlog.Parse(b)
	if err != nil || len(l.Events) == 0 {
		return nil
	}
	strongest := l.Banks[0]
	var names []string
	banks := Fields{}
	var values eventlog.Bank
	for _, one := range l.Banks {
		names = append(names, one.String())
		r, err := l.Replay(one)
		if err != nil {
			return nil
		}
		if one.Size() > strongest.Size() {
			strongest = one
		}
		bank := eventlog.Bank{Algorithm: one}
		registers := Fields{}
		for i := range uint32(eventlog.Registers) {
			if value, events, ok := r.Register(i); ok {
				bank.Values[i] = value
				registers.Add(strconv.Itoa(int(i)), Fields{{"value", octets(value)}, {"events", events}})
			}
		}
		banks.Add(one.String(), registers)
		if one == strongest {
			values = bank
		}
	}
	f := Fields{
		{"what", "log of measured boot (not verified: compare the registers with a quote)"},
		{"banks", names},
		{"events", len(l.Events)},
		{"pcrs", banks},
	}
	p, err := eventlog.Prove([]eventlog.Sent{{Data: b}}, values)
	if err != nil {
		return f
	}
	if facts, err := p.Facts(); err == nil {
		f.Add("boot", append(bootFields(facts), linuxFields(p.Linux())...))
	}
	var images []string
	for i := range l.Events {
		if e := &l.Events[i]; e.Type == eventlog.BootApplication {
			if image, err := eventlog.ParseImage(e.Data); err == nil {
				images = append(images, image.DevicePath)
			}
		}
	}
	if len(images) > 0 {
		// No digest covers the names.
		f.Add("bootApplicationsAsNamed", images)
	}
	return f
}

// linuxFields shows what the boot loaders of Linux measured.
func linuxFields(l eventlog.Linux) (out Fields) {
	for _, item := range []struct {
		name string
		list []string
	}{
		{"grubCommands", l.Commands},
		{"grubFiles", l.Files},
		{"unifiedKernelSections", l.Sections},
		{"shim", l.Shim},
	} {
		if len(item.list) > 0 {
			out.Add(item.name, item.list)
		}
	}
	return out
}

func signatureFields(s *eventlog.Signatures) Fields {
	return Fields{{"certificates", len(s.Certificates)}, {"hashes", len(s.Hashes)}, {"others", s.Others}}
}

func bootFields(facts *eventlog.Facts) Fields {
	out := Fields{{"secureBoot", facts.SecureBoot}}
	for _, list := range []struct {
		name string
		s    *eventlog.Signatures
	}{{"PK", facts.PK}, {"KEK", facts.KEK}, {"db", facts.DB}, {"dbx", facts.DBX}} {
		if list.s != nil {
			out.Add(list.name, signatureFields(list.s))
		}
	}
	if facts.KernelCommandLine != "" {
		out.Add("kernelCommandLine", facts.KernelCommandLine)
	}
	if len(facts.LeftOut) > 0 {
		out.Add("notProven", facts.LeftOut)
	}
	if facts.Windows {
		out = append(out, Fields{
			{"windows", true}, {"codeIntegrity", facts.CodeIntegrity},
			{"bootDebuggingOff", facts.BootDebuggingOff},
			{"kernelDebuggingOff", facts.KernelDebuggingOff},
			{"testSigningOff", facts.TestSigningOff},
			{"vbs", facts.VBS}, {"hvci", facts.HVCI}, {"elam", facts.ELAM},
			{"bitLocker", facts.BitLocker},
		}...)
	}
	return out
}

// maxListed bounds how many entries of a long list are shown.
const maxListed = 1000

// inspectIMA shows a list of measured files, binary or as text, with what its registers
// then have in each bank.
func inspectIMA(b []byte) Fields {
	list, isBinary := eventlog.RecognizeIMA(b)
	if len(list) == 0 {
		return nil
	}
	form := "text"
	if isBinary {
		form = "binary"
	}
	templates, registers := map[string]int{}, map[uint32]int{}
	violations := 0
	for i := range list {
		templates[list[i].Template]++
		registers[list[i].Register]++
		if list[i].Violation() {
			violations++
		}
	}
	counts := Fields{}
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		counts.Add(name, templates[name])
	}
	pcrs := Fields{}
	for _, i := range slices.Sorted(maps.Keys(registers)) {
		one := Fields{{"measurements", registers[i]}}
		for _, bank := range []eventlog.Algorithm{
			eventlog.SHA1, eventlog.SHA256, eventlog.SHA384, eventlog.SHA512,
		} {
			one.addBytes(bank.String(), eventlog.IMARegister(list, i, bank, false))
			if bank != eventlog.SHA1 {
				one.addBytes(bank.String()+"Padded", eventlog.IMARegister(list, i, bank, true))
			}
		}
		pcrs.Add(strconv.Itoa(int(i)), one)
	}
	f := Fields{
		{"what", "list of measured files, IMA (not verified: compare the registers with a quote)"},
		{"form", form},
		{"measurements", len(list)},
		{"templates", counts},
		{"violations", violations},
		{"pcrs", pcrs},
	}
	var shown []Fields
	for i := range list[:min(len(list), maxListed)] {
		m := &list[i]
		one := Fields{
			{"pcr", m.Register}, {"template", m.Template}, {"templateDigest", octets(m.Digest)},
			{"fileDigest", m.FileDigest}, {"name", m.Name},
		}
		if len(m.Extra) > 0 {
			one.addBytes("extra", m.Extra)
		}
		shown = append(shown, one)
	}
	f.addList("list", shown)
	return f
}

func inspectHCL(b []byte) Fields {
	h, err := azureguest.ParseHCL(b)
	if err != nil {
		return nil
	}
	typ := map[azureguest.ReportType]string{
		azureguest.ReportVBS:       "VBS",
		azureguest.ReportSNP:       "SEV-SNP",
		azureguest.ReportTrustedVM: "Trusted Launch",
		azureguest.ReportTDX:       "TDX",
	}[h.Type]
	f := Fields{
		{"what", "report of Azure's paravisor, HCL (not verified)"},
		{"version", h.Version},
		{"type", typ},
	}
	if data := h.ReportData(); data != nil {
		f.addBytes("reportData", data)
		f.Add("bindsRuntimeData", strings.HasPrefix(string(data), string(h.Hash)))
	}
	if h.Type == azureguest.ReportSNP {
		if report := inspectSNP(h.Hardware); report != nil {
			f.Add("hardware", report)
		}
	}
	if text := jsontext.Value(h.Runtime); text.IsValid() {
		f.Add("runtimeData", text)
	} else {
		f.Add("runtimeData", string(h.Runtime))
	}
	return f
}

// inspectBoot shows evidence with a TPM in it, which is JSON.
func inspectBoot(b []byte) Fields {
	if i, err := azureguest.ParseInfo(b); err == nil {
		f := Fields{
			{"what", "evidence of an Azure guest (not verified)"}, {"isolation", i.Isolation}, {"os", Fields{
				{"type", i.OSType}, {"distribution", i.OSDistro}, {"major", i.OSMajor},
				{"minor", i.OSMinor}, {"build", i.OSBuild},
			}},
			{"quote", quoteFields(i.Quote.Attested)},
		}
		if len(i.AKCert) > 0 {
			if found := inspectDER(i.AKCert); found != nil {
				f.Add("akCertificate", found)
			}
		}
		if found := inspectLog(i.Log); found != nil {
			f.Add("log", found)
		} else {
			f.Add("log", Fields{{"bytes", len(i.Log)}})
		}
		if found := inspectHCL(i.Proof); found != nil {
			f.Add("hardware", found)
		} else if found := inspectSNP(i.Proof); found != nil {
			f.Add("hardware", found)
		}
		return f
	}
	r, err := tpm.ParseRequest(b)
	if err != nil {
		return nil
	}
	f := Fields{{"what", "evidence of a TPM (not verified)"}, {"enclave", r.Enclave}}
	f.addBytes("challenge", r.Challenge)
	if quote := r.QuoteBytes(); quote != nil {
		f.Add("quote", quoteFields(quote))
	}
	return f
}

// quoteFields shows a TPMS_ATTEST of a quote in the names of the TPM 2.0 Library, part 2.
func quoteFields(b []byte) Fields {
	a, err := tpm.ParseAttestation(b)
	if err != nil {
		return Fields{{"problem", plainerror.Text(err)}}
	}
	return attestFields(a)
}

func attestFields(a *tpm.Attestation) Fields {
	f := Fields{
		{"type", bits(a.Type)},
		{"qualifiedSigner", octets(a.QualifiedSigner)},
		{"extraData", octets(a.ExtraData)},
		{"clockInfo", Fields{
			{"clock", a.Clock.Milliseconds},
			{"resetCount", a.Clock.ResetCount},
			{"restartCount", a.Clock.RestartCount},
			{"safe", a.Clock.Safe},
		}},
		{"firmwareVersion", bits(a.Firmware)},
	}
	var selection []Fields
	for _, s := range a.Selection {
		selection = append(selection, Fields{{"hash", s.Bank.String()}, {"pcrs", registersOf(s.Mask)}})
	}
	f.addList("pcrSelect", selection)
	f.addBytes("pcrDigest", a.PCRDigest)
	return f
}

// registersOf lists the registers of a mask.
func registersOf(mask uint32) []int {
	list := []int{}
	for i := range 32 {
		if mask>>i&1 == 1 {
			list = append(list, i)
		}
	}
	return list
}
