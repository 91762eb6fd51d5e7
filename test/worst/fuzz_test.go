package worst

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// steps of a query: each takes what the one before made.
var queries = []string{
	"[@,@][]", "[@,@]", "[*].to_string(@)", "to_string(@)", "reverse(@)", "sort(@)",
	"sort_by(@,&to_string(@))", "[*].length(@)", "length(@)", "keys(@)", "values(@)",
	"*",
	"join('',@)", "join(@[0],@)", "merge(@,@)", "{a:@,b:@}", "[::-1]", "[?@==@]", "[?a]", "max(@)",
	"min_by(@,&to_string(@))", "map(&[@],@)", "contains(@,@)", "to_number(@)",
	"[*].to_number(@)",
	"[]", "@[0]==@[1]", "to_array(@)", "not_null(@,@)", "[*].[@,@]", "[*].type(@)", "s", "[s,s]",
	"starts_with(@,@)", "equals_ignore_case(@,@)", "sum(@)", "[*].keys(@)", "[*].*", "[*].s",
}

// documents are what is queried.
var documents = []string{
	"1", `"%s"`, `{"s":"%s"}`, `["%s","%s"]`, "[%d]", "{%n}", `[{%n},{%n}]`, `[[%d],[%d]]`, `[%o]`,
}

// actions are rules over the claims that there are.
var actions = []string{
	`c:[type=="x"] => add(type="%[1]d", value=JmesPath(c.value,"%[2]s"));`,
	`c:[type=="x"] => add(type="y", value=JsonToClaimValue(c.value));`,
	`c:[type=="x"] => add(type="x", value=AppendString(c.value,"%[1]d"));`,
	`c:[type=="x"] => add(type="%[1]d", value=AppendString(c.value,c.value));`,
	`c:[type=="y"] && [value!=c.value] => permit();`,
	`c:[type=="y"] => add(type="z", value=IsSubsetOf(c.value,c.value));`,
	`c:[value!=1] => add(type="%[1]d", value=c.value);`,
	`c:[type=="x"] => add(type="q%[1]d", value=JmesPath("1",c.value));`,
	`c:[type=="y"] => add(type="z", value=ContainsOnlyValue(c.value,1));`,
	`c:[type=="%[1]d"] => add(type="x", value=c.value);`,
	`a:[value!=1] && b:[value==a.value] && c:[value!=b.value] => add(claim=a);`,
}

// compose makes a policy and a document of the bytes: each byte chooses a part, or how often the
// last one comes.
func compose(b []byte) (text, document string) {
	next := func() int {
		if len(b) == 0 {
			return 0
		}
		n := int(b[0])
		b = b[1:]
		return n
	}
	size := 1 << (next() % 18)
	document = documents[next()%len(documents)]
	letter := []string{"A", "é", `\u0001`, `\"`}[next()%4]
	document = strings.NewReplacer("%s", strings.Repeat(letter, size), "%d", list("7", size), "%n",
		numbered(`"%d":0`, size/4), "%o", list("{}", size)).Replace(document)
	if len(document) > maxInput {
		document = `"` + strings.Repeat("A", maxInput-2) + `"`
	}
	var rules strings.Builder
	for rule := 0; len(b) > 0 && rule < 100; rule++ {
		action := actions[next()%len(actions)]
		var parts []string
		for range next() % 8 {
			part := queries[next()%len(queries)]
			for range 1 + next()%64 {
				parts = append(parts, part)
			}
		}
		parts = append(parts, "@")
		text := strings.ReplaceAll(action, "%[1]d", fmt.Sprint(rule))
		text = strings.ReplaceAll(text, "%[2]s", strings.Join(parts, "|")) + "\n"
		for range 1 + next()%32 {
			rules.WriteString(text)
		}
	}
	return "version=1.2;authorizationrules{" + rules.String() +
		"=>permit();};issuancerules{c:[value!=1] => issue(claim=c);};", document
}

// FuzzPolicies looks for policies that take more than they may.
func FuzzPolicies(f *testing.F) {
	for _, seed := range []string{
		"\x10\x02\x00\x00\x02\x00\x20\x02\x01\x01",
		"\x12\x05\x00\x00\x01\x09\x3f\x04\x01\x01\x05\x05",
		"\x0d\x06\x01\x02\x00\x00\x09\x03\x00\x1f\x0a\x00\x03",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text, document := compose(b)
		hold(t, len(document), func() { _ = judge(text, document) })
	})
}

// FuzzParsers looks for inputs of a parser that take more than they may: the bytes are
// repeated up to a megabyte, after a beginning and before an end.
func FuzzParsers(f *testing.F) {
	all := parsers()
	names := slices.Sorted(maps.Keys(all))
	for i := range names {
		for _, seed := range [][3]string{
			{"[0", ",0", "]"},
			{`{"a":[{}`, `,{"":0}`, "]}"},
			{"\xd2\x84\x40\xa0\x5a\x00\x0f\xff\xf0", "\x81", "\x40"},
			{"", "-----BEGIN CERTIFICATE-----\n", ""},
		} {
			f.Add(uint8(i), []byte(seed[0]), []byte(seed[1]), []byte(seed[2]))
		}
	}
	f.Fuzz(func(t *testing.T, parser uint8, before, middle, after []byte) {
		if len(middle) == 0 || len(before)+len(after) > maxInput {
			return
		}
		name, b := names[int(parser)%len(names)], within(string(before), string(middle), string(after))
		t.Log(name)
		hold(t, len(b), func() { all[name](b) })
	})
}
