package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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
	"e8e95f0733a55e8bad7be0a1413ee23c51fcea64b3c8fa6a786935fddcc71961": ofWindows, // Microsoft Windows Production PCA 2011
	"076f1fea90ac29155ebf77c17682f75f1fdd1be196da302dc8461e350a9ae330": ofWindows, // Windows UEFI CA 2023
	// Microsoft Root Certificate Authority 2010, which issued the first of them and none that
	// signs for others. Some clouds have it in db.
	"df545bf919a2439c36983b54cdfc903dfa4f37d3996d8d84b4c31eec6f3c163e": ofWindows,
	"48e99b991f57fc52f76149599bff0a58c47154229b9f8d603ac40d3500248507": ofOthers, // Microsoft Corporation UEFI CA 2011
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
var secureBootOrder = []struct {
	vendor GUID
	name   string
}{{globalVariable, "SecureBoot"}, {globalVariable, "PK"}, {globalVariable, "KEK"}, {imageSecurity, "db"}, {imageSecurity, "dbx"}}

// dmaUnprotected is the one action that may stand among the variables: devices
// could write to memory while the firmware ran.
const dmaUnprotected = "DMA Protection Disabled"

// secureBoot reads PCR 7: the variables, a separator, and who allowed what was
// loaded.
func (p *Proof) secureBoot(f *Facts) {
	step, separators, proven := 0, 0, true
	windows, others := 0, 0 // authorities of Windows, and known ones of other systems
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
		// The type is covered by nothing: a second db is an authority, whatever it is called.
		allowed := e.Type == VariableAuthority || err == nil && step == len(secureBootOrder) && v.Vendor == imageSecurity && v.Name == "db"
		if allowed {
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
		case e.Type == VariableConfig && v.Vendor == globalVariable && v.Name == "SecureBoot":
			return // a second answer
		case allowed:
			der := authority(v)
			if der != nil {
				f.Authorities = append(f.Authorities, der)
			}
			switch whose(v, der) {
			case ofWindows:
				windows++
			case ofOthers:
				others++
			}
		case separators > 0:
			proven = false
		}
	}
	if separators != 1 {
		return
	}
	// Where secure boot is on, an authority allowed what was loaded: a boot that shows
	// no authority was not checked.
	f.SecureBoot, f.AuthoritiesProven = bytes.Equal(found[0].Data, []byte{1}) && f.AuthorityEvents > 0, proven
	f.WindowsBooted = f.SecureBoot && proven && windows == f.AuthorityEvents
	f.NoWindows = f.SecureBoot && proven && others == f.AuthorityEvents
	for i, target := range []**Signatures{&f.PK, &f.KEK, &f.DB, &f.DBX} {
		if s, err := ParseSignatures(found[i+1].Data); err == nil {
			*target = s
		}
	}
}
