package policy

import (
	"bytes"
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
	if err := e.budget.Spend(1, 2*sliceBytes*len(c.args)); err != nil {
		return nil, e.overspent(c.source.Pos, err)
	}
	args := make([][]claims.Value, len(c.args))
	readOnly := false
	for i, arg := range c.args {
		var err error
		if args[i], err = arg.eval(e); err != nil {
			return nil, err
		}
		// Each value is looked at here, and as a scalar.
		if err = e.budget.Spend(2*len(args[i]), 0); err != nil {
			return nil, e.overspent(c.source.Pos, err)
		}
		readOnly = readOnly || slices.ContainsFunc(args[i], claims.Value.IsReadOnly)
	}
	one := func(v claims.Value) ([]claims.Value, error) { return []claims.Value{v}, nil }
	switch c.source.Name {
	case "IsSubsetOf":
		for _, v := range args[0] {
			among, err := e.contains(args[1], v)
			if err != nil {
				return nil, e.overspent(c.source.Pos, err)
			}
			if !among {
				return one(claims.BooleanValue(false))
			}
		}
		return one(claims.BooleanValue(true))
	case "ContainsOnlyValue":
		v, err := e.scalar(c.source.Args[1].Start(), c.source.Name, args[1])
		if err != nil {
			return nil, err
		}
		for i := range args[0] {
			same, err := e.same(&args[0][i], &v)
			if err != nil {
				return nil, e.overspent(c.source.Pos, err)
			}
			if !same {
				return one(claims.BooleanValue(false))
			}
		}
		return one(claims.BooleanValue(len(args[0]) > 0))
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
			return nil, e.fail(c.source.Args[i].Start(), "%s needs a string, not %s", c.source.Name, shown(v))
		}
		scalars[i], texts[i] = v, text
	}
	switch c.source.Name {
	case "NegateBool":
		b, ok := scalars[0].Bool()
		if !ok {
			return nil, e.fail(c.source.Args[0].Start(), "NegateBool needs a boolean, not %s", shown(scalars[0]))
		}
		return []claims.Value{claims.BooleanValue(!b)}, nil
	case "AppendString":
		if len(texts[0])+len(texts[1]) > maxString {
			return nil, e.fail(c.source.Pos, "AppendString would give more than %d bytes", maxString)
		}
		if err := e.budget.Spend(0, len(texts[0])+len(texts[1])); err != nil {
			return nil, e.overspent(c.source.Pos, err)
		}
		return []claims.Value{claims.StringValue(texts[0] + texts[1])}, nil
	case "JmesPath":
		result, err := c.search(e, texts[0], texts[1])
		if err != nil && e.budget.Spend(0, 0) != nil {
			return nil, e.overspent(c.source.Pos, err)
		}
		if err != nil {
			return nil, e.fail(c.source.Pos, "JmesPath: %v", err)
		}
		return []claims.Value{claims.StringValue(result)}, nil
	default:
		values, err := e.jsonToClaims(texts[0])
		if err != nil && e.budget.Spend(0, 0) != nil {
			return nil, e.overspent(c.source.Pos, err)
		}
		if err != nil {
			return nil, e.fail(c.source.Pos, "JsonToClaimValue: %v", err)
		}
		return values, nil
	}
}

// search runs a query over JSON text. A document is decoded once for an
// evaluation, however many rules query it.
func (c *invocation) search(e *evaluation, text, query string) (string, error) {
	if e.read == nil {
		e.read = &readBefore{queries: map[string]*jmespath.Query{}}
	}
	compiled := c.query
	if compiled == nil {
		var err error
		if compiled, err = e.query(query); err != nil {
			return "", err
		}
	}
	doc, err := e.document(text)
	if err != nil {
		return "", err
	}
	return compiled.Search(doc, &e.budget)
}

// query compiles a query that the policy put together.
func (e *evaluation) query(text string) (*jmespath.Query, error) {
	if len(text) <= jmespath.MaxQuery { // longer ones are refused without being read
		if err := e.budget.Spend(1, len(text)); err != nil {
			return nil, err
		}
		if known := e.read.queries[text]; known != nil {
			return known, nil
		}
		if err := e.budget.Spend(len(text), queryBytes*len(text)); err != nil {
			return nil, err
		}
	}
	compiled, err := jmespath.Compile(text)
	if err != nil {
		return nil, err
	}
	e.read.queries[text] = compiled
	return compiled, nil
}

// maxDocuments bounds the decoded documents that an evaluation keeps.
const maxDocuments = 16

func (e *evaluation) document(text string) (*jmespath.Document, error) {
	for i := range e.read.documents {
		known := e.read.documents[i].text
		if err := e.budget.Spend(1, comparing(known, text)); err != nil {
			return nil, err
		}
		if known == text {
			return e.read.documents[i].json, nil
		}
	}
	doc, err := jmespath.ParseDocument(text, &e.budget)
	if err == nil && len(e.read.documents) < maxDocuments {
		e.read.documents = append(e.read.documents, document{text, doc})
	}
	return doc, err
}

// jsonToClaims reads JSON text as claim values: integers, booleans and strings
// as they are, an array of these as a set, null as nothing. Objects, nested
// arrays and fractions are errors.
func (e *evaluation) jsonToClaims(text string) ([]claims.Value, error) {
	// The text is read twice, and its strings are copied.
	if err := e.budget.Spend(1, 3*len(text)); err != nil {
		return nil, err
	}
	raw := jsontext.Value(strings.TrimSpace(text))
	if !raw.IsValid() {
		return nil, fmt.Errorf("%q is not JSON", clip(text))
	}
	if raw.Kind() != '[' {
		return jsonScalar(raw, nil)
	}
	var values []claims.Value
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != ']' {
		if len(values) == maxClaims {
			return nil, fmt.Errorf("more than %d values", maxClaims)
		}
		if err := e.budget.Spend(1, 2*valueBytes); err != nil {
			return nil, err
		}
		item, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
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
			return nil, fmt.Errorf("%s is not a 64-bit integer", clip(string(raw)))
		}
		return append(values, claims.IntegerValue(n)), nil
	default:
		return nil, fmt.Errorf("%s is an object or a nested array", clip(string(raw)))
	}
}
