package claims

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Members returns the set as members of a JSON object: one claim of a type
// gives a scalar, several give an array in the order of the set. JSON text is
// carried as the value that it encodes.
func (s Set) Members() map[string]any {
	grouped := make(map[string][]any, len(s.list))
	for _, c := range s.list {
		grouped[c.Type] = append(grouped[c.Type], c.Value.member())
	}
	members := make(map[string]any, len(grouped))
	for typ, values := range grouped {
		if len(values) == 1 {
			members[typ] = values[0]
		} else {
			members[typ] = values
		}
	}
	return members
}

func (v Value) member() any {
	switch {
	case v.json:
		return jsontext.Value(v.text)
	case v.kind == kindInteger:
		return v.num
	case v.kind == kindBoolean:
		return v.num != 0
	default:
		return v.text
	}
}

// MarshalJSON writes the set as one object with sorted members; see
// [Set.Members].
func (s Set) MarshalJSON() ([]byte, error) {
	return json.Marshal(s.Members(), json.Deterministic(true))
}

// ParseSet reads a claim set from a JSON object: strings, integers, booleans,
// and arrays of these (several claims of one type). A nested object becomes
// JSON text. Every claim gets the given issuer. Duplicate members, fractions
// and null are refused.
func ParseSet(b []byte, issuer Issuer) (Set, error) {
	switch jsontext.Value(b).Kind() {
	case '[', '"', '0', 'n', 't', 'f':
		return Set{}, errors.New("claims: a JSON object of claims is wanted")
	}
	members, err := parseMembers(b)
	if err != nil {
		return Set{}, fmt.Errorf("claims: %w", err)
	}
	s := Set{list: make([]Claim, 0, len(members))}
	for _, m := range members {
		typ, raw := m.name, m.value
		list := []jsontext.Value{raw}
		if raw.Kind() == '[' {
			list = nil
			if err := json.Unmarshal(raw, &list); err != nil {
				return Set{}, fmt.Errorf("claims: %s: %w", typ, err)
			}
		}
		for _, item := range list {
			v, err := parseValue(item)
			if err != nil {
				return Set{}, fmt.Errorf("claims: %s: %w", typ, err)
			}
			s.Add(Claim{Type: typ, Value: v, Issuer: issuer})
		}
	}
	return s, nil
}

type jsonMember struct {
	name  string
	value jsontext.Value
}

// parseMembers reads the members of an object, sorted by their names.
func parseMembers(b []byte) (list []jsonMember, err error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(b))
	if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		m := jsonMember{name: name.String()}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		m.value = value.Clone()
		list = append(list, m)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the object")
	}
	slices.SortFunc(list, func(a, b jsonMember) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

func parseValue(raw jsontext.Value) (Value, error) {
	switch raw.Kind() {
	case '"':
		var t string
		err := json.Unmarshal(raw, &t)
		return StringValue(t), err
	case 't', 'f':
		return BooleanValue(raw.Kind() == 't'), nil
	case '0':
		if strings.ContainsAny(string(raw), ".eE") {
			return Value{}, fmt.Errorf("%s is not an integer", raw)
		}
		var n int64
		err := json.Unmarshal(raw, &n)
		return IntegerValue(n), err
	case '{':
		return JSONValue(string(raw)), nil
	default:
		return Value{}, fmt.Errorf("%s is not a claim value", raw)
	}
}
