package policy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

// TestWorkIsPaidBeforeItIsDone: each of these was within all limits and took seconds of
// processor time or hundreds of megabytes.
func TestWorkIsPaidBeforeItIsDone(t *testing.T) {
	long := `{"s":"` + strings.Repeat("A", 200<<10) + `"}`
	accents := `{"s":"` + strings.Repeat("é", 350<<10) + `"}`
	var numbers strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&numbers, "%d,", i)
	}
	times := func(text string, n int) string {
		return strings.TrimSuffix(strings.Repeat(text+",", n), ",")
	}
	query := func(text string) string {
		return `c:[type=="x"] => add(type="y", value=JmesPath(c.value, "` + text + `")); => permit();`
	}
	for name, tc := range map[string]struct{ document, rules, want string }{
		"texts written again": {
			long, query("[" + times("[s]", 1000) + "][*].to_string(@) | length(@)"),
			"more than 16777216 bytes",
		},
		"texts turned round": {
			long, query("[" + times("s", 1000) + "][*].reverse(@) | length(@)"),
			"more than 16777216 bytes",
		},
		"texts joined": {
			long, query("[" + times("s", 1000) + "][*].join('',[@]) | length(@)"),
			"more than 16777216 bytes",
		},
		"lengths of texts": {
			accents, query("[s]|" + strings.Repeat("[@,@][]|", 10) + "[*].length(@) | length(@)"),
			"more than 16777216 bytes",
		},
		"texts searched": {
			long, query("[" + times("contains(s,'B')", 200) + "]"), "more than 16777216 bytes",
		},
		"a list that doubles": {
			long, query("[s]|" + strings.Repeat("[@,@][]|", 60) + "length(@)"),
			"more than 16777216 bytes",
		},
		"conditions of nothing": {"1", query("[@]|" + strings.Repeat("[@,@][]|",
			17) + "[?" + strings.Repeat("@&&", 2000) + "@]|length(@)"), "more than 4000000 steps"},
		"pairs of a subset": {"[" + strings.TrimSuffix(numbers.String(), ",") + "]",
			`c:[type=="x"] => add(type="n", value=JsonToClaimValue(c.value));
			c:[type=="n"] && [value==IsSubsetOf(c.value, c.value)] => permit();`, "more than 4000000 steps"},
		"pairs of claims": {"[" + strings.TrimSuffix(numbers.String(), ",") + "]",
			`c:[type=="x"] => add(type="n", value=JsonToClaimValue(c.value));
			c:[type=="n"] && [type=="n", value!=c.value] => permit();`, "more than 4000000 steps"},
		"properties": {"[" + strings.TrimSuffix(numbers.String(), ",") + "]",
			`c:[type=="x"] => add(type="n", value=JsonToClaimValue(c.value));
			[` + times("value!=-1", 5000) + `, value==-1] => permit();`, "more than 4000000 steps"},
		"a set of too many values": {
			"[" + times("1", 100_000) + "]",
			`c:[type=="x"] => add(type="n", value=JsonToClaimValue(c.value)); => permit();`,
			"more than 10000 values",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse(auth(tc.rules))
			if err != nil {
				t.Fatal(err)
			}
			out, err := p.Evaluate(claims.NewSet(service("x", claims.StringValue(tc.document))))
			var evaluation *policy.EvaluationError
			if !errors.As(err, &evaluation) || !strings.Contains(err.Error(), tc.want) || out.Permitted {
				t.Errorf("permitted = %t, %v; want %q", out.Permitted, err, tc.want)
			}
		})
	}
}

