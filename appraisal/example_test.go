package appraisal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/nitro"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
)

// Refuse a platform whose microcode is old, and tell its operator what to do.
func ExampleAppraiser_Appraise_refused() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intel := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := intel.Platform(evidencetest.HealthyPlatform())
	tcb := evidencetest.HealthyTCB(now)
	tcb.Levels[0].Status, tcb.Levels[0].Advisories = "OutOfDate", []string{"INTEL-SA-00615"}
	set := intel.Collateral(platform, evidencetest.CollateralConfig{TCB: tcb})

	appraiser := appraisal.Appraiser{
		Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: intel.Anchor()}}),
		Collateral: collateral.Fixed(set),
	}
	verdict, err := appraiser.Appraise(context.Background(), appraisal.Request{
		Kind:     evidence.SGXEnclave,
		Evidence: platform.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()}),
		Time:     now,
	}, appraisal.Provider{TCB: appraisal.TCBPolicy{Accept: []string{"UpToDate", "SWHardeningNeeded"}}})
	if err != nil {
		fmt.Println("no verdict:", err)
		return
	}
	if errors.Is(verdict.Err(), appraisal.CheckTCBStatus) {
		failed := verdict.Rejection.Check
		fmt.Println("check:   ", failed.ID)
		fmt.Println("expected:", failed.Expected)
		fmt.Println("found:   ", failed.Found)
		fmt.Println("remedy:  ", failed.Remedy)
	}
	// Output:
	// check:    dcap.tcb.status
	// expected: UpToDate, SWHardeningNeeded
	// found:    OutOfDate (level of 2025-12-01, evaluation 20)
	// remedy:   update the BIOS and microcode; see INTEL-SA-00615
}

// Accept a debug enclave by name, as for a test system.
func ExampleTCBPolicy() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	aws := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	appraiser := appraisal.Appraiser{
		Verifiers: appraisal.Verifiers(appraisal.Trust{AWS: nitro.Config{Root: aws.Root()}}),
	}
	request := appraisal.Request{
		Kind:     evidence.NitroEnclave,
		Evidence: aws.Document(evidencetest.DocumentConfig{Debug: true}),
		Time:     now,
	}
	for _, text := range []string{"default", "DebugGuest"} {
		accepted, err := appraisal.ParseTCBPolicy(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		verdict, err := appraiser.Appraise(context.Background(), request, appraisal.Provider{TCB: accepted})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: accepted %t, refused by %s %t\n",
			text, verdict.Accepted, nitro.CheckDebug.ID, errors.Is(verdict.Err(), nitro.CheckDebug))
	}
	// Output:
	// default: accepted false, refused by nitro.pcrs.debug true
	// DebugGuest: accepted true, refused by nitro.pcrs.debug false
}

// Make a token of the verdict, for relying parties that see no evidence.
func ExampleAppraiser_Appraise_token() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	aws := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	const issuer = "https://attest.example.org"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	certificate, err := token.InstanceCertificate(rand.Reader, issuer, key, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := token.NewSigner(issuer, key, certificate, "")
	if err != nil {
		fmt.Println(err)
		return
	}

	appraiser := appraisal.Appraiser{
		Verifiers: appraisal.Verifiers(appraisal.Trust{AWS: nitro.Config{Root: aws.Root()}}),
		Random:    rand.Reader,
	}
	verdict, err := appraiser.Appraise(context.Background(), appraisal.Request{
		Kind:     evidence.NitroEnclave,
		Evidence: aws.Document(evidencetest.DocumentConfig{}),
		Time:     now,
	}, appraisal.Provider{Signer: signer, TokenTime: now})
	if err != nil {
		fmt.Println("no verdict:", err)
		return
	}
	verified, err := token.Verify(verdict.Token, token.Keys(signer), issuer, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("issuer:", verified.Issuer)
	fmt.Println("valid for:", verified.Expires.Sub(verified.NotBefore))
	// Output:
	// issuer: https://attest.example.org
	// valid for: 8h0m0s
}

// Try a policy on claims that were recorded: there is no evidence to verify.
func ExampleJudgeClaims() {
	rules, err := policy.Parse(`version= 1.0;
authorizationrules {
	[type=="x-ms-sgx-svn", value<3] => deny();
	=> permit();
};`)
	if err != nil {
		fmt.Println(err)
		return
	}
	recorded, err := claims.ParseSet([]byte(`{"x-ms-sgx-svn": 2}`), claims.AttestationService)
	if err != nil {
		fmt.Println(err)
		return
	}
	verdict := appraisal.JudgeClaims(recorded, rules)
	fmt.Println(verdict.Accepted)
	fmt.Println(verdict.Policy.Reason())
	// Output:
	// false
	// rule 1 (line 3) denies: claim x-ms-sgx-svn is 2
}
