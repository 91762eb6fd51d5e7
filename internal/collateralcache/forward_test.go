package collateralcache_test

import (
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/collateralcache"
)

// listOf dates revocation lists: how many days old, and which number.
func listOf(days, number int) func(string, *x509.RevocationList) {
	return func(_ string, c *x509.RevocationList) {
		c.ThisUpdate, c.NextUpdate, c.Number = start.AddDate(0, 0, -days), start.AddDate(0, 0, 20),
			big.NewInt(int64(number))
	}
}

func (l *lab) take(t *testing.T, older bool, set *collateral.Intel) error {
	t.Helper()
	outcomes := l.plane.Import(t.Context(), &collateral.Bundle{Intel: []*collateral.Intel{set}}, older)
	return outcomes[len(outcomes)-1].Err
}

func (l *lab) accepts(t *testing.T) bool {
	t.Helper()
	quote := l.m.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()})
	a := &appraisal.Appraiser{Verifiers: appraisal.Verifiers(l.trust), Collateral: l.plane}
	v, err := a.Appraise(t.Context(), appraisal.Request{Kind: evidence.TDXVM, Evidence: quote, Time: start},
		appraisal.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	return v.Accepted
}

// TestARevocationIsNotTakenBack by a set whose TCB info is as new or newer, and whose
// revocation lists are older, whichever way it comes.
func TestARevocationIsNotTakenBack(t *testing.T) {
	for name, issued := range map[string]time.Duration{
		"the same TCB info":         0,
		"a TCB info a second newer": time.Second,
		"a TCB info an hour newer":  time.Hour,
	} {
		for how, list := range map[string]func(string, *x509.RevocationList){
			"an older date and number":         listOf(9, 1),
			"a later date and an older number": listOf(0, 1),
			"an older date, the same number":   listOf(9, 9),
		} {
			t.Run(name+", lists with "+how, func(t *testing.T) {
				l := newLab(t, nil)
				tcb := evidencetest.HealthyTDXTCB(start.Add(-2 * time.Hour))
				revoking := l.intel.Collateral(l.m, evidencetest.CollateralConfig{
					TCB:     tcb,
					Revoked: []*x509.Certificate{l.m.PCK.Cert},
					EditCRL: listOf(1, 9),
				})
				if err := l.take(t, false, revoking); err != nil {
					t.Fatal(err)
				}
				if l.accepts(t) {
					t.Fatal("the revoked platform is accepted")
				}
				tcb.Issued = tcb.Issued.Add(issued)
				old := l.intel.Collateral(l.m, evidencetest.CollateralConfig{TCB: tcb, EditCRL: list})
				if err := l.take(t, false, old); err != nil && !errors.Is(err, collateralcache.ErrOlder) {
					t.Error(err)
				}
				if l.accepts(t) {
					t.Error("imported: the revoked platform is accepted again")
				}
				l.vendor.Add(&collateral.Bundle{Intel: []*collateral.Intel{old}})
				asked := l.requests("tdx/")
				l.turn(19 * 24 * time.Hour)
				l.plane.Renew(t.Context())
				if l.requests("tdx/") == asked {
					t.Error("nothing was fetched")
				}
				if l.accepts(t) {
					t.Error("fetched: the revoked platform is accepted again")
				}
				// Who asks for the older set by name gets it.
				if err := l.take(t, true, old); err != nil || !l.accepts(t) {
					t.Errorf("with older allowed: %v", err)
				}
			})
		}
	}
}

// TestAListServesAllPlatformsOfItsIssuer: a set for another kind of machine brings a newer
// list of the same issuer.
func TestAListServesAllPlatformsOfItsIssuer(t *testing.T) {
	l := newLab(t, nil)
	other := evidencetest.HealthyTCB(start) // of SGX
	if err := l.take(t, false, l.intel.Collateral(l.m, evidencetest.CollateralConfig{
		TCB:     other,
		Revoked: []*x509.Certificate{l.m.PCK.Cert},
		EditCRL: listOf(1, 9),
	})); err != nil {
		t.Fatal(err)
	}
	if err := l.take(t, false, l.intel.Collateral(l.m, evidencetest.CollateralConfig{
		TCB:     evidencetest.HealthyTDXTCB(start),
		EditCRL: listOf(9, 1),
	})); err != nil {
		t.Fatal(err)
	}
	if l.accepts(t) {
		t.Error("the list in the set for SGX is not used for TDX")
	}
}
