package eventlog

import (
	"bytes"
	"fmt"
	"slices"
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
	// Sent is how many events the logs contain, those of other registers included.
	Sent int

	events     []Proven
	leftOut    []string // what is not believed, and why
	reading    *reading
	separators *[pcrSecureBoot + 1]int
}

// Events are those of registers whose value the logs lead to, in order.
func (p *Proof) Events() []Proven {
	for i := range p.events {
		p.event(i)
	}
	return p.events
}

// event returns an event after its data were hashed. That is done for those that
// someone looks at.
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
	// extended is the digest of a measurement; padded says that it is its SHA-1, which older
	// kernels extend into all banks.
	extended []byte
	padded   bool
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
			return fmt.Errorf("PCR %d has %d bytes, %v has %d", i, len(quoted), p.Bank.Algorithm,
				p.Bank.Algorithm.Size())
		case ok && bytes.Equal(value, quoted):
			led[i] = true
			p.Explained = append(p.Explained, i)
		case events == 0 && initial(i, quoted):
			p.Explained = append(p.Explained, i)
		case ok && i != pcrIMA:
			return l.mismatch(r, i, quoted)
		case r.Lacking(i) != 0:
			return fmt.Errorf("event %d has no digest of %v, so the value of PCR %d cannot be computed",
				r.Lacking(i), p.Bank.Algorithm, i)
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
				return fmt.Errorf("event %d (%v in PCR %d) has data that its digest does not cover", i+1,
					e.Type, e.Register)
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
	if slices.ContainsFunc(list, func(m Measurement) bool { return m.Register != register }) ||
		register >= Registers {
		return fmt.Errorf("an IMA list for PCR %d and others", register)
	}
	seq := p.Sent
	p.Sent += len(list)
	quoted := p.Bank.Values[register]
	if quoted == nil {
		return nil // not quoted: none of it is believed
	}
	start, bank := make([]byte, len(quoted)), p.Bank.Algorithm
	padded := bank == SHA1
	n := ReplayIMA(list, bank, start, quoted, padded)
	if n < 0 && !padded {
		padded = true
		n = ReplayIMA(list, bank, start, quoted, padded)
	}
	if n < 0 {
		return &Mismatch{
			Register: register,
			Bank:     bank,
			Quoted:   quoted,
			Replayed: endOfIMA(list, bank, start),
			Events:   len(list),
			Hint:     "no first part of the IMA list gives its value",
		}
	}
	for i := range list[:n] {
		// A measurement that cannot be read may be one that a policy refuses.
		if m := &list[i]; m.Unread != "" && !m.Violation() {
			p.leftOut = append(p.leftOut, fmt.Sprintf("IMA list: measurement %d: %s", i+1, m.Unread))
			return nil
		}
	}
	p.addMeasurements(list[:n], seq, padded)
	if at := slices.Index(p.Unexplained, register); at >= 0 {
		p.Unexplained = slices.Delete(p.Unexplained, at, at+1)
		p.Explained = append(p.Explained, register)
		slices.Sort(p.Explained)
	}
	return nil
}

// addMeasurements adds measurements that lead to the quoted register.
func (p *Proof) addMeasurements(list []Measurement, seq int, padded bool) {
	p.events = slices.Grow(p.events, len(list))
	event := &Event{Register: list[0].Register} // of all of them
	bank := p.Bank.Algorithm
	if padded {
		bank = SHA1
	}
	size := bank.Size()
	digests := make([]byte, 0, len(list)*size)
	ambiguous := 0
	for i := range list {
		m := &list[i]
		switch {
		case m.Violation():
			digests = append(digests, bytes.Repeat([]byte{0xff}, size)...)
		case padded:
			digests = append(digests, m.Digest...)
		default:
			digests = bank.Sum(digests, m.Data)
		}
		if m.Reading == "" && !m.Violation() {
			ambiguous++
		}
		p.events = append(p.events, Proven{Seq: seq + i, Event: event, Covered: !m.Violation(), Measurement: m,
			extended: digests[i*size : (i+1)*size : (i+1)*size], padded: padded})
	}
	if ambiguous > 0 {
		p.leftOut = append(p.leftOut,
			fmt.Sprintf("IMA list: %d measurements with a third field that may be a signature or a buffer",
				ambiguous))
	}
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

// cover finds out what of an event's data its digest covers.
func (e *Proven) cover(bank Algorithm) {
	switch {
	case e.Type.coversData():
		// Some firmware hashes the data of a boot variable alone: then nothing covers
		// its name, and it is not treated as covered.
		if !e.covers(bank, e.Data) {
			if data := unpadded(e.Type, e.Data); len(data) < len(e.Data) {
				e.covers(bank, data)
			}
		}
	case e.Type == IPL && e.Register != pcrFiles: // there it is that of a file
		if e.Register == pcrUnifiedKernel && e.covers(bank, append([]byte(utf16Text(e.Data)), 0)) {
			return // systemd hashes the name of a section in ASCII and logs it in UTF-16
		}
		e.coverText(bank)
	}
}

// covers reports whether the digest is that of b, and keeps b as the payload if it is.
func (e *Proven) covers(bank Algorithm, b []byte) bool {
	var buffer [64]byte // on the stack: many events are hashed
	if bytes.Equal(bank.Sum(buffer[:0], b), e.Digest(bank)) {
		e.Covered, e.Payload = true, b
	}
	return e.Covered
}

// coverText finds out what of a text its digest covers: with or without the label that GRUB
// writes before it, with or without its terminator.
func (e *Proven) coverText(bank Algorithm) bool {
	bare := e.Data
	for _, label := range grubLabels {
		if bytes.HasPrefix(bare, []byte(label)) {
			bare = bare[len(label):]
			break
		}
	}
	return e.covers(bank, bytes.TrimSuffix(bare, []byte{0})) || e.covers(bank, bare) ||
		e.covers(bank, bytes.TrimSuffix(e.Data, []byte{0})) || e.covers(bank, e.Data) ||
		e.covers(bank, bytes.TrimSuffix(e.Data, []byte{0, 0})) ||
		e.covers(bank, bytes.TrimRight(bare, "\x00")) || e.covers(bank, bytes.TrimRight(e.Data, "\x00"))
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
