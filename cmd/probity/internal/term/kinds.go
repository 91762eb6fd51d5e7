package term

import (
	"errors"
	"fmt"
	"os"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/internal/files"
)

// recognised returns the kind of the evidence in a file, or "".
func recognised(path string) evidence.Kind {
	b, err := os.ReadFile(path)
	if err != nil || len(b) > forms.MaxText {
		return ""
	}
	if kind := forms.Recognize(b).Kind; kind != "" {
		return kind
	}
	if d, ok, err := forms.Decode("", b); ok && err == nil {
		return d.Form.Kind
	}
	return ""
}

// IsEvidence reports whether a file contains evidence of a known form.
func IsEvidence(path string) bool { return recognised(path) != "" }

// KindOf returns the kind of the evidence in a file for an example of a command: SgxEnclave where the
// file does not say.
func KindOf(path string) evidence.Kind {
	if kind := recognised(path); kind != "" {
		return kind
	}
	return evidence.SGXEnclave
}

// JSONFault says what a file is that should be JSON, or returns the error of its reader.
func JSONFault(b []byte, err error) error {
	if err == nil || jsontext.Value(b).IsValid() {
		return err
	}
	base := errors.New("not JSON")
	if other := files.InsteadOf(b, base); other.Error() != base.Error() {
		return other
	}
	return fmt.Errorf("not JSON: %w", err)
}
