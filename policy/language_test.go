package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

const eventLog = `{"Events":[{"EventSeq":4,"EventTypeString":"EV_EFI",` +
	`"ProcessedData":{"UnicodeName":"SecureBoot","VariableData":"AQ"}},` +
	`{"EventSeq":9,"EventTypeString":"EV_TAG","ProcessedData":{"n":[1,2,null],"f":1.5,"o":{}}}]}`

var measured = claims.NewSet(
	service("events", claims.StringValue(eventLog)),
	service("pcrs", claims.StringValue(`{"PCRs":[{"Index":0,"Digests":{"SHA256":["ab"]}}]}`).ReadOnly()),
	service("key", claims.StringValue(`{"jwk":{"kty":"RSA"}}`)),
	service("bad", claims.StringValue("abc")),
	service("svn", claims.IntegerValue(3)),
)

// issued evaluates rules in authorizationrules and then issues the claim r.
func evaluate(t *testing.T, authorization, issuance string) (*policy.Outcome, error) {
	t.Helper()
	p, err := policy.Parse("version=1.2;authorizationrules{=> permit();\n" + authorization +
		"};issuancerules{" + issuance + "};")
	if err != nil {
		t.Fatal(err)
	}
	return p.Evaluate(measured)
}

func TestFunctionsOverEvidence(t *testing.T) {
	for name, tc := range map[string]struct{ expr, want string }{
		"a string keeps its quotes": {
			`JmesPath(c.value, "Events[0].ProcessedData.UnicodeName")`, `{"r":"\"SecureBoot\""}`,
		},
		"read as JSON it loses them": {
			`JsonToClaimValue(JmesPath(c.value, "Events[0].ProcessedData.UnicodeName"))`,
			`{"r":"SecureBoot"}`,
		},
		"null is the text null":            {`JmesPath(c.value, "absent")`, `{"r":"null"}`},
		"read as JSON null issues nothing": {`JsonToClaimValue(JmesPath(c.value, "absent"))`, `{}`},
		"an empty array issues nothing": {
			`JsonToClaimValue(JmesPath(c.value, "Events[?EventSeq == ` + "`99`" + `]"))`, `{}`,
		},
		"a number is its decimal text": {`JmesPath(c.value, "Events[0].EventSeq")`, `{"r":"4"}`},
		"an array gives several claims": {
			`JsonToClaimValue(JmesPath(c.value, "Events[1].ProcessedData.n"))`, `{"r":[1,2]}`,
		},
		"objects stay text": {
			`JmesPath(c.value, "Events[1].ProcessedData.{b: f, a: n}")`,
			`{"r":"{\"a\":[1,2,null],\"b\":1.5}"}`,
		},
		"a query that is put together": {`JmesPath(c.value, AppendString(AppendString("Events[? EventSeq > ` +
			"`" + `", JmesPath(c.value, "Events[0].EventSeq")), "` + "`" + `].EventTypeString | [0]"))`,
			`{"r":"\"EV_TAG\""}`},
		"a boolean from a comparison": {
			`JsonToClaimValue(JmesPath(c.value, "Events[0].ProcessedData.VariableData == 'AQ'"))`,
			`{"r":true}`,
		},
		"the opposite": {
			`NegateBool(JsonToClaimValue(JmesPath(c.value, "Events[0].ProcessedData.VariableData == 'AQ'")))`,
			`{"r":false}`,
		},
		"only one value": {
			`ContainsOnlyValue(JsonToClaimValue(JmesPath(c.value, "Events[*].EventTypeString")), "EV_TAG")`,
			`{"r":false}`,
		},
		"subset": {
			`IsSubsetOf(JsonToClaimValue("[4]"), JsonToClaimValue(JmesPath(c.value, "Events[*].EventSeq")))`,
			`{"r":true}`,
		},
		"the empty set is a subset of all": {
			`IsSubsetOf(JsonToClaimValue("[]"), JsonToClaimValue("[1]"))`, `{"r":true}`,
		},
		"the empty set holds no value alone": {`ContainsOnlyValue(JsonToClaimValue("[]"), 1)`, `{"r":false}`},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := evaluate(t, "", `c:[type=="events"] => issue(type="r", value=`+tc.expr+`);`)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := out.Issued.MarshalJSON(); string(got) != tc.want {
				t.Errorf("issued %s, want %s", got, tc.want)
			}
		})
	}
}

