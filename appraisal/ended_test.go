package appraisal_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// TestAPolicyEndsWithItsRequest: a draft policy that takes long is given up when no caller
// waits, and that is no verdict on the evidence.
func TestAPolicyEndsWithItsRequest(t *testing.T) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	source := collateral.Fixed(pki.Collateral(m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}))
	a := &appraisal.Appraiser{
		Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
		Collateral: source,
		Random:     rand.Reader,
	}
	req := appraisal.Request{
		Kind:     evidence.SGXEnclave,
		Evidence: m.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()}),
		Time:     now,
		DraftPolicy: `version=1.2; authorizationrules { => add(type="y", value=JmesPath("1", "` +
			strings.Repeat("[@,@][]|", 17) + `length(@)")); => permit(); }; issuancerules {};`,
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the caller left")
	cancel(reason)
	if v, err := a.Appraise(ctx, req, appraisal.Provider{}); v != nil || !errors.Is(err, reason) {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := a.Appraise(t.Context(), req, appraisal.Provider{}); err != nil || !v.Accepted {
		t.Errorf("without an end: %+v, %v", v, err)
	}
}
