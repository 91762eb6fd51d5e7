package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"SgxEnclave", "OpenEnclave", "Tpm"}
	for name, want := range map[string]string{
		"sgxenclav": "SgxEnclave", "TPN": "Tpm", "Sgx": "SgxEnclave", "open": "OpenEnclave",
		"OpnEnclave": "OpenEnclave", strings.Repeat("x", 1<<20): "SgxEnclave",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("Nearest(%.20s) = %s, want %s", name, got, want)
		}
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("Nearest of nothing = %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 2}} {
		if got := distance(tc.a, tc.b); got != tc.want || distance(tc.b, tc.a) != tc.want {
			t.Errorf("distance(%s, %s) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
