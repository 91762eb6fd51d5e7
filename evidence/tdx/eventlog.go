package tdx

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/internal/statement"
)

// replay compares the registers that the log leads to with those of the quote.
// A register for which the log has no event is not judged: it is not in the
// claim x-probity-tdx-event-log, which lists those that the log explains. A
// register that was never extended is explained.
func (v *Verifier) replay(result *evidence.Result, td *dcap.TDReport, log []byte) error {
	l, err := eventlog.Parse(log)
	if err != nil {
		return result.FailErr(CheckEventLog, "an event log", err)
	}
	replay, err := l.Replay(eventlog.SHA384)
	if err != nil {
		return result.FailErr(CheckEventLog, "an event log with a SHA-384 bank", err)
	}
	var told []string
	led := false
	s := statement.List{Set: result.Aliases}
	for i, quoted := range td.RTMR {
		name := fmt.Sprintf("RTMR%d", i)
		// Measurement register 0 is MRTD, the others follow.
		value, events, logged := replay.Register(uint32(i) + 1)
		switch {
		case replay.Lacking(uint32(i)+1) != 0:
			return result.Fail(CheckEventLog, "a SHA-384 digest in every event of "+name,
				fmt.Sprintf("event %d without a SHA-384 digest", replay.Lacking(uint32(i)+1)))
		case logged && !bytes.Equal(value, quoted[:]):
			return result.Fail(CheckEventLog, fmt.Sprintf("%x in %s of the quote", quoted, name),
				fmt.Sprintf("%x after %d events of the log", value, events))
		case logged:
			led = true
			told = append(told, fmt.Sprintf("%s by %d events", name, events))
		case quoted != [48]byte{}:
			told = append(told, name+" not in the log")
			continue
		}
		s.Text("x-probity-tdx-event-log", name)
	}
	if !led {
		return result.Fail(CheckEventLog, "events for the RTMRs of the quote",
			strings.Join(told, ", ")+" of a log with "+fmt.Sprint(len(l.Events))+" events")
	}
	result.Aliases = s.Set
	result.Pass(CheckEventLog, "a log that leads to the RTMRs of the quote", strings.Join(told, ", "))
	return nil
}
