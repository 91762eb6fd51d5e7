package appraisal_test

import (
	"crypto/rand"
	"testing"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/policy"
)

// TestTheEvaluationNumberIsTheLowerOne: Intel releases TCB info and QE identity under one
// number; of a mixed set the older release is what the platform was compared with.
func TestTheEvaluationNumberIsTheLowerOne(t *testing.T) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	rules, err := policy.Parse(`version=1.0; authorizationrules { ` +
		`c:[type=="x-probity-tcb-evaluation-number", value>=20] => permit(); }; issuancerules {};`)
	if err != nil {
		t.Fatal(err)
	}
	for kind, healthy := range map[evidence.Kind]evidencetest.TCB{
		evidence.SGXEnclave: evidencetest.HealthyTCB(now),
		evidence.TDXVM:      evidencetest.HealthyTDXTCB(now),
	} {
		quote := m.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()})
		if kind == evidence.TDXVM {
			quote = m.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()})
		}
		set := func(number int) *collateral.Intel {
			tcb := healthy
			tcb.Number = number
			return pki.Collateral(m, evidencetest.CollateralConfig{TCB: tcb})
		}
		for _, tc := range []struct {
			info, identity, want int
		}{{20, 20, 20}, {20, 19, 19}, {19, 20, 19}, {21, 20, 20}} {
			c, other := set(tc.info), set(tc.identity)
			c.QEIdentity, c.QEIdentitySignature = other.QEIdentity, other.QEIdentitySignature
			a := &appraisal.Appraiser{
				Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
				Collateral: collateral.Fixed(c),
				Random:     rand.Reader,
			}
			v, err := a.Appraise(t.Context(), appraisal.Request{Kind: kind, Evidence: quote, Time: now},
				appraisal.Provider{Policy: rules})
			if err != nil {
				t.Fatal(err)
			}
			if v.TCB == nil || int(v.TCB.EvaluationDataNumber) != tc.want || v.Accepted != (tc.want >= 20) {
				t.Errorf("%s, TCB info %d, identity %d: %+v, accepted %v: %v", kind, tc.info, tc.identity,
					v.TCB, v.Accepted, v.Rejection)
			}
		}
	}
}
