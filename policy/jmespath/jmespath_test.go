package jmespath_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	_ "github.com/jmespath/go-jmespath" // ships the compliance suite

	"github.com/probity-dev/probity/policy/jmespath"
)

const plenty = 1_000_000

func search(t *testing.T, query, document string) (string, error) {
	t.Helper()
	q, err := jmespath.Compile(query)
	if err != nil {
		return "", err
	}
	budget := jmespath.NewBudget(t.Context(), plenty, plenty)
	d, err := jmespath.ParseDocument(document, budget)
	if err != nil {
		t.Fatal(err)
	}
	return q.Search(d, budget)
}

// suite is a file of the compliance suite.
type suite []struct {
	Given json.RawMessage
	Cases []struct {
		Expression string
		Result     json.RawMessage
		Error      string
	}
}

func TestComplianceSuite(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/jmespath/go-jmespath").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "compliance", "*.json"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	count := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s suite
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		for _, group := range s {
			for _, c := range group.Cases {
				count++
				got, err := search(t, c.Expression, string(group.Given))
				switch {
				case c.Error != "":
					if err == nil {
						t.Errorf("%s: %s = %s, want an error (%s)", filepath.Base(file), c.Expression, got, c.Error)
					}
				case err != nil:
					t.Errorf("%s: %s: %v", filepath.Base(file), c.Expression, err)
				default:
					var a, b any
					if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal(c.Result, &b) != nil ||
						!reflect.DeepEqual(a, b) && !sameUnordered(a, b) {
						t.Errorf("%s: %s = %s, want %s", filepath.Base(file), c.Expression, got, c.Result)
					}
				}
			}
		}
	}
	if count < 500 {
		t.Errorf("only %d cases", count)
	}
}

// sameUnordered compares lists whose order the specification leaves open.
func sameUnordered(a, b any) bool {
	x, ok := a.([]any)
	y, ok2 := b.([]any)
	if !ok || !ok2 || len(x) != len(y) {
		return false
	}
	counts := map[string]int{}
	for i := range x {
		counts[fmt.Sprint(x[i])]++
		counts[fmt.Sprint(y[i])]--
	}
	for _, n := range counts {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestWhatPoliciesUse(t *testing.T) {
	const events = `{"Events":[
		{"EventSeq":4,"PcrIndex":7,"EventTypeString":"EV_EFI_VARIABLE_DRIVER_CONFIG",
			"ProcessedData":{"UnicodeName":"SecureBoot","VariableData":"AQ"}},
		{"EventSeq":9,"PcrIndex":12,"EventTypeString":"EV_EVENT_TAG",
			"ProcessedData":{"Path":"\\Windows\\ELAM.sys","n":18446744073709551615}},
		{"EventSeq":11,"PcrIndex":12,"EventTypeString":"EV_EVENT_TAG"}]}`
	secureBoot := "Events[? EventTypeString == 'EV_EFI_VARIABLE_DRIVER_CONFIG' && " +
		"ProcessedData.UnicodeName == 'SecureBoot'] | " +
		"length(@) == `1` && @[0] | @.ProcessedData.VariableData"
	for query, want := range map[string]string{
		secureBoot: `"AQ"`,
		"Events[? PcrIndex == `12` && EventSeq > `9`].EventSeq | @[0]":                           `11`,
		"Events[? PcrIndex == '12']":                                                             `[]`,
		"Events[?equals_ignore_case(ProcessedData.Path, '\\\\windows\\\\elam.SYS')] | length(@)": `1`,
		"Events[-1].@.{A: EventSeq}":                                                             "",
		"Events[0].{B: EventSeq, A: PcrIndex}":                                                   `{"A":7,"B":4}`,
		"Events[*].ProcessedData.n":                                                              `[18446744073709551615]`,
		"absent":                                                                                 `null`,
		"Events[].EventSeq | max(@)":                                                             `11`,
	} {
		got, err := search(t, query, events)
		if (err != nil) != (want == "") || got != want {
			t.Errorf("%s = %s, %v; want %s", query, got, err, want)
		}
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	for name, query := range map[string]string{
		"empty": "", "bare numeral in a comparison": "a[?b == 20]", "unclosed": "a[",
		"unknown function": "concat(a)", "wrong arity": "length(a, b)",
		"quoted function": `"length"(a)`, "step of zero": "a[::0]",
		"too long": strings.Repeat("a", jmespath.MaxQuery+1),
		"too deep": strings.Repeat("(", 100) + "a" + strings.Repeat(")", 100), "not UTF-8": "\xff",
		"index too large": "a[99999999999999999999]",
	} {
		var syntax *jmespath.SyntaxError
		if _, err := jmespath.Compile(query); !errors.As(err, &syntax) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoQueryExhaustsTheService(t *testing.T) {
	for name, query := range map[string]string{
		"doubling by flattening": "[@,@][]" + strings.Repeat(" | [@,@][]", 60),
		"doubling by reference":  "[@,@]" + strings.Repeat(" | [@,@]", 60),
		"doubling text":          "'xxxxxxxxxxxxxxxx'" + strings.Repeat(" | join(@, [@,@,@])", 60),
		"comparing twins":        "[@,@]" + strings.Repeat(" | [@,@]", 40) + " | @[0] == @[1]",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := search(t, query, `"x"`); !errors.Is(err, jmespath.ErrSteps) &&
				!errors.Is(err, jmespath.ErrBytes) && !errors.Is(err, jmespath.ErrResult) {
				t.Errorf("result of %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "duplicate member": `{"a":1,"a":2}`, "trailing data": `{} x`, "two values": `1 2`,
		"too deep": strings.Repeat("[", 600) + strings.Repeat("]", 600), "not JSON": "abc",
	} {
		if _, err := jmespath.ParseDocument(text, jmespath.NewBudget(t.Context(), plenty, plenty)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzSearch(f *testing.F) {
	f.Add("Events[? a == `1` && b].c | @[0] || length(@)", `{"Events":[{"a":1,"b":"x","c":[1,2]}]}`)
	f.Add("sort_by(a, &b)[::-1].{x: b, y: to_string(@)}", `{"a":[{"b":2},{"b":1}]}`)
	f.Fuzz(func(t *testing.T, query, document string) {
		q, err := jmespath.Compile(query)
		if err != nil {
			return
		}
		budget := jmespath.NewBudget(t.Context(), 100_000, 1_000_000)
		d, err := jmespath.ParseDocument(document, budget)
		if err != nil {
			return
		}
		got, err := q.Search(d, budget)
		if err == nil && !json.Valid([]byte(got)) {
			t.Errorf("%s = %q is not JSON", query, got)
		}
	})
}
