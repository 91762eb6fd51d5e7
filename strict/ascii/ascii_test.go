package ascii

import "testing"

func TestOtherLettersAreNotFolded(t *testing.T) {
	for _, pair := range [][2]string{{"/toKens", "/TOkens"}, {"", ""}, {"é", "é"}} {
		if !EqualFold(pair[0], pair[1]) {
			t.Errorf("%q and %q differ", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{"/to\u212aens", "/tokens"}, {"policie\u017f", "policies"}, {"É", "é"}, {"a", "ab"},
		{"@", "`"}, {"[", "{"},
	} {
		if EqualFold(pair[0], pair[1]) || EqualFold(pair[1], pair[0]) {
			t.Errorf("%q and %q are equal", pair[0], pair[1])
		}
	}
	if got := Lower("Tea\u212a-\u017f1"); got != "tea\u212a-\u017f1" {
		t.Errorf("%q", got)
	}
}
