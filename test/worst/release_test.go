package worst

import (
	"fmt"
	"strings"
	"testing"

	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

// conditions makes a policy with as many conditions as there may be.
func conditions(one string) *release.Policy {
	text := `{"anyOf":[{"authority":"https://a.example","allOf":[` +
		strings.Repeat(one+",", release.MaxConditions-1) + one + `]}]}`
	p, err := release.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	return p
}

func TestReleasePolicies(t *testing.T) {
	for name, text := range map[string]string{
		"open brackets": strings.Repeat("[", release.MaxPolicySize),
		"values":        "[" + strings.Repeat("1,", 30_000) + "1]",
		"members":       "{" + numbered(`"%d":0`, 7000) + "}", "one name": "{" + list(`"a":0`, 10_000) + "}",
		"lines": strings.Repeat("\n", 60_000) + "x", "accents": `{"` + strings.Repeat("é", 30_000) + `":1}`,
		"a number": `{"version":1` + strings.Repeat("0", 60_000) + "}",
	} {
		t.Run(name, func(t *testing.T) { hold(t, len(text), func() { _, _ = release.Parse([]byte(text)) }) })
	}
	for name, one := range map[string]string{
		"the same": `{"claim":"a","equals":1}`, "orders": `{"claim":"a","less":1}`,
	} {
		p := conditions(one)
		t.Run("lint "+name, func(t *testing.T) { hold(t, 0, func() { _ = p.Lint("https://b.example") }) })
	}
}

func TestClaimsOfRelease(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60)
	for name, claims := range map[string]string{
		"an array of numbers": `{"a":[` + list("12345", 32_000) + "]}",
		"an array of texts":   `{"a":[` + list(`"1"`, 32_000) + "]}",
		"spaces":              `{"a":"` + strings.Repeat(" ", 1_000_000) + `"}`,
		"a long text":         `{"a":"` + strings.Repeat("é", 500_000) + `"}`,
		"a long number":       `{"a":1` + strings.Repeat("1", 1_000_000) + "}",
		"objects":             "{" + numbered(`"%d":{"b":{}}`, 10_000) + "}", "depth": deep,
		"the same text in capitals": `{"a":"` + strings.Repeat("X", 900_000) + `"}`,
	} {
		for _, one := range []string{
			`{"claim":"a","equals":"99999"}`, `{"claim":"a","equals":99999}`,
			`{"claim":"a","notEquals":12345}`, `{"claim":"b.a.c","exists":true}`,
			`{"claim":"` + strings.Repeat("a.", 50) + `a","equals":1}`,
		} {
			p := conditions(one)
			t.Run(fmt.Sprintf("%s, %.40s", name, one), func(t *testing.T) {
				hold(t, len(claims), func() {
					c, err := release.ParseClaims([]byte(claims))
					if err != nil {
						t.Fatal(err)
					}
					_ = p.Evaluate("https://a.example", c).String()
					_, _ = c.WrappingKey()
				})
			})
		}
	}
}

func TestReleasedKeys(t *testing.T) {
	long := strings.Repeat("A", maxInput)
	t.Run("key_hsm", func(t *testing.T) {
		hold(t, len(long), func() { _, _ = document.ParseWrapped(long) })
	})
	wrapped := make([]byte, keywrap.MaxSecret+8)
	t.Run("key wrap", func(t *testing.T) {
		hold(t, len(wrapped), func() { _, _ = keywrap.UnwrapAES(make([]byte, 32), wrapped) })
	})
}
