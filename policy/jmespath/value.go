package jmespath

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A value is nil, bool, string, number, []any or object.

// number is a JSON number. Numbers of a document keep their spelling; others have none.
type number struct {
	f    float64
	text string
}

func numberOf(f float64) number { return number{f: f} }

func (n number) append(b []byte) []byte {
	switch {
	case n.text != "":
		return append(b, n.text...)
	case n.f == math.Trunc(n.f) && math.Abs(n.f) < 1<<53:
		return strconv.AppendInt(b, int64(n.f), 10)
	default:
		return strconv.AppendFloat(b, n.f, 'g', -1, 64)
	}
}

// object has its members sorted by key, each key once.
type object []member

type member struct {
	key   string
	value any
}

// few is how many members are looked through one by one.
const few = 8

// get returns the member of the given name, or nil.
func (o object) get(name string) any {
	if len(o) <= few {
		for i := range o {
			if o[i].key == name {
				return o[i].value
			}
		}
		return nil
	}
	at, ok := slices.BinarySearchFunc(o, name,
		func(m member, name string) int { return strings.Compare(m.key, name) })
	if !ok {
		return nil
	}
	return o[at].value
}

// looking is what get costs.
func (o object) looking(name string) (steps, bytes int) {
	if len(o) <= few {
		return 1, Long(len(name)) * len(o)
	}
	depth := bits.Len(uint(len(o)))
	return depth, Long(len(name)) * depth
}

func byKey(a, b member) int { return strings.Compare(a.key, b.key) }

// sort pays for sorting the members and does it.
func (o object) sort(b *Budget) error {
	if slices.IsSortedFunc(o, byKey) {
		return nil
	}
	long := 0
	for i := range o {
		long += Long(len(o[i].key))
	}
	if err := b.Spend(sorting(len(o), long)); err != nil {
		return err
	}
	slices.SortStableFunc(o, byKey)
	return nil
}

// maxDocumentDepth bounds the nesting of documents.
const maxDocumentDepth = 512

// What values take in memory, in bytes.
const (
	itemBytes   = 16 // an element of an array
	memberBytes = 32 // a member without its key
	valueBytes  = 64 // a value of a document, its place in array or object included
	// The decoder keeps the names of an object with many members in a map.
	many      = 64
	nameBytes = 160
)

// Document is a parsed JSON document. It is never changed.
type Document struct{ root any }

// ParseDocument reads a JSON document and takes its work from the budget. Duplicate members,
// trailing data and nesting deeper than 512 are refused.
func ParseDocument(text string, budget *Budget) (*Document, error) {
	// The text is copied once, and its strings again.
	if err := budget.Spend(1, 2*len(text)); err != nil {
		return nil, err
	}
	r := &reader{dec: jsontext.NewDecoder(bytes.NewBufferString(text)), budget: budget}
	root, err := r.read(0)
	if err != nil {
		return nil, fmt.Errorf("jmespath: document: %w", err)
	}
	if rest := strings.TrimSpace(text[r.dec.InputOffset():]); len(rest) > 0 {
		return nil, errors.New("jmespath: document: data after the value")
	}
	return &Document{root}, nil
}

// parseLiteral reads a JSON text in a query, whose size is bounded.
func parseLiteral(text string) (any, error) {
	raw := jsontext.Value(text)
	if !raw.IsValid() {
		return nil, errors.New("not JSON")
	}
	switch raw.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return raw.Kind() == 't', nil
	case '"':
		b, err := jsontext.AppendUnquote(nil, raw)
		return string(b), err
	case '0':
		f, _ := strconv.ParseFloat(text, 64)
		return number{f, text}, nil
	}
	d, err := ParseDocument(text, NewBudget(context.Background(), 16*MaxQuery, 160*MaxQuery))
	if err != nil {
		return nil, err
	}
	return d.root, nil
}

// reader reads a document. Items and members wait in stacks until their number is known.
type reader struct {
	dec     *jsontext.Decoder
	budget  *Budget
	items   []any
	members []member
}

func (r *reader) read(depth int) (any, error) {
	if depth > maxDocumentDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDocumentDepth)
	}
	if err := r.budget.Spend(1, valueBytes); err != nil {
		return nil, err
	}
	t, err := r.dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return t.Bool(), nil
	case '"':
		return t.String(), nil
	case '0':
		// Beyond the range of float64 only the spelling is exact.
		f, _ := t.Float()
		return number{f, t.String()}, nil
	case '[':
		return r.array(depth)
	default:
		return r.object(depth)
	}
}

