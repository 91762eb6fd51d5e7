package policy

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy/jmespath"
)

// What an evaluation makes, in bytes of memory.
const (
	sliceBytes = 24
	valueBytes = 32
	claimBytes = 128 // in the set, in what is issued, and in the trace
	// A compiled query takes this for each byte of its text.
	queryBytes = 128
)

const (
	tooManySteps = "the policy takes more than %d steps over these claims"
	tooManyBytes = "the policy reads, compares and makes more than %d bytes of text over these claims"
)

// overspent makes an error of one that the budget gave; others stay as they are.
func (e *evaluation) overspent(at Pos, err error) error {
	var evaluation *EvaluationError
	switch {
	case errors.As(err, &evaluation):
		return err
	case errors.Is(err, jmespath.ErrSteps) && e.current == Configuration:
		return e.fail(at, tooManySteps, maxSettingSteps)
	case errors.Is(err, jmespath.ErrSteps):
		return e.fail(at, tooManySteps, maxSteps)
	case errors.Is(err, jmespath.ErrBytes) && e.current == Configuration:
		return e.fail(at, tooManyBytes, maxSettingBytes)
	case errors.Is(err, jmespath.ErrBytes):
		return e.fail(at, tooManyBytes, maxBytes)
	}
	return &EvaluationError{Pos: at, Section: e.current, Message: fmt.Sprintf("the evaluation was ended: %v",
		err), cause: err}
}

// contains reports whether v is among the values; each pair is a step.
func (e *evaluation) contains(set []claims.Value, v claims.Value) (bool, error) {
	for i := range set {
		if err := e.budget.Spend(1, 0); err != nil {
			return false, err
		}
		if same, err := e.same(&set[i], &v); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// same compares two values, and pays for long texts. The caller pays the step.
func (e *evaluation) same(a, b *claims.Value) (bool, error) {
	if text, _ := a.Text(); len(text) > 64 {
		other, _ := b.Text()
		if err := e.budget.Spend(0, comparing(text, other)); err != nil {
			return false, err
		}
	}
	return a.Equal(b), nil
}

// comparing is what the comparison of two texts costs beside its step.
func comparing(a, b string) int {
	if len(a) != len(b) || identical(a, b) {
		return 0
	}
	return jmespath.Long(len(a))
}

// identical reports whether two texts of one length are in the same place, so that nothing
// needs to be compared: rules hand the same texts on.
func identical(a, b string) bool { return unsafe.StringData(a) == unsafe.StringData(b) }

// indexed is from how many claims on a set finds duplicates without looking at each claim.
const indexed = 256

// adding is what it costs to add a claim to the set and to what is issued.
func (e *evaluation) adding(c *claims.Claim) (steps, bytes int) {
	text, _ := c.Value.Text()
	long := jmespath.Long(len(text)) + jmespath.Long(len(c.Type))
	all := e.in.All()
	if len(all) > indexed {
		return 8, 4 * long
	}
	if long > 0 {
		for i := range all {
			other, _ := all[i].Value.Text()
			bytes += comparing(text, other) + comparing(c.Type, all[i].Type)
		}
	}
	return len(all), 2 * bytes
}

// jsonSize is how many bytes a text has as a JSON string.
func jsonSize(text string) int {
	size := len(text) + 2
	for i := range len(text) {
		switch c := text[i]; {
		case c < 0x20:
			size += 5
		case c == '"' || c == '\\':
			size++
		}
	}
	return size
}

// clip shortens text for messages.
func clip(s string) string {
	const most = 40
	at := 0
	for range most {
		if at == len(s) {
			return s
		}
		_, n := utf8.DecodeRuneInString(s[at:])
		at += n
	}
	if at == len(s) {
		return s
	}
	return s[:at] + "…"
}

// shown writes a value for messages.
func shown(v claims.Value) string {
	if text, ok := v.Text(); ok && len(text) > 200 {
		v = claims.StringValue(text[:200]) // more than clip leaves
	}
	return clip(v.String())
}
