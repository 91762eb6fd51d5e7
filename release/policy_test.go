package release_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/release"
)

// policyOf is a policy of one authority with the given condition.
func policyOf(conditions ...string) string {
	return `{"version":"1.0.0","anyOf":[{"authority":"https://attest.example.org","allOf":[` +
		strings.Join(conditions, ",") + `]}]}`
}

func parse(t testing.TB, text string) *release.Policy {
	t.Helper()
	p, err := release.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// problems returns what Parse finds in a policy.
func problems(t *testing.T, text string) []release.Diagnostic {
	t.Helper()
	p, err := release.Parse([]byte(text))
	var parse *release.ParseError
	if !errors.As(err, &parse) || p != nil || len(parse.Diagnostics) == 0 {
		t.Fatalf("%.200s: %v, %v", text, p, err)
	}
	return parse.Diagnostics
}

func TestPoliciesInUseAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"grammar 1.0.0": `{"version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[
			{"claim":"x-ms-attestation-type","equals":"sevsnpvm"}]}]}`,
		"importkey writes 0.2": `{"version":"0.2","anyOf":[{"authority":"https://a.example:8443","allOf":[
			{"claim":"x-ms-sevsnpvm-hostdata","equals":"aa"},{"claim":"x-ms-sevsnpvm-vmpl","equals":"0"}]}]}`,
		"an older version": `{"anyOf":[{"anyOf":[{"claim":"sdk-test","equals":"true"}],
			"authority":"https://a.example/"}],"version":"1.0"}`,
		"no version": `{"anyOf":[{"authority":"https://a.example","anyOf":[{"claim":"a","exists":true}]}]}`,
		"the lower-case spelling": `{"anyof":[{"authority":"https://a.example","allof":[
			{"anyof":[{"claim":"a","less":1}]}]}]}`,
		"a nested policy, as Microsoft's default": `{"version":"1.0.0","anyOf":[{"authority":"https://a.example/",
			"allOf":[{"claim":"x-ms-compliance-status","equals":"azure-compliant-cvm"},
			{"anyOf":[{"claim":"x-ms-attestation-type","equals":"tdxvm"},
			{"claim":"x-ms-attestation-type","equals":"sevsnpvm"}]}]}]}`,
		"an authority on http": `{"anyOf":[{"authority":"http://localhost:8080","anyOf":[{"claim":"a","equals":1}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, text)
			if len(p.Authorities) != 1 || p.Authorities[0].Conditions == nil {
				t.Errorf("policy = %+v", p)
			}
		})
	}
}

// Clients write the data of a policy in base64url without padding, and one in standard base64 with it.
func TestBothAlphabetsOfDataAreRead(t *testing.T) {
	text := []byte(policyOf(`{"claim":"a?>","equals":"~~~>>>???"}`) + " ")
	for name, encoding := range map[string]*base64.Encoding{
		"base64url": base64.RawURLEncoding, "base64url with padding": base64.URLEncoding,
		"base64": base64.RawStdEncoding, "base64 with padding": base64.StdEncoding,
	} {
		if _, err := release.ParseData(encoding.EncodeToString(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := base64.RawURLEncoding.EncodeToString(text)
	for data, want := range map[string]string{
		"": "ends early", "*": "not base64url", good[:4] + "\n" + good[4:]: "not base64url",
		good + "===": "not base64url",
		string(text): "not base64url", strings.Repeat("A", 200_000): "too long", "e30": "names no authority",
	} {
		_, err := release.ParseData(data)
		var parse *release.ParseError
		if !errors.As(err, &parse) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", data, err, want)
		}
	}
}

func TestAPolicyIsReadWithItsPlaces(t *testing.T) {
	p := parse(t, `{ "anyOf": [
  { "authority": "https://ä.example",
    "allOf": [ { "anyOf": [ { "claim": "a.b", "notEquals": -1.50 } ] } ] } ] }`)
	a := p.Authorities[0]
	any := a.Conditions.Conditions[0].(*release.Group)
	c := any.Conditions[0].(*release.Comparison)
	number, _ := c.Value.Number()
	got := []string{
		p.Version, a.URL, a.Pos.String(), a.URLPos.String(), a.Conditions.Name(), a.Conditions.Start().String(),
		any.Name(), any.Start().String(), c.Claim, string(c.Operator), number, c.Start().String(),
	}
	want := []string{
		"", "https://ä.example", "2:3", "2:18", "allOf", "3:5", "anyOf", "3:18", "a.b", "notEquals", "-1.50",
		"3:29",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestValuesHaveTheirKinds(t *testing.T) {
	p := parse(
		t,
		policyOf(`{"claim":"a","equals":"x"}`, `{"claim":"a","equals":1}`, `{"claim":"a","exists":false}`),
	)
	var got []string
	for _, c := range p.Authorities[0].Conditions.Conditions {
		v := c.(*release.Comparison).Value
		text, isText := v.Text()
		number, isNumber := v.Number()
		truth, isTruth := v.Bool()
		got = append(got, fmt.Sprintf("%v %s %v %s %v %v %v", v, text, isText, number, isNumber, truth, isTruth))
	}
	want := []string{
		"\"x\" x true  false false false",
		"1  false 1 true false false",
		"false  false  false false true",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestEachProblemHasItsPlaceAndItsRemedy(t *testing.T) {
	in := func(condition string) string { return policyOf(condition) }
	for name, tc := range map[string]struct{ text, at, message, suggestion string }{
		"nothing":              {``, "", "ends early", ""},
		"a policy cut off":     {`{"anyOf":[`, "", "ends early", ""},
		"not JSON":             {`{"anyOf":[}`, `}`, "unexpected character '}'", ""},
		"a comma too many":     {`{"anyOf":[],}`, `,}`, "not JSON", ""},
		"a byte order mark":    {"\ufeff{}", "\ufeff{}", "byte order mark", ""},
		"two values":           {"{}\n{}", `{}`, "more text after the end", ""},
		"text after the value": {policyOf(`{"claim":"a","equals":1}`) + " x", `x`, "more text after the end", ""},
		"not UTF-8":            {`{"` + "\xff" + `":1}`, "\xff\":1}", "UTF-8", ""},
		"an array":             {`[]`, `[]`, "the policy is of the wrong kind, expected an object", ""},
		"a number":             {`5`, `5`, "found a number (5)", ""},
		"no authority":         {`{"version":"1.0.0"}`, `{"version`, "names no authority", `add "anyOf"`},
		"authorities in allOf": {`{"allOf":[]}`, `[]}`, "a token has one issuer", "as anyOf"},
		"an unknown member": {
			`{"verison":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":1}]}]}`,
			`"verison"`, `unknown member "verison"`, "nearest: version",
		},
		"a member twice": {
			`{"version":"1.0","version":"1.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":1}]}]}`,
			`"version"`, `"version" occurs twice`, "the first one is at 1:2",
		},
		"both spellings of a member": {
			`{"anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":1}]}],"anyof":[]}`,
			`"anyof":[`, `"anyof" occurs twice`, "1:2",
		},
		"an unknown version": {
			`{"version":"2.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":1}]}]}`,
			`"2.0","an`, `version of the policy is unknown`, `write "version": "1.0.0"`,
		},
		"a version without quotes": {
			`{"version":0.2,"anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":1}]}]}`,
			`0.2,"anyO`, `found 0.2`, `write "version"`,
		},
		"anyOf is an object": {
			`{"anyOf":{}}`, `{}}`, "the policy's anyOf is of the wrong kind, expected a list", "brackets",
		},
		"no entry": {`{"anyOf":[]}`, `[]}`, "anyOf is empty", "add one"},
		"a text for an authority": {
			`{"anyOf":["https://a.example"]}`, `"https://`, "an authority is of the wrong kind", "",
		},
		"a condition at the top": {
			`{"anyOf":[{"claim":"a","equals":1}]}`, `{"claim":`, "where an authority belongs",
			"put it into the allOf",
		},
		"an entry of no authority": {
			`{"anyOf":[{"allOf":[{"claim":"a","equals":1}]}]}`, `{"allOf":`, "names no authority", `add "authority"`,
		},
		"an authority without conditions": {
			`{"anyOf":[{"authority":"https://a.example"}]}`, `{"authori`, "no conditions, expected anyOf or allOf",
			"add",
		},
		"an authority with an empty group": {
			`{"anyOf":[{"authority":"https://a.example","allOf":[]}]}`, `[]}]}`, "allOf is empty",
			"would decide nothing",
		},
		"an authority with both groups": {
			`{"anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":1}],"anyOf":[{"claim":"a","equals":1}]}]}`,
			`"anyOf":[`, "both anyOf and allOf", "nest one in the other",
		},
		"an authority with a claim": {
			`{"anyOf":[{"authority":"https://a.example","claim":"a","allOf":[{"claim":"a","equals":1}]}]}`,
			`"claim":"`, `unknown member "claim"`, "",
		},
		"a condition of text":       {in(`"a"`), `"a"]}]}`, "a condition is of the wrong kind", ""},
		"a condition without claim": {in(`{"equals":1}`), `{"equals"`, "names no claim", `add "claim"`},
		"an empty condition":        {in(`{}`), `{}]}]}`, "names no claim", ""},
		"a condition with no operator": {
			in(`{"claim":"a"}`), `{"claim":`, "exactly one operator, expected equals, notEquals, less", `"equals": …`,
		},
		"two operators": {
			in(`{"claim":"a","greater":1,"less":3}`), `{"claim":`, "found less, greater", "in an allOf",
		},
		"a misspelt operator": {
			in(`{"claim":"a","equal":1}`), `"equal":1`, `unknown member "equal"`, "nearest: equals",
		},
		"an operator in capitals": {
			in(`{"claim":"a","NotEquals":1}`), `"NotEqual`, "unknown member", "nearest: notEquals",
		},
		"an empty name":           {in(`{"claim":"","equals":1}`), `"","equal`, "claim is empty", ""},
		"a name that is a number": {in(`{"claim":5,"equals":1}`), `5,"equals`, "expected a string", ""},
		"a name that is too long": {
			in(`{"claim":"` + strings.Repeat("a", 513) + `","equals":1}`), `"aaaaaaaa`,
			"too long, expected at most 512 bytes", "",
		},
		"a list of values": {
			in(`{"claim":"a","equals":["x","y"]}`), `["x","y"]`, "found an array", "in an anyOf",
		},
		"an object as value": {in(`{"claim":"a","notEquals":{}}`), `{}}]}]}`, "found an object", ""},
		"null as value":      {in(`{"claim":"a","equals":null}`), `null}]}]}`, "found null", ""},
		"exists with a text": {
			in(`{"claim":"a","exists":"true"}`), `"true"}]}`, "expected true or false", "without quotes",
		},
		"exists with a number": {in(`{"claim":"a","exists":1}`), `1}]}]}`, "expected true or false", ""},
		"an order of texts":    {in(`{"claim":"a","less":"b"}`), `"b"}]}]}`, "expected a number", "only equals"},
		"a number in quotes": {
			in(`{"claim":"a","greater":"3"}`), `"3"}]}]}`, "expected a number", "write 3, without quotes",
		},
		"an order of booleans": {in(`{"claim":"a","lessOrEquals":true}`), `true}]}]}`, "expected a number", ""},
		"a power without bound": {
			in(`{"claim":"a","equals":1e999999999}`), `1e9999999`, "the number is too long", "",
		},
		"a power beyond int": {
			in(`{"claim":"a","less":1e99999999999999999999}`), `1e9999999`, "the number is too long", "",
		},
		"a number of 101 digits": {
			in(`{"claim":"a","equals":` + strings.Repeat("1", 101) + `}`), `111111111`, "the number is too long", "",
		},
		"a group beside a claim": {
			in(`{"claim":"a","equals":1,"anyOf":[]}`), `{"claim":`, "a group beside other members",
			"object of its own",
		},
		"a condition with both groups": {in(`{"anyOf":[],"allOf":[]}`), `"allOf":[`, "both anyOf and allOf", ""},
		"an empty inner group":         {in(`{"anyOf":[]}`), `[]}]}]}`, "anyOf is empty", ""},
		"a group that is an object":    {in(`{"anyOf":{}}`), `{}}]}]}`, "expected a list", ""},
	} {
		t.Run(name, func(t *testing.T) {
			found := problems(t, tc.text)[0]
			text := found.String()
			rest := tc.text[found.Pos.Offset:]
			if !strings.HasPrefix(rest, tc.at) || tc.at == "" && rest != "" || found.Severity != release.Error ||
				!strings.Contains(text, tc.message) || !strings.Contains(found.Suggestion, tc.suggestion) {
				t.Errorf("%s\nwant at %q: %q %q", text, tc.at, tc.message, tc.suggestion)
			}
		})
	}
}

func TestAuthoritiesThatNoTokenCanHaveAreRefused(t *testing.T) {
	for url, want := range map[string]string{
		"attest.example.org": "not an https URL", "ftp://a.example": "not an https URL", "https://": "has no host",
		"https://:443": "has no host", "https://u@a.example": "user name", "https://a.example?x=1": "query",
		"https://a.example/?": "query", "https://a.example/#": "fragment", "https://a b.example": "not a URL",
		"": "not an https URL",
		"https://a.example/" + strings.Repeat("x", 500): "longer than 512",
	} {
		text := fmt.Sprintf(`{"anyOf":[{"authority":%q,"allOf":[{"claim":"a","equals":1}]}]}`, url)
		d := problems(t, text)[0]
		if !strings.Contains(d.Message, want) || d.Pos.String() != "1:24" {
			t.Errorf("%s: %s, want %q", url, d, want)
		}
	}
	d := problems(t, `{"anyOf":[{"authority":7,"allOf":[{"claim":"a","equals":1}]}]}`)[0]
	if !strings.Contains(d.String(), "expected a string with the issuer's URL, found a number (7)") {
		t.Error(d)
	}
}

func TestAllProblemsAreListedInTheOrderOfTheText(t *testing.T) {
	text := "{\"version\": 1,\n \"anyOf\": [\n {\"authority\": \"x\", \"allOff\": []},\n {\"allOf\": [{\"claim\": \"a\", " +
		"\"equal\": 1}]}\n]}"
	var places []string
	for _, d := range problems(t, text) {
		places = append(places, d.Pos.String())
	}
	if d := cmp.Diff([]string{"1:13", "3:16", "3:21", "4:2", "4:28"}, places); d != "" {
		t.Error(d)
	}
	_, err := release.Parse([]byte(text))
	if !strings.HasPrefix(err.Error(), "release policy: 1:13: error: ") ||
		!strings.Contains(err.Error(), "; 4:28: ") {
		t.Error(err)
	}
}

func TestTheTextOfAnErrorHasABound(t *testing.T) {
	many := policyOf(strings.TrimSuffix(strings.Repeat(`{"claim":"a","x":1},`, 300), ","))
	_, err := release.Parse([]byte(many))
	if len(err.Error()) > 4000 || !strings.HasSuffix(err.Error(), "; and 92 more") {
		t.Errorf("%d bytes: %s", len(err.Error()), err)
	}
	long := problems(t, policyOf(`{"claim":"a","`+strings.Repeat("é", 20_000)+`":1}`))
	if len(long[0].String()) > 1000 {
		t.Errorf("%d bytes", len(long[0].String()))
	}
	if (&release.ParseError{}).Error() != "release policy: no errors" {
		t.Error("an error without diagnostics says otherwise")
	}
}

func TestAPolicyHasBounds(t *testing.T) {
	condition := `{"claim":"a","equals":1}`
	nest := func(n int) string {
		return policyOf(strings.Repeat(`{"anyOf":[`, n) + condition + strings.Repeat(`]}`, n))
	}
	many := func(n int) string { return policyOf(strings.TrimSuffix(strings.Repeat(condition+",", n), ",")) }
	for name, tc := range map[string]struct{ good, bad, want string }{
		"size":       {many(1) + strings.Repeat(" ", 60_000), many(1) + strings.Repeat(" ", 66_000), "too long"},
		"nesting":    {nest(release.MaxNesting - 1), nest(release.MaxNesting), "nested more than 24 deep"},
		"depth":      {nest(1), nest(5000), "nested too deeply"},
		"conditions": {many(release.MaxConditions), many(release.MaxConditions + 1), "too many conditions"},
		"values": {many(1), policyOf(`{"claim":"a","equals":[` + strings.Repeat("1,", 9000) + `1]}`),
			"too many values"},
	} {
		t.Run(name, func(t *testing.T) {
			parse(t, tc.good)
			if found := problems(t, tc.bad)[0]; !strings.Contains(found.Message, tc.want) {
				t.Errorf("%s, want %s", found, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		policyOf(`{"claim":"a.b","equals":"c"}`), policyOf(`{"anyOf":[{"claim":"a","less":1.5e3}]}`),
		`{"anyof":[`, "\ufeff",
		`{"version":"0.2","anyOf":[{"authority":"https://a","allOf":[{"claim":"a","exists":true}]}]}`,
	} {
		f.Add([]byte(seed))
	}
	claims, err := release.ParseClaims([]byte(`{"a":{"b":"c"},"b":[1,"x",null]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := release.Parse(text)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if err != nil {
			var parse *release.ParseError
			if !errors.As(err, &parse) {
				t.Fatalf("%T", err)
			}
			for _, d := range parse.Diagnostics {
				if d.Pos.Line < 1 || d.Pos.Column < 1 || d.Pos.Offset > len(text) || d.Message == "" {
					t.Fatalf("%+v", d)
				}
			}
			return
		}
		_ = p.Lint("https://attest.example.org")
		d := p.Evaluate("https://attest.example.org", claims)
		if d.Reason == "" || strings.Contains(d.Reason, "\n") {
			t.Fatalf("reason %q", d.Reason)
		}
		if d.Satisfied != p.Evaluate("HTTPS://attest.example.org/", claims).Satisfied {
			t.Fatal("the spelling of the issuer matters")
		}
	})
}
