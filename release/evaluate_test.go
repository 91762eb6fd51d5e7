package release_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/release"
)

const issuer = "https://attest.example.org"

func claimsOf(t testing.TB, text string) release.Claims {
	t.Helper()
	c, err := release.ParseClaims([]byte(text))
	if err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return c
}

// meets reports whether claims meet a condition.
func meets(t testing.TB, condition, claims string) bool {
	t.Helper()
	return parse(t, policyOf(condition)).Evaluate(issuer, claimsOf(t, claims)).Satisfied
}

// TestComparisons has the claim a for each value, and what the operators make of it.
func TestComparisons(t *testing.T) {
	for _, tc := range []struct {
		name, condition, claim string
		want                   bool
	}{
		{"the same string", `"equals":"x"`, `"x"`, true},
		{"a string in another case", `"equals":"x"`, `"X"`, false},
		{"a string with white space", `"equals":"x"`, `"x "`, false},
		{"the same string, escaped", `"equals":"\u0078"`, `"x"`, true},
		{"the empty string", `"equals":""`, `""`, true},
		{"the same boolean", `"equals":true`, `true`, true},
		{"another boolean", `"equals":true`, `false`, false},
		{"the text of true", `"equals":"true"`, `true`, true},
		{"the text of false", `"equals":"false"`, `false`, true},
		{"a text of true in capitals", `"equals":"True"`, `true`, false},
		{"a text of another boolean", `"equals":"true"`, `false`, false},
		{"a boolean and the string of its name", `"equals":true`, `"true"`, false},
		{"a boolean and a number", `"equals":true`, `1`, false},
		{"the text of a whole number", `"equals":"0"`, `0`, true},
		{"the text of a negative number", `"equals":"-5"`, `-5`, true},
		{"the text of minus zero", `"equals":"-0"`, `0`, false},
		{"a text with leading zeros", `"equals":"07"`, `7`, false},
		{"a text with a plus", `"equals":"+7"`, `7`, false},
		{"a text with a fraction", `"equals":"1.5"`, `1.5`, false},
		{"a text with an exponent", `"equals":"1e1"`, `10`, false},
		{"a whole number in another form", `"equals":"10"`, `1e1`, true},
		{"a number and the string of its digits", `"equals":7`, `"7"`, false},
		{"the same number in another form", `"equals":1.0`, `1`, true},
		{"zero and minus zero", `"equals":0`, `-0.0`, true},
		{"2^64-1", `"equals":18446744073709551615`, `18446744073709551615`, true},
		{"2^64-1, and one less", `"equals":18446744073709551615`, `18446744073709551614`, false},
		{"the text of 2^64-1, and one more", `"equals":"18446744073709551615"`, `18446744073709551616`, false},
		{"2^53 and one more", `"equals":9007199254740992`, `9007199254740993`, false},
		{"a tenth, exactly", `"equals":0.1`, `0.1000000000000000055`, false},
		{"a member of an array", `"equals":"b"`, `["a","b"]`, true},
		{"the text of a member of an array", `"equals":"5"`, `["a",5]`, true},
		{"an array without the value", `"equals":"c"`, `["a","b"]`, false},
		{"an empty array", `"equals":""`, `[]`, false},
		{"an array inside an array", `"equals":"a"`, `[["a"]]`, false},
		{"an object", `"equals":"a"`, `{"a":"a"}`, false},
		{"null", `"equals":"null"`, `null`, false},
		{"null in an array", `"equals":"null"`, `[null]`, false},

		{"another string", `"notEquals":"x"`, `"y"`, true},
		{"not the same string", `"notEquals":"x"`, `"x"`, false},
		{"not the text of a boolean", `"notEquals":"true"`, `true`, false},
		{"not another boolean", `"notEquals":"true"`, `false`, true},
		{"not in an array", `"notEquals":"c"`, `["a"]`, true},
		{"not in an array that has it", `"notEquals":"a"`, `["a","b"]`, false},
		{"null is not unequal", `"notEquals":"x"`, `null`, false},

		{"less", `"less":3`, `2.999999999999999999999999`, true},
		{"less, the same", `"less":3`, `3.0`, false},
		{"less or equal", `"lessOrEquals":3`, `3.000`, true},
		{"less or equal, a little more", `"lessOrEquals":3`, `3.00000000000000000000000001`, false},
		{"greater", `"greater":18446744073709551614`, `18446744073709551615`, true},
		{"greater, the same", `"greater":18446744073709551615`, `18446744073709551615`, false},
		{"greater or equal", `"greaterOrEquals":-5`, `-5`, true},
		{"greater or equal, a little less", `"greaterOrEquals":-5`, `-5.0001`, false},
		{"a negative number is less", `"less":0`, `-1e-30`, true},
		{"a large negative number is less than a small one", `"less":-5`, `-50`, true},
		{"a claim with a power without bound is greater", `"greater":1e1000`, `1e99999999999999999999`, true},
		{"a claim with a power without bound is less", `"less":1e-1000`, `1e-99999999999999999999`, true},
		{"an order of a string of digits", `"greater":3`, `"4"`, false},
		{"an order of a boolean", `"greater":0`, `true`, false},
		{"an order of an array", `"greater":0`, `[1]`, false},
		{"an order of null", `"less":1`, `null`, false},

		{"exists", `"exists":true`, `false`, true},
		{"exists, an empty object", `"exists":true`, `{}`, true},
		{"does not exist, and does", `"exists":false`, `0`, false},
		{"null does not exist", `"exists":true`, `null`, false},
		{"null is missing", `"exists":false`, `null`, true},
	} {
		if got := meets(t, `{"claim":"a",`+tc.condition+`}`, `{"a":`+tc.claim+`}`); got != tc.want {
			t.Errorf("%s: %s of %s = %v", tc.name, tc.condition, tc.claim, got)
		}
	}
}

