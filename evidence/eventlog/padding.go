package eventlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Some firmware (coreboot and its distributions) writes every record of its log into a
// slot of fixed size, so that a structure is followed by zero bytes. Zero bytes after a
// structure say nothing and are accepted; other bytes are refused, or covered by nothing.

// zeros reports whether b contains only zero bytes, or is empty.
func zeros(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// The signatures of EV_NO_ACTION records that are read (TCG PC Client Platform Firmware
// Profile, section 10.4.5). Each fills 16 bytes.
const (
	signatureSpecID   = "Spec ID Event03\x00"
	signatureLocality = "StartupLocality\x00"
)

// localitySize is the size of TCG_EfiStartupLocalityEvent: the signature and one byte.
const localitySize = 17

// startLocality reads the record that tells how PCR 0 began. It is measured by nothing,
// but a wrong one cannot lead to the quoted register.
func (l *Log) startLocality() error {
	extended, found := false, false
	for i := range l.Events {
		e := &l.Events[i]
		if e.Type != NoAction {
			extended = extended || e.Register == 0
			continue
		}
		if !bytes.HasPrefix(e.Data, []byte(signatureLocality[:len(signatureLocality)-1])) {
			continue
		}
		switch problem := localityProblem(e); {
		case problem != "":
			return fmt.Errorf("event %d: StartupLocality record: %s", i+1, problem)
		case found:
			return fmt.Errorf("event %d: a second StartupLocality record", i+1)
		case extended:
			return fmt.Errorf("event %d: a StartupLocality record after PCR 0 was extended", i+1)
		}
		found, l.Locality = true, e.Data[localitySize-1]
	}
	return nil
}

func localityProblem(e *Event) string {
	switch {
	case len(e.Data) < localitySize:
		return fmt.Sprintf("%d bytes, the structure has %d", len(e.Data), localitySize)
	case string(e.Data[:16]) != signatureLocality:
		return fmt.Sprintf("unknown signature %q", e.Data[:16])
	case e.Register != 0:
		return fmt.Sprintf("it is in PCR %d, expected PCR 0", e.Register)
	case !zeros(e.Data[localitySize:]):
		return fmt.Sprintf("%d bytes after the structure are not zero padding", len(e.Data)-localitySize)
	}
	switch n := e.Data[localitySize-1]; n {
	case 0, 3, 4:
		return ""
	default:
		return fmt.Sprintf("locality %d, expected 0, 3 or 4", n)
	}
}

// structureSize returns how many bytes of an event's data its structure takes, or 0 where
// the type has no size of its own or the data do not fit it.
func structureSize(t Type, b []byte) int {
	le := binary.LittleEndian
	var size uint64
	switch t {
	case Separator:
		size = 4
	case Action, EFIAction: // text without a terminator
		size = uint64(len(bytes.TrimRight(b, "\x00")))
	case EventTag: // TCG_PCClientTaggedEvent: identifier, size, data
		if len(b) >= 8 {
			size = 8 + uint64(le.Uint32(b[4:]))
		}
	case VariableConfig, VariableBoot, VariableBoot2, VariableAuthority:
		if name, data, ok := variableSizes(b); ok {
			size = 32 + 2*name + data
		}
	case GPTEvent: // UEFI_GPT_DATA: header, count, entries
		if len(b) >= gptHeader+8 {
			each, n := uint64(le.Uint32(b[84:])), le.Uint64(b[gptHeader:])
			if each <= maxGPTEntry && n <= maxGPTEntries {
				size = gptHeader + 8 + n*each
			}
		}
	case HandoffTables: // UEFI_HANDOFF_TABLE_POINTERS: count, then GUID and address of each
		if len(b) >= 8 {
			if n := le.Uint64(b); n <= uint64(len(b)) {
				size = 8 + 24*n
			}
		}
	default: // no size of its own
	}
	if size > uint64(len(b)) {
		return 0
	}
	return int(size)
}

// unpadded returns the data of an event without the zero padding after its structure.
func unpadded(t Type, b []byte) []byte {
	if n := structureSize(t, b); n > 0 && zeros(b[n:]) {
		return b[:n:n]
	}
	return b
}
