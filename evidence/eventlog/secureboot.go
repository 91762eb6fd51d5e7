package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// owner is whose boot loaders an authority of PCR 7 allows.
type owner uint8

const (
	unknownOwner owner = iota
	ofWindows          // Windows's own boot loader and nothing else
	ofOthers           // other systems and never Windows's boot loader
)

// authorities are those that are known, by the SHA-256 of the certificate. Microsoft signs
// Windows's boot loader and what others write with different ones.
var authorities = map[string]owner{
	// Microsoft Windows Production PCA 2011
	"e8e95f0733a55e8bad7be0a1413ee23c51fcea64b3c8fa6a786935fddcc71961": ofWindows,
	"076f1fea90ac29155ebf77c17682f75f1fdd1be196da302dc8461e350a9ae330": ofWindows, // Windows UEFI CA 2023
	// Microsoft Root Certificate Authority 2010, which issued the first of them and none that
	// signs for others. Some clouds have it in db.
	"df545bf919a2439c36983b54cdfc903dfa4f37d3996d8d84b4c31eec6f3c163e": ofWindows,
	// Microsoft Corporation UEFI CA 2011
	"48e99b991f57fc52f76149599bff0a58c47154229b9f8d603ac40d3500248507": ofOthers,
	"f6124e34125bee3fe6d79a574eaa7b91c0e7bd9d929c1a321178efd611dad901": ofOthers, // Microsoft UEFI CA 2023
}

// shimSettings are what shim measures beside its authorities, and the authority that is
// built into it. A key of the machine's owner (MokList) could have signed anything.
var shimSettings = map[string]bool{"Shim": true, "vendor_db": true, "SbatLevel": true, "MokListTrusted": true}

// whose tells whose boot loaders the authority of an event allows; der is its certificate,
// or nil.
func whose(v *Variable, der []byte) owner {
	switch {
	case v.Vendor == shimLock && shimSettings[v.Name]:
		return ofOthers
	case v.Vendor == imageSecurity && v.Name == "db" && der != nil:
		sum := sha256.Sum256(der)
		return authorities[hex.EncodeToString(sum[:])]
	}
	return unknownOwner
}

// secureBootOrder is the sequence with which PCR 7 begins (TCG PC Client
// Platform Firmware Profile, section 3.3.4.8). In another order a log could
// show one database and have used another.
var secureBootOrder = []bootVariable{
	{globalVariable, "SecureBoot"}, {globalVariable, "PK"}, {globalVariable, "KEK"},
	{imageSecurity, "db"}, {imageSecurity, "dbx"},
}

// bootVariable names a variable of the firmware.
type bootVariable struct {
	vendor GUID
	name   string
}

// dmaUnprotected is the one action that may stand among the variables: devices
// could write to memory while the firmware ran.
const dmaUnprotected = "DMA Protection Disabled"

// secureBoot reads PCR 7: the variables, a separator, and who allowed what was
// loaded. What stops it is f.WhyNotSecureBoot.
func (p *Proof) secureBoot(f *Facts) {
	r := bootReader{facts: f, order: secureBootOrder, proven: true}
	for i := range p.events {
		if e := &p.events[i]; e.Register != pcrSecureBoot || e.Measurement != nil {
			continue
		}
		if f.WhyNotSecureBoot = r.read(p.event(i)); f.WhyNotSecureBoot != "" {
			return
		}
	}
	f.WhyNotSecureBoot = r.conclude()
}

// bootReader reads the events of PCR 7 in their order.
type bootReader struct {
	facts *Facts
	// order is what is still to come before the separator, variables what was read of it.
	order     []bootVariable
	variables []*Variable
	separated bool
	// proven says that each entry after the separator is a covered authority.
	proven bool
	// windows and others count the authorities of Windows, and the known ones of other systems.
	windows, others int
}