// Rule of the project: a missing claim is false for each operator, notEquals too; exists:false is true.
func TestAMissingClaimMeetsOnlyExistsFalse(t *testing.T) {
	for condition, want := range map[string]bool{
		`"equals":"x"`: false, `"notEquals":"x"`: false, `"less":1`: false, `"lessOrEquals":1`: false,
		`"greater":-1`: false, `"greaterOrEquals":-1`: false, `"exists":true`: false, `"exists":false`: true,
	} {
		for _, claims := range []string{`{}`, `{"b":"x"}`, `{"a":null}`} {
			if got := meets(t, `{"claim":"a",`+condition+`}`, claims); got != want {
				t.Errorf("%s of %s = %v", condition, claims, got)
			}
		}
	}
	if meets(t, `{"claim":"a","exists":true}`, `{}`) {
		t.Error("a claim exists in no claims")
	}
	if !parse(t, policyOf(`{"claim":"a","exists":false}`)).Evaluate(issuer, release.Claims{}).Satisfied {
		t.Error("the zero claims have a claim")
	}
}

// Rule of the project: the whole name is one member first; then it is split at dots.
func TestAPathIsTheWholeNameFirstThenItsParts(t *testing.T) {
	for _, tc := range []struct {
		claims string
		want   bool
	}{
		{`{"a.b.c":1}`, true},
		{`{"a":{"b":{"c":1}}}`, true},
		{`{"a":{"b.c":1}}`, true},
		{`{"a.b.c":2,"a":{"b":{"c":1}}}`, false},
		{`{"a":{"b.c":2,"b":{"c":1}}}`, false},
		{`{"a.b":{"c":1}}`, false},
		{`{"a":[{"b":{"c":1}}]}`, false},
		{`{"a":"b"}`, false},
		{`{"a":{"b":null}}`, false},
		{`{"a.b.c":null,"a":{"b":{"c":1}}}`, false},
	} {
		if got := meets(t, `{"claim":"a.b.c","equals":1}`, tc.claims); got != tc.want {
			t.Errorf("%s = %v", tc.claims, got)
		}
	}
}

func TestGroups(t *testing.T) {
	yes, no := `{"claim":"a","equals":1}`, `{"claim":"a","equals":2}`
	for _, tc := range []struct {
		condition string
		want      bool
	}{
		{`{"anyOf":[` + no + `,` + yes + `]}`, true},
		{`{"anyOf":[` + no + `,` + no + `]}`, false},
		{`{"allOf":[` + yes + `,` + yes + `]}`, true},
		{`{"allOf":[` + yes + `,` + no + `]}`, false},
		{`{"allOf":[{"anyOf":[` + no + `,{"allOf":[` + yes + `]}]},` + yes + `]}`, true},
		{`{"anyOf":[{"allOf":[` + yes + `,{"anyOf":[` + no + `]}]},` + no + `]}`, false},
	} {
		if got := meets(t, tc.condition, `{"a":1}`); got != tc.want {
			t.Errorf("%s = %v", tc.condition, got)
		}
	}
}

