package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Facts are the plain statements about a boot. What is not proven is false.
type Facts struct {
	// SecureBoot is on; the databases are those that were measured with it.
	SecureBoot       bool
	PK, KEK, DB, DBX *Signatures
	Authorities      [][]byte // certificates that allowed images, DER
	AuthorityEvents  int      // those whose certificate is not proven included
	DMAUnprotected   bool     // the firmware left memory open to devices
	// AuthoritiesProven says that each entry of PCR 7 behind the separator is a
	// covered authority, so that none was hidden.
	AuthoritiesProven bool
	// WindowsSigned says that an authority of Windows's own boot loader was used,
	// whether or not its log came along.
	WindowsSigned       bool
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
	// HVCIPolicy is the value of the policy, 0 if there is none.
	HVCIPolicy uint64
	// SigningKey is the payload of VSM_IDKS_INFO: the key that signs reports of
	// VBS enclaves.
	SigningKey []byte
	// KernelCommandLine is what a Linux kernel was started with.
	KernelCommandLine string
}

// windowsAuthorities sign Windows's boot loader and nothing else: the Windows
// Production PCA 2011 and the Windows UEFI CA 2023, by the SHA-256 of the
// certificate.
var windowsAuthorities = []string{
	"e8e95f0733a55e8bad7be0a1413ee23c51fcea64b3c8fa6a786935fddcc71961",
	"076f1fea90ac29155ebf77c17682f75f1fdd1be196da302dc8461e350a9ae330",
}

// HidesWindows reports whether Windows may have booted without showing its log: what
// its modes were is then not known.
func (f *Facts) HidesWindows() bool {
	return !f.Windows && f.SecureBoot && (f.WindowsSigned || !f.AuthoritiesProven)
}

// ErrObscured is returned for a log of Windows with entries that are not Windows's
// where only Windows writes: the type of an event is covered by nothing, so that a bad
// one could have been made to look like another.
var ErrObscured = errors.New("an entry among Windows's that is not one of its tagged events")

// ErrSeparator is returned for a log in which a register's part that Windows
// writes ends twice: what stands between could be anybody's.
var ErrSeparator = errors.New("two separators of Windows's log in one register")

// Facts reads what is proven. Events behind the separator of their register are
// not Windows's and say nothing of it.
func (p *Proof) Facts() (*Facts, error) {
	f := &Facts{KernelCommandLine: p.KernelCommandLine()}
	p.secureBoot(f)
	list, err := p.windows()
	if err != nil {
		return nil, err
	}
	f.boot(list)
	return f, nil
}

// secureBootOrder is the sequence with which PCR 7 begins (TCG PC Client
// Platform Firmware Profile, section 3.3.4.8). In another order a log could
// show one database and have used another.
var secureBootOrder = []struct {
	vendor GUID
	name   string
}{{GlobalVariable, "SecureBoot"}, {GlobalVariable, "PK"}, {GlobalVariable, "KEK"}, {ImageSecurity, "db"}, {ImageSecurity, "dbx"}}

// dmaUnprotected is the one action that may stand among the variables: devices
// could write to memory while the firmware ran.
const dmaUnprotected = "DMA Protection Disabled"

// secureBoot reads PCR 7: the variables, a separator, and who allowed what was
// loaded.
func (p *Proof) secureBoot(f *Facts) {
	step, separators, proven := 0, 0, true
	var found [5]*Variable
	for i := range p.events {
		if e := &p.events[i]; e.Register != pcrSecureBoot || e.Measurement != nil {
			continue
		}
		e := p.event(i)
		if e.Type == Separator {
			separators++
			if separators > 1 || step < len(secureBootOrder) || !e.Covered || len(bytes.Trim(e.Data, "\x00")) > 0 {
				return
			}
			continue
		}
		if e.Type == EFIAction && e.Covered && string(bytes.TrimRight(e.Payload, "\x00")) == dmaUnprotected {
			f.DMAUnprotected = true
			continue
		}
		v, err := ParseVariable(e.Data)
		if e.Type == VariableAuthority {
			f.AuthorityEvents++
		}
		if !e.Covered || err != nil {
			if separators == 0 {
				return // who can say which variable it was
			}
			proven = false
			continue
		}
		switch {
		case separators == 0 && step < len(secureBootOrder):
			want := secureBootOrder[step]
			if e.Type != VariableConfig || v.Vendor != want.vendor || v.Name != want.name {
				return
			}
			found[step] = v
			step++
		case e.Type == VariableConfig && v.Vendor == GlobalVariable && v.Name == "SecureBoot":
			return // a second answer
		case e.Type == VariableAuthority:
			if der := authority(v); der != nil {
				f.Authorities = append(f.Authorities, der)
				sum := sha256.Sum256(der)
				f.WindowsSigned = f.WindowsSigned || slices.Contains(windowsAuthorities, hex.EncodeToString(sum[:]))
			}
		case separators > 0:
			proven = false
		}
	}
	if separators != 1 {
		return
	}
	// Where secure boot is on, somebody allowed what was loaded: a boot that shows
	// nobody was not checked.
	f.SecureBoot, f.AuthoritiesProven = bytes.Equal(found[0].Data, []byte{1}) && f.AuthorityEvents > 0, proven
	for i, target := range []**Signatures{&f.PK, &f.KEK, &f.DB, &f.DBX} {
		if s, err := ParseSignatures(found[i+1].Data); err == nil {
			*target = s
		}
	}
}

