package forms_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence/forms"
)

func TestQuotesOfTPM12AreNamed(t *testing.T) {
	quote := append([]byte("\x01\x01\x00\x00QUOT"), make([]byte, 40)...)
	quote2 := append([]byte("\x00\x36QUT2"), make([]byte, 60)...)
	for _, b := range [][]byte{quote, quote2} {
		if f := forms.Recognize(b); !strings.Contains(f.Name, "TPM 1.2") || !strings.Contains(f.Hint, "TPM 2.0") {
			t.Errorf("%+v", f)
		}
	}
	for name, b := range map[string][]byte{
		"cut":             quote[:47],
		"longer":          append(slices.Clone(quote), 0),
		"another version": append([]byte("\x01\x02"), quote[2:]...),
	} {
		if f := forms.Recognize(b); strings.Contains(f.Name, "TPM 1.2") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
