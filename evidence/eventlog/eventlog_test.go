package eventlog_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/internal/testtee"
)

func log() []byte {
	return testtee.EventLog(
		testtee.LogEvent{Register: 1, Type: 8, Data: []byte("firmware")}, testtee.LogEvent{Register: 1, Type: 4, Data: []byte("separator")},
		testtee.LogEvent{Register: 1, Type: eventlog.NoAction, Data: []byte("not extended")}, testtee.LogEvent{Register: 3, Type: 0x80000001, Data: []byte("kernel")})
}

func TestReplay(t *testing.T) {
	for name, b := range map[string][]byte{"bare": log(), "padded with FF": append(log(), bytes.Repeat([]byte{0xff}, 4096)...), "padded with zeros": append(log(), make([]byte, 100)...)} {
		events, err := eventlog.Parse(b)
		if err != nil || len(events) != 4 || string(events[3].Data) != "kernel" {
			t.Fatalf("%s: %d events, %v", name, len(events), err)
		}
		registers, counts, err := eventlog.Replay(events, eventlog.SHA384)
		if err != nil {
			t.Fatal(err)
		}
		one, three := testtee.Extend([]byte("firmware"), []byte("separator")), testtee.Extend([]byte("kernel"))
		if len(registers) != 2 || !bytes.Equal(registers[1], one[:]) || !bytes.Equal(registers[3], three[:]) || counts[1] != 2 || counts[3] != 1 {
			t.Errorf("%s: registers %x, counts %v", name, registers, counts)
		}
		if _, _, err := eventlog.Replay(events, eventlog.SHA256); err == nil {
			t.Error("a bank that the log lacks was replayed")
		}
		if _, _, err := eventlog.Replay(events, 0x1234); err == nil {
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
		"nothing": nil, "cut in the header": good[:40], "cut in a record": good[:len(good)-1], "cut behind a digest": good[:first+20],
		"another signature": edit(func(b []byte) { b[32] = 'X' }), "another first type": edit(func(b []byte) { b[4] = 4 }),
		"a header too large": huge(28), "too many algorithms": huge(56), "no algorithm": edit(func(b []byte) { b[56] = 0 }),
		"a wrong digest size": edit(func(b []byte) { b[62] = 47 }), "an unannounced digest": edit(func(b []byte) { b[first+12] = 0x0b }),
		"too many digests": edit(func(b []byte) { b[first+8] = 2 }), "data too large": huge(first + 12 + 2 + 48),
		"larger than any log": make([]byte, 2<<20), "padding that is none": append(log(), 0xff, 0xff, 0xfe),
	} {
		if events, err := eventlog.Parse(b); err == nil {
			t.Errorf("%s: %d events", name, len(events))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(log())
	f.Add(append(log(), 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := eventlog.Parse(b)
		if err != nil {
			return
		}
		eventlog.Replay(events, eventlog.SHA384)
	})
}
