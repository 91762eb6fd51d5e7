package appraisal_test

import (
	"context"
	"crypto/sha512"
	"fmt"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/policy"
)

// measurement is that of the guest's firmware and kernel, as their build tells.
const measurement = "8a9b4ff40536d86d67b32ccee7c57d5cc6ee3dbaa1a600c3" +
	"0a3eefab371d35f0ac390de1cbe20fabd10de2da243426d6"

const rules = `version= 1.0;
authorizationrules {
	[type=="x-ms-sevsnpvm-launchmeasurement", value=="` + measurement + `"] => permit();
};`

// attest verifies and judges the report that a guest sent with its public key. The error is a
// *evidence.Rejection if the report is refused.
func attest(ctx context.Context, trust appraisal.Trust, source collateral.Source,
	report, key []byte, now time.Time) (*appraisal.Verdict, error) {
	accept, err := policy.Parse(rules)
	if err != nil {
		return nil, err
	}
	appraiser := appraisal.Appraiser{Verifiers: appraisal.Verifiers(trust), Collateral: source}
	verdict, err := appraiser.Appraise(ctx, appraisal.Request{
		Kind:        evidence.SEVSNPVM,
		Evidence:    report,
		RuntimeData: &evidence.Data{Bytes: key}, // the report must bind it
		Time:        now,
	}, appraisal.Provider{Policy: accept})
	if err != nil {
		return nil, err // no verdict
	}
	return verdict, verdict.Err()
}

// Attest a guest in a program of your own, without a service: verify its report, judge the firmware
// of its host and then its claims, and use what is proven.
func Example_program() {
	// A test hierarchy replaces AMD's. In production, take appraisal.Trust{} and time.Now(), and
	// collateral from collateral.Load if reports come without the certificate of their chip.
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Genoa})
	chip := amd.Chip(evidencetest.ChipConfig{})
	key := []byte("the guest's public key")
	report := chip.Evidence(amd, chip.Report(evidencetest.ReportConfig{
		Measurement: sha512.Sum384([]byte("the guest's firmware and kernel")),
		ReportData:  evidencetest.BindData(key), // its SHA-256
	}))
	trust := appraisal.Trust{AMD: snp.Config{Roots: amd.Roots()}}

	verdict, err := attest(context.Background(), trust, nil, report, key, now)
	if err != nil {
		fmt.Println("no secret for this guest:", err)
		return
	}
	version, _ := verdict.Claims.Get("x-ms-sevsnpvm-guestsvn")
	fmt.Println("send the secret, encrypted to the key; the guest has version", version)
	// Output: send the secret, encrypted to the key; the guest has version 2
}
