package release_test

import (
	"strings"
	"testing"

	"github.com/probity-dev/probity/release"
)

func warnings(t *testing.T, text string, known ...string) string {
	t.Helper()
	var all []string
	for _, d := range parse(t, text).Lint(known...) {
		if d.Severity != release.Warning {
			t.Errorf("%s is not a warning", d)
		}
		all = append(all, d.String())
	}
	return strings.Join(all, "\n")
}

const impossible = "no token can satisfy this policy"

func TestConditionsThatExcludeEachOtherAreFound(t *testing.T) {
	x := func(rest string) string { return `{"claim":"x",` + rest + `}` }
	for name, tc := range map[string]struct{ conditions, why string }{
		"an empty range": {x(`"less":3`) + "," + x(`"greater":3`), "no number is in this range"},
		"an empty range of one value": {
			x(`"lessOrEquals":3`) + "," + x(`"greater":3`), "no number is in this range",
		},
		"a reversed range": {
			x(`"greaterOrEquals":3.01`) + "," + x(`"lessOrEquals":3`), "no number is in this range",
		},
		"a value below the range":    {x(`"equals":3`) + "," + x(`"greater":3`), "outside the range"},
		"a value above the range":    {x(`"less":3`) + "," + x(`"equals":"5"`), "outside the range"},
		"a text in a range":          {x(`"less":3`) + "," + x(`"equals":"a"`), "only a number has an order"},
		"a boolean in a range":       {x(`"less":3`) + "," + x(`"equals":true`), "only a number has an order"},
		"equal and not equal":        {x(`"equals":"a"`) + "," + x(`"notEquals":"a"`), "contradict each other"},
		"a number, and not its text": {x(`"equals":5`) + "," + x(`"notEquals":"5"`), "contradict each other"},
		"missing, with a value": {
			x(`"exists":false`) + "," + x(`"equals":1`), "missing meets no other condition",
		},
		"missing, and not a value": {
			x(`"notEquals":1`) + "," + x(`"exists":false`), "missing meets no other condition",
		},
		"missing and present": {
			x(`"exists":true`) + "," + x(`"exists":false`), "missing meets no other condition",
		},
		"in an inner allOf": {
			x(`"exists":false`) + `,{"allOf":[` + x(`"equals":1`) + `]}`, "missing meets no other condition",
		},
		"in all of an inner anyOf": {`{"anyOf":[{"allOf":[` + x(`"less":1`) + "," + x(`"greater":1`) + `]}]}`,
			"no number is in this range"},
	} {
		t.Run(name, func(t *testing.T) {
			got := warnings(t, policyOf(strings.Split(tc.conditions, "|")...))
			if !strings.Contains(got, tc.why) || !strings.Contains(got, impossible) ||
				strings.Count(got, "\n") != 1 {
				t.Errorf("%s\nwant %s", got, tc.why)
			}
		})
	}
}

func TestTwoValuesOfOneClaimAreAWarning(t *testing.T) {
	two := policyOf(`{"claim":"x","equals":"a"}`, `{"claim":"x","equals":"b"}`)
	want := `1:107: warning: claim x: equals "b" excludes equals "a" (1:80): only an array with both ` +
		"equals two values; leave one of them out, or write them in an anyOf"
	if got := warnings(t, two); got != want {
		t.Error(got)
	}
	// An array does satisfy it, so that the policy is not impossible.
	if !parse(t, two).Evaluate(issuer, claimsOf(t, `{"x":["a","b"]}`)).Satisfied {
		t.Error("an array with both values does not satisfy the policy")
	}
}

func TestConditionsThatCanBeMetAreNoWarning(t *testing.T) {
	for _, conditions := range []string{
		`{"claim":"x","equals":"a"},{"claim":"y","equals":"b"}`,
		`{"claim":"x","equals":"true"},{"claim":"x","equals":true}`,
		`{"claim":"x","equals":5},{"claim":"x","equals":"5"}`,
		`{"claim":"x","equals":"5"},{"claim":"x","notEquals":5}`,
		`{"claim":"x","equals":"5"},{"claim":"x","less":6}`,
		`{"claim":"x","equals":"a"},{"claim":"x","notEquals":"b"}`,
		`{"claim":"x","lessOrEquals":3},{"claim":"x","greaterOrEquals":3}`,
		`{"claim":"x","less":3},{"claim":"x","greater":2}`,
		`{"claim":"x","exists":true},{"claim":"x","equals":1}`,
		`{"claim":"x","exists":false},{"claim":"x","exists":false}`,
		`{"anyOf":[{"claim":"x","equals":"a"},{"claim":"x","equals":"b"}]}`,
		`{"anyOf":[{"claim":"x","less":1},{"claim":"x","greater":1}]},{"claim":"y","equals":1}`,
	} {
		if got := warnings(t, policyOf(conditions), "https://ATTEST.example.org/"); got != "" {
			t.Errorf("%s: %s", conditions, got)
		}
	}
}

func TestAnotherAuthorityMakesAPolicyPossible(t *testing.T) {
	got := warnings(t, `{"anyOf":[{"authority":"https://a.example","allOf":[
{"claim":"x","less":1},{"claim":"x","greater":1}]},{"authority":"https://b.example","allOf":[{"claim":"x","equals":1}]}]}`)
	if !strings.HasPrefix(got, "2:24: warning: claim x: greater 1 excludes less 1 (2:1)") ||
		strings.Contains(got, impossible) {
		t.Error(got)
	}
}

func TestAuthoritiesAreComparedWithTheKnownOnes(t *testing.T) {
	text := policyOf(`{"claim":"x","equals":"a"}`)
	want := `1:42: warning: no known issuer is "https://attest.example.org", so no token can satisfy these ` +
		`conditions; nearest: https://atest.example.org`
	if got := warnings(t, text, "https://b.example", "https://atest.example.org"); got != want {
		t.Error(got)
	}
	if got := warnings(t, strings.Replace(text, "https", "http", 1)); !strings.Contains(
		got,
		"is not an https URL",
	) {
		t.Error(got)
	}
}
