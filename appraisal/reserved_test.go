package appraisal_test

import (
	"context"
	"errors"
	"testing"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/snp"
)

// forgetful is a verifier that reserves and does not conclude.
type forgetful struct{}

func (forgetful) Kind() evidence.Kind { return evidence.SEVSNPVM }

func (forgetful) Verify(context.Context, evidence.Evidence) (*evidence.Result, error) {
	r := &evidence.Result{}
	r.Reserve(evidence.DebugGuest, snp.CheckDebug, "no DEBUG", "DEBUG")
	return r, nil
}

// TestAVerifierThatForgetsToRefuse: a debug guest is refused whatever its verifier returned.
func TestAVerifierThatForgetsToRefuse(t *testing.T) {
	a := appraisal.Appraiser{Verifiers: []evidence.Verifier{forgetful{}}}
	for name, tc := range map[string]struct {
		tcb      appraisal.TCBPolicy
		accepted bool
	}{
		"the zero policy":           {appraisal.TCBPolicy{}, false},
		"enclaves left to a policy": {appraisal.TCBPolicy{EnclaveDebugByPolicy: true}, false},
		"another word":              {appraisal.TCBPolicy{Accept: []string{evidence.BoundServiceTD}}, false},
		"accepted by name":          {appraisal.TCBPolicy{Accept: []string{evidence.DebugGuest}}, true},
	} {
		v, err := a.Appraise(t.Context(), appraisal.Request{Kind: evidence.SEVSNPVM}, appraisal.Provider{TCB: tc.tcb})
		if err != nil {
			t.Fatal(err)
		}
		if v.Accepted != tc.accepted || !tc.accepted && !errors.Is(v.Err(), snp.CheckDebug) {
			t.Errorf("%s: %v, %v", name, v.Accepted, v.Err())
		}
	}
}

func TestAVerdictThatNoAppraisalMadeIsAnError(t *testing.T) {
	if err := (&appraisal.Verdict{}).Err(); err == nil {
		t.Error("the zero verdict accepts")
	}
	if err := (&appraisal.Verdict{Accepted: true}).Err(); err != nil {
		t.Error(err)
	}
}
