package policy_test

import (
	"strings"
	"testing"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

func TestADenialNamesTheClaimAndItsValue(t *testing.T) {
	boolean := func(name string, v bool) claims.Claim {
		return claims.Claim{Type: name, Value: claims.BooleanValue(v), Issuer: claims.AttestationService}
	}
	text := func(name, v string) claims.Claim {
		return claims.Claim{Type: name, Value: claims.StringValue(v), Issuer: claims.AttestationService}
	}
	guest := policy.Default("AzureGuest")
	for name, test := range map[string]struct {
		policy string
		claims []claims.Claim
		want   []string
		not    string
	}{
		"default, secure boot": {
			guest, []claims.Claim{boolean("secureboot", false)},
			[]string{"claim secureboot is false", "secure boot is off", "PCR 7"}, "",
		},
		"default, secure boot with its reason": {guest, []claims.Claim{boolean("secureboot",
			false), text("x-probity-boot-not-secure", "event 6 is a second separator")},
			[]string{"claim secureboot is false (event 6 is a second separator)"}, "or the log does not prove it"},
		"default, keys": {
			guest, []claims.Claim{boolean("x-ms-azurevm-default-securebootkeysvalidated", false)},
			[]string{"default-securebootkeysvalidated is false", "PCR 7, events of the variables PK"},
			"",
		},
		"default, db": {
			guest, []claims.Claim{boolean("x-ms-azurevm-dbvalidated", false)},
			[]string{"x-ms-azurevm-dbvalidated is false", "variable db"}, "",
		},
		"default, dbx": {
			guest, []claims.Claim{boolean("x-ms-azurevm-dbxvalidated", false)},
			[]string{"x-ms-azurevm-dbxvalidated is false", "variable dbx"}, "",
		},
		"default, debugger": {
			guest, []claims.Claim{boolean("x-ms-azurevm-debuggersdisabled", false)},
			[]string{"x-ms-azurevm-debuggersdisabled is false", "debugger"}, "",
		},
		"default, signing": {
			guest, []claims.Claim{boolean("x-ms-azurevm-signingdisabled", false)},
			[]string{"x-ms-azurevm-signingdisabled is false", "flight signing"}, "",
		},
		"default, two reasons": {
			guest,
			[]claims.Claim{boolean("secureboot", false), boolean("x-ms-azurevm-dbvalidated", false)},
			[]string{"secureboot is false", "dbvalidated is false"}, "",
		},
		"default, paravisor": {
			guest, []claims.Claim{boolean("secureboot", true)},
			[]string{"there is no claim x-ms-compliance-status", "tpm.paravisors"}, "",
		},
		"default, debug": {
			policy.Default("NitroEnclave"), []claims.Claim{text("dbgstat", "enabled")},
			[]string{`claim dbgstat is "enabled"`, "can be debugged", `value=="disabled"`}, "",
		},
		"missing": {policy.Default("ArmCca"), nil, []string{"there is no claim dbgstat"}, ""},
		"missing, added by a rule that did not match": {
			"version=1.0;authorizationrules{\n" +
				"[type==\"a\", value==true] => add(type=\"b\", value=true);\n[type==\"b\"] => permit();\n};",
			[]claims.Claim{boolean("a", false)},
			[]string{
				"there is no claim b",
				"rule 1, line 2, which adds it, did not match",
				"claim a is false",
			},
			""},
		"added after the rule ran": {
			"version=1.0;authorizationrules{\n[type==\"b\"] => permit();\n=> add(type=\"b\", value=true);\n};", nil,
			[]string{"there is no claim b"}, "claim b is true"},
		"excluded": {
			"version=1.2;authorizationrules{![type==\"debug\", value==true] => permit();};",
			[]claims.Claim{boolean("debug", true)}, []string{"claim debug is true"}, "",
		},
		"deny because it is missing": {
			"version=1.2;authorizationrules{![type==\"good\"] => deny(); => permit();};", nil,
			[]string{"denies: there is no claim good"}, "",
		},
		"deny without condition": {
			"version=1.0;authorizationrules{=> deny(); => permit();};", nil,
			[]string{"denies: it has no condition"}, "",
		},
		"several values": {"version=1.0;authorizationrules{[type==\"pcr\", value==9] => permit();};",
			[]claims.Claim{
				{Type: "pcr", Value: claims.IntegerValue(1)},
				{Type: "pcr", Value: claims.IntegerValue(2)},
			},
			[]string{"the claims pcr are 1, 2"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse(test.policy)
			if err != nil {
				t.Fatal(err)
			}
			var set claims.Set
			for _, c := range test.claims {
				set.Add(c)
			}
			out, err := p.Evaluate(set)
			if err != nil || out.Permitted {
				t.Fatalf("permitted %v, %v", out.Permitted, err)
			}
			reason := out.Trace.Reason()
			for _, want := range test.want {
				if !strings.Contains(reason, want) {
					t.Errorf("the reason %q does not contain %q", reason, want)
				}
			}
			if test.not != "" && strings.Contains(reason, test.not) {
				t.Errorf("the reason %q contains %q", reason, test.not)
			}
		})
	}
}

func TestTheReasonOfALargePolicyIsBounded(t *testing.T) {
	p, err := policy.Parse("version=1.0;authorizationrules{" +
		strings.Repeat("[type==\"b\"] => add(type=\"b\", value=1);", 200) +
		strings.Repeat("[type==\"b\"] => permit();", 500) + "};")
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Evaluate(claims.Set{})
	if err != nil {
		t.Fatal(err)
	}
	reason := out.Trace.Reason()
	if len(reason) > 40_000 || !strings.HasSuffix(reason, "and 492 more, see the trace") {
		t.Errorf("%d bytes, ending in %q", len(reason), reason[max(0, len(reason)-60):])
	}
}
