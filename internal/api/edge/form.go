package edge

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/provider"
)

// Form is what a name or value looks like, and how a refusal names it. docs/api has the
// same patterns.
type Form struct {
	Pattern  *regexp.Regexp
	Expected string
}

// Shaped returns the form of texts that the whole of a pattern matches.
func Shaped(pattern, expected string) Form {
	return Form{regexp.MustCompile("^(?:" + pattern + ")$"), expected}
}

var (
	number = Shaped(`0|[1-9][0-9]{0,17}`, "a whole number of at most 18 digits")
	// pathForms are the forms of the variable parts of paths, by their name in the table
	// of routes. Those of the resource manager are Azure's.
	pathForms = map[string]Form{
		"subscription": Shaped(`[A-Za-z0-9][A-Za-z0-9._-]{0,63}`,
			"a subscription of 1 to 64 letters, digits, dots, dashes and underscores"),
		"group": Shaped(`[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]`,
			"a resource group of 1 to 90 letters, digits, dots, dashes, underscores and parentheses, "+
				"without a dot at the end"),
		"provider": Shaped(`[A-Za-z0-9-]{3,24}`, "a provider's name of 3 to 24 letters, digits and dashes"),
		"location": Shaped(`[A-Za-z0-9 ]{1,64}`, "a location of 1 to 64 letters, digits and spaces"),
		"endpoint": Shaped(`[A-Za-z0-9][A-Za-z0-9._-]{0,79}`,
			"a connection's name of 1 to 80 letters, digits, dots, dashes and underscores"),
		"proposal": Shaped(`[A-Za-z0-9]{1,64}`, "a proposal's id, of letters and digits"),
		"token": Shaped(`[A-Za-z0-9][A-Za-z0-9._-]{0,63}`,
			"a token's name of 1 to 64 letters, digits, dots, dashes and underscores"),
		"version":    Shaped(`[1-9][0-9]{0,17}`, "a version: a whole number from 1 on"),
		"seq":        number,
		"key":        Shaped(`[0-9A-Za-z-]{1,127}`, "a key's name of 1 to 127 letters, digits and dashes"),
		"keyversion": Shaped(`[0-9A-Fa-f]{32}`, "a version of a key: 32 hex digits"),
	}
)

// checkPathForms compares the variable parts of the path with their forms, before
// anything is looked up by them.
func checkPathForms(params map[string]string) error {
	for name, value := range params {
		if f, ok := pathForms[name]; ok && !f.Pattern.MatchString(value) {
			check := CheckPath
			if name == "provider" {
				check = provider.CheckName
			}
			return BadRequest(check, f.Expected, fmt.Sprintf("%.100q", value), "correct the name in the path")
		}
	}
	return nil
}

// checkQueryForm refuses a query that can be read in two ways. Parameters that the route
// does not know are ignored, as Azure does.
func checkQueryForm(r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return BadRequest(CheckQuery, "a query of name=value pairs", "a query that cannot be decoded",
			"percent-encode the query, and separate its parameters by &")
	}
	for name, list := range values {
		if len(list) > 1 {
			return BadRequest(CheckQuery, fmt.Sprintf("the parameter %.40q once", name),
				fmt.Sprintf("%d times", len(list)), fmt.Sprintf("send the parameter %.40q once", name))
		}
	}
	return nil
}

// QueryText reads a parameter that may be absent, but not empty or of another form.
func QueryText(r *http.Request, name string, f Form) (text string, sent bool, err error) {
	values, sent := r.URL.Query()[name]
	if !sent {
		return "", false, nil
	}
	if !f.Pattern.MatchString(values[0]) {
		return "", true, BadRequest(CheckQuery, name+": "+f.Expected, fmt.Sprintf("%.100q", values[0]),
			fmt.Sprintf("correct the query parameter %.40s, or leave it out", name))
	}
	return values[0], true, nil
}

// RefuseNull refuses null as the value of members that the pattern matches by their
// JSON Pointer (RFC 6901): null could mean "remove" or "leave as it is". The body is
// known to be valid JSON.
func RefuseNull(body []byte, pointers *regexp.Regexp) error {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return nil // the end
		}
		if token.Kind() == 'n' && pointers.MatchString(string(dec.StackPointer())) {
			return BadRequest(CheckBody, "a value for "+string(dec.StackPointer()), "null",
				"send a value, or leave the member out")
		}
	}
}

// anyMember matches every member.
var anyMember = regexp.MustCompile(``)

// QueryNumber reads a number of the query within bounds.
func QueryNumber(r *http.Request, name string, standard, least, most int64) (int64, error) {
	text, sent, err := QueryText(r, name, number)
	if err != nil || !sent {
		return standard, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, BadRequest(CheckQuery, fmt.Sprintf("%s from %d to %d", name, least, most),
			fmt.Sprintf("%.40q", text), fmt.Sprintf("correct the query parameter %.40s", name))
	}
	return n, nil
}