// TestOneLongDocumentIsAffordable: a log of a megabyte is read, and queried by many rules.
func TestOneLongDocumentIsAffordable(t *testing.T) {
	var events strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&events,
			`{"EventSeq":%d,"PcrIndex":7,"EventType":8,"EventTypeString":"EV_EFI_VARIABLE_DRIVER_CONFIG",
			"Digests":{"SHA256":"%064x"},
			"ProcessedData":{"VariableGuid":"8be4df61-93ca-11d2-aa0d-00e098032b8c",
			"UnicodeName":"N%d","VariableData":"AQ"}},`,
			i, i, i)
	}
	document := `{"Events":[` + strings.TrimSuffix(events.String(), ",") + `]}`
	rule := `c:[type=="events"] => add(type="y", value=JmesPath(c.value, "Events[?EventTypeString == ` +
		`'EV_EFI_VARIABLE_DRIVER_CONFIG' && ProcessedData.UnicodeName == 'N7'] | [0].EventSeq"));`
	p, err := policy.Parse(auth(strings.Repeat(rule, 50) + ` [type=="y", value=="7"] => permit();`))
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Evaluate(claims.NewSet(service("events", claims.StringValue(document))))
	if err != nil || !out.Permitted {
		t.Errorf("a document of %d KB: permitted = %t, %v", len(document)>>10, out.Permitted, err)
	}
}

func TestAnEvaluationEndsWithItsContext(t *testing.T) {
	p, err := policy.Parse(auth(`c:[type=="x"] => add(type="y", value=JmesPath(c.value, "` +
		strings.Repeat("[@,@][]|", 17) + `length(@)")); => permit();`))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the caller left")
	cancel(reason)
	out, err := p.EvaluateContext(ctx, claims.NewSet(service("x", claims.StringValue("1"))))
	if !errors.Is(err, reason) || out.Permitted {
		t.Errorf("permitted = %t, %v", out.Permitted, err)
	}
	if out, err := p.Evaluate(claims.NewSet(service("x", claims.StringValue("1")))); err != nil ||
		!out.Permitted {
		t.Errorf("without that context: permitted = %t, %v", out.Permitted, err)
	}
}

// TestWhatIsIssuedFitsIntoAToken: a text costs nothing to hand on, and a token has it again
// for each name.
func TestWhatIsIssuedFitsIntoAToken(t *testing.T) {
	var rules strings.Builder
	for i := range 100 {
		fmt.Fprintf(&rules, `c:[type=="x"] => issue(type="n%d", value=c.value);`, i)
	}
	p, err := policy.Parse("version=1.2;authorizationrules{=> permit();};issuancerules{" + rules.String() + "};")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		strings.Repeat("A", 1000):    true,
		strings.Repeat("A", 20_000):  false,
		strings.Repeat("\x01", 2000): false,
	} {
		out, err := p.Evaluate(claims.NewSet(service("x", claims.StringValue(text))))
		if (err == nil) != want || out.Permitted != want {
			t.Errorf("100 claims of %d bytes: permitted = %t, %v", len(text), out.Permitted, err)
		}
	}
}

// TestReasonsStayShort: what a denial says does not grow with the claims and rules that it
// could name.
func TestReasonsStayShort(t *testing.T) {
	p, err := policy.Parse(
		auth(strings.Repeat(`c:[type=="x"] => add(type="x", value=AppendString(c.value, "y"));`, 4) +
			strings.Repeat(`[type=="x", value=="`+strings.Repeat("z", 300)+`"] => permit();`,
				100) + `[type=="x", value=="` + strings.Repeat("z", 20_000) + `"] => permit();`),
	)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Evaluate(claims.NewSet(service("x", claims.StringValue(strings.Repeat("\x01", 200_000)))))
	if err != nil {
		t.Log(err)
	}
	reason := out.Trace.Reason()
	if len(reason) > 64<<10 || !strings.Contains(reason, "and 93 more") && err == nil {
		t.Errorf("a reason of %d bytes: %.300s", len(reason), reason)
	}
	for _, r := range out.Trace.Report().Rules {
		if len(r.Failed)+len(r.Because) > 16<<10 {
			t.Errorf("rule %d: %d bytes", r.Rule, len(r.Failed)+len(r.Because))
		}
	}
}

func TestSettingsAreShort(t *testing.T) {
	text := `version=1.2;configurationrules{=> issueproperty(type="x-ms-sgx-tcbidentifier", value=` +
		strings.Repeat("AppendString(", 5) + `"1"` +
		strings.Repeat(`,"`+strings.Repeat("1", 400)+`")`, 5) + `);};authorizationrules{};`
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Settings(); err == nil {
		t.Error("a setting of 2001 bytes is accepted")
	}
}
