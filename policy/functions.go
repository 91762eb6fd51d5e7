package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy/jmespath"
)

// maxString bounds the strings that a policy builds, in bytes.
const maxString = 1 << 20

// eval evaluates a function of version 1.2, its arguments left to right. The
// read-only mark of an argument passes to results that could reveal it.
func (c *invocation) eval(e *evaluation) ([]claims.Value, error) {
	args := make([][]claims.Value, len(c.args))
	readOnly := false
	for i, arg := range c.args {
		var err error
		if args[i], err = arg.eval(e); err != nil {
			return nil, err
		}
		readOnly = readOnly || slices.ContainsFunc(args[i], claims.Value.IsReadOnly)
	}
	one := func(v claims.Value) ([]claims.Value, error) { return []claims.Value{v}, nil }
	switch c.source.Name {
	case "IsSubsetOf":
		outside := slices.ContainsFunc(args[0], func(v claims.Value) bool { return !e.contains(args[1], v) })
		return one(claims.BooleanValue(!outside))
	case "ContainsOnlyValue":
		v, err := e.scalar(c.source.Args[1].Start(), c.source.Name, args[1])
		if err != nil {
			return nil, err
		}
		other := slices.ContainsFunc(args[0], func(m claims.Value) bool { return !m.Equal(&v) })
		return one(claims.BooleanValue(len(args[0]) > 0 && !other))
	}
	values, err := c.derive(e, args)
	if err == nil && readOnly {
		for i := range values {
			values[i] = values[i].ReadOnly()
		}
	}
	return values, err
}

// derive evaluates the functions that take scalars.
func (c *invocation) derive(e *evaluation, args [][]claims.Value) ([]claims.Value, error) {
	scalars := make([]claims.Value, len(args))
	texts := make([]string, len(args))
	for i, set := range args {
		v, err := e.scalar(c.source.Args[i].Start(), c.source.Name, set)
		if err != nil {
			return nil, err
		}
		text, isText := v.Text()
		if !isText && c.source.Name != "NegateBool" {
			return nil, e.fail(c.source.Args[i].Start(), "%s needs a string, not %s", c.source.Name, v)
		}
		scalars[i], texts[i] = v, text
	}
	switch c.source.Name {
	case "NegateBool":
		b, ok := scalars[0].Bool()
		if !ok {
			return nil, e.fail(c.source.Args[0].Start(), "NegateBool needs a boolean, not %s", clip(scalars[0].String()))
		}
		return []claims.Value{claims.BooleanValue(!b)}, nil
	case "AppendString":
		if len(texts[0])+len(texts[1]) > maxString {
			return nil, e.fail(c.source.Pos, "AppendString would give more than %d bytes", maxString)
		}
		if e.steps -= (len(texts[0]) + len(texts[1])) / 16; e.steps < 0 {
			return nil, e.fail(c.source.Pos, tooManySteps, maxSteps)
		}
		return []claims.Value{claims.StringValue(texts[0] + texts[1])}, nil
	case "JmesPath":
		result, err := c.search(e, texts[0], texts[1])
		if err != nil {
			return nil, e.fail(c.source.Pos, "JmesPath: %v", err)
		}
		return []claims.Value{claims.StringValue(result)}, nil
	default:
		values, err := jsonToClaims(texts[0])
		if err != nil {
			return nil, e.fail(c.source.Pos, "JsonToClaimValue: %v", err)
		}
		return values, nil
	}
}

// search runs a query over JSON text. A document is decoded once for an
// evaluation, however many rules query it.
func (c *invocation) search(e *evaluation, text, query string) (string, error) {
	compiled := c.query
	if compiled == nil {
		compiled = e.queries[query]
	}
	if compiled == nil {
		var err error
		if compiled, err = jmespath.Compile(query); err != nil {
			return "", err
		}
		if e.queries == nil {
			e.queries = map[string]*jmespath.Query{}
		}
		e.queries[query] = compiled
	}
	doc, err := e.document(text)
	if err != nil {
		return "", err
	}
	return compiled.Search(doc, &e.querySteps)
}

// maxDocuments bounds the decoded documents that an evaluation keeps.
const maxDocuments = 16

func (e *evaluation) document(text string) (*jmespath.Document, error) {
	for i := range e.documents {
		if e.documents[i].text == text {
			return e.documents[i].json, nil
		}
	}
	// Decoding costs work like searching does.
	if e.querySteps -= len(text) / 8; e.querySteps < 0 {
		return nil, jmespath.ErrSteps
	}
	doc, err := jmespath.ParseDocument([]byte(text))
	if err == nil && len(e.documents) < maxDocuments {
		e.documents = append(e.documents, document{text, doc})
	}
	return doc, err
}

// jsonToClaims reads JSON text as claim values: integers, booleans and strings
// as they are, an array of these as a set, null as nothing. Objects, nested
// arrays and fractions are errors.
func jsonToClaims(text string) ([]claims.Value, error) {
	raw := jsontext.Value(strings.TrimSpace(text))
	if !raw.IsValid() {
		return nil, fmt.Errorf("%q is not JSON", clip(text))
	}
	if raw.Kind() != '[' {
		return jsonScalar(raw, nil)
	}
	var items []jsontext.Value
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, err
	}
	values := make([]claims.Value, 0, len(items))
	for _, item := range items {
		var err error
		if values, err = jsonScalar(item, values); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func jsonScalar(raw jsontext.Value, values []claims.Value) ([]claims.Value, error) {
	switch raw.Kind() {
	case 'n':
		return values, nil
	case 't', 'f':
		return append(values, claims.BooleanValue(raw.Kind() == 't')), nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return append(values, claims.StringValue(s)), err
	case '0':
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is not a 64-bit integer", raw)
		}
		return append(values, claims.IntegerValue(n)), nil
	default:
		return nil, fmt.Errorf("%s is an object or a nested array", clip(string(raw)))
	}
}