// tagged are the items of one event of Windows's log.
type tagged struct {
	register uint32
	items    []Item
}

// windows returns the items of Windows's log.
func (p *Proof) windows() (list []tagged, err error) {
	var ended [Registers]bool
	others := 0
	for i := range p.events {
		if e := &p.events[i]; e.Measurement != nil || e.Register < pcrWindows {
			continue
		}
		e := p.event(i)
		if e.Type == Separator && e.Covered && string(unpadded(e.Type, e.Payload)) == wbclSeparator {
			if ended[e.Register] {
				return nil, fmt.Errorf("PCR %d: %w", e.Register, ErrSeparator)
			}
			ended[e.Register] = true
			continue
		}
		if ended[e.Register] {
			continue
		}
		if !e.windows() {
			if e.Register <= pcrWindowsAuthority {
				others = e.Seq + 1
			}
			continue
		}
		items, err := ParseItems(e.Data)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq+1, err)
		}
		list = append(list, tagged{e.Register, items})
	}
	if len(list) > 0 && others > 0 {
		return nil, fmt.Errorf("event %d: %w", others, ErrObscured)
	}
	return list, nil
}

// boot applies the recipes of published policies to the items.
func (f *Facts) boot(list []tagged) {
	f.Windows = len(list) > 0
	all := func(tag uint32, want uint64, registers ...uint32) (all, any bool) {
		all = true
		for _, t := range list {
			for _, item := range find(t.items, tag, nil) {
				for _, r := range registers {
					if r == t.register {
						n, ok := item.number()
						all, any = all && ok && n == want, true
					}
				}
			}
		}
		return all, any
	}
	both := func(tag uint32, want uint64) bool {
		every, any := all(tag, want, pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails)
		return every && any
	}
	f.CodeIntegrity = both(tagCodeIntegrity, 1)
	f.BootDebuggingOff, f.KernelDebuggingOff = both(tagBootDebugging, 0), both(tagKernelDebug, 0)
	f.TestSigningOff, f.FlightSigningOff = both(tagTestSigning, 0), both(tagFlightSigning, 0)
	f.NotSafeMode, _ = all(tagSafeMode, 0, pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails)
	f.NotWinPE, _ = all(tagWinPE, 0, pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails)
	quiet, _ := all(tagHypervisorDebug, 0, pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails)
	f.HypervisorDebugging = !quiet
	f.IOMMU = both(tagIOMMURequired, 1)
	every, any := all(tagVSMRequired, 1, pcrWindows, pcrDRTM)
	if !any {
		every, any = all(tagMandatory, 1, pcrWindows, pcrDRTM)
	}
	f.VBS = every && any
	f.HVCI = f.Windows
	policies := 0
	for _, t := range list {
		for _, item := range find(t.items, tagHVCIPolicy, nil) {
			n, _ := item.number()
			policies++
			if f.HVCI = f.HVCI && n&1 == 1; policies == 1 || n < f.HVCIPolicy {
				f.HVCIPolicy = n
			}
		}
		for _, item := range find(t.items, tagBitLocker, nil) {
			n, ok := item.number()
			f.BitLocker = f.BitLocker || ok && n != 0 && (t.register == pcrWindows || t.register == pcrDRTM)
		}
		for _, item := range find(t.items, tagLoadedModule, nil) {
			f.ELAM = f.ELAM || isELAM(item)
		}
		for _, item := range find(t.items, tagIDKSInfo, nil) {
			switch {
			case t.register != pcrWindows:
			case f.SigningKey != nil && !bytes.Equal(f.SigningKey, item.Data):
				f.SigningKey = []byte{} // two keys: none
			default:
				f.SigningKey = item.Data
			}
		}
	}
	f.HVCI = f.HVCI && policies > 0
}

// isELAM reports whether a loaded module is Windows's own driver for early
// launch, and was validated.
func isELAM(module *Item) bool {
	path, validated := "", false
	for i := range module.Items {
		switch item := &module.Items[i]; item.Tag {
		case tagFilePath:
			path = utf16Text(item.Data)
		case tagImageValidated:
			validated = bytes.Equal(item.Data, []byte{1})
		}
	}
	return validated && (strings.EqualFold(path, `\windows\system32\drivers\wdboot.sys`) || strings.EqualFold(path, `\windows\system32\drivers\wd\wdboot.sys`))
}