func (r *reader) array(depth int) (any, error) {
	from := len(r.items)
	for r.dec.PeekKind() != ']' {
		item, err := r.read(depth + 1)
		if err != nil {
			return nil, err
		}
		r.items = append(r.items, item)
	}
	list := make([]any, len(r.items)-from)
	copy(list, r.items[from:])
	r.items = r.items[:from]
	_, err := r.dec.ReadToken()
	return list, err
}

func (r *reader) object(depth int) (any, error) {
	from := len(r.members)
	for r.dec.PeekKind() != '}' {
		name, err := r.dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		value, err := r.read(depth + 1)
		if err != nil {
			return nil, err
		}
		if len(r.members)-from >= many {
			if err := r.budget.Spend(0, nameBytes); err != nil {
				return nil, err
			}
		}
		r.members = append(r.members, member{key, value})
	}
	o := make(object, len(r.members)-from)
	copy(o, r.members[from:])
	r.members = r.members[:from]
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, err
	}
	return o, o.sort(r.budget)
}

// truthy is JMESPath's notion of true: everything but null, false and what is
// empty.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case object:
		return len(v) > 0
	default:
		return true
	}
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case number:
		return "number"
	case []any:
		return "array"
	case object:
		return "object"
	default:
		return "expression"
	}
}

// equal compares two values; it is charged for what it walks through.
func (e *evaluation) equal(a, b any) (bool, error) {
	if err := e.spend(1, 0); err != nil {
		return false, err
	}
	switch a := a.(type) {
	case nil:
		return b == nil, nil
	case bool:
		other, ok := b.(bool)
		return ok && a == other, nil
	case number:
		n, ok := b.(number)
		return ok && a.f == n.f, nil
	case string:
		text, ok := b.(string)
		if !ok || len(a) != len(text) {
			return false, nil
		}
		if err := e.spend(0, Long(len(a))); err != nil {
			return false, err
		}
		return a == text, nil
	case []any:
		list, ok := b.([]any)
		if !ok || len(a) != len(list) {
			return false, nil
		}
		return e.equalLists(a, list)
	case object:
		other, ok := b.(object)
		if !ok || len(a) != len(other) {
			return false, nil
		}
		return e.equalObjects(a, other)
	default:
		return false, nil // expressions equal nothing
	}
}

// equalLists compares two lists of the same length.
func (e *evaluation) equalLists(a, b []any) (bool, error) {
	for i := range a {
		if same, err := e.equal(a[i], b[i]); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// equalObjects compares two objects with the same number of members.
func (e *evaluation) equalObjects(a, b object) (bool, error) {
	for i := range a {
		if err := e.spend(0, Long(len(a[i].key))); err != nil {
			return false, err
		}
		if a[i].key != b[i].key {
			return false, nil
		}
		if same, err := e.equal(a[i].value, b[i].value); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// text writes a value as compact JSON, members sorted, within the limits.
func (e *evaluation) text(v any) (string, error) {
	if e.scratch == nil {
		e.scratch = new([]byte)
	}
	b, err := e.write((*e.scratch)[:0], v, 0)
	*e.scratch = b
	if err != nil {
		return "", err
	}
	return string(b), nil
}

func (e *evaluation) write(b []byte, v any, depth int) ([]byte, error) {
	if err := e.spend(1, 5); err != nil { // 5 for null, false, or what stands around a value
		return b, err
	}
	if len(b) > MaxResult || depth > 2*maxDocumentDepth {
		return b, ErrResult
	}
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case number:
		if err := e.spend(0, max(len(v.text), 24)); err != nil {
			return b, err
		}
		return v.append(b), nil
	case string:
		return e.quote(b, v)
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = e.write(b, item, depth+1); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	case object:
		b = append(b, '{')
		for i := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = e.quote(b, v[i].key); err != nil {
				return b, err
			}
			b = append(b, ':')
			if b, err = e.write(b, v[i].value, depth+1); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	default:
		return b, errors.New("jmespath: an expression is not a result")
	}
}

// quote writes a string; escapes are paid when it is known how many there are.
func (e *evaluation) quote(b []byte, s string) ([]byte, error) {
	if len(b)+len(s) > MaxResult {
		return b, ErrResult
	}
	if err := e.spend(0, len(s)); err != nil {
		return b, err
	}
	from := len(b)
	b, err := jsontext.AppendQuote(b, s)
	if err != nil {
		return b, err
	}
	return b, e.spend(0, len(b)-from-len(s))
}
