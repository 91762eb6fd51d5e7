package worst

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

func rules(text string) string {
	return "version= 1.2;\nauthorizationrules{\n" + text + "\n=> permit();};\nissuancerules{};"
}

// query is a policy that makes one query over the claim x.
func query(text string) string {
	return rules(`c:[type=="x"] => add(type="y", value=JmesPath(c.value, "` + text + `"));`)
}

func list(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }

func known(text string) claims.Set {
	return claims.NewSet(claims.Claim{
		Type:   "x",
		Value:  claims.StringValue(text),
		Issuer: claims.AttestationService,
	})
}

// numbered joins texts that contain their number.
func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// grown adds claims s0, s1, ... each twice as long as the one before.
func grown(text string, doublings int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "=> add(type=\"s0\", value=\"%s\");\n", text)
	for i := range doublings {
		fmt.Fprintf(&b, "c:[type==\"s%d\"] => add(type=\"s%d\", value=AppendString(c.value,c.value));\n", i, i+1)
	}
	return b.String()
}

type policyCase struct{ name, policy, document string }

func policyCases() []policyCase {
	long := `{"s":"` + strings.Repeat("A", 900<<10) + `"}`
	accents := `{"s":"` + strings.Repeat("é", 450<<10) + `"}`
	controls := `{"s":"` + strings.Repeat(`\u0001`, 150<<10) + `"}`
	words := `["` + strings.Repeat("a", 1000) + `","` + strings.Repeat("a", 999) + `b"]`
	names := "{" + numbered(`"%d":0`, 80_000) + "}"
	prefixed := "{" + numbered(`"`+strings.Repeat("k", 4000)+`%d":0`, 250) + "}"
	sorted := "[" + numbered(`"`+strings.Repeat("k", 4000)+`%d"`, 250) + "]"
	doubled := func(n int) string { return strings.Repeat("[@,@][]|", n) }
	var cases []policyCase
	add := func(name, policy, document string) { cases = append(cases, policyCase{name, policy, document}) }
	for _, n := range []int{100, 4000} {
		add(fmt.Sprint("to_string of a long text, times ", n),
			query("["+list("[s]", n)+"][*].to_string(@) | length(@)"), long)
		add(fmt.Sprint("to_string of control characters, times ", n),
			query("["+list("[s]", n)+"][*].to_string(@) | length(@)"), controls)
		add(fmt.Sprint("reverse of a long text, times ", n),
			query("["+list("s", n)+"][*].reverse(@) | length(@)"), long)
		add(fmt.Sprint("reverse of accents, times ", n),
			query("["+list("s", n)+"][*].reverse(@) | length(@)"), accents)
		add(fmt.Sprint("join of a long text, times ", n),
			query("["+list("s", n)+"][*].join('',[@]) | length(@)"), long)
		add(fmt.Sprint("keys, times ", n), query("["+list("@", n)+"][*].keys(@)|length(@)"), names)
		add(fmt.Sprint("values of an object, times ", n), query("["+list("@.*", n)+"]|length(@)"), names)
		add(fmt.Sprint("merge, times ", n), query("merge("+list("@", n)+")|length(@)"), names)
		add(fmt.Sprint("merge of long names, times ", n), query("merge("+list("@", n)+")|length(@)"), prefixed)
		add(fmt.Sprint("sort of long texts, times ", n), query("["+list("sort(@)", n/2)+"]|length(@)"), sorted)
		add(fmt.Sprint("sort_by, times ", n), query("["+list("sort_by(@,&@)", n/4)+"]|length(@)"), sorted)
		add(fmt.Sprint("max and min, times ", n), query("["+list("max(@)", n/2)+"]|length(@)"), sorted)
		add(fmt.Sprint("to_number of a document, times ", n),
			query("["+list("s", n)+"][*].to_number(@) | length(@)"),
			`{"s":"1 `+strings.Repeat("1", 900<<10)+`"}`)
		add(fmt.Sprint("equal twins, times ", n), query("["+list("[@[0]==@[1]]", n/4)+"]|length(@)"),
			`["`+strings.Repeat("a", 450<<10)+`","`+strings.Repeat("a", 450<<10)+`"]`)
		add(fmt.Sprint("contains, times ", n),
			query("["+list("contains(s,'AAAAAAAAAAAAAAAB')", n/8)+"]|length(@)"), long)
		add(fmt.Sprint("filters, times ", n), query("["+list("[?a]", n)+"]|length(@)"),
			"["+list(`{"b":1}`, 100_000)+"]")
		add(fmt.Sprint("numbers, times ", n), query("["+list("[*].abs(@)", n/4)+"]|length(@)"),
			"["+list("-1", 200_000)+"]")
	}
	for _, n := range []int{10, 14, 17, 20, 60} {
		add(fmt.Sprint("lengths of a list doubled ", n),
			query("[s]|"+doubled(n)+"[*].length(@) | length(@)"), accents)
		add(fmt.Sprint("a list doubled ", n), query("[s]|"+doubled(n)+"length(@)"), long)
		add(fmt.Sprint("texts of a list doubled ", n), query("[@]|"+doubled(n)+"[*].to_string(@)|length(@)"), words)
		add(fmt.Sprint("types of a list doubled ", n), query("[@]|"+doubled(n)+"[*].type(@)|length(@)"), "1")
		add(fmt.Sprint("slices of a list doubled ", n),
			query("[@]|"+doubled(n)+strings.Repeat("[::-1]|", 100)+"length(@)"), "1")
		add(fmt.Sprint("sort of a list doubled ", n), query("@|"+doubled(n)+"sort(@)|length(@)"), `["a","b","c"]`)
		add(fmt.Sprint("sort of numbers doubled ", n),
			query("@|"+doubled(n)+"sort(@)|sort(@)|sort(@)|length(@)"), "[3,1,2,5,4]")
		add(fmt.Sprint("conditions on a list doubled ", n),
			query("[@]|"+doubled(n)+"[?"+strings.Repeat("@&&", 2000)+"@]|length(@)"), "1")
		add(fmt.Sprint("negations on a list doubled ", n),
			query("[@]|"+doubled(n)+"[?"+strings.Repeat("!", 60)+"@]|length(@)"), "1")
		add(fmt.Sprint("pipes on a list doubled ", n),
			query("[@]|"+doubled(n)+"[*].["+strings.Repeat("@|", 2000)+"@]|length(@)"), "1")
		add(fmt.Sprint("objects of a list doubled ", n),
			query("[@]|"+doubled(n)+"[*].{a:@,b:@,c:@}|length(@)"), "1")
		add(fmt.Sprint("twins doubled ", n), query("[@,@]"+strings.Repeat("|[@,@]", n)+"|@[0]==@[1]"), "1")
	}
	for name, document := range map[string]string{
		"numbers": "[" + list("0", 500_000) + "]", "lists": "[" + list("[]", 350_000) + "]",
		"objects":       "[" + list("{}", 350_000) + "]",
		"small objects": "[" + list(`{"":0}`, 150_000) + "]", "names": names,
		"names in turn": "{" + numbered(`"%06d":0`, 80_000) + "}", "long names": prefixed,
		"a long number": strings.Repeat("1", 1<<20), "depth": strings.Repeat("[", 500_000),
		"escapes":                `"` + strings.Repeat(`\n`, 500_000) + `"`,
		"depth within the limit": "[" + list(strings.Repeat("[", 500)+strings.Repeat("]", 500), 1000) + "]",
		"long":                   long, "accents": accents, "controls": controls,
	} {
		add("a document of "+name, query("length(@)"), document)
		add("a document written again, of "+name, query("@"), document)
		add("a set of "+name, rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value));`), document)
		add("many texts that differ, of "+name,
			rules(strings.Repeat(`c:[type=="x"] => add(type="x", value=AppendString(c.value," "));`,
				500)+query("@")[len(
				"version= 1.2;\nauthorizationrules{\n",
			):len(query("@"))-len("\n=> permit();};\nissuancerules{};")]),
			document)
	}
	add("a subset", rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value)); `+
		`c:[type=="y"] && [value==IsSubsetOf(c.value,c.value)] => permit();`), "["+numbered("%d", 9000)+"]")
	add("subsets of long texts", rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value)); `+
		`c:[type=="y"] && [value==IsSubsetOf(c.value,c.value)] => permit();`), sorted)
	add("pairs of claims", rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value));`+
		strings.Repeat(`c:[type=="y"] && [value!=c.value] => permit();`, 500)), "["+numbered("%d", 9000)+"]")
	add("many properties", rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value)); [`+
		list(`value!=1`, 6000)+`,value==1] => permit();`), "["+numbered("1%d", 9000)+"]")
	add("many conditions that bind", rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value));`+
		strings.Repeat(`a:[type=="y"]&&b:[type=="y"]&&d:[type=="y"]=>permit();`, 900)),
		"["+numbered("1%d", 9000)+"]")
	add("many references", rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value)); `+
		`c:[type=="y"] && [`+list(`value==c.value`, 3500)+`] => permit();`), "["+numbered("1%d", 9000)+"]")
	add("many claims of long texts", rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value));`+
		strings.Repeat(`c:[type=="y"] => add(type="z", value=c.value);`, 900)), sorted)
	add("claims that differ in their names",
		rules(`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value)); `+
			`c:[type=="y"] => add(type="z", value=c.value);`+
			numberedRules(`c:[type=="y"] => add(type="z%d", value=c.value);`, 900)), sorted)
	add("long texts that grow", rules(grown(strings.Repeat("é", 2000),
		8)+numberedRules(`c:[type=="s8"] => add(type="t%d", value=AppendString(c.value,"x"));`, 500)), "1")
	add("long claims issued", "version= 1.2;\nauthorizationrules{=> permit();};\nissuancerules{"+
		numberedRules(`c:[type=="x"] => issue(type="t%d", value=c.value);`, 900)+"};", long)
	add("control characters issued", "version= 1.2;\nauthorizationrules{=> permit();};\nissuancerules{"+
		numberedRules(`c:[type=="x"] => issue(type="t%d", value=c.value);`, 900)+"};",
		strings.Repeat("\x01", 1<<20))
	add("queries that the policy makes", rules(grown(strings.Repeat("@|", 2000), 2)+numberedRules(
		`c:[type=="s2"] => add(type="y", value=JmesPath("1",AppendString(c.value,"@|'%d'")));`, 500,
	)), "1")
	add("literals in queries that the policy makes", rules(grown("["+strings.Repeat("`1`,", 990)+"@]|",
		2)+numberedRules("c:[type==\"s2\"] => add(type=\"y\", "+
		"value=JmesPath(\"1\",AppendString(c.value,\"@|'%d'\")));", 500)),
		"1")
	for name, item := range map[string]string{
		"references": "@", "pipes": "a.b", "raw literals": "''", "JSON literals": "`1`",
		"JSON lists": "`[]`", "old literals": "`a`", "names": `\"a\"`, "calls": "abs(@)",
		"filters": "[?a]", "slices": "[::1]",
	} {
		n := 15_700 / (len(strings.ReplaceAll(item, `\`, "")) + 1)
		text := query("[" + list(item, n) + "]")
		one := text[len(
			"version= 1.2;\nauthorizationrules{\n",
		) : len(text)-len("\n=> permit();};\nissuancerules{};")]
		add("long queries of "+name, rules(strings.Repeat(one, 4)), "1")
	}
	for name, text := range map[string]string{
		"an unreadable policy": strings.Repeat("x", policy.MaxText), "open strings": strings.Repeat("\"\n",
			policy.MaxText/2), "wrong signs": strings.Repeat("“", policy.MaxText/4),
		"unknown properties": rules(strings.Repeat(`[typ=="a"] => permit();`, 2000)),
		"unknown names":      rules(`[type==a` + list(".value,type==b", 3000) + `] => permit();`),
		"unknown functions":  rules("[" + list("value==F()", 5000) + "] => permit();"),
		"nested calls": rules("[" + list("value=="+strings.Repeat("NegateBool(", 31)+"true"+
			strings.Repeat(")", 31), 100) + "] => permit();"),
		"rules":               rules(strings.Repeat("=>permit();", 990)),
		"sections that stand": strings.Repeat("authorizationrules{};", 3000),
	} {
		add(name, text, "1")
	}
	add("a denial with many long claims", "version= 1.2;\nauthorizationrules{"+
		numberedRules(`c:[type=="x"] => add(type="b", value=AppendString(c.value,"%d"));`, 10)+
		strings.Repeat(`[type=="b", value=="x"] => permit();`, 900)+"};", strings.Repeat("\x01", 1<<20))
	add("a denial with many rules that would have helped",
		"version= 1.2;\n"+
			"authorizationrules{c:[type==\"x\"] => add(type=\"b\", value=JsonToClaimValue(c.value));"+
			strings.Repeat(`[type=="a"] => add(type="a", value=1);`,
				900)+strings.Repeat(`[type=="a"] => permit();`, 90)+"};", "["+numbered("1%d", 9900)+"]")
	return cases
}

func numberedRules(format string, n int) string {
	var b strings.Builder
	for i := range n {
		text := fmt.Sprintf(format+"\n", i)
		if b.Len()+len(text) > policy.MaxText-30_000 {
			break
		}
		b.WriteString(text)
	}
	return b.String()
}

// judge parses and applies a policy, and puts the verdict into words, as the service does.
func judge(text, document string) error {
	p, err := policy.Parse(text)
	if err != nil {
		return nil // of no interest here
	}
	if _, err := p.Settings(); err != nil {
		return nil
	}
	out, err := p.Evaluate(known(document))
	_, _ = out.Trace.Reason(), out.Trace.Report()
	if err == nil {
		_, err = out.Issued.MarshalJSON()
	}
	return err
}

func TestPoliciesStayWithinTheBounds(t *testing.T) {
	for _, c := range policyCases() {
		t.Run(c.name, func(t *testing.T) {
			var err error
			hold(t, len(c.policy)+len(c.document), func() { err = judge(c.policy, c.document) })
			t.Logf("policy of %d bytes: %.120v", len(c.policy), err)
		})
	}
}

// TestAnEvaluationEndsWithItsContext: no part of an evaluation goes on for long when no one waits.
func TestAnEvaluationEndsWithItsContext(t *testing.T) {
	if race {
		t.Skip("the race detector takes time of its own")
	}
	for _, c := range policyCases() {
		p, err := policy.Parse(c.policy)
		if err != nil {
			continue
		}
		best := time.Hour // of a few runs: what else the machine does at the time is not the evaluation's
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
			start := processorTime()
			out, err := p.EvaluateContext(ctx, known(c.document))
			best = min(best, processorTime()-start)
			cancel()
			if err != nil && errors.Is(err, context.DeadlineExceeded) && out.Permitted {
				t.Errorf("%s: permitted", c.name)
			}
			if best <= floor()/2 {
				break
			}
		}
		if best > floor()/2 {
			t.Errorf("%s: the evaluation went on for %v", c.name, best)
		}
	}
}
