package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

func TestHashVectors(t *testing.T) {
	build := func(rule string, sources ...string) string {
		text := "version= 1.0;authorizationrules{" + rule + "};issuancerules{"
		for i, target := range []string{
			"is-debuggable", "sgx-mrsigner", "sgx-mrenclave", "product-id", "svn", "tee",
		} {
			text += fmt.Sprintf("c:[type==%q] => issue(type=%q, value=c.value);", sources[i], target)
		}
		return text + "};"
	}
	mid2021 := build("=> permit();", "x-ms-sgx-is-debuggable", "x-ms-sgx-mrsigner", "x-ms-sgx-mrenclave",
		"x-ms-sgx-product-id", "x-ms-sgx-svn", "x-ms-attestation-type")
	early2021 := build(`c:[type=="$is-debuggable"] => permit();`, "$is-debuggable", "$sgx-mrsigner",
		"$sgx-mrenclave", "$product-id", "$svn", "$tee")
	for text, want := range map[string]string{
		mid2021:                    "bROrN897ZfWmWY2V0FLUlu3uwk5xatGnKYHn3zBbSlw",
		early2021:                  "egjnANIzEpS2WgpE4Nk-QEwM69XRCgTs42_G0qLlbnk",
		policy.Default("sevsnpvm"): "9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco",
	} {
		if got := policy.Hash(text); got != want {
			t.Errorf("Hash(%q) = %s, want %s", text, got, want)
		}
		if _, err := policy.Parse(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// auth wraps rules into a policy of version 1.2.
func auth(rules string) string {
	return "version=1.2;\nauthorizationrules{\n" + rules + "\n};issuancerules{};"
}

func TestWhatParses(t *testing.T) {
	for name, text := range map[string]string{
		"no white space": `version=1.0;authorizationrules{c:[type=="$is-debuggable"]=>permit();};`,
		"white space everywhere": " version = 1.0 ; authorizationrules { => permit ( ) ; } ; " +
			"issuancerules { } ; ",
		"comments": "// a\nversion= 1.0; // b\nauthorizationrules // c\n{ // d\n" +
			"=> permit(); // e\n};\n// f",
		"section names in capitals": `version=1.1; ConfigurationRules{}; AuthorizationRules{=> ` +
			`permit();}; IssuanceRules{};`,
		"byte order mark":        "\ufeffversion=1.0;authorizationrules{=> permit();};",
		"condition without type": auth(`[value==true] => permit();`),
		"properties in any order": auth(
			`[issuer=="x", value>=1, type=="t", valueType=="Integer"] => permit();`,
		),
		"join of two claims": auth(`a:[type=="x"] && b:[type=="y", value==a.value] => permit();`),
		"negation":           auth(`![type=="x"] => permit();`),
		"nested functions": auth(
			`c:[type=="x"] => add(type="y", value=NegateBool(JsonToClaimValue(JmesPath(c.value, "a"))));`,
		),
		"negative integer":         auth(`[value>=-9223372036854775808] => permit();`),
		"strings with JSON inside": auth(`[value=="{\"a\":'\\b'}|` + "`1`" + `"] => permit();`),
		"valueType that agrees":    auth(`=> add(type="x", value=1, valueType="Integer");`),
	} {
		if _, err := policy.Parse(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatDoesNotParse(t *testing.T) {
	for name, tc := range map[string]struct{ text, at, want string }{
		"nothing":               {"", "1:1", `expected "version"`},
		"no version":            {"authorizationrules{=> permit();};", "1:1", "a policy begins with"},
		"unknown version":       {"version=1.3;authorizationrules{=> permit();};", "1:9", "not known"},
		"version without point": {"version=1;authorizationrules{};", "1:10", `"."`},
		"no authorization":      {"version=1.0;issuancerules{};", "1:29", "no authorizationrules"},
		"misspelt section": {
			"version=1.0;authorisationrules{};", "1:13", "did you mean authorizationrules?",
		},
		"sections in the wrong order": {
			"version=1.0;issuancerules{};authorizationrules{};", "1:29", "must come before",
		},
		"section twice": {
			"version=1.0;authorizationrules{};authorizationrules{};", "1:34", "twice",
		},
		"no semicolon after a rule":    {auth("=> permit()"), "4:1", "semicolon"},
		"no semicolon after a section": {"version=1.0;authorizationrules{=> permit();}", "1:45", "};"},
		"single equals":                {auth(`[type="x"] => permit();`), "3:6", `did you mean "=="?`},
		"or": {
			auth(`[type=="x"] || [type=="y"] => permit();`), "3:13", "there is no OR",
		},
		"empty condition":             {auth(`[] => permit();`), "3:2", "type, value, valueType or issuer"},
		"unknown property":            {auth(`[typ=="x"] => permit();`), "3:2", "did you mean type?"},
		"ordering of strings":         {auth(`[value>"x"] => permit();`), "3:2", "orders integers"},
		"type compared with a number": {auth(`[type==1] => permit();`), "3:2", "type is a string"},
		"integer of 65 bits":          {auth(`[value==9223372036854775808] => permit();`), "3:9", "64-bit"},
		"hexadecimal":                 {auth(`[value==0x10] => permit();`), "3:10", "expected"},
		"fraction":                    {auth(`[value==1.5] => permit();`), "3:10", "expected"},
		"single quotes":               {auth(`[type=='x'] => permit();`), "3:8", "double quotes"},
		"curly quotes":                {auth(`[type==“x”] => permit();`), "3:8", "plain quote"},
		"string over two lines": {
			auth("[type==\"x\n\"] => permit();"), "3:8", "does not end on its line",
		},
		"block comment": {auth(`/* x */ => permit();`), "3:1", "comments begin with //"},
		"unbound identifier": {
			auth(`c:[type=="x"] => add(type="y", value=d.value);`), "3:38", "did you mean c?",
		},
		"identifier used before": {
			auth(`a:[type==b.value] && b:[type=="y"] => permit();`), "3:10",
			"not bound by an earlier condition",
		},
		"identifier bound twice": {
			auth(`c:[type=="x"] && c:[type=="y"] => permit();`), "3:18", "bound twice",
		},
		"negation binds": {auth(`!c:[type=="x"] => permit();`), "3:1", "cannot bind c"},
		"negation before 1.2": {
			`version=1.1;authorizationrules{![type=="x"] => permit();};`, "1:32", "needs version 1.2",
		},
		"function before 1.2": {
			`version=1.0;authorizationrules{c:[type=="x"] => add(type="y", value=NegateBool(c.value));};`,
			"1:69", "need version 1.2",
		},
		"configuration before 1.1": {
			`version=1.0;configurationrules{};authorizationrules{};`, "1:13", "need version 1.1",
		},
		"unknown function": {
			auth(`c:[type=="x"] => add(type="y", value=Concat(c.value, "x"));`), "3:38",
			"unknown function Concat",
		},
		"wrong number of arguments": {
			auth(`c:[type=="x"] => add(type="y", value=NegateBool(c.value, true));`), "3:38",
			"takes 1 arguments, not 2",
		},
		"unknown action":         {auth(`=> allow();`), "3:4", "did you mean permit?"},
		"action by another word": {auth(`=> Reject();`), "3:4", "did you mean deny?"},
		"misspelt action":        {auth(`=> isue(type="a", value=1);`), "3:4", "did you mean issue?"},
		"no comma": {
			auth(`[type=="a" value==1] => permit();`), "3:12", "put commas between properties",
		},
		"one ampersand": {
			auth(`[type=="a"] & [type=="b"] => permit();`), "3:13", "did you mean &&?",
		},
		"permit with arguments": {auth(`=> permit(type="x");`), "3:4", "no arguments"},
		"issue in authorization": {
			auth(`=> issue(type="x", value=1);`), "3:4", "not allowed in authorizationrules",
		},
		"permit in issuance": {
			"version=1.0;authorizationrules{};issuancerules{=> permit();};", "1:51",
			"not allowed in issuancerules",
		},
		"add in configuration": {
			`version=1.1;configurationrules{=> add(type="x", value=1);};authorizationrules{};`, "1:35",
			"not allowed in configurationrules",
		},
		"argument without a name": {auth(`=> add("x", value=1);`), "3:8", `type="x"`},
		"value missing":           {auth(`=> add(type="x");`), "3:4", "needs type= and value="},
		"issuer chosen": {
			auth(`=> add(type="x", value=1, issuer="AttestationService");`), "3:27",
			"cannot choose the issuer",
		},
		"valueType that disagrees": {
			auth(`=> add(type="x", value=1, valueType="String");`), "3:27", "does not agree",
		},
		"the service's own claim": {
			`version=1.0;authorizationrules{};issuancerules{=> issue(type="exp", value=1);};`, "1:57",
			"cannot issue it",
		},
		"the service's own sgx claim": {
			`version=1.0;authorizationrules{};issuancerules{=> issue(type="x-ms-sgx-svn", value=9);};`,
			"1:57", "cannot issue it",
		},
		"unknown configuration": {
			`version=1.1;configurationrules{=> issueproperty(type="required_pcr_masks", ` +
				`value=1);};authorizationrules{};`,
			"1:49", "did you mean required_pcr_mask?",
		},
		"configuration of another type": {
			`version=1.1;configurationrules{=> issueproperty(type="required_pcr_mask", ` +
				`value="1");};authorizationrules{};`,
			"1:75", "type Integer",
		},
		"text after the policy": {"version=1.0;authorizationrules{}; x", "1:35", "issuancerules"},
		"not UTF-8": {
			"version=1.0;authorizationrules{[type==\"\xff\"] => permit();};", "1:39", "UTF-8",
		},
		"deeply nested calls": {
			auth("c:[type==\"x\"] => add(type=\"y\", value=" + strings.Repeat("NegateBool(",
				100) + "c.value" + strings.Repeat(")", 100) + ");"), "3:401", "nested deeper",
		},
		"too many conditions": {
			auth(strings.Repeat(`[type=="x"] && `, 32) + `[type=="x"] => permit();`), "3:481",
			"more than 32 conditions",
		},
		"too many rules": {auth(strings.Repeat("=> deny();", 1001)), "3:10001", "more than 1000 rules"},
		"too large":      {auth(strings.Repeat(" ", policy.MaxText)), "1:1", "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Parse(tc.text)
			var parse *policy.ParseError
			if !errors.As(err, &parse) {
				t.Fatalf("error = %v", err)
			}
			first := parse.Diagnostics[0]
			got := fmt.Sprintf("%d:%d", first.Pos.Line, first.Pos.Column)
			if got != tc.at || !strings.Contains(first.String(), tc.want) {
				t.Errorf("first diagnostic is %q (%+v), want %s and %q", first, first, tc.at, tc.want)
			}
		})
	}
}

func TestSeveralMistakesAreReportedAtOnce(t *testing.T) {
	_, err := policy.Parse(
		auth("[type=\"x\"] => permit();\n=> allow();\nc:[type==\"y\"] => permit();\n[typ==\"z\"] => deny();"),
	)
	var parse *policy.ParseError
	if !errors.As(err, &parse) {
		t.Fatal(err)
	}
	var lines []int
	for _, d := range parse.Diagnostics {
		lines = append(lines, d.Pos.Line)
	}
	if diff := cmp.Diff([]int{3, 4, 6}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func service(typ string, v claims.Value) claims.Claim {
	return claims.Claim{Type: typ, Value: v, Issuer: claims.AttestationService}
}

var incoming = claims.NewSet(
	service("debug", claims.BooleanValue(false)), service("svn", claims.IntegerValue(3)),
	service("signer", claims.StringValue("aa")),
	service("list", claims.StringValue("x")), service("list", claims.StringValue("y")),
	service("allowed", claims.StringValue("y")),
	service("allowed", claims.StringValue("x")), service("allowed", claims.StringValue("z")),
	service("true", claims.BooleanValue(true)),
	claims.Claim{Type: "custom", Value: claims.StringValue("c"), Issuer: claims.CustomClaim},
)

func TestVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		rules string
		want  bool
	}{
		"no rules":                  {"", false},
		"permit":                    {"=> permit();", true},
		"deny":                      {"=> deny();", false},
		"deny before permit":        {"=> deny(); => permit();", false},
		"permit before deny":        {"=> permit(); => deny();", false},
		"deny that does not match":  {`[type=="absent"] => deny(); => permit();`, true},
		"boolean equal":             {`[type=="debug", value==false] => permit();`, true},
		"boolean not equal":         {`[type=="debug", value!=false] => permit();`, false},
		"integer at least":          {`[type=="svn", value>=3] => permit();`, true},
		"integer greater":           {`[type=="svn", value>3] => permit();`, false},
		"integer less or equal":     {`[type=="svn", value<=3] => permit();`, true},
		"integer less":              {`[type=="svn", value<3] => permit();`, false},
		"string compared exactly":   {`[type=="signer", value=="AA"] => permit();`, false},
		"another type is not equal": {`[type=="svn", value=="3"] => permit();`, false},
		"another type differs":      {`[type=="svn", value!="3"] => permit();`, true},
		"another type has no order": {`[type=="signer", value>=0] => permit();`, false},
		"any claim":                 {`[value==true] => permit();`, true},
		"issuer of the service":     {`[type=="svn", issuer=="AttestationService"] => permit();`, true},
		"a custom claim is not the service's": {
			`[type=="custom", issuer=="AttestationService"] => permit();`, false,
		},
		"valueType":           {`[type=="svn", valueType=="Integer"] => permit();`, true},
		"all conditions":      {`[type=="svn"] && [type=="signer"] => permit();`, true},
		"one condition fails": {`[type=="svn"] && [type=="absent"] => permit();`, false},
		"negation is true":    {`![type=="absent"] => permit();`, true},
		"negation is false":   {`![type=="svn"] => permit();`, false},
		"join matches any": {
			`a:[type=="allowed"] && [type=="list", value==a.value] => permit();`, true,
		},
		"join differs from all": {
			`a:[type=="allowed"] && [type=="list", value!=a.value] => permit();`, false,
		},
		"added claims are seen later": {
			`=> add(type="new", value=7); [type=="new", value==7, issuer=="AttestationPolicy"] => permit();`,
			true,
		},
		"later claims are not seen earlier": {
			`[type=="new"] => permit(); => add(type="new", value=7);`, false,
		},
		"subset": {`a:[type=="list"] && b:[type=="allowed"] => add(type="r", ` +
			`value=IsSubsetOf(a.value, b.value)); [type=="r", value==true] => permit();`, true},
		"not a subset": {`a:[type=="allowed"] && b:[type=="list"] => add(type="r", ` +
			`value=IsSubsetOf(a.value, b.value)); [type=="r", value==true] => permit();`, false},
		"only one value": {`a:[type=="true"] => add(type="r", value=ContainsOnlyValue(a.value, ` +
			`true)); [type=="r", value==true] => permit();`, true},
		"more than one value": {`a:[type=="list"] => add(type="r", value=ContainsOnlyValue(a.value, ` +
			`"x")); [type=="r", value==true] => permit();`, false},
		"appended": {`a:[type=="signer"] => add(type="r", value=AppendString(a.value, "bb")); ` +
			`[type=="r", value=="aabb"] => permit();`, true},
		"negated": {`a:[type=="debug"] => add(type="r", value=NegateBool(a.value)); [type=="r", ` +
			`value==true] => permit();`, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse(auth(tc.rules))
			if err != nil {
				t.Fatal(err)
			}
			out, err := p.Evaluate(incoming)
			if err != nil {
				t.Fatal(err)
			}
			if out.Permitted != tc.want || out.Trace.Reason() == "" {
				t.Errorf("permitted = %t, want %t: %s", out.Permitted, tc.want, out.Trace.Reason())
			}
		})
	}
}

func TestEvaluationErrorsRefuse(t *testing.T) {
	for name, rules := range map[string]string{
		"order of several values": `a:[type=="list"] && [type=="svn", value>=a.value] => permit();`,
		"scalar of several values": `=> permit(); a:[type=="list"] => add(type="r", ` +
			`value=AppendString(a.value, "x"));`,
		"negation of a string": `=> permit(); a:[type=="signer"] => add(type="r", ` +
			`value=NegateBool(a.value));`,
		"appending an integer": `=> permit(); a:[type=="svn"] => add(type="r", ` +
			`value=AppendString("x", a.value));`,
		"claim name not a string": `=> permit(); a:[type=="svn"] => add(type=a.value, value=1);`,
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse(auth(rules))
			if err != nil {
				t.Fatal(err)
			}
			out, err := p.Evaluate(incoming)
			var evaluation *policy.EvaluationError
			if !errors.As(err, &evaluation) || out.Permitted || evaluation.Pos.Line != 3 {
				t.Errorf("permitted = %t, error = %v", out.Permitted, err)
			}
		})
	}
}

func TestIssuance(t *testing.T) {
	for name, tc := range map[string]struct{ rules, want string }{
		"constant":         {`=> issue(type="a", value=100);`, `{"a":100}`},
		"value of a claim": {`c:[type=="svn"] => issue(type="a", value=c.value);`, `{"a":3}`},
		"one for each match, in order": {
			`c:[type=="allowed"] => issue(type="a", value=c.value);`, `{"a":["y","x","z"]}`,
		},
		"copies": {`c:[type=="allowed"] => issue(claim=c);`, `{"allowed":["y","x","z"]}`},
		"equal claims collapse": {
			`=> issue(type="a", value=1); => issue(type="a", value=1);`, `{"a":1}`,
		},
		"types differ": {
			`=> issue(type="a", value=1); => issue(type="a", value="1");`, `{"a":[1,"1"]}`,
		},
		"add does not issue":        {`=> add(type="a", value=1);`, `{}`},
		"properties are not claims": {`=> issueproperty(type="omit_x5c", value=true);`, `{}`},
		"issued claims are seen": {`=> issue(type="a", value=1); [type=="a"] => ` +
			`issue(type="b", value=2); ![type=="a"] => issue(type="c", value=3);`, `{"a":1,"b":2}`},
		"nothing matches": {`c:[type=="absent"] => issue(type="a", value=c.value);`, `{}`},
		"the service's names are left out": {`c:[type=="signer"] => add(type="name", value="exp"); ` +
			`c:[type=="name"] => issue(type=c.value, value=1);`, `{}`},
		"copy of the service's own": {`c:[type=="x-ms-sgx-svn"] => issue(claim=c);`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse("version=1.2;authorizationrules{=> permit();};issuancerules{" + tc.rules + "};")
			if err != nil {
				t.Fatal(err)
			}
			set := incoming.Clone()
			set.Add(service("x-ms-sgx-svn", claims.IntegerValue(3)))
			out, err := p.Evaluate(set)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := out.Issued.MarshalJSON(); string(b) != tc.want {
				t.Errorf("issued %s, want %s", b, tc.want)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	p, err := policy.Parse(`version=1.1;configurationrules{
		=> issueproperty(type="x-ms-sgx-tcbidentifier", value="10");
		=> issueproperty(type="x-ms-sgx-tcbidentifier", value="11");
		[type=="anything"] => issueproperty(type="require_valid_aik_cert", value=false);
	};authorizationrules{};`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Settings()
	if err != nil || len(got) != 1 || got["x-ms-sgx-tcbidentifier"] != claims.StringValue("11") {
		t.Errorf("Settings = %v, %v", got, err)
	}
}

func TestADenialSaysWhy(t *testing.T) {
	p, err := policy.Parse(auth("[type==\"svn\", value==7] => permit();\n[type==\"absent\"] => permit();"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Evaluate(incoming)
	want := `rule 1 (line 3) does not permit: condition 1: claim svn is 3, and the rule needs ` +
		`[type=="svn", value==7]; rule 2 (line 4) does not permit: condition 1: there is no claim absent`
	if err != nil || out.Trace.Reason() != want {
		t.Errorf("reason = %q, %v; want %q", out.Trace.Reason(), err, want)
	}
}

func TestAnUnrelatedClaimChangesNothing(t *testing.T) {
	p, err := policy.Parse(policy.Default("SgxEnclave"))
	if err != nil {
		t.Fatal(err)
	}
	set := claims.NewSet(service("x-ms-sgx-svn", claims.IntegerValue(3)))
	before, _ := p.Evaluate(set)
	set.Add(service("unrelated", claims.StringValue("x")))
	after, _ := p.Evaluate(set)
	a, _ := before.Issued.MarshalJSON()
	b, _ := after.Issued.MarshalJSON()
	if before.Permitted != after.Permitted || string(a) != string(b) {
		t.Errorf("%s became %s", a, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(policy.Default("SgxEnclave"))
	f.Add(auth(
		`a:[type=="x", value>=-1] && ![type=="y"] => add(type="z", value=AppendString(a.value, "\"\\"));`,
	))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := policy.Parse(text)
		if err != nil {
			var parse *policy.ParseError
			if !errors.As(err, &parse) || len(parse.Diagnostics) == 0 || err.Error() == "" {
				t.Errorf("an error without diagnostics: %v", err)
			}
			return
		}
		if _, err := p.Settings(); err != nil {
			t.Log(err)
		}
		out, err := p.Evaluate(incoming)
		if out == nil || err != nil && out.Permitted {
			t.Errorf("permitted in spite of %v", err)
		}
	})
}

// TestReads: a policy reads a type unless each condition asks for another.
func TestReads(t *testing.T) {
	for text, want := range map[string]bool{
		`[type=="events"] => permit();`: true, `[type=="secureBootEnabled", value==true] => permit();`: false,
		`=> permit();`: false,
		`c:[issuer=="AttestationService"] => permit();`: true, `[type!="x"] => permit();`: true,
		`[type=="a"] && [value==true] => permit();`: true, `![type=="events"] => permit();`: true,
	} {
		p, err := policy.Parse("version=1.2;authorizationrules{" + text + "};")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Reads("events"); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