func TestFunctionsThatFail(t *testing.T) {
	for name, tc := range map[string]struct{ claim, expr, want string }{
		"not JSON":             {"bad", `JmesPath(c.value, "a")`, "JmesPath"},
		"not JSON as a value":  {"bad", `JsonToClaimValue(c.value)`, "is not JSON"},
		"an object as a value": {"key", `JsonToClaimValue(c.value)`, "an object"},
		"a fraction": {
			"events", `JsonToClaimValue(JmesPath(c.value, "Events[1].ProcessedData.f"))`,
			"not a 64-bit integer",
		},
		"number with a point":     {"key", `JsonToClaimValue("1.0")`, "not a 64-bit integer"},
		"number with an exponent": {"key", `JsonToClaimValue("1e3")`, "not a 64-bit integer"},
		"number of 65 bits":       {"key", `JsonToClaimValue("9223372036854775808")`, "not a 64-bit integer"},
		"nested array":            {"key", `JsonToClaimValue("[[1]]")`, "nested array"},
		"an integer as JSON":      {"svn", `JmesPath(c.value, "a")`, "needs a string"},
		"a broken query":          {"events", `JmesPath(c.value, "a[?b == 20]")`, "jmespath"},
		"a query without end": {
			"events", `JmesPath(c.value, "` + "[@,@][]" + strings.Repeat(" | [@,@][]", 60) + `")`,
			"more than 16777216 bytes",
		},
		"a text without end": {"events", strings.Repeat("AppendString(",
			10) + "c.value" + strings.Repeat(", \""+strings.Repeat("x", 2000)+"\")", 10), ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := evaluate(t, "", `c:[type=="`+tc.claim+`"] => issue(type="r", value=`+tc.expr+`);`)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var evaluation *policy.EvaluationError
			if !errors.As(err, &evaluation) || out.Permitted || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("permitted = %t, %v; want %q", out.Permitted, err, tc.want)
			}
		})
	}
}

func TestNoPolicyExhaustsTheService(t *testing.T) {
	rules := func(n int, rule func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(rule(i))
		}
		return b.String()
	}
	grow := `=> add(type="t0", value="` + strings.Repeat("x", 500) + `");` + rules(11, func(i int) string {
		return fmt.Sprintf(`c:[type=="t%d"] => add(type="t%d", value=AppendString(c.value, c.value));`, i, i+1)
	})
	for name, text := range map[string]string{
		"long texts are built again and again": grow + rules(700, func(int) string {
			return `c:[type=="t11"]=>add(type="u", value=AppendString(c.value, "x"));`
		}),
		"long texts are compared": grow +
			`c:[type=="t10"] => add(type="v", value=AppendString(c.value, c.value));` + rules(900,
			func(int) string {
				return `a:[type=="v"]&&[type=="t11",value!=a.value]=>add(type="u", value=1);`
			}),
		"texts beyond all bounds": grow + rules(12, func(i int) string {
			return fmt.Sprintf(`c:[type=="t%d"] => add(type="t%d", value=AppendString(c.value, c.value));`, i+11, i+12)
		}),
		"many claims": `c:[type=="list"] => add(type="l", value=JsonToClaimValue(c.value));` + rules(200,
			func(i int) string {
				return fmt.Sprintf(`c:[type=="l"]=>add(type="l%d", value=c.value);`, i)
			}),
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse("version=1.2;authorizationrules{=> permit();" + text + "};")
			if err != nil {
				t.Fatal(err)
			}
			set := measured.Clone()
			set.Add(service("list", claims.StringValue("["+strings.Repeat("1,", 1)+strings.Join(
				strings.Fields(rules(3000, func(i int) string { return fmt.Sprint(i, " ") })), ",",
			)+"]")))
			out, err := p.Evaluate(set)
			var evaluation *policy.EvaluationError
			if !errors.As(err, &evaluation) || out.Permitted {
				t.Errorf("permitted = %t, %v", out.Permitted, err)
			}
		})
	}
}

