package eventlog

import (
	"bytes"
	"fmt"
)

// Replay is what a log leads to in one bank.
type Replay struct {
	Bank      Algorithm
	registers [Registers]replayed
}

type replayed struct {
	value  []byte
	events int
	// lacking is the number of the first event without a digest for the bank, or
	// 0: what it did cannot be said.
	lacking int
}

// Register returns the value of a register and by how many events it was reached.
// ok is false where the log has no event for it, or one without a digest for the
// bank.
func (r *Replay) Register(i uint32) (value []byte, events int, ok bool) {
	if i >= Registers {
		return nil, 0, false
	}
	one := &r.registers[i]
	return one.value, one.events, one.events > 0 && one.lacking == 0
}

// Lacking returns the number of the first event of the register that has no
// digest for the bank, or 0.
func (r *Replay) Lacking(i uint32) int { return r.registers[i].lacking }

// extend computes H(value || digest) into value.
func extend(bank Algorithm, value, digest []byte) {
	var block [128]byte
	b := append(append(block[:0], value...), digest...)
	bank.Sum(value[:0], b)
}

// Replay extends the digests of a bank into registers that begin at zero, or for
// PCR 0 at the startup locality. Dynamic launch (PCR 17 to 22) begins at zero too.
func (l *Log) Replay(bank Algorithm) (*Replay, error) {
	size := bank.Size()
	if size == 0 {
		return nil, fmt.Errorf("%v is not replayed", bank)
	}
	r := &Replay{Bank: bank}
	values := make([]byte, Registers*size)
	for i := range r.registers {
		r.registers[i].value = values[i*size : (i+1)*size : (i+1)*size]
	}
	r.registers[0].value[size-1] = l.Locality
	for i := range l.Events {
		e := &l.Events[i]
		if e.Type == NoAction {
			continue
		}
		if e.Register >= Registers {
			return nil, fmt.Errorf("event %d extends register %d, of %d", i+1, e.Register, Registers)
		}
		one := &r.registers[e.Register]
		one.events++
		digest := e.Digest(bank)
		if digest == nil {
			if one.lacking == 0 {
				one.lacking = i + 1
			}
			continue
		}
		extend(bank, one.value, digest)
	}
	return r, nil
}

// Mismatch is a log that does not lead to the value of a register.
type Mismatch struct {
	Register         uint32
	Bank             Algorithm
	Quoted, Replayed []byte
	// Events is how many events the log has for the register.
	Events int
	// Hint says which event differs, where that can be known.
	Hint string
}

// Error names the register, both values, and the event that differs.
func (m *Mismatch) Error() string {
	text := fmt.Sprintf("PCR %d is %x (%v), the log's %d events lead to %x", m.Register, m.Quoted, m.Bank,
		m.Events, m.Replayed)
	if m.Hint != "" {
		text += "; " + m.Hint
	}
	return text
}

// maxBlame bounds the work of finding the event to blame, in events of a register.
const maxBlame = 200

// mismatch explains why a register differs. The value alone tells little, but
// three stories can be tried: the log goes on after the quote, it has one event
// too many, or the digest of one event was altered and its data were not.
func (l *Log) mismatch(r *Replay, register uint32, quoted []byte) *Mismatch {
	one := &r.registers[register]
	m := &Mismatch{Register: register, Bank: r.Bank, Quoted: quoted, Replayed: one.value, Events: one.events}
	var at []int
	for i := range l.Events {
		if e := &l.Events[i]; e.Type != NoAction && e.Register == register {
			at = append(at, i)
		}
	}
	if len(at) > maxBlame {
		return m
	}
	value := make([]byte, r.Bank.Size())
	run := func(from []byte, list []int) []byte {
		copy(value, from)
		for _, i := range list {
			extend(r.Bank, value, l.Events[i].Digest(r.Bank))
		}
		return value
	}
	start := make([]byte, r.Bank.Size())
	if register == 0 {
		start[len(start)-1] = l.Locality
	}
	if bytes.Equal(start, quoted) {
		m.Hint = fmt.Sprintf("no event of it was extended: event %d is the first that is not in the register",
			at[0]+1)
		return m
	}
	before := start
	for n, i := range at {
		e := &l.Events[i]
		name := fmt.Sprintf("event %d (%v)", i+1, e.Type)
		if bytes.Equal(run(before, at[n+1:]), quoted) {
			m.Hint = name + " was not extended: without it the log leads to the register"
			return m
		}
		data := r.Bank.Sum(nil, e.Data)
		if !bytes.Equal(data, e.Digest(r.Bank)) {
			after := bytes.Clone(before)
			extend(r.Bank, after, data)
			if bytes.Equal(run(after, at[n+1:]), quoted) {
				m.Hint = fmt.Sprintf("%s has the digest %x, what was extended is %x", name, e.Digest(r.Bank), data)
				return m
			}
		}
		before = bytes.Clone(run(before, at[n:n+1]))
		if bytes.Equal(before, quoted) {
			m.Hint = fmt.Sprintf("the register is reached after %s: event %d is the first that is not in it",
				name, at[n+1]+1)
			return m
		}
	}
	return m
}
