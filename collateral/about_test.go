package collateral_test

import (
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func TestASetIsAsNewAsItsOldestPiece(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: at})
	m := pki.Platform(evidencetest.HealthyPlatform())
	set := func(number int) *collateral.Intel {
		tcb := evidencetest.HealthyTCB(at)
		tcb.Number = number
		return pki.Collateral(m, evidencetest.CollateralConfig{TCB: tcb})
	}
	newer, older := set(20), set(19)
	for name, tc := range map[string]struct {
		info, identity *collateral.Intel
		number         uint32
		mixed          bool
	}{
		"both of 20":       {newer, newer, 20, false},
		"both of 19":       {older, older, 19, false},
		"identity of 19":   {newer, older, 19, true},
		"TCB info of 19":   {older, newer, 19, true},
		"without identity": {newer, &collateral.Intel{}, 20, false},
	} {
		c := *tc.info
		c.QEIdentity = tc.identity.QEIdentity
		about, err := c.About()
		if err != nil || about.EvaluationNumber != tc.number || about.Mixed != tc.mixed {
			t.Errorf("%s: %+v, %v", name, about, err)
		}
	}
	c := *newer
	c.QEIdentity = []byte(`{"tcbEvaluationDataNumber":20,"nextUpdate":"2026-03-02T00:00:00Z"}`)
	if about, err := c.About(); err != nil || about.NextUpdate.Format(time.DateOnly) != "2026-03-02" {
		t.Errorf("next update of an identity that expires first: %+v, %v", about, err)
	}
	c.QEIdentity = []byte(`{`)
	if _, err := c.About(); err == nil {
		t.Error("an identity that cannot be read is passed over")
	}
}