func TestReadOnlyValuesAreComparedAndNotIssued(t *testing.T) {
	const digest = `JsonToClaimValue(JmesPath(c.value, "PCRs[0].Digests.SHA256[0]"))`
	for name, tc := range map[string]struct {
		authorization, issuance string
		fails                   bool
	}{
		"compared in a condition": {
			`c:[type=="pcrs"] && [type=="svn", value!=` + digest + `] => add(type="ok", value=true);`,
			`[type=="ok"] => issue(type="r", value=true);`, false,
		},
		"membership is no secret": {``, `c:[type=="pcrs"] => issue(type="r", ` +
			`value=IsSubsetOf(JsonToClaimValue("[\"ab\"]"), ` + digest + `));`, false},
		"added, then compared": {
			`c:[type=="pcrs"] => add(type="d", value=` + digest + `);`,
			`[type=="d", value=="ab"] => issue(type="r", value=true);`, false,
		},
		"issued":           {``, `c:[type=="pcrs"] => issue(type="r", value=c.value);`, true},
		"issued as a copy": {``, `c:[type=="pcrs"] => issue(claim=c);`, true},
		"issued in part":   {``, `c:[type=="pcrs"] => issue(type="r", value=` + digest + `);`, true},
		"issued with more text": {
			``, `c:[type=="pcrs"] => issue(type="r", value=AppendString("x", ` + digest + `));`, true,
		},
		"added, then issued": {
			`c:[type=="pcrs"] => add(type="d", value=` + digest + `);`,
			`d:[type=="d"] => issue(type="r", value=d.value);`, true,
		},
		"as a name": {
			``, `c:[type=="pcrs"] => issue(type=c.value, value=true); => issue(type="r", value=1);`,
			true,
		},
		"as part of a name": {``,
			`c:[type=="pcrs"] => issue(type=` + digest + `, value=true); => issue(type="r", value=1);`, true},
		"as a name with more text": {``, `c:[type=="pcrs"] => issue(type=AppendString("x-", ` + digest +
			`), value=true); => issue(type="r", value=1);`, true},
		"as the name of a property": {``, `c:[type=="pcrs"] => issueproperty(type=` + digest +
			`, value=true); => issue(type="r", value=1);`, true},
		"from a name back into a value": {
			`c:[type=="pcrs"] => add(type=c.value, value="mark");`,
			`d:[value=="mark"] => issue(type="r", value=d.type);`, true,
		},
		"from a name into a longer one": {
			`c:[type=="pcrs"] => add(type=c.value, value="mark");`,
			`d:[value=="mark"] => issue(type="r", value=AppendString("x", d.type));`, true,
		},
		"from a name into a name": {
			`c:[type=="pcrs"] => add(type=c.value, value="mark");`,
			`d:[value=="mark"] => issue(type=d.type, value=1); => issue(type="r", value=1);`, true,
		},
		"a claim with such a name": {
			`c:[type=="pcrs"] => add(type=c.value, value="mark");`,
			`d:[value=="mark"] => issue(claim=d); => issue(type="r", value=1);`, true,
		},
		"a copy of such a claim": {
			`c:[type=="pcrs"] => add(type=c.value, value="mark"); d:[value=="mark"] => add(claim=d);`,
			`e:[value=="mark", issuer=="AttestationPolicy"] => issue(claim=e); => issue(type="r", value=1);`,
			true,
		},
		"a name through three claims": {
			`c:[type=="pcrs"] => add(type=c.value, value="mark"); d:[value=="mark"] => add(type="again", ` +
				`value=d.type);`,
			`e:[type=="again"] => issue(type="r", value=e.value);`, true,
		},
		"the type of its value": {``, `c:[type=="pcrs"] => issue(type="r", value=c.valueType);`, true},
		"the type of a part": {
			`c:[type=="pcrs"] => add(type="d", value=` + digest + `);`,
			`d:[type=="d"] => issue(type=d.valueType, value=1); => issue(type="r", value=1);`, true,
		},
		"the value of such a claim": {
			`c:[type=="pcrs"] => add(type=c.value, value="mark");`,
			`d:[value=="mark"] => issue(type="r", value=d.value);`, false,
		},
		"a name that is compared": {
			`c:[type=="pcrs"] => add(type=` + digest + `, value="mark");`,
			`[type=="ab", value=="mark"] => issue(type="r", value=true);`, false,
		},
		"its claim's name and issuer": {``, `c:[type=="pcrs"] => issue(type="r", value=c.type); ` +
			`c:[type=="pcrs"] => issue(type="r", value=c.issuer);`, false},
		"as a property": {``, `c:[type=="pcrs"] => issueproperty(type="r", value=` + digest + `);`, true},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := evaluate(t, tc.authorization, tc.issuance)
			if (err != nil) != tc.fails || err == nil && !out.Issued.Has("r") {
				t.Errorf("issued %v, %v", out.Issued.All(), err)
			}
		})
	}
}

