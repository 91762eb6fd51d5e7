package eventlog

import (
	"bytes"
	"slices"
	"strings"
)

// JSON writes the proven events in the form that policies query:
//
//	{"Events":[{"EventSeq":0,"PcrIndex":7,"EventType":2147483649,
//	  "EventTypeString":"EV_EFI_VARIABLE_DRIVER_CONFIG","Digests":{"SHA256":"…"},"Covered":true,
//	  "ProcessedData":{"VariableGuid":"…","UnicodeName":"SecureBoot","VariableData":"AQ"}}]}
//
// Events are in the order of their registers, and within one as they were extended, which
// alone is proven; EventSeq is the place in that order. Digests are those of the proven bank.
// Covered says that the digest is that of the data. ProcessedData are there only for such
// events, where nothing contradicts the type, which no digest covers (see [Proof.shown]).
// Digests are lower-case hex, other bytes base64url without padding.
func (p *Proof) JSON() string {
	events, room := p.Events(), 1024
	for i := range events {
		room += 384 + len(events[i].Payload)*3/2
	}
	w := &writer{b: make([]byte, 0, room)}
	w.raw(`{"Events":[`)
	for seq, i := range p.inOrder() {
		e := &events[i]
		w.next()
		w.raw(`{"EventSeq":`)
		w.number(uint64(seq))
		w.raw(`,"PcrIndex":`)
		w.number(uint64(e.Register))
		if e.Measurement != nil {
			w.measurement(e, p.Bank.Algorithm)
			w.raw("}")
			continue
		}
		w.raw(`,"EventType":`)
		w.number(uint64(e.Type))
		w.raw(`,"EventTypeString":`)
		w.text(e.Type.String())
		w.digest(p.Bank.Algorithm, e.Digest(p.Bank.Algorithm))
		w.raw(`,"Covered":`)
		w.boolean(e.Covered)
		if e.Covered && p.shown(i) {
			w.processed(e)
		}
		w.raw("}")
	}
	w.raw("]}")
	return string(w.b)
}

func (w *writer) digest(bank Algorithm, value []byte) {
	w.raw(`,"Digests":{`)
	w.name(bank.String())
	w.hex(value)
	w.raw("}")
}

// inOrder returns the places of the events by register, within one as they were extended.
func (p *Proof) inOrder() []int {
	order := make([]int, len(p.events))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order,
		func(a, b int) int { return int(p.events[a].Register) - int(p.events[b].Register) })
	return order
}

// shown reports whether what an event says may be shown under its type. Variables are used where
// firmware measures them: the configuration in PCR 0 to 7 before the separator, authorities
// in PCR 7; what runs later can measure any variable, and call one what it is not. Tagged
// events have the names of Windows only where they are proven to be Windows's own.
func (p *Proof) shown(i int) bool {
	switch e := &p.events[i]; e.Type {
	case VariableConfig, VariableBoot, VariableBoot2:
		at := p.separator(e.Register)
		return e.Register <= pcrSecureBoot && (at < 0 || i < at) &&
			(e.Register != pcrSecureBoot || e.Type == VariableConfig)
	case VariableAuthority:
		return e.Register == pcrSecureBoot
	case EventTag:
		if own := p.read().windows; own != nil && own[i] {
			return true
		}
		list, err := ParseItems(e.Data)
		return err == nil &&
			!slices.ContainsFunc(list, func(item Item) bool { _, known := tags[item.Tag]; return known })
	default:
		return true
	}
}

// separator returns the place of the event that ends what firmware measures into a register,
// or -1. It is known by its digest, whatever it is called.
func (p *Proof) separator(register uint32) int {
	if register > pcrSecureBoot {
		return -1
	}
	if p.separators == nil {
		p.separators = p.findSeparators()
	}
	return p.separators[register]
}

func (p *Proof) findSeparators() *[pcrSecureBoot + 1]int {
	var values [3][]byte
	for i, data := range [][]byte{{0, 0, 0, 0}, {1, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}} {
		values[i] = p.Bank.Algorithm.Sum(nil, data)
	}
	found := [pcrSecureBoot + 1]int{-1, -1, -1, -1, -1, -1, -1, -1}
	for i := range p.events {
		e := &p.events[i]
		if e.Register > pcrSecureBoot || e.Measurement != nil || found[e.Register] >= 0 {
			continue
		}
		digest := e.Digest(p.Bank.Algorithm)
		if e.Type == Separator ||
			slices.ContainsFunc(values[:], func(v []byte) bool { return bytes.Equal(v, digest) }) {
			found[e.Register] = i
		}
	}
	return &found
}

func (w *writer) measurement(e *Proven, bank Algorithm) {
	m := e.Measurement
	if e.padded {
		bank = SHA1
	}
	w.raw(`,"EventTypeString":"` + imaMeasurementEvent + `"`)
	w.digest(bank, e.extended)
	w.raw(`,"Covered":`)
	w.boolean(e.Covered)
	if !e.Covered {
		return
	}
	w.raw(`,"ProcessedData":{`)
	if m.Reading != "" {
		w.textPair("Template", m.Reading)
	}
	w.textPair("FileDigest", m.FileDigest)
	w.textPair("Path", m.Name)
	switch {
	case m.Reading == "":
		// A signature or a buffer: nothing proves which.
	case m.Reading == "ima-buf" && m.Name == "kernel_version":
		w.textPair("KernelVersion", plain(m.Extra))
	case m.Reading == "ima-buf" && strings.HasPrefix(m.Name, "."):
		w.textPair("Keyring", m.Name)
		w.textPair("CertificateSubject", m.subject())
	case m.Reading == "ima-buf":
		w.pair("Buffer", m.Extra)
	case len(m.Extra) > 0:
		w.pair("Signature", m.Extra)
	}
	w.raw("}")
}

// processed writes what the data of an event say.
func (w *writer) processed(e *Proven) {
	at := len(w.b)
	w.raw(`,"ProcessedData":{`)
	switch e.Type {
	case VariableConfig, VariableBoot, VariableBoot2, VariableAuthority:
		v, err := ParseVariable(e.Data)
		if err != nil {
			w.b = w.b[:at]
			return
		}
		w.textPair("VariableGuid", v.Vendor.String())
		w.textPair("UnicodeName", v.Name)
		w.pair("VariableData", v.Data)
	case EventTag:
		list, err := ParseItems(e.Data)
		if err != nil {
			w.b = w.b[:at]
			return
		}
		w.items(list)
	case GPTEvent:
		disk, list, err := ParseGPT(e.Data)
		if err != nil {
			w.b = w.b[:at]
			return
		}
		w.textPair("DiskGuid", disk.String())
		w.name("Partitions")
		w.raw("[")
		for _, part := range list {
			w.next()
			w.raw("{")
			w.textPair("TypeGuid", part.Type.String())
			w.textPair("PartitionGuid", part.ID.String())
			w.textPair("Name", part.Name)
			w.raw("}")
		}
		w.raw("]")
	case IPL, Action, EFIAction:
		w.textPair("String", plain(e.Payload))
	default:
		w.pair("RawData", e.Payload)
	}
	w.raw("}")
}