// Rule of the project: trailing slashes do not matter, nor does the case of scheme and host.
func TestAuthoritiesAreTheIssuer(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"https://a.example", "https://a.example/", true},
		{"https://a.example//", "https://a.example", true},
		{"HTTPS://A.Example", "https://a.example", true},
		{"https://a.example/P", "https://a.example/P/", true},
		{"https://a.example/P", "https://a.example/p", false},
		{"https://a.example", "http://a.example", false},
		{"https://a.example", "https://a.example:443", false},
		{"https://a.example", "https://a.example.evil.example", false},
		{"https://a.example", "https://evil.example/a.example", false},
		{"https://\u212aa.example", "https://ka.example", false},
		{"", "/", true},
		{"https://a.example", "", false},
	} {
		if got := release.SameAuthority(tc.a, tc.b); got != tc.want {
			t.Errorf("%q and %q = %v", tc.a, tc.b, got)
		}
	}
	p := parse(t, policyOf(`{"claim":"a","equals":1}`))
	for _, iss := range []string{"", "https://attest.example.org.evil.example", "https://other.example"} {
		if d := p.Evaluate(iss, claimsOf(t, `{"a":1}`)); d.Satisfied {
			t.Errorf("%q satisfies the policy: %s", iss, d)
		}
	}
}

// Security: what decides nothing opens nothing.
func TestPoliciesWithoutConditionsAreNotMet(t *testing.T) {
	for _, p := range []*release.Policy{
		{},
		{Authorities: []release.Authority{{URL: issuer}}},
		{Authorities: []release.Authority{{URL: issuer, Conditions: &release.Group{All: true}}}},
		{Authorities: []release.Authority{{URL: issuer, Conditions: &release.Group{Conditions: []release.Condition{nil}}}}},
		{Authorities: []release.Authority{{URL: issuer, Conditions: &release.Group{
			Conditions: []release.Condition{&release.Comparison{}},
		}}}},
	} {
		if d := p.Evaluate(issuer, claimsOf(t, `{"a":1,"":2}`)); d.Satisfied {
			t.Errorf("%+v: %s", p, d)
		}
	}
}

func TestOnlyTheIssuersConditionsMatter(t *testing.T) {
	p := parse(t, `{"anyOf":[{"authority":"https://a.example","allOf":[{"claim":"x","equals":1}]},
		{"authority":"https://b.example","allOf":[{"claim":"x","equals":2}]},
		{"authority":"https://a.example/","allOf":[{"claim":"x","equals":3}]}]}`)
	for _, tc := range []struct {
		issuer, x string
		want      bool
	}{
		{"https://a.example", "1", true},
		{"https://a.example", "2", false},
		{"https://a.example", "3", true},
		{"https://b.example", "2", true},
		{"https://b.example", "1", false},
		{"https://c.example", "1", false},
	} {
		if got := p.Evaluate(tc.issuer, claimsOf(t, `{"x":`+tc.x+`}`)); got.Satisfied != tc.want {
			t.Errorf("%s, %s: %s", tc.issuer, tc.x, got)
		}
	}
}