func TestLenientMode(t *testing.T) {
	text := "version=1.2;\nauthorizationrules{ c:[type=\"svn\"] => issue(type=\"x\", value=c.value); " +
		"[type==\"x\"] => permit(); };"
	if _, err := policy.Parse(text); err == nil {
		t.Error("strict mode takes it")
	}
	p, err := policy.ParseMode(text, policy.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, w := range p.Warnings {
		lines = append(lines, fmt.Sprintf("%d:%d %s", w.Pos.Line, w.Pos.Column, w.Severity))
	}
	if diff := cmp.Diff([]string{"2:28 warning", "2:39 warning"}, lines); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	out, err := p.Evaluate(measured)
	if err != nil || !out.Permitted || out.Issued.Len() != 0 {
		t.Errorf("permitted = %t, issued %d, %v", out.Permitted, out.Issued.Len(), err)
	}
	formatted := policy.Format(p)
	if !strings.Contains(formatted, `type=="svn"`) || !strings.Contains(formatted, "=> add(") {
		t.Errorf("formatting does not fix it:\n%s", formatted)
	}
}

func TestLint(t *testing.T) {
	for name, tc := range map[string]struct{ kind, rules, at, want string }{
		"unknown claim": {
			"SgxEnclave",
			`[type=="x-ms-sgx-mrsiner"] => permit();`,
			"3:1 warning",
			"did you mean x-ms-sgx-mrsigner?",
		},
		"known claim": {"SgxEnclave", `[type=="x-ms-sgx-mrsigner"] => permit();`, "", ""},
		"old name":    {"openenclave", `[type=="$svn", value>=1] => permit();`, "", ""},
		"claim of another type": {
			"Tpm", `[type=="x-ms-sgx-mrsigner"] => permit();`, "3:1 warning", "no Tpm evidence",
		},
		"no type, no opinion":            {"", `[type=="whatever"] => permit();`, "", ""},
		"custom claims are the client's": {"Tpm", `[type=="whatever", issuer=="CustomClaim"] => permit();`, "", ""},
		"made by an earlier rule": {
			"Tpm", `=> add(type="mine", value=1); [type=="mine"] => permit();`, "", "",
		},
		"made by a later rule": {
			"Tpm", `[type=="mine"] => permit(); => add(type="mine", value=1);`, "3:1 warning",
			"no earlier rule makes it",
		},
		"order of a string claim": {
			"SgxEnclave",
			`[type=="x-ms-sgx-mrsigner", value>1] => permit();`,
			"3:29 error",
			"orders integers",
		},
		"order of a boolean claim": {
			"SgxEnclave",
			`[type=="x-ms-sgx-is-debuggable", value>=1] => permit();`,
			"3:34 error",
			"is a boolean",
		},
		"number in quotes": {
			"SgxEnclave",
			`[type=="x-ms-sgx-svn", value=="3"] => permit();`,
			"3:24 warning",
			"is an integer, so it never equals \"3\"; write 3, without quotes",
		},
		"boolean in quotes": {
			"SgxEnclave",
			`[type=="x-ms-sgx-is-debuggable", value=="false"] => permit();`,
			"3:34 warning",
			"is a boolean, so it never equals \"false\"; write false, without quotes",
		},
		"text for a boolean": {
			"SgxEnclave",
			`[type=="x-ms-sgx-is-debuggable", value=="no"] => permit();`,
			"3:34 warning",
			"compare with true or false",
		},
		"text for a number": {
			"SgxEnclave",
			`[type=="x-ms-sgx-svn", value=="3.1"] => permit();`,
			"3:24 warning",
			"compare with a whole number",
		},
		"number for a string": {
			"SgxEnclave",
			`[type=="x-ms-attestation-type", value==1] => permit();`,
			"3:33 warning",
			`write "1"`,
		},
		"upper-case hex": {
			"SgxEnclave",
			`[type=="x-ms-sgx-mrsigner", value=="ABCDEF"] => permit();`,
			"3:36 warning",
			`write "abcdef"`,
		},
		"denies everything": {
			"SgxEnclave", `=> deny(); => permit();`, "3:1 warning", "denies everything",
		},
		"permits nothing": {
			"SgxEnclave", `[type=="$svn"] => deny();`, "2:1 warning", "everything is denied",
		},
		"identifier for nothing": {
			"SgxEnclave",
			`=> permit(); c:[type=="$svn"] => add(type="x", value=1);`,
			"3:14 warning",
			"not used",
		},
		"query that does not compile": {
			"Tpm",
			`=> permit(); c:[type=="events"] => add(type="x", value=JmesPath(c.value, "a[?b == 20]"));`,
			"3:74 warning",
			"does not compile",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse(auth(tc.rules))
			if err != nil {
				t.Fatal(err)
			}
			found := policy.Lint(p, tc.kind)
			if tc.at == "" {
				if len(found) > 0 {
					t.Errorf("found %v", found)
				}
				return
			}
			if len(found) != 1 ||
				fmt.Sprintf("%d:%d %s", found[0].Pos.Line, found[0].Pos.Column, found[0].Severity) != tc.at ||
				!strings.Contains(found[0].String(), tc.want) {
				t.Errorf("found %v, want %s %q", found, tc.at, tc.want)
			}
		})
	}
}

