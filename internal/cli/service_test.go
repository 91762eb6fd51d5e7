package cli

import (
	"slices"
	"testing"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

// A TCB status that was accepted once must not stay so unseen.
func TestTheConfigurationIsTheWholeTruthOnTCBStatuses(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, step := range []struct {
		tcb    string
		any    bool
		accept []string
	}{{"", false, nil}, {"any", true, nil}, {"", false, nil}, {"UpToDate,OutOfDate", false, []string{"UpToDate", "OutOfDate"}}, {"", false, nil}} {
		p, err := loadProvider(t.Context(), db, config.Config{TCB: step.tcb})
		if err != nil {
			t.Fatal(err)
		}
		if p.TCB.Any != step.any || !slices.Equal(p.TCB.Accept, step.accept) {
			t.Errorf("tcb %q gives %+v", step.tcb, p.TCB)
		}
	}
}
