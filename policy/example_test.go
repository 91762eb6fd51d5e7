package policy_test

import (
	"errors"
	"fmt"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

// Evaluate a policy and read its trace: which rule decided, and why.
func Example() {
	rules, err := policy.Parse(`version= 1.0;
authorizationrules {
	[type=="x-ms-sgx-is-debuggable", value==true] => deny();
	[type=="x-ms-sgx-svn", value>=3] => permit();
};
issuancerules {
	c:[type=="x-ms-sgx-svn"] => issue(type="version", value=c.value);
};`)
	if err != nil {
		fmt.Println(err)
		return
	}
	known, err := claims.ParseSet([]byte(`{
		"x-ms-sgx-is-debuggable": false,
		"x-ms-sgx-svn": 5
	}`), claims.AttestationService)
	if err != nil {
		fmt.Println(err)
		return
	}
	outcome, err := rules.Evaluate(known)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("permitted:", outcome.Permitted)
	for _, rule := range outcome.Trace.Rules {
		fmt.Printf("line %d, %s: matched %t\n", rule.Line(), rule.Action(), rule.Matched)
	}
	version, _ := outcome.Issued.Get("version")
	fmt.Println("version:", version)
	// Output:
	// permitted: true
	// line 3, deny: matched false
	// line 4, permit: matched true
	// line 7, issue: matched true
	// version: 5
}

// A denial names the rule and the claim that led to it.
func ExampleTrace_Reason() {
	rules, err := policy.Parse(`version= 1.0;
authorizationrules {
	[type=="x-ms-sgx-svn", value<3] => deny();
	=> permit();
};`)
	if err != nil {
		fmt.Println(err)
		return
	}
	known, err := claims.ParseSet([]byte(`{"x-ms-sgx-svn": 2}`), claims.AttestationService)
	if err != nil {
		fmt.Println(err)
		return
	}
	outcome, err := rules.Evaluate(known)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(outcome.Trace.Reason())
	// Output: rule 1 (line 3) denies: claim x-ms-sgx-svn is 2
}

// A policy with mistakes names all of them, each with its place.
func ExampleParse_mistakes() {
	_, err := policy.Parse(`version= 1.0;
authorizationrules {
	[type="x-ms-sgx-svn", value>=3] => permit();
	[type=="x-ms-sgx-product-id"] => allow();
};`)
	var mistakes *policy.ParseError
	if errors.As(err, &mistakes) {
		for _, d := range mistakes.Diagnostics {
			fmt.Printf("line %d: %s\n", d.Pos.Line, d.Message)
		}
	}
	// Output:
	// line 3: unknown operator "=" in a condition
	// line 4: unexpected "allow"
}

// Find what the author of a policy probably did not mean.
func ExampleLint() {
	rules, err := policy.Parse(`version= 1.0;
authorizationrules {
	[type=="x-ms-sgx-svm", value>=3] => permit();
};`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range policy.Lint(rules, "SgxEnclave") {
		fmt.Println(d.Severity, d.Pos.Line, d.Message)
	}
	// Output: warning 3 no SgxEnclave evidence has the claim "x-ms-sgx-svm", and no earlier rule makes it
}