// read reads one event. It returns why the log does not prove what PCR 7 says, or "".
func (r *bootReader) read(e *Proven) (why string) {
	if e.Type == Separator {
		return r.separator(e)
	}
	if e.Type == EFIAction && e.Covered && string(bytes.TrimRight(e.Payload, "\x00")) == dmaUnprotected {
		r.facts.DMAUnprotected = true
		return ""
	}
	return r.variable(e)
}

// variable reads a variable, which before the separator is one of the order, and after it an
// authority.
func (r *bootReader) variable(e *Proven) (why string) {
	v, err := ParseVariable(e.Data)
	// The type is covered by nothing: a second db is an authority, whatever it is called.
	allowed := e.Type == VariableAuthority ||
		err == nil && len(r.order) == 0 && v.Vendor == imageSecurity && v.Name == "db"
	if allowed {
		r.facts.AuthorityEvents++
	}
	switch {
	case (!e.Covered || err != nil) && !r.separated:
		// It could be any variable.
		return fmt.Sprintf("event %d, before the separator, is not a variable that its digest covers", e.Seq+1)
	case !e.Covered || err != nil:
		r.proven = false
	case !r.separated && len(r.order) > 0:
		return r.configured(e, v)
	case e.Type == VariableConfig && v.Vendor == globalVariable && v.Name == "SecureBoot":
		return fmt.Sprintf("event %d gives the variable SecureBoot a second time", e.Seq+1)
	case allowed:
		r.authority(v)
	case r.separated:
		r.proven = false
	}
	return ""
}

// separator reads the end of the variables.
func (r *bootReader) separator(e *Proven) (why string) {
	switch {
	case r.separated:
		return fmt.Sprintf("event %d is a second separator", e.Seq+1)
	case len(r.order) > 0:
		return fmt.Sprintf("event %d, the separator, comes before the variable %s", e.Seq+1, r.order[0].name)
	case !e.Covered:
		return fmt.Sprintf("the digest of event %d, the separator, does not cover its data", e.Seq+1)
	case len(bytes.Trim(e.Data, "\x00")) > 0:
		return fmt.Sprintf("event %d, the separator, reports an error of the firmware", e.Seq+1)
	}
	r.separated = true
	return ""
}

// configured reads the next variable of the order.
func (r *bootReader) configured(e *Proven, v *Variable) (why string) {
	want := r.order[0]
	if e.Type != VariableConfig || v.Vendor != want.vendor || v.Name != want.name {
		return fmt.Sprintf("event %d is not the variable %s, which comes next", e.Seq+1, want.name)
	}
	r.variables, r.order = append(r.variables, v), r.order[1:]
	return ""
}

// authority reads who allowed an image.
func (r *bootReader) authority(v *Variable) {
	der := authority(v)
	if der != nil {
		r.facts.Authorities = append(r.facts.Authorities, der)
	}
	switch whose(v, der) {
	case ofWindows:
		r.windows++
	case ofOthers:
		r.others++
	case unknownOwner:
	}
}

// conclude states what the whole of PCR 7 proves.
func (r *bootReader) conclude() (why string) {
	f := r.facts
	switch {
	case len(r.order) == len(secureBootOrder):
		return "no event of PCR 7 is proven"
	case !r.separated:
		return "PCR 7 has no separator after the variables"
	}
	for i, target := range []**Signatures{&f.PK, &f.KEK, &f.DB, &f.DBX} {
		if s, err := ParseSignatures(r.variables[i+1].Data); err == nil {
			*target = s
		}
	}
	f.AuthoritiesProven = r.proven
	switch {
	case !bytes.Equal(r.variables[0].Data, []byte{1}):
		return "the variable SecureBoot is not 1: secure boot is off"
	case f.AuthorityEvents == 0:
		// Where secure boot is on, an authority allowed what was loaded.
		return "PCR 7 names no authority that allowed a boot loader, so that nothing was checked"
	}
	f.SecureBoot = true
	f.WindowsBooted = r.proven && r.windows == f.AuthorityEvents
	f.NoWindows = r.proven && r.others == f.AuthorityEvents
	return ""
}
