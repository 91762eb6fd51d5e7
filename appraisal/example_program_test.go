package appraisal_test

import (
	"context"
	"fmt"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/policy"
)

const rules = `version= 1.0;
authorizationrules {
	[type=="x-ms-sevsnpvm-vmpl", value==0] && [type=="x-ms-sevsnpvm-guestsvn", value>=2] => permit();
};`

// attest returns what is proven of a guest that sent a report and its public key. The error is a
// *evidence.Rejection if the report is refused.
func attest(ctx context.Context, trust appraisal.Trust, source collateral.Source,
	report, key []byte, now time.Time) (claims.Set, error) {
	accept, err := policy.Parse(rules)
	if err != nil {
		return claims.Set{}, err
	}
	appraiser := appraisal.Appraiser{Verifiers: appraisal.Verifiers(trust), Collateral: source}
	verdict, err := appraiser.Appraise(ctx, appraisal.Request{
		Kind:        evidence.SEVSNPVM,
		Evidence:    report,
		RuntimeData: &evidence.Data{Bytes: key},
		Time:        now,
	}, appraisal.Provider{Policy: accept})
	if err != nil {
		return claims.Set{}, err
	}
	return verdict.Claims, verdict.Err()
}

// Attest a guest in a program of your own, without a service: verify its report, judge the firmware
// of its host and then its claims, and use what is proven.
func Example_program() {
	// A test hierarchy stands in for AMD's. In production, take appraisal.Trust{} and time.Now(), and
	// collateral from collateral.Load if reports come without the certificate of their chip.
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Genoa})
	chip := amd.Chip(evidencetest.ChipConfig{})
	key := []byte("the guest's public key")
	report := chip.Evidence(amd, chip.Report(evidencetest.ReportConfig{
		Measurement: [48]byte{0xa1, 0xb2},
		ReportData:  evidencetest.BindData(key), // its SHA-256
	}))
	trust := appraisal.Trust{AMD: snp.Config{Roots: amd.Roots()}}

	proven, err := attest(context.Background(), trust, nil, report, key, now)
	if err != nil {
		fmt.Println("no secret for this guest:", err)
		return
	}
	measurement, _ := proven.Text("x-ms-sevsnpvm-launchmeasurement")
	fmt.Println("a secret for the guest with measurement", measurement[:8])
	// Output: a secret for the guest with measurement a1b20000
}
