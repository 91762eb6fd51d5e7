package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrObscured is returned for a log of Windows with entries that are not Windows's
// where only Windows writes: the type of an event is covered by nothing, so that a bad
// one could have been made to look like another.
var ErrObscured = errors.New("an entry among Windows's that is not one of its tagged events")

// ErrSeparator is returned for a log in which a register's part that Windows
// writes ends twice: what is between could be anyone's.
var ErrSeparator = errors.New("two separators of Windows's log in one register")

// factRegisters are those in which a tag says something. In others whatever runs after
// Windows's boot loader could have measured it.
var factRegisters = map[uint32][]uint32{
	tagTransferControl: {pcrWindows},
	tagIDKSInfo:        {pcrWindows},
	tagBitLocker:       {pcrWindows, pcrDRTM},
	tagVSMRequired:     {pcrWindows, pcrDRTM},
	tagMandatory:       {pcrWindows, pcrDRTM},
	tagCodeIntegrity:   {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagBootDebugging:   {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagKernelDebug:     {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagTestSigning:     {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagFlightSigning:   {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagSafeMode:        {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagWinPE:           {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagHypervisorDebug: {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagIOMMURequired:   {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagHVCIPolicy:      {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
	tagLoadedModule:    {pcrWindows, pcrWindowsModules, pcrDRTM, pcrDRTMDetails},
}

// tagged are the items of one event of Windows's log; at is its place among the proven
// events.
type tagged struct {
	register uint32
	at       int
	items    []Item
}

// windowsLog returns the items of Windows's log, and sets f.Windows if Windows wrote them:
// nothing else was allowed to run before, and Windows closed the registers after them.
func (p *Proof) windowsLog(f *Facts) (list windowsItems, err error) {
	var ended [Registers]bool
	others := 0
	for i := range p.events {
		if e := &p.events[i]; e.Measurement != nil || e.Register < pcrWindows {
			continue
		}
		e := p.event(i)
		if p.endsWindows(e) {
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
		list = append(list, tagged{e.Register, i, items})
	}
	if len(list) > 0 && others > 0 {
		return nil, fmt.Errorf("event %d: %w", others, ErrObscured)
	}
	// Where PCR 7 says that Windows did not boot and the log that it did, neither is believed.
	f.NoWindows = f.NoWindows && len(list) == 0 ||
		p.untouched(pcrWindows) && p.untouched(pcrWindowsModules) && p.untouched(pcrWindowsAuthority)
	switch {
	case len(list) == 0:
	case !f.WindowsBooted:
		f.LeftOut = append(f.LeftOut, "events of Windows: "+f.whyNotWindows())
	case !ended[pcrWindows] || !ended[pcrWindowsModules]:
		f.LeftOut = append(f.LeftOut, "events of Windows: PCR 12 and 13 are not both quoted and closed "+
			"by its separator, so events that show a worse state could be missing")
	default:
		f.Windows = true
	}
	return slices.DeleteFunc(list, func(t tagged) bool { return !p.written(t.register, ended) }), nil
}

// written reports whether the content of a register is known to be Windows's: Windows closed
// it, or the machine was launched dynamically.
func (p *Proof) written(register uint32, ended [Registers]bool) bool {
	if register <= pcrWindowsAuthority {
		return ended[register]
	}
	return (register == pcrDRTM || register == pcrDRTMDetails) && p.dynamicLaunch()
}

// whyNotWindows says why the log does not prove that Windows's boot loader alone ran.
func (f *Facts) whyNotWindows() string {
	switch {
	case !f.SecureBoot:
		return "secure boot is not proven to be on (" + f.WhyNotSecureBoot +
			"), so any software could have measured them"
	case !f.AuthoritiesProven:
		return "PCR 7 has an entry that is not a proven authority, so any software could have measured them"
	}
	return "an authority other than Windows's own allowed a boot loader (PCR 7), which could have measured them"
}

// endsWindows reports whether an event is Windows's separator, whatever it is called.
func (p *Proof) endsWindows(e *Proven) bool {
	if e.Type == Separator && e.Covered && string(unpadded(e.Type, e.Payload)) == wbclSeparator {
		return true
	}
	return bytes.Equal(e.Digest(p.Bank.Algorithm), p.Bank.Algorithm.Sum(nil, []byte(wbclSeparator)))
}

// untouched reports whether a register was quoted and never extended.
func (p *Proof) untouched(register uint32) bool {
	value := p.Bank.Values[register]
	return value != nil && initial(register, value)
}

// dynamicLaunch reports whether the machine was launched dynamically, which alone makes
// PCR 19 and 20 those of the launched system: PCR 17 was quoted and is not in its first
// state.
func (p *Proof) dynamicLaunch() bool {
	value := p.Bank.Values[pcrDRTMLaunch]
	return value != nil && !initial(pcrDRTMLaunch, value)
}

// windows applies the recipes of published policies to the items of Windows's log.
func (f *Facts) windows(list windowsItems) {
	for _, mode := range []struct {
		fact *bool
		tag  uint32
		want uint64
	}{
		{&f.CodeIntegrity, tagCodeIntegrity, 1},
		{&f.BootDebuggingOff, tagBootDebugging, 0},
		{&f.KernelDebuggingOff, tagKernelDebug, 0},
		{&f.TestSigningOff, tagTestSigning, 0},
		{&f.FlightSigningOff, tagFlightSigning, 0},
		{&f.NotSafeMode, tagSafeMode, 0},
		{&f.NotWinPE, tagWinPE, 0},
		{&f.IOMMU, tagIOMMURequired, 1},
		{&f.VBS, tagVSMRequired, 1},
	} {
		all, any := list.all(mode.tag, mode.want)
		*mode.fact = all && any
	}
	if _, any := list.all(tagVSMRequired, 1); !any {
		all, any := list.all(tagMandatory, 1)
		f.VBS = all && any
	}
	quiet, _ := list.all(tagHypervisorDebug, 0)
	f.HypervisorDebugging = !quiet
	f.Resumed = list.resumed()
	f.HVCI, f.HVCIPolicy = list.hvci()
	list.each(tagBitLocker, func(item *Item) {
		n, ok := item.number()
		f.BitLocker = f.BitLocker || ok && n != 0
	})
	list.each(tagLoadedModule, func(item *Item) { f.ELAM = f.ELAM || isELAM(item) })
	list.each(tagIDKSInfo, func(item *Item) {
		if f.SigningKey != nil && !bytes.Equal(f.SigningKey, item.Data) {
			f.SigningKey = []byte{} // two keys: neither is believed
			return
		}
		f.SigningKey = item.Data
	})
}

// windowsItems are the items of Windows's log.
type windowsItems []tagged

// each calls do for the items of a tag in its registers.
func (w windowsItems) each(tag uint32, do func(*Item)) {
	for _, t := range w {
		for _, register := range factRegisters[tag] {
			if register == t.register {
				for _, item := range find(t.items, tag, nil) {
					do(item)
				}
			}
		}
	}
}

// all reports whether all items of a tag have the value, and whether there is any.
func (w windowsItems) all(tag uint32, want uint64) (all, any bool) {
	all = true
	w.each(tag, func(item *Item) {
		n, ok := item.number()
		all, any = all && ok && n == want, true
	})
	return all, any
}

// resumed reports whether the boot manager started what resumes from hibernation, and
// nothing else.
func (w windowsItems) resumed() bool {
	loaded, resumed := false, false
	w.each(tagTransferControl, func(item *Item) {
		n, ok := item.number()
		loaded, resumed = loaded || !ok || n == transferToLoader, resumed || n == transferToResume
	})
	return resumed && !loaded
}

// hvci reports whether each policy turns HVCI on, and the least of the policies.
func (w windowsItems) hvci() (on bool, least uint64) {
	policies := 0
	on = true
	w.each(tagHVCIPolicy, func(item *Item) {
		n, _ := item.number()
		policies++
		if on = on && n&1 == 1; policies == 1 || n < least {
			least = n
		}
	})
	return on && policies > 0, least
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
	return validated && (strings.EqualFold(path, `\windows\system32\drivers\wdboot.sys`) ||
		strings.EqualFold(path, `\windows\system32\drivers\wd\wdboot.sys`))
}
