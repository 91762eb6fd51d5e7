package eventlog_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func log() []byte {
	return evidencetest.EventLog(
		evidencetest.LogEvent{Register: 1, Type: 8, Data: []byte("firmware")},
		evidencetest.LogEvent{Register: 1, Type: 4, Data: []byte("separator")},
		evidencetest.LogEvent{Register: 1, Type: uint32(eventlog.NoAction), Data: []byte("not extended")},
		evidencetest.LogEvent{Register: 3, Type: 0x80000001, Data: []byte("kernel")})
}

func TestReplay(t *testing.T) {
	for name, b := range map[string][]byte{
		"bare":              log(),
		"padded with FF":    append(log(), bytes.Repeat([]byte{0xff}, 4096)...),
		"padded with zeros": append(log(), make([]byte, 100)...),
	} {
		l, err := eventlog.Parse(b)
		if err != nil || len(l.Events) != 4 || string(l.Events[3].Data) != "kernel" {
			t.Fatalf("%s: %+v, %v", name, l, err)
		}
		r, err := l.Replay(eventlog.SHA384)
		if err != nil {
			t.Fatal(err)
		}
		one := evidencetest.Extend([]byte("firmware"), []byte("separator"))
		three := evidencetest.Extend([]byte("kernel"))
		for i, want := range map[uint32]struct {
			value  []byte
			events int
		}{1: {one[:], 2}, 3: {three[:], 1}} {
			if value, events, ok := r.Register(i); !ok || !bytes.Equal(value, want.value) || events != want.events {
				t.Errorf("%s: register %d: %x, %d events", name, i, value, events)
			}
		}
		if _, _, ok := r.Register(2); ok {
			t.Error("a register without events was replayed")
		}
		other, err := l.Replay(eventlog.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := other.Register(1); ok || other.Lacking(1) != 1 {
			t.Error("a bank that the log lacks was replayed")
		}
		if _, err := l.Replay(0x1234); err == nil {
			t.Error("an unknown bank was replayed")
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := log()
	edit := func(f func([]byte)) []byte { b := bytes.Clone(good); f(b); return b }
	first := 32 + 16 + 8 + 4 + 4 + 1 // where the second record begins
	huge := func(at int) []byte {
		return edit(func(b []byte) { binary.LittleEndian.PutUint32(b[at:], 0xfffffff0) })
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "cut in the header": good[:40],
		"cut in a record": good[:len(good)-1], "cut after a digest": good[:first+20],
		"another signature":  edit(func(b []byte) { b[32] = 'X' }),
		"another first type": edit(func(b []byte) { b[4] = 4 }),
		"a header too large": huge(28), "too many algorithms": huge(56),
		"no algorithm":          edit(func(b []byte) { b[56] = 0 }),
		"a wrong digest size":   edit(func(b []byte) { b[62] = 47 }),
		"an unannounced digest": edit(func(b []byte) { b[first+12] = 0x0b }),
		"too many digests":      edit(func(b []byte) { b[first+8] = 2 }),
		"data too large":        huge(first + 12 + 2 + 48),
		"larger than any log":   make([]byte, 2<<20), "padding that is none": append(log(), 0xff, 0xff, 0xfe),
	} {
		if l, err := eventlog.Parse(b); err == nil {
			t.Errorf("%s: %d events", name, len(l.Events))
		}
	}
}

// FuzzParse: whatever parses can be replayed, proven with the registers that it
// leads to, and written as JSON that is valid.
func FuzzParse(f *testing.F) {
	f.Add(log())
	f.Add(append(log(), 0xff, 0xff))
	f.Add(windowsLog())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := eventlog.Parse(b)
		if err != nil {
			return
		}
		for _, algorithm := range []eventlog.Algorithm{eventlog.SHA1, eventlog.SHA256, eventlog.SHA384} {
			bank, err := bankOf(l, algorithm)
			if err != nil {
				continue
			}
			p, err := eventlog.Prove([]eventlog.Sent{{Data: b}}, bank)
			if err != nil {
				continue
			}
			p.Facts() // may refuse
			if text := jsontext.Value(p.JSON()); !text.IsValid() {
				t.Fatalf("not JSON: %s", text)
			}
		}
	})
}

// bankOf returns the registers that a log leads to.
func bankOf(l *eventlog.Log, algorithm eventlog.Algorithm) (eventlog.Bank, error) {
	bank := eventlog.Bank{Algorithm: algorithm}
	r, err := l.Replay(algorithm)
	if err != nil {
		return bank, err
	}
	for i := range uint32(eventlog.Registers) {
		if value, _, ok := r.Register(i); ok {
			bank.Values[i] = value
		} else {
			bank.Values[i] = make([]byte, algorithm.Size())
		}
	}
	return bank, nil
}