func TestReasonsSayWhatWasExpectedAndFound(t *testing.T) {
	for _, tc := range []struct{ condition, claims, want string }{
		{`{"claim":"x","equals":"a"}`, `{"x":"b"}`, `claim x: expected equals "a", found "b"`},
		{`{"claim":"x","equals":"a"}`, `{}`, `claim x: expected equals "a", not found`},
		{
			`{"claim":"x-ms-compliance-status","equals":"azure-compliant-cvm"}`,
			`{"x-ms-isolation-tee":{"x-ms-compliance-status":"azure-compliant-cvm"}}`,
			`claim x-ms-compliance-status: expected equals "azure-compliant-cvm", not found (the token has ` +
				`x-ms-isolation-tee.x-ms-compliance-status)`,
		},
		{
			`{"claim":"t.x","exists":true}`, `{"x":1}`,
			`claim t.x: expected exists true, not found (the token has x)`,
		},
		{`{"claim":"x","exists":false}`, `{"x":1}`, `claim x: expected exists false, found 1`},
		{
			`{"claim":"x","less":5}`, `{"x":"4"}`,
			`claim x: expected less 5, found "4" (only a number is less another)`,
		},
		{
			`{"claim":"x","equals":5}`, `{"x":"5"}`,
			`claim x: expected equals 5, found "5" (the claim is a string: write "5" in quotes)`,
		},
		{
			`{"claim":"x","equals":"AB"}`, `{"x":"ab"}`,
			`claim x: expected equals "AB", found "ab" (they differ in case)`,
		},
		{
			`{"claim":"x","equals":"a"}`, `{"x":" a"}`,
			`claim x: expected equals "a", found " a" (they differ in white space)`,
		},
		{
			`{"claim":"x","equals":"a"}`, `{"x":{"a":1}}`,
			`claim x: expected equals "a", found an object with 1 members`,
		},
		{
			`{"claim":"x","equals":"a"}`, `{"x":["b",null,{},[1],true]}`,
			`claim x: expected equals "a", found ["b", null, an object with 0 members, an array, true]`,
		},
		{`{"claim":"x\n","equals":"a"}`, `{"x\n":"\u0007"}`, `claim "x\n": expected equals "a", found "\a"`},
		{
			`{"anyOf":[{"claim":"x","equals":"a"},{"claim":"x","equals":"b"}]}`, `{"x":"c"}`,
			`none of anyOf (1:81) is met: claim x: expected equals "a", found "c", ` +
				`or claim x: expected equals "b", found "c"`,
		},
	} {
		d := parse(t, policyOf(tc.condition)).Evaluate(issuer, claimsOf(t, tc.claims))
		if d.Satisfied || d.Reason != tc.want {
			t.Errorf("%s\nwant %s", d.Reason, tc.want)
		}
	}
	p := parse(t, policyOf(`{"claim":"x","equals":1}`, `{"claim":"y","equals":1}`))
	if got := p.Evaluate(issuer, claimsOf(t, `{}`)).Reason; got !=
		"claim x: expected equals 1, not found; claim y: expected equals 1, not found" {
		t.Error(got)
	}
	want := `issuer: expected "https://attest.example.org", found "https://other.example"; attest with an ` +
		`authority of the policy, or add the issuer to it`
	if got := p.Evaluate("https://other.example", claimsOf(t, `{}`)).Reason; got != want {
		t.Error(got)
	}
	if got := p.Evaluate(issuer, claimsOf(t, `{"x":1,"y":1}`)).Reason; got !=
		`the conditions of authority "https://attest.example.org" (1:29) are met` {
		t.Error(got)
	}
}

