package cli

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/internal/plainerror"
)

// inspectLog shows a log of measured boot: what it leads to, and what it would prove
// if a quote said the same.
func inspectLog(b []byte) fields {
	l, err := eventlog.Parse(b)
	if err != nil || len(l.Events) < 2 {
		return nil
	}
	algorithm := l.Banks[0]
	var names []string
	for _, one := range l.Banks {
		if names = append(names, one.String()); one.Size() > algorithm.Size() {
			algorithm = one
		}
	}
	r, err := l.Replay(algorithm)
	if err != nil {
		return nil
	}
	f := fields{{"what", "log of measured boot (not verified: compare the registers with a quote)"}, {"banks", names}, {"events", len(l.Events)}}
	bank := eventlog.Bank{Algorithm: algorithm}
	var registers fields
	for i := range uint32(eventlog.Registers) {
		if value, events, ok := r.Register(i); ok {
			bank.Values[i] = value
			registers.add(fmt.Sprintf("PCR %d", i), fmt.Sprintf("%x (%d events)", value, events))
		}
	}
	f.add("registers, "+algorithm.String(), registers)
	p, err := eventlog.Prove([]eventlog.Sent{{Data: b}}, bank)
	if err != nil {
		return f
	}
	if facts, err := p.Facts(); err == nil {
		f.add("boot", append(bootFields(facts), linuxFields(p.Linux())...))
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
		f.add("boot applications, as the log names them (no digest covers the names)", images)
	}
	return f
}

// linuxFields counts what the boot loaders of Linux measured.
func linuxFields(l eventlog.Linux) (out fields) {
	for _, item := range []struct {
		name string
		list []string
	}{{"grubCommands", l.Commands}, {"grubFiles", l.Files}} {
		if len(item.list) > 0 {
			out.add(item.name, len(item.list))
		}
	}
	for _, item := range []struct {
		name string
		list []string
	}{{"unifiedKernelSections", l.Sections}, {"shim", l.Shim}} {
		if len(item.list) > 0 {
			out.add(item.name, item.list)
		}
	}
	return out
}

func bootFields(facts *eventlog.Facts) fields {
	out := fields{{"secureBoot", facts.SecureBoot}}
	if s := facts.DB; s != nil {
		out.add("db", fmt.Sprintf("%d certificates, %d hashes", len(s.Certificates), len(s.Hashes)))
	}
	if facts.DBX != nil {
		out.add("dbx", fmt.Sprintf("%d hashes", len(facts.DBX.Hashes)))
	}
	if facts.KernelCommandLine != "" {
		out.add("kernelCommandLine", facts.KernelCommandLine)
	}
	if facts.Windows {
		out = append(out, fields{{"windows", true}, {"codeIntegrity", facts.CodeIntegrity}, {"bootDebuggingOff", facts.BootDebuggingOff}, {"kernelDebuggingOff", facts.KernelDebuggingOff},
			{"testSigningOff", facts.TestSigningOff}, {"vbs", facts.VBS}, {"hvci", facts.HVCI}, {"elam", facts.ELAM}, {"bitLocker", facts.BitLocker}}...)
	}
	return out
}

func inspectIMA(b []byte) fields {
	list, err := eventlog.ParseIMA(b)
	if err != nil || len(list) == 0 || list[0].Register != 10 {
		if list, err = eventlog.ParseIMAText(b); err != nil || len(list) == 0 {
			return nil
		}
	}
	f := fields{{"what", "list of measured files, IMA (not verified: compare PCR 10 with a quote)"}, {"entries", len(list)}, {"template", list[0].Template}}
	violations := 0
	for i := range list {
		if list[i].Violation() {
			violations++
		}
	}
	f.add("violations", violations)
	f.add("last", list[len(list)-1].Name)
	return f
}

func inspectHCL(b []byte) fields {
	h, err := azureguest.ParseHCL(b)
	if err != nil {
		return nil
	}
	typ := map[azureguest.ReportType]string{azureguest.ReportVBS: "VBS", azureguest.ReportSNP: "SEV-SNP", azureguest.ReportTrustedVM: "Trusted Launch", azureguest.ReportTDX: "TDX"}[h.Type]
	f := fields{{"what", "report of Azure's paravisor, HCL (not verified)"}, {"version", h.Version}, {"type", typ}}
	if data := h.ReportData(); data != nil {
		f.add("reportData", hex.EncodeToString(data))
		f.add("bindsRuntimeData", strings.HasPrefix(string(data), string(h.Hash)))
	}
	if h.Type == azureguest.ReportSNP {
		if report := inspectSNP(h.Hardware); report != nil {
			f.add("hardware", report)
		}
	}
	f.add("runtimeData", string(h.Runtime))
	return f
}

// inspectBoot shows evidence with a TPM in it, which is JSON.
func inspectBoot(b []byte) fields {
	if i, err := azureguest.ParseInfo(b); err == nil {
		return fields{{"what", "evidence of an Azure guest (not verified)"}, {"isolation", i.Isolation}, {"os", strings.TrimSpace(i.OSType + " " + i.OSDistro)},
			{"log", fmt.Sprintf("%d bytes", len(i.Log))}, {"quote", quoteFields(i.Quote.Attested)}}
	}
	r, err := tpm.ParseRequest(b)
	if err != nil {
		return nil
	}
	f := fields{{"what", "evidence of a TPM (not verified)"}, {"enclave", r.Enclave}}
	if r.Challenge != nil {
		f.add("challenge", hex.EncodeToString(r.Challenge))
	}
	if quote := r.QuoteBytes(); quote != nil {
		f.add("quote", quoteFields(quote))
	}
	return f
}

func quoteFields(b []byte) fields {
	a, err := tpm.ParseAttestation(b)
	if err != nil {
		return fields{{"problem", plainerror.Text(err)}}
	}
	f := fields{{"qualifyingData", hex.EncodeToString(a.ExtraData)}, {"resetCount", a.Clock.ResetCount}, {"restartCount", a.Clock.RestartCount},
		{"clock", fmt.Sprintf("%d ms", a.Clock.Milliseconds)}, {"firmware", fmt.Sprintf("%016x", a.Firmware)}, {"pcrDigest", hex.EncodeToString(a.PCRDigest)}}
	for _, s := range a.Selection {
		f.add("registers, "+s.Bank.String(), tpm.Registers(s.Mask))
	}
	return f
}
