package eventlog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Sent is a log as it was sent.
type Sent struct {
	// IMA says that it is a list of Linux IMA; otherwise it is a TCG log.
	IMA  bool
	Data []byte
}

// Bank are the registers of one hash that signed evidence vouches for. Registers
// that it says nothing of are nil.
type Bank struct {
	Algorithm Algorithm
	Values    [Registers][]byte
}

// Covers reports whether the bank has the registers of a mask, bit n for PCR n,
// and returns those that it lacks.
func (b *Bank) Covers(mask uint32) (lacking []uint32) {
	for i := range uint32(Registers) {
		if mask&(1<<i) != 0 && b.Values[i] == nil {
			lacking = append(lacking, i)
		}
	}
	return lacking
}

// Proof is what logs prove, given a bank of registers.
type Proof struct {
	Bank Bank
	// Explained are the registers whose value the logs lead to. Registers that
	// were never extended are explained, whatever logs there are.
	Explained []uint32
	// Unexplained have a value that no log leads to.
	Unexplained []uint32
	// Sent is how many events the logs hold, those of other registers included.
	Sent int

	events []Proven
}

// Events are those of registers whose value the logs lead to, in order.
func (p *Proof) Events() []Proven {
	for i := range p.events {
		p.event(i)
	}
	return p.events
}

// event returns an event after its data were hashed. That is done for those that
// somebody looks at.
func (p *Proof) event(i int) *Proven {
	e := &p.events[i]
	if !e.tried {
		e.tried = true
		if e.Measurement == nil && !e.Covered {
			e.cover(p.Bank.Algorithm)
		}
	}
	return e
}

// Len is how many events are proven.
func (p *Proof) Len() int { return len(p.events) }

// Proven is an event of a register whose value the logs lead to.
type Proven struct {
	// Seq is its place over all logs, from 0.
	Seq int
	*Event
	// Covered says that the digest covers Payload; otherwise the data prove
	// nothing.
	Covered bool
	// Payload is what the digest covers: the data, or the part of them that the
	// boot loader hashed.
	Payload []byte
	// Measurement is set for entries of IMA lists, and Event then tells the
	// register alone.
	Measurement *Measurement

	tried bool // to find out what the digest covers
}

// initial reports whether a register was never extended. PCR 17 to 22 begin at
// FF and change to zero with a dynamic launch.
func initial(register uint32, value []byte) bool {
	if len(bytes.Trim(value, "\x00")) == 0 {
		return true
	}
	return register >= 17 && register <= 22 && len(bytes.Trim(value, "\xff")) == 0
}