func TestVocabulariesAreSortedAndUnique(t *testing.T) {
	for _, kind := range []string{
		"SgxEnclave", "OpenEnclave", "SevSnpVm", "TdxVm", "AzureGuest", "Tpm", "VbsEnclave",
	} {
		terms := policy.Vocabulary(kind)
		var names []string
		for _, term := range terms {
			names = append(names, term.Name)
			if term.Meaning == "" {
				t.Errorf("%s: %s has no meaning", kind, term.Name)
			}
		}
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) || len(names) < 10 {
			t.Errorf("%s: %v", kind, names)
		}
	}
	if policy.Vocabulary("nothing") != nil {
		t.Error("an unknown type has a vocabulary")
	}
}

func TestFormat(t *testing.T) {
	in := "// head\nversion=1.2 ;   // v\n\n\n// before\nauthorizationrules\n{ // open\n" +
		"  c : [ value >= 1 , type == \"svn\" ]&&![type==\"x\"]=>permit( ) ; // behind\n" +
		"  => // inside\n deny();\n\n\n  // last\n} ;\nissuancerules{" +
		`a:[type=="a-rather-long-claim-name-here", value=="and a value"] && ` +
		`b:[type=="another-long-claim-name", value==a.value] => issue(type="x", ` +
		`value=AppendString(a.value, "\"\\"));` + "};\n// end"
	want := "// head\nversion= 1.2; // v\n\n// before\nauthorizationrules{ // open\n" +
		"\tc:[value>=1, type==\"svn\"] && ![type==\"x\"] => permit(); // behind\n" +
		"\t// inside\n\t=> deny();\n\n\t// last\n};\nissuancerules{\n" +
		"\ta:[type==\"a-rather-long-claim-name-here\", value==\"and a value\"] &&\n" +
		"\tb:[type==\"another-long-claim-name\", value==a.value]\n" +
		"\t\t=> issue(type=\"x\", value=AppendString(a.value, \"\\\"\\\\\"));\n};\n// end\n"
	p, err := policy.Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	got := policy.Format(p)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := policy.Parse(got)
	if err != nil || policy.Format(again) != got {
		t.Errorf("formatting twice changes it: %v\n%s", err, policy.Format(again))
	}
}

