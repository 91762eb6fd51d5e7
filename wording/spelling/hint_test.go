package spelling_test

import (
	"testing"

	"github.com/probity-dev/probity/wording/spelling"
)

func TestOnlyNearNamesAreSuggested(t *testing.T) {
	roles := []string{"reader", "contributor", "owner"}
	for name, want := range map[string]string{
		"ownr": "did you mean owner?", "Reader1": "did you mean reader?", "contrib": "did you mean contributor?",
		"king": "", "foo": "", "": "", "x": "", "administrator": "",
	} {
		if got := spelling.Hint(name, roles); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := spelling.After("; ", "ownr", roles); got != "; did you mean owner?" {
		t.Error(got)
	}
	if got := spelling.After("; ", "king", roles); got != "" {
		t.Error(got)
	}
	if got := spelling.Hint("a", nil); got != "" {
		t.Error(got)
	}
}
