package release_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/probity-dev/probity/release"
)

// Decide whether the claims of a verified token satisfy a release policy, and show why not.
func ExamplePolicy_Evaluate() {
	policy, err := release.Parse([]byte(`{
  "version": "1.0.0",
  "anyOf": [{
    "authority": "https://attest.example.org/",
    "allOf": [
      {"claim": "x-ms-isolation-tee.x-ms-attestation-type", "equals": "sevsnpvm"},
      {"claim": "x-ms-isolation-tee.x-ms-compliance-status", "equals": "azure-compliant-cvm"},
      {"claim": "x-ms-sevsnpvm-guestsvn", "greaterOrEquals": 3}
    ]
  }]
}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	// The payload and the issuer are those of a token that token.Verify has accepted.
	claims, err := release.ParseClaims([]byte(`{
		"iss": "https://attest.example.org",
		"x-ms-isolation-tee": {
			"x-ms-attestation-type": "sevsnpvm",
			"x-ms-compliance-status": "none",
			"x-ms-sevsnpvm-guestsvn": 2
		}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	decision := policy.Evaluate("https://attest.example.org", claims)
	for _, condition := range decision.Authorities[0].Steps[0].Steps {
		fmt.Println(condition.Met, condition.Claim)
	}
	fmt.Println(decision.Satisfied)
	fmt.Println(strings.NewReplacer("; ", "\n", ", ", "\n  ", " (", "\n  (").Replace(decision.Reason))
	// Output:
	// true x-ms-isolation-tee.x-ms-attestation-type
	// false x-ms-isolation-tee.x-ms-compliance-status
	// false x-ms-sevsnpvm-guestsvn
	// false
	// claim x-ms-isolation-tee.x-ms-compliance-status: expected equals "azure-compliant-cvm"
	//   found "none"
	// claim x-ms-sevsnpvm-guestsvn: expected greaterOrEquals 3
	//   not found
	//   (the token has x-ms-isolation-tee.x-ms-sevsnpvm-guestsvn)
}

// Every problem of a policy has its line and column.
func ExampleParse() {
	_, err := release.Parse([]byte(`{
  "anyOf": [{
    "authority": "attest.example.org",
    "allOf": [{"claim": "x-ms-sevsnpvm-is-debuggable", "equal": false}]
  }]
}`))
	var problems *release.ParseError
	if errors.As(err, &problems) {
		for _, p := range problems.Diagnostics {
			fmt.Printf("%s: %s; %s\n", p.Pos, p.Message, p.Suggestion)
		}
	}
	// Output:
	// 3:18: the authority is not an https URL; copy the iss of a token
	// 4:56: a condition has the unknown member "equal"; nearest: equals
}
