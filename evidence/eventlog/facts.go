package eventlog

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Facts are the plain statements about a boot. What is not proven is false. Each rests on
// registers that its author extends and that are closed to later parties, or says so:
//
//	PCR 7              secure boot, its databases, who allowed what was loaded
//	PCR 12, 13, 14     Windows, up to its separator (see [factRegisters])
//	PCR 19, 20         Windows after a dynamic launch, which PCR 17 shows
//	PCR 8, 12          the command line of a Linux kernel; whatever runs later can go on
//	                   extending them, so that it says something only of a known boot loader
type Facts struct {
	// SecureBoot is on; the databases are those that were measured with it.
	SecureBoot bool
	// WhyNotSecureBoot says why secure boot is not proven to be on; it is empty if it is.
	WhyNotSecureBoot string
	PK, KEK, DB, DBX *Signatures
	Authorities      [][]byte // certificates that allowed images, DER
	AuthorityEvents  int      // those whose certificate is not proven included
	DMAUnprotected   bool     // the firmware left memory open to devices
	// AuthoritiesProven says that each entry of PCR 7 after the separator is a
	// covered authority, so that none was hidden.
	AuthoritiesProven bool
	// WindowsBooted says that only Windows's own boot loader was allowed to run:
	// secure boot is on, the authorities are proven, and all are Windows's own. It can be
	// true without Windows's log.
	WindowsBooted bool
	// NoWindows says that it is shown that Windows's boot loader did not run: PCR 12 to 14
	// were quoted and never extended, or secure boot is on and all authorities are known
	// ones of other systems.
	NoWindows bool
	// Windows says that the log of Windows is proven: WindowsBooted, with events in
	// registers that Windows closed. The statements below are of that log.
	Windows             bool
	CodeIntegrity       bool
	BootDebuggingOff    bool
	KernelDebuggingOff  bool
	HypervisorDebugging bool
	TestSigningOff      bool
	FlightSigningOff    bool
	NotSafeMode         bool
	NotWinPE            bool
	VBS, HVCI, IOMMU    bool
	ELAM                bool
	BitLocker           bool
	// Resumed says that Windows's boot manager started the application that resumes from
	// hibernation, and nothing else.
	Resumed bool
	// HVCIPolicy is the value of the policy, 0 if there is none.
	HVCIPolicy uint64
	// SigningKey is the payload of VSM_IDKS_INFO: the key that signs reports of
	// VBS enclaves.
	SigningKey []byte
	// KernelCommandLine is what a Linux kernel was started with.
	KernelCommandLine string
	// LeftOut says what the log seems to say and does not prove, and why.
	LeftOut []string
}

// Facts reads what is proven.
func (p *Proof) Facts() (*Facts, error) {
	a := p.read()
	return a.facts, a.err
}

// good lists the facts that are better if they are true.
func (f *Facts) good() []*bool {
	return []*bool{
		&f.SecureBoot, &f.AuthoritiesProven, &f.WindowsBooted, &f.NoWindows, &f.Windows,
		&f.CodeIntegrity, &f.BootDebuggingOff, &f.KernelDebuggingOff, &f.TestSigningOff,
		&f.FlightSigningOff, &f.NotSafeMode, &f.NotWinPE, &f.VBS, &f.HVCI, &f.IOMMU, &f.ELAM,
		&f.BitLocker,
	}
}

// bad lists the facts that are worse if they are true.
func (f *Facts) bad() []*bool { return []*bool{&f.DMAUnprotected, &f.HypervisorDebugging} }

// And returns the facts that are true in both: of two statements the worse one is kept.
func (f *Facts) And(g *Facts) *Facts {
	a := *f
	a.WhyNotSecureBoot = cmp.Or(f.WhyNotSecureBoot, g.WhyNotSecureBoot)
	also := *g
	better, worse := a.good(), a.bad()
	for i, fact := range also.good() {
		*better[i] = *better[i] && *fact
	}
	for i, fact := range also.bad() {
		*worse[i] = *worse[i] || *fact
	}
	a.HVCIPolicy = min(f.HVCIPolicy, g.HVCIPolicy)
	if !bytes.Equal(f.SigningKey, g.SigningKey) {
		a.SigningKey = nil
	}
	if f.KernelCommandLine != g.KernelCommandLine {
		a.KernelCommandLine = ""
	}
	a.LeftOut = append(slices.Clone(f.LeftOut), g.LeftOut...)
	return &a
}

// reading is what the events of a proof say, and which of them are Windows's own.
type reading struct {
	facts   *Facts
	err     error
	windows []bool // by place in Proof.events
}

// LeftOut tells in one text what the log seems to say and does not prove, for the result of
// a check; it is empty if there is nothing of the kind.
func (p *Proof) LeftOut() string {
	list := p.leftOut
	if f := p.read().facts; f != nil {
		list = f.LeftOut
	}
	if len(list) == 0 {
		return ""
	}
	return "; not used: " + strings.Join(list, "; ")
}

// read reads the events once.
func (p *Proof) read() *reading {
	if p.reading != nil {
		return p.reading
	}
	a := &reading{}
	p.reading = a
	f := &Facts{LeftOut: slices.Clone(p.leftOut)}
	p.secureBoot(f)
	list, err := p.windowsLog(f)
	if err != nil {
		a.err = err
		return a
	}
	if f.Windows {
		a.windows = make([]bool, len(p.events))
		for _, t := range list {
			a.windows[t.at] = true
		}
		f.windows(list)
	}
	boot := p.loader()
	if f.KernelCommandLine = boot.line; boot.reason != "" {
		f.LeftOut = append(f.LeftOut, "kernel command line: "+boot.reason)
	}
	a.facts = f
	return a
}
