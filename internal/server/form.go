package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/provider"
)

// form is what a name or value looks like. docs/api has the same patterns.
type form struct {
	pattern  *regexp.Regexp
	expected string
}

func shaped(pattern, expected string) form {
	return form{regexp.MustCompile("^(?:" + pattern + ")$"), expected}
}

var (
	locationForm = shaped(`[ -~]{1,128}`, "a location of 1 to 128 printable ASCII characters")
	number       = shaped(`0|[1-9][0-9]{0,17}`, "a whole number of at most 18 digits")
	// pathForms are the forms of the variable parts of paths, by their name in the table
	// of routes. Those of the resource manager are Azure's.
	pathForms = map[string]form{
		"subscription": shaped(`[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, "a subscription of 1 to 64 letters, digits, dots, dashes and underscores"),
		"group":        shaped(`[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]`, "a resource group of 1 to 90 letters, digits, dots, dashes, underscores and parentheses, without a dot at the end"),
		"provider":     shaped(`[A-Za-z0-9-]{3,24}`, "a provider's name of 3 to 24 letters, digits and dashes"),
		"location":     shaped(`[A-Za-z0-9 ]{1,64}`, "a location of 1 to 64 letters, digits and spaces"),
		"endpoint":     shaped(`[A-Za-z0-9][A-Za-z0-9._-]{0,79}`, "a connection's name of 1 to 80 letters, digits, dots, dashes and underscores"),
		"proposal":     shaped(`[A-Za-z0-9]{1,64}`, "a proposal's id, of letters and digits"),
		"token":        shaped(`[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, "a token's name of 1 to 64 letters, digits, dots, dashes and underscores"),
		"version":      shaped(`[1-9][0-9]{0,17}`, "a version: a whole number from 1 on"),
		"seq":          number,
	}
	// An ETag stands in quotes (RFC 9110, section 8.8.3); many tools drop them.
	entityTag = regexp.MustCompile(`^(?:(?:0|[1-9][0-9]{0,17})|"(?:0|[1-9][0-9]{0,17})")$`)
)

// checkPathForms compares the variable parts of the path with their forms, before
// anything is looked up by them.
func checkPathForms(params map[string]string) error {
	for name, value := range params {
		if f, ok := pathForms[name]; ok && !f.pattern.MatchString(value) {
			check := CheckPath
			if name == "provider" {
				check = provider.CheckName
			}
			return badRequest(check, f.expected, fmt.Sprintf("%.100q", value), "correct the name in the path")
		}
	}
	return nil
}

// checkQueryForm refuses a query that can be read in two ways. Parameters that the route
// does not know are ignored, as Azure does.
func checkQueryForm(r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest(CheckQuery, "a query of name=value pairs", "a query that cannot be decoded", "percent-encode the query, and separate its parameters by &")
	}
	for name, list := range values {
		if len(list) > 1 {
			return badRequest(CheckQuery, fmt.Sprintf("the parameter %.40q once", name), fmt.Sprintf("%d times", len(list)), "send the parameter once")
		}
	}
	return nil
}

// queryText reads a parameter that may be absent, but not empty or of another form.
func queryText(r *http.Request, name string, f form) (text string, sent bool, err error) {
	values, sent := r.URL.Query()[name]
	if !sent {
		return "", false, nil
	}
	if !f.pattern.MatchString(values[0]) {
		return "", true, badRequest(CheckQuery, name+": "+f.expected, fmt.Sprintf("%.100q", values[0]), "correct the query parameter, or leave it out")
	}
	return values[0], true, nil
}

// refuseNull refuses null as the value of members that the pattern matches by their
// JSON Pointer (RFC 6901): null could mean "remove" or "leave as it is". The body is
// known to be valid JSON.
func refuseNull(body []byte, pointers *regexp.Regexp) error {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return nil // the end
		}
		if token.Kind() == 'n' && pointers.MatchString(string(dec.StackPointer())) {
			return badRequest(CheckBody, "a value for "+string(dec.StackPointer()), "null", "send a value, or leave the member out")
		}
	}
}

// anyMember matches every member.
var anyMember = regexp.MustCompile(``)
