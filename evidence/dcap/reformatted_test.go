package dcap_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
)

func TestReformattedDocumentsAreNamed(t *testing.T) {
	l := newLab()
	for name, edit := range map[string]func(*collateral.Intel) *[]byte{
		"dcap.tcbinfo.signature":     func(c *collateral.Intel) *[]byte { return &c.TCBInfo },
		"dcap.qe-identity.signature": func(c *collateral.Intel) *[]byte { return &c.QEIdentity },
	} {
		s := healthy()
		s.editSet = func(c *collateral.Intel) {
			text := jsontext.Value(*edit(c))
			if err := text.Indent(); err != nil {
				t.Fatal(err)
			}
			*edit(c) = text
		}
		_, _, err := l.verify(t, s)
		var r *evidence.Rejection
		if !errors.As(err, &r) || r.Check.ID != name ||
			!strings.Contains(r.Check.Found, "re-formatted JSON") ||
			!strings.Contains(r.Check.Remedy, "as sent") {
			t.Errorf("%s: %+v", name, err)
		}
	}
}