func TestDefaultPoliciesAreCleanAndFormatted(t *testing.T) {
	for _, kind := range []string{"SgxEnclave", "OpenEnclave", "SevSnpVm", "TdxVm", "AzureGuest"} {
		text := policy.Default(kind)
		p, err := policy.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if found := policy.Lint(p, kind); len(found) > 0 {
			t.Errorf("%s: %v", kind, found)
		}
		if strings.Contains(text, "\n") && policy.Format(p) != text {
			t.Errorf("%s is not formatted:\n%s", kind, policy.Format(p))
		}
	}
	for _, kind := range []string{"Tpm", "VbsEnclave", "nothing"} {
		if text := policy.Default(kind); text != "" {
			t.Errorf("%s has the default %q", kind, text)
		}
	}
}

func TestExplain(t *testing.T) {
	p, err := policy.Parse("version=1.2;configurationrules{=> " +
		"issueproperty(type=\"x-ms-sgx-tcbidentifier\", value=\"17\");};authorizationrules{" +
		`c:[type=="svn", value>=3, issuer=="AttestationService"] && ![type=="debug"] => permit(); ` +
		`=> deny();};issuancerules{c:[type=="svn"] => issue(type="x", value=c.value);};`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Always set the property x-ms-sgx-tcbidentifier = "17".`,
		`If svn is at least 3 and comes from "AttestationService", and not: debug exists: accept.`,
		"Always refuse.",
		"If svn exists: put into the token x = the value of svn.",
	} {
		if got := policy.Explain(p); !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}

func FuzzFormat(f *testing.F) {
	f.Add(policy.Default("SgxEnclave"))
	f.Add("version=1.2;// a\nauthorizationrules{ // b\n [type==\"x\"] // c\n && c:[value==1]=>permit();\n" +
		"\n// d\n=> add(type=\"y\", value=c.value);};// e")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := policy.Parse(text)
		if err != nil {
			return
		}
		once := policy.Format(p)
		q, err := policy.Parse(once)
		if err != nil {
			t.Fatalf("what was formatted does not parse: %v\n%s", err, once)
		}
		if twice := policy.Format(q); twice != once {
			t.Errorf("formatting twice changes it:\n%q\n%q", once, twice)
		}
		if len(q.Comments) != len(p.Comments) {
			t.Errorf("%d comments became %d:\n%s", len(p.Comments), len(q.Comments), once)
		}
		// Formatting never changes what a policy decides.
		before, errBefore := p.Evaluate(measured)
		after, errAfter := q.Evaluate(measured)
		a, _ := before.Issued.MarshalJSON()
		b, _ := after.Issued.MarshalJSON()
		if before.Permitted != after.Permitted || (errBefore == nil) != (errAfter == nil) ||
			string(a) != string(b) {
			t.Errorf("another verdict: %s", once)
		}
		policy.Lint(p, "SgxEnclave")
		policy.Explain(p)
	})
}