func TestADecisionShowsEveryCondition(t *testing.T) {
	p := parse(t, `{"anyOf":[
 {"authority":"https://a.example","allOf":[
  {"claim":"x","equals":1},
  {"anyOf":[{"claim":"y","equals":"b"},{"claim":"y","equals":"c"}]},
  {"claim":"z","exists":true}]},
 {"authority":"https://b.example","anyOf":[{"claim":"x","greater":0}]}]}`)
	d := p.Evaluate("https://a.example", claimsOf(t, `{"x":1,"y":"d"}`))
	want := `not satisfied: none of anyOf (4:4) is met: claim y: expected equals "b", found "d", or ` +
		`claim y: expected equals "c", found "d"; claim z: expected exists true, not found
not met 2:2      authority "https://a.example" is the token's issuer
not met 2:35       allOf
met     3:3          claim x equals 1
not met 4:4          anyOf
not met 4:13           claim y: expected equals "b", found "d"
not met 4:40           claim y: expected equals "c", found "d"
not met 5:3          claim z: expected exists true, not found
not met 6:2      authority "https://b.example" is not the token's issuer
met     6:35       anyOf
met     6:44         claim x greater 0
`
	if diff := cmp.Diff(want, d.String()); diff != "" {
		t.Error(diff)
	}
	if got := p.Evaluate("https://b.example", claimsOf(t, `{"x":1}`)).String(); !strings.HasPrefix(
		got,
		"satisfied: ",
	) {
		t.Error(got)
	}
	text, err := json.Marshal(d.Authorities[0].Steps[0].Steps[2])
	if want := `{"at":{"line":5,"column":3},"kind":"claim","met":false,"claim":"z","operator":"exists","expected":"true"}`; err !=
		nil ||
		string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

func TestWhatADecisionPrintsHasABound(t *testing.T) {
	long := strings.Repeat("é", 50_000)
	many := `["` + strings.Repeat(`a","`, 10_000) + `a"]`
	var conditions []string
	for i := range 400 {
		conditions = append(conditions, fmt.Sprintf(`{"claim":"c%d","equals":"x"}`, i))
	}
	for _, claims := range []string{
		`{"c0":"` + long + `"}`, `{"c0":` + many + `}`, `{"c0":1` + strings.Repeat("0", 50_000) + `}`,
	} {
		d := parse(t, policyOf(conditions...)).Evaluate(issuer, claimsOf(t, claims))
		if len(d.Reason) > 3000 || strings.Contains(d.Reason, "\n") ||
			!strings.Contains(d.Reason, "and 392 more") {
			t.Errorf("%d bytes: %s", len(d.Reason), d.Reason)
		}
		if found := d.Authorities[0].Steps[0].Steps[0].Found; len(found) > 700 || found == "" {
			t.Errorf("%d bytes: %s", len(found), found)
		}
	}
	any := `{"anyOf":[` + strings.Join(conditions, ",") + `]}`
	if d := parse(t, policyOf(any)).Evaluate(issuer, claimsOf(t, `{}`)); len(d.Reason) > 3000 ||
		!strings.Contains(d.Reason, "or and 396 more") {
		t.Error(d.Reason)
	}
	var authorities []string
	for i := range 300 {
		authorities = append(
			authorities,
			fmt.Sprintf(`{"authority":"https://a%d.example/%s","allOf":[{"claim":"a","equals":1}]}`,
				i, strings.Repeat("p", 100)),
		)
	}
	p := parse(t, `{"anyOf":[`+strings.Join(authorities, ",")+`]}`)
	if d := p.Evaluate("https://"+long, claimsOf(t, `{}`)); len(d.Reason) > 3000 ||
		!strings.Contains(d.Reason, "292 more") {
		t.Errorf("%d bytes: %s", len(d.Reason), d.Reason)
	}
}

func TestClaimsAreReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		``: "ends early", `[]`: "expected an object, found an array", `{"a":1,"a":1}`: `"a" occurs twice`,
		`{"a":{"b":1,"b":2}}`: `"b" occurs twice`, `{"a":1} x`: "more text", `{"a":01}`: "not JSON",
		`{"a":"` + "\xff" + `"}`: "UTF-8",
		`{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`: "nested too deeply",
		`{"a":[` + strings.Repeat("1,", 40_000) + `1]}`:                   "too many values",
		`{"a":"` + strings.Repeat("x", release.MaxClaimsSize) + `"}`:      "at most 1048576",
	} {
		if _, err := release.ParseClaims([]byte(text)); !errors.Is(err, release.ErrClaims) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

// Numbers are compared as package big compares them, whatever their form.
func TestNumbersAreComparedExactly(t *testing.T) {
	operators := map[string]func(int) bool{
		"equals": func(c int) bool { return c == 0 }, "notEquals": func(c int) bool { return c != 0 },
		"less": func(c int) bool { return c < 0 }, "lessOrEquals": func(c int) bool { return c <= 0 },
		"greater": func(c int) bool { return c > 0 }, "greaterOrEquals": func(c int) bool { return c >= 0 },
	}
	check := func(a, b int64, shiftA, shiftB int8, same bool) bool {
		if same {
			b = a
		}
		left, right := fmt.Sprintf("%de%d", a, shiftA%25), fmt.Sprintf("%d.0e%d", b, shiftB%25)
		if same && shiftA == shiftB {
			right = fmt.Sprintf("%d000e%d", b, shiftB%25-3)
		}
		x, _ := new(big.Rat).SetString(left)
		y, _ := new(big.Rat).SetString(right)
		for name, want := range operators {
			if got := meets(t, `{"claim":"a","`+name+`":`+right+`}`, `{"a":`+left+`}`); got != want(x.Cmp(y)) {
				t.Errorf("%s %s %s = %v", left, name, right, got)
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
	for _, same := range []int8{-20, 0, 7} {
		check(42, 42, same, same, true)
		check(0, 0, same, 3, true)
	}
}

// A condition that is added to an allOf never opens a key, and one added to an anyOf never closes it.
func TestMoreConditionsAreMonotone(t *testing.T) {
	values := []string{`"x"`, `1`, `true`}
	operators := []string{"equals", "notEquals"}
	check := func(picks [6]uint8, claim uint8) bool {
		var conditions []string
		for _, p := range picks {
			conditions = append(
				conditions,
				fmt.Sprintf(`{"claim":"c%d","%s":%s}`, p%2, operators[p/2%2], values[p/4%3]),
			)
		}
		claims := fmt.Sprintf(`{"c0":%s,"c1":%s}`, values[claim%3], values[claim/3%3])
		all, any := true, false
		for n := 1; n <= len(conditions); n++ {
			joined := strings.Join(conditions[:n], ",")
			nextAll := meets(t, `{"allOf":[`+joined+`]}`, claims)
			nextAny := meets(t, `{"anyOf":[`+joined+`]}`, claims)
			if nextAll && !all || any && !nextAny {
				return false
			}
			all, any = nextAll, nextAny
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
}