// Prove parses the logs, replays them and returns what they prove. TCG logs that
// follow each other are one. The error is a [*Mismatch] for logs that do not lead
// to a register that the bank has.
func Prove(logs []Sent, bank Bank) (*Proof, error) {
	if bank.Algorithm.Size() == 0 {
		return nil, fmt.Errorf("%v is not replayed", bank.Algorithm)
	}
	whole := &Log{}
	var lists [][]Measurement
	for i, sent := range logs {
		if sent.IMA {
			list, err := ParseIMA(sent.Data)
			if err != nil {
				return nil, fmt.Errorf("log %d: %w", i+1, err)
			}
			if lists = append(lists, list); len(lists) > 1 {
				return nil, fmt.Errorf("log %d: a second IMA list: a kernel has one", i+1)
			}
			continue
		}
		l, err := Parse(sent.Data)
		if err != nil {
			return nil, fmt.Errorf("log %d: %w", i+1, err)
		}
		if len(whole.Events) == 0 {
			whole = l
		} else {
			whole.Events = append(whole.Events, l.Events...)
		}
	}
	p := &Proof{Bank: bank, Sent: len(whole.Events)}
	if err := p.replay(whole); err != nil {
		return nil, err
	}
	for _, list := range lists {
		if err := p.measurements(list); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Proof) replay(l *Log) error {
	r, err := l.Replay(p.Bank.Algorithm)
	if err != nil {
		return err
	}
	var led [Registers]bool
	for i := range uint32(Registers) {
		quoted := p.Bank.Values[i]
		value, events, ok := r.Register(i)
		switch {
		case quoted == nil:
		case len(quoted) != p.Bank.Algorithm.Size():
			return fmt.Errorf("PCR %d has %d bytes, %v has %d", i, len(quoted), p.Bank.Algorithm, p.Bank.Algorithm.Size())
		case ok && bytes.Equal(value, quoted):
			led[i] = true
			p.Explained = append(p.Explained, i)
		case events == 0 && initial(i, quoted):
			p.Explained = append(p.Explained, i)
		case ok && i != pcrIMA:
			return l.mismatch(r, i, quoted)
		case r.Lacking(i) != 0:
			return fmt.Errorf("event %d has no digest of %v, so it cannot be said what PCR %d should be", r.Lacking(i), p.Bank.Algorithm, i)
		default:
			p.Unexplained = append(p.Unexplained, i)
		}
	}
	p.events = make([]Proven, 0, len(l.Events))
	for i := range l.Events {
		e := &l.Events[i]
		if e.Type == NoAction || e.Register >= Registers || !led[e.Register] {
			continue
		}
		proven := Proven{Seq: i, Event: e}
		if proven.windows() {
			if proven.cover(p.Bank.Algorithm); !proven.Covered {
				return fmt.Errorf("event %d (%v in PCR %d) has data that its digest does not cover", i+1, e.Type, e.Register)
			}
		}
		p.events = append(p.events, proven)
	}
	return nil
}

// measurements replays an IMA list into its register. The register begins where
// earlier logs left it: mostly at zero.
func (p *Proof) measurements(list []Measurement) error {
	if len(list) == 0 {
		return nil
	}
	register := list[0].Register
	if slices.ContainsFunc(list, func(m Measurement) bool { return m.Register != register }) || register >= Registers {
		return fmt.Errorf("an IMA list for PCR %d and others", register)
	}
	seq := p.Sent
	p.Sent += len(list)
	quoted := p.Bank.Values[register]
	if quoted == nil {
		return nil // not quoted: none of it is believed
	}
	start, bank := make([]byte, len(quoted)), p.Bank.Algorithm
	n := ReplayIMA(list, bank, start, quoted, false)
	if n < 0 && bank != SHA1 {
		n = ReplayIMA(list, bank, start, quoted, true)
	}
	if n < 0 {
		return &Mismatch{Register: register, Bank: bank, Quoted: quoted, Replayed: endOfIMA(list, bank, start), Events: len(list),
			Hint: "no beginning of the IMA list leads to it"}
	}
	p.events = slices.Grow(p.events, n)
	event := &Event{Register: register} // of all of them
	for i := range list[:n] {
		p.events = append(p.events, Proven{Seq: seq + i, Event: event, Covered: !list[i].Violation(), Measurement: &list[i]})
	}
	if at := slices.Index(p.Unexplained, register); at >= 0 {
		p.Unexplained = slices.Delete(p.Unexplained, at, at+1)
		p.Explained = append(p.Explained, register)
		slices.Sort(p.Explained)
	}
	return nil
}

// endOfIMA is the value that a whole list leads to, for messages.
func endOfIMA(list []Measurement, bank Algorithm, start []byte) []byte {
	value := bytes.Clone(start)
	for i := range list {
		digest := bank.Sum(nil, list[i].Data)
		if list[i].Violation() {
			digest = bytes.Repeat([]byte{0xff}, len(value))
		}
		extend(bank, value, digest)
	}
	return value
}

// The texts that GRUB writes before what it hashed.
var grubPrefixes = []string{"grub_cmd: ", "kernel_cmdline: ", "module_cmdline: ", "grub_cmd ", "grub_kernel_cmdline "}

// cover finds out what of an event's data its digest covers.
func (e *Proven) cover(bank Algorithm) {
	digest := e.Digest(bank)
	var buffer [64]byte // on the stack: many events are hashed
	is := func(b []byte) bool {
		if bytes.Equal(bank.Sum(buffer[:0], b), digest) {
			e.Covered, e.Payload = true, b
		}
		return e.Covered
	}
	switch {
	case e.Type.coversData():
		// Some firmware hashes the data of a boot variable alone: then nothing covers
		// its name, and it does not count as covered.
		if !is(e.Data) {
			if data := unpadded(e.Type, e.Data); len(data) < len(e.Data) {
				is(data)
			}
		}
	case e.Type == IPL && e.Register != pcrFiles: // there it is that of a file
		text := e.Data
		for _, prefix := range grubPrefixes {
			if strings.HasPrefix(string(text), prefix) {
				text = text[len(prefix):]
				break
			}
		}
		trimmed := bytes.TrimSuffix(text, []byte{0})
		if e.Register == pcrUnifiedKernel && is(append([]byte(utf16Text(e.Data)), 0)) {
			return // systemd hashes the name of a section in ASCII and logs it in UTF-16
		}
		_ = is(trimmed) || is(text) || is(bytes.TrimSuffix(e.Data, []byte{0})) || is(e.Data) || is(bytes.TrimSuffix(e.Data, []byte{0, 0})) ||
			is(bytes.TrimRight(text, "\x00")) || is(bytes.TrimRight(e.Data, "\x00"))
	}
}

// windows reports whether an event is one of those that Windows tags; their
// digests are those of their data, without exception. Tags come in a few groups,
// unlike those of others.
func (e *Proven) windows() bool {
	if e.Measurement != nil || e.Type != EventTag || len(e.Data) < 8 || e.Register < pcrWindows {
		return false
	}
	group := uint32(e.Data[3]&0x3f)<<8 | uint32(e.Data[2])
	return group >= 1 && group <= lastTagGroup
}
