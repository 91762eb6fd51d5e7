package jmespath

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A value is nil, bool, string, number, []any or map[string]any.

// number is a JSON number. Numbers of a document keep their spelling.
type number struct {
	f    float64
	text string
}

func numberOf(f float64) number {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return number{f, strconv.FormatInt(int64(f), 10)}
	}
	return number{f, strconv.FormatFloat(f, 'g', -1, 64)}
}

// maxDocumentDepth bounds the nesting of documents.
const maxDocumentDepth = 512

// Document is a parsed JSON document. It is never changed.
type Document struct {
	root any
	// size is about how much work it is to walk through the document once.
	size int
}

// ParseDocument reads a JSON document. Duplicate members, trailing data and
// nesting deeper than 512 are refused.
func ParseDocument(b []byte) (*Document, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(b))
	d := &Document{size: 1}
	var err error
	if d.root, err = d.read(dec, 0); err != nil {
		return nil, fmt.Errorf("jmespath: document: %w", err)
	}
	if rest := bytes.TrimSpace(b[dec.InputOffset():]); len(rest) > 0 {
		return nil, errors.New("jmespath: document: data behind the value")
	}
	return d, nil
}

func (d *Document) read(dec *jsontext.Decoder, depth int) (any, error) {
	if depth > maxDocumentDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDocumentDepth)
	}
	d.size++
	t, err := dec.ReadToken()
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
		list := []any{}
		for dec.PeekKind() != ']' {
			item, err := d.read(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := dec.ReadToken()
		return list, err
	default:
		object := map[string]any{}
		for dec.PeekKind() != '}' {
			name, err := dec.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if object[key], err = d.read(dec, depth+1); err != nil {
				return nil, err
			}
		}
		_, err := dec.ReadToken()
		return object, err
	}
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
	case map[string]any:
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
	case map[string]any:
		return "object"
	default:
		return "expression"
	}
}

// equal compares two values; it is charged for what it walks through.
func (e *evaluation) equal(a, b any) (bool, error) {
	if err := e.spend(1); err != nil {
		return false, err
	}
	switch a := a.(type) {
	case number:
		n, ok := b.(number)
		return ok && (a.text == n.text || a.f == n.f), nil
	case []any:
		list, ok := b.([]any)
		if !ok || len(a) != len(list) {
			return false, nil
		}
		for i := range a {
			if same, err := e.equal(a[i], list[i]); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	case map[string]any:
		object, ok := b.(map[string]any)
		if !ok || len(a) != len(object) {
			return false, nil
		}
		for key, value := range a {
			other, ok := object[key]
			if !ok {
				return false, nil
			}
			if same, err := e.equal(value, other); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	case expression:
		return false, nil
	default:
		if _, ok := b.(expression); ok {
			return false, nil
		}
		switch b.(type) {
		case []any, map[string]any:
			return false, nil
		}
		return a == b, nil
	}
}

// text writes a value as compact JSON, members sorted, within the limits.
func (e *evaluation) text(b []byte, v any, depth int) ([]byte, error) {
	if err := e.spend(1); err != nil {
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
		return append(b, v.text...), nil
	case string:
		quoted, err := json.Marshal(v)
		return append(b, quoted...), err
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = e.text(b, item, depth+1); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	case map[string]any:
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			quoted, err := json.Marshal(key)
			if err != nil {
				return b, err
			}
			b = append(append(b, quoted...), ':')
			if b, err = e.text(b, v[key], depth+1); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	default:
		return b, errors.New("jmespath: an expression is not a result")
	}
}
